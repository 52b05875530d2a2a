"""From a kernel to answers: regression, training dynamics, posteriors; float64, scipy's LAPACK.

Everything here takes kernel matrices, of `refntk.kernel` or from a kernel file, and targets.
Nothing is repaired in silence: what is not positive definite is an error that names the remedy.
"""

from __future__ import annotations

from refntk.inference.classify import Classification, classify
from refntk.inference.curve import LearningCurve, learning_curve
from refntk.inference.flow import GradientFlow
from refntk.inference.gaussian import GaussianProcess
from refntk.inference.iterative import IterativeRegression
from refntk.inference.left_out import LeftOut, left_out
from refntk.inference.regression import KernelRegression
from refntk.inference.targets import class_targets

__all__ = [
    "Classification",
    "GaussianProcess",
    "GradientFlow",
    "IterativeRegression",
    "KernelRegression",
    "LearningCurve",
    "LeftOut",
    "class_targets",
    "classify",
    "learning_curve",
    "left_out",
]
