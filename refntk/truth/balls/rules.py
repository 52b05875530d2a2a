"""What each class of layers does to kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flint import arb

from refntk.network.layers import (
    ABRelu,
    Abs,
    AvgPool,
    CentreReadout,
    Concat,
    Conv,
    CosetPool,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    GroupConv,
    GroupPool,
    Identity,
    LayerNorm,
    LeakyRelu,
    Lift,
    Product,
    Relu,
    Residual,
    RotationPool,
    SetGroupConv,
    SetLift,
    SetLinear,
    SumPool,
)
from refntk.truth.balls.activations import pointwise, slopes
from refntk.truth.balls.branches import add, concatenate, drop, multiply, normalise
from refntk.truth.balls.filters import (
    average_orbitals,
    convolve,
    convolve_on_group,
    dense,
    from_the_centre,
    pool,
    pool_cosets,
    pool_rotations,
)
from refntk.truth.balls.functions import FUNCTIONS
from refntk.truth.balls.kernels import Balls, Kernels

__all__ = ["JOINTS", "READOUTS", "RULES"]


RULES: dict[type, Callable[[Any, Kernels], Kernels]] = {
    Conv: convolve, Lift: convolve, GroupConv: convolve, Dense: dense,
    AvgPool: pool, SumPool: pool,
    Relu: lambda layer, below: slopes(0.0, 1.0, below),
    LeakyRelu: lambda layer, below: slopes(layer.alpha, 1.0, below),
    Abs: lambda layer, below: slopes(-1.0, 1.0, below),
    LayerNorm: normalise, Dropout: drop,
    ABRelu: lambda layer, below: slopes(layer.a, layer.b, below),
    Identity: lambda layer, below: slopes(1.0, 1.0, below),
    **dict.fromkeys(FUNCTIONS, pointwise),
    SetLift: convolve_on_group, SetGroupConv: convolve_on_group, CosetPool: pool_cosets,
    SetLinear: average_orbitals,
    RotationPool: pool_rotations,
}  # fmt: skip
"""What each class of layers does to kernels; a class without a rule is refused."""


JOINTS: dict[type, Callable[[Any, list[Kernels]], Kernels]] = {
    Residual: add, Concat: concatenate, Product: multiply,
}  # fmt: skip
"""What each class of layers with branches makes of the kernels at their ends."""


READOUTS: dict[type, Callable[[Balls, Kernels], arb]] = {
    GroupPool: lambda kernel, below: kernel.sum() / kernel.size,
    GlobalAvgPool: lambda kernel, below: kernel.sum() / kernel.size,
    GlobalSumPool: lambda kernel, below: kernel.sum(),
    Flatten: lambda kernel, below: kernel.diagonal().sum() / len(kernel),
    CentreReadout: from_the_centre,
}
"""What each readout makes of the kernel of one pair of images."""
