"""Exact kernels of infinitely wide equivariant networks: NNGP and NTK.

    >>> import numpy as np, refntk
    >>> images = np.random.default_rng(0).random((4, 8, 8, 3))
    >>> k = refntk.kernel(refntk.preset("gcnn-paper"), images)
    >>> k.nngp.shape, k.ntk.shape
    ((4, 4), (4, 4))

Names are imported when they are first used, so that commands which need no arrays start at once.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from refntk.former import FormerNames

if TYPE_CHECKING:
    from refntk.data.kernels.compute import compute_kernel
    from refntk.data.kernels.store import open_kernel
    from refntk.errors import (
        ClusterError,
        ConvergenceError,
        DeviceError,
        DownloadError,
        InputError,
        InputWarning,
        MethodError,
        MissingBackendError,
        MissingPackageError,
        NetworkError,
        NotPositiveDefiniteError,
        RefntkError,
        RefntkWarning,
        ShapeError,
        StoreError,
        SymmetryWarning,
        UnknownBackendError,
    )
    from refntk.evaluation.by_layer import ntk_by_layer
    from refntk.evaluation.evaluate import Kernel, kernel
    from refntk.network.layers import (
        ABRelu,
        Abs,
        AvgPool,
        CentreReadout,
        Concat,
        Conv,
        Cos,
        CosetPool,
        Dense,
        Dropout,
        Elementwise,
        Erf,
        Exp,
        ExpNormalized,
        Flatten,
        Gaussian,
        Gelu,
        GlobalAvgPool,
        GlobalSumPool,
        GroupConv,
        GroupPool,
        Hermite,
        Identity,
        LayerNorm,
        LeakyRelu,
        Lift,
        Polynomial,
        Product,
        Rbf,
        RectifiedMonomial,
        Relu,
        Residual,
        RotationPool,
        SetGroupConv,
        SetLift,
        SetLinear,
        Sigmoid_like,
        Sign,
        Sin,
        SumPool,
    )
    from refntk.network.network import Network
    from refntk.network.presets import preset, presets
    from refntk.stax.parts import batch
    from refntk.truth.certified import Certified, certify

    __version__: str

__all__ = [
    "ABRelu",
    "Abs",
    "AvgPool",
    "CentreReadout",
    "Certified",
    "ClusterError",
    "Concat",
    "Conv",
    "ConvergenceError",
    "Cos",
    "CosetPool",
    "Dense",
    "DeviceError",
    "DownloadError",
    "Dropout",
    "Elementwise",
    "Erf",
    "Exp",
    "ExpNormalized",
    "Flatten",
    "Gaussian",
    "Gelu",
    "GlobalAvgPool",
    "GlobalSumPool",
    "GroupConv",
    "GroupPool",
    "Hermite",
    "Identity",
    "InputError",
    "InputWarning",
    "Kernel",
    "LayerNorm",
    "LeakyRelu",
    "Lift",
    "MethodError",
    "MissingBackendError",
    "MissingPackageError",
    "Network",
    "NetworkError",
    "NotPositiveDefiniteError",
    "Polynomial",
    "Product",
    "Rbf",
    "RectifiedMonomial",
    "RefntkError",
    "RefntkWarning",
    "Relu",
    "Residual",
    "RotationPool",
    "SetGroupConv",
    "SetLift",
    "SetLinear",
    "ShapeError",
    "Sigmoid_like",
    "Sign",
    "Sin",
    "StoreError",
    "SumPool",
    "SymmetryWarning",
    "UnknownBackendError",
    "__version__",
    "batch",
    "certify",
    "compute_kernel",
    "kernel",
    "ntk_by_layer",
    "open_kernel",
    "preset",
    "presets",
]

_HOMES = {
    "refntk.truth.certified": ["Certified", "certify"],
    "refntk.errors": [name for name in __all__ if name.endswith(("Error", "Warning"))],
    "refntk.evaluation.by_layer": ["ntk_by_layer"],
    "refntk.evaluation.evaluate": ["Kernel", "kernel"],
    "refntk.data.kernels.compute": ["compute_kernel"],
    "refntk.data.kernels.store": ["open_kernel"],
    "refntk.network.network": ["Network"],
    "refntk.network.presets": ["preset", "presets"],
    "refntk.stax.parts": ["batch"],
}
_MODULES = (
    "data", "dynamics", "finite", "inference", "network", "oracle", "plot", "predict", "sklearn",
    "spectral", "sphere", "stax", "symmetry", "testing",
)  # fmt: skip
"""Packages that are there as attributes without an import of their own."""
sys.meta_path.append(FormerNames())
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from the module where it lives."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("refntk")
    elif name in __all__:
        value = getattr(import_module(_HOME_OF.get(name, "refntk.network.layers")), name)
    elif name in _MODULES:
        value = import_module(f"refntk.{name}")
    else:
        from refntk.network.missing import why_missing

        why = "" if name.startswith("_") else why_missing(name)
        raise AttributeError(f"module 'refntk' has no attribute {name!r}" + (why and f": {why}"))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
