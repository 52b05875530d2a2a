"""Print which method `auto` takes for each layer, by its place in a network of images.

``python benchmarks/routes.py`` prints the table of docs/method.md, and with the word ``reasons``
also why it is the literal recursion where it is.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import refntk
from refntk import (
    AvgPool,
    Conv,
    Dense,
    Dropout,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    LayerNorm,
    Lift,
    Network,
    Relu,
    Residual,
)
from refntk.errors import MethodError
from refntk.plan.reduction import METHODS, make_plan

_CONV, _RELU, _DENSE, _POOL = Conv((3, 3)), Relu(), Dense(), AvgPool((2, 2), strides=(2, 2))
_SHAPE = 8, 8, 3

LAYERS: dict[str, list[Any]] = {
    "Relu, LeakyRelu, Abs, ABRelu": [refntk.LeakyRelu()],
    "Erf, Gelu, Sin, Rbf, ExpNormalized, … in closed form": [refntk.Gelu()],
    "Elementwise, Polynomial, Hermite": [refntk.Elementwise("tanh")],
    "Conv with strides or dilation": [Conv((3, 3), strides=(2, 2)), _RELU],
    "AvgPool, SumPool": [_POOL],
    "Residual, Concat, Product": [Residual([_RELU, _CONV])],
    "LayerNorm": [LayerNorm()],
    "Dropout": [_RELU, Dropout(0.5)],
}
"""Layers as they stand between two convolutions."""

HEADS = {
    **LAYERS,
    "Conv with strides or dilation": [],
    "AvgPool, SumPool": [],
    "Residual, Concat, Product": [Residual([_RELU, _DENSE])],
}
"""And between two dense layers."""


def _on_group(layer: Any) -> Any:
    """Put a layer of the grid on a group."""
    if isinstance(layer, Residual):
        return Residual([_RELU, GroupConv((3, 3))])
    return GroupConv((3, 3), dilations=(2, 2)) if isinstance(layer, Conv) else layer


def places(name: str) -> dict[str, list[Any]]:
    """Networks with a layer in each place."""
    layers, ends = LAYERS[name], [_CONV, _RELU, GlobalAvgPool(), _DENSE]
    branch = [*layers, _CONV]
    strided = isinstance(layers[0], AvgPool) or layers[0] == Conv((3, 3), strides=(2, 2))
    shortcut = [Conv((1, 1), strides=(2, 2))] if strided else [Conv((1, 1))]
    group = [_on_group(layer) for layer in layers]
    after = [_DENSE, *HEADS[name], _DENSE, _RELU, _DENSE]
    return {
        "in line": [_CONV, *layers, *ends],
        "before Flatten": [_CONV, *layers, _CONV, _RELU, refntk.Flatten()],
        "on a group": [Lift((3, 3), group="C4"), *group, GroupConv((3, 3)), _RELU, GroupPool()],
        "with a pooling": [_CONV, _RELU, _POOL, _CONV, *layers, *ends],
        "in a branch": [_CONV, Residual(branch, shortcut=shortcut), _RELU, GlobalAvgPool()],
        "after the readout": [_CONV, _RELU, GlobalAvgPool(), *after] if HEADS[name] else [],
    }


def main(reasons: bool) -> None:
    """Print the table."""
    names = list(places(next(iter(LAYERS))))
    print("| layer |", " | ".join(names), "|")
    print("|" + "---|" * (len(names) + 1))
    left = []
    for name in LAYERS:
        cells = []
        for place, layers in places(name).items():
            if not layers:
                cells.append("")
                continue
            net = Network(layers)
            method = make_plan(net, _SHAPE).method
            cells.append(method)
            if method == "literal":
                left += [f"{name}, {place}: {_why(net)}"]
        print(f"| {name} |", " | ".join(cells), "|")
    if reasons:
        print("\n".join(left))


def _why(net: Network) -> str:
    """Collect what the other methods say."""
    found = []
    for method in METHODS[:-1]:
        try:
            make_plan(net, _SHAPE, method)
        except MethodError as error:
            reason = re.sub("^.*does not apply: |; use the method.*$", "", str(error))
            found.append(f"{method}: {reason}")
    return "; ".join(found)


if __name__ == "__main__":
    main("reasons" in sys.argv[1:])
