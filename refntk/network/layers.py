"""The layers of a network: which inputs each takes, which shape it gives, what it is made of.

No kernel arithmetic: a layer says which operations of `refntk.ops` it stands for. Names, arguments
and words are those of neural-tangents, without the widths, which are infinite here: only the shape
of a filter comes without its name. A linear layer of fan-in F computes
(W_std / sqrt(F)) sum w (...) + b_std b, with w and b standard normal; `linear` says how they are
trained. No gain is added for Relu.
"""

from __future__ import annotations

from typing import Any

from refntk.network.activations import ABRelu, Abs, Activation, Identity, LeakyRelu, Relu
from refntk.network.composition import Branching, Concat, Product, Residual
from refntk.network.dense import Dense
from refntk.network.filters import Conv, GroupConv, Lift
from refntk.network.finite_groups import CosetPool, SetGroupConv, SetLift, SetLinear
from refntk.network.functions import (
    Cos,
    Elementwise,
    Erf,
    Exp,
    ExpNormalized,
    Gaussian,
    Gelu,
    Hermite,
    Polynomial,
    Rbf,
    RectifiedMonomial,
    Sigmoid_like,
    Sign,
    Sin,
)
from refntk.network.normalization import Dropout, LayerNorm
from refntk.network.pooling import (
    AvgPool,
    CentreReadout,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    GroupPool,
    RotationPool,
    SumPool,
)
from refntk.network.signal import Kind, Layer, Signal

__all__ = [
    "LAYERS",
    "ABRelu",
    "Abs",
    "Activation",
    "AvgPool",
    "Branching",
    "CentreReadout",
    "Concat",
    "Conv",
    "Cos",
    "CosetPool",
    "Dense",
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
    "Kind",
    "Layer",
    "LayerNorm",
    "LeakyRelu",
    "Lift",
    "Polynomial",
    "Product",
    "Rbf",
    "RectifiedMonomial",
    "Relu",
    "Residual",
    "RotationPool",
    "SetGroupConv",
    "SetLift",
    "SetLinear",
    "Sigmoid_like",
    "Sign",
    "Signal",
    "Sin",
    "SumPool",
]

LAYERS: dict[str, type[Any]] = {
    layer.__name__: layer
    for layer in (
        *(Conv, Lift, GroupConv, Dense),
        *(Relu, LeakyRelu, Abs),
        *(GroupPool, GlobalAvgPool, Flatten),
        *(ABRelu, Identity, Erf, Sigmoid_like, Gelu, Sin, Cos, Rbf, Exp, Gaussian, ExpNormalized),
        *(RectifiedMonomial, Polynomial, Hermite, Sign, Elementwise),
        *(AvgPool, SumPool, GlobalSumPool, RotationPool, CentreReadout),
        *(SetLift, SetGroupConv, SetLinear, CosetPool),
        *(Residual, Concat, Product, LayerNorm, Dropout),
    )
}
"""Every layer by its name."""
