"""Networks in the words of ``neural_tangents.stax``: a script runs by changing its imports.

::

    import refntk as nt                      # in place of: import neural_tangents as nt
    from refntk import stax                  # in place of: from neural_tangents import stax

    init_fn, apply_fn, kernel_fn = stax.serial(
        stax.Conv(512, (3, 3), padding="SAME", b_std=0.1), stax.Relu(),
        stax.GlobalAvgPool(), stax.Dense(10),
    )
    ntk = kernel_fn(x1, x2, "ntk")

docs/from-neural-tangents.md lists what differs.
"""

from typing import NoReturn

from refntk.network.missing import unknown_layer
from refntk.stax.layers import (
    ABRelu,
    Abs,
    AvgPool,
    Conv,
    Cos,
    Dense,
    Dropout,
    ElementwiseNumerical,
    Erf,
    Exp,
    ExpNormalized,
    Flatten,
    Gaussian,
    Gelu,
    GlobalAvgPool,
    GlobalSumPool,
    Hermite,
    Identity,
    LayerNorm,
    LeakyRelu,
    Monomial,
    Polynomial,
    Rbf,
    RectifiedMonomial,
    Relu,
    Sigmoid_like,
    Sign,
    Sin,
    SumPool,
)
from refntk.stax.parts import (
    FanInConcat,
    FanInProd,
    FanInSum,
    FanOut,
    Part,
    batch,
    parallel,
    repeat,
    serial,
)

__all__ = [
    "ABRelu",
    "Abs",
    "AvgPool",
    "Conv",
    "Cos",
    "Dense",
    "Dropout",
    "ElementwiseNumerical",
    "Erf",
    "Exp",
    "ExpNormalized",
    "FanInConcat",
    "FanInProd",
    "FanInSum",
    "FanOut",
    "Flatten",
    "Gaussian",
    "Gelu",
    "GlobalAvgPool",
    "GlobalSumPool",
    "Hermite",
    "Identity",
    "LayerNorm",
    "LeakyRelu",
    "Monomial",
    "Part",
    "Polynomial",
    "Rbf",
    "RectifiedMonomial",
    "Relu",
    "Sigmoid_like",
    "Sign",
    "Sin",
    "SumPool",
    "batch",
    "parallel",
    "repeat",
    "serial",
]


def __getattr__(name: str) -> NoReturn:
    """Say why a layer of neural-tangents is not here, and what is in its place."""
    raise AttributeError(f"refntk.stax: {unknown_layer(name)}")
