"""Infinitely wide networks for scikit-learn: a regressor, a classifier, a kernel.

The extra `sklearn` installs scikit-learn. Inside this package `sklearn` is always that library:
imports are absolute.
"""

from __future__ import annotations

from refntk.errors import missing_package

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise missing_package("refntk.sklearn needs scikit-learn", "sklearn") from error

from refntk.sklearn.estimators import NTKClassifier, NTKRegressor
from refntk.sklearn.gp_kernel import RefntkKernel

__all__ = ["NTKClassifier", "NTKRegressor", "RefntkKernel"]
