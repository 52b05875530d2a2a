"""From a kernel to answers: regression, in float64, with scipy's LAPACK.

Everything here takes kernel matrices, of `refntk.kernel` or from a kernel file, and targets.
Nothing is repaired in silence: what is not positive definite is an error that names the remedy.
"""

from __future__ import annotations

from refntk.inference.regression import KernelRegression
from refntk.inference.targets import class_targets

__all__ = ["KernelRegression", "class_targets"]
