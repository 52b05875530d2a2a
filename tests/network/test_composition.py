"""Branches: what may be joined, tables, files, and the layers that rescale features."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refntk.errors import NetworkError, ShapeError
from refntk.network.layers import (
    AvgPool,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    LayerNorm,
    Lift,
    Product,
    Relu,
    Residual,
)
from refntk.network.network import Network
from refntk.ops.operations import Add, Join, Multiply

CONV, ONE, RELU = Conv((3, 3)), Conv((1, 1)), Relu()

WRONG: list[tuple[list[Any], str]] = [
    ([Residual([CONV])], "layer 0 (Residual): a branch without weights gets the input, whose"),
    ([CONV, RELU, Residual([CONV])], "layer 2 (Residual): shortcut is bare: it does not give"),
    (
        [CONV, RELU, AvgPool((2, 2)), Residual([CONV])],
        "layer 3 (Residual): shortcut is bare: it does not give independent Gaussian features",
    ),
    ([CONV, Residual([CONV, RELU])], "layer 1 (Residual): layers ends in Relu: it does not give"),
    ([CONV, Residual([RELU, CONV], shortcut=[RELU])], "layer 1 (Residual): shortcut ends in Relu"),
    ([CONV, Residual([])], "layer 1 (Residual): 2 branches have no weights of their own, and"),
    ([CONV, Residual([AvgPool((1, 1))])], "layer 1 (Residual): 2 branches have no weights"),
    ([CONV, Residual([LayerNorm()])], "layer 1 (Residual): 2 branches have no weights of their"),
    ([CONV, Product([[RELU], []])], "layer 1 (Product): 2 branches have no weights of their own"),
    ([Concat([[], [CONV]])], "layer 0 (Concat): a branch without weights gets the input, whose"),
    (
        [CONV, Residual([RELU, CONV, RELU, RELU])],
        "layer 1 (Residual): layers, layer 3 (Relu): needs Gaussian features",
    ),
    (
        [CONV, Residual([Residual([RELU, GroupConv((3, 3))])])],
        "layer 1 (Residual): layers, layer 0 (Residual): layers, layer 1 (GroupConv): needs func",
    ),
    (
        [CONV, Concat([[GlobalAvgPool()], [Flatten()]])],
        "layer 1 (Concat): a branch ends on a vector: put the readout (GroupPool, GlobalAvgPool",
    ),
    (
        [CONV, RELU, Residual([Lift((3, 3), group="C4")], shortcut=[CONV])],
        "layer 2 (Residual): the branches end on C4 and on a grid: let all end on the same",
    ),
    ([CONV, Concat([[CONV], [CONV]]), RELU], "layer 2 (Relu): needs Gaussian features"),
    ([CONV, Product([[CONV], [CONV]]), RELU], "layer 2 (Relu): needs Gaussian features"),
    ([CONV, Dropout(0.5), RELU], "layer 2 (Relu): needs Gaussian features"),
    ([CONV, RELU, LayerNorm()], "layer 2 (LayerNorm): needs Gaussian features of mean zero"),
    ([LayerNorm()], "layer 0 (LayerNorm): needs Gaussian features of mean zero"),
    ([CONV, Flatten(), LayerNorm()], "layer 2 (LayerNorm): needs Gaussian features of mean"),
]


@pytest.mark.parametrize(("layers", "message"), WRONG)
def test_what_has_no_limit_is_refused_with_the_remedy(layers: list[Any], message: str) -> None:
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}"):
        Network(layers)


def test_what_has_a_limit_is_not() -> None:
    block = Residual([RELU, CONV, RELU, CONV])
    pool = AvgPool((2, 2), strides=(2, 2))
    down = Residual([RELU, Conv((3, 3), strides=(2, 2)), RELU, CONV], shortcut=[pool])
    skip = Residual([RELU, CONV], shortcut=[LayerNorm()])
    head = [GlobalAvgPool(), Dense(), Residual([Dense()]), RELU]
    net = Network([CONV, block, down, skip, RELU, *head])
    assert [signal.shape for signal in net.signals((8, 8))][:4] == [(8, 8), (8, 8), (4, 4), (4, 4)]
    first = Residual([CONV, RELU, CONV], shortcut=[ONE])
    assert Network([first, RELU, Concat([[], [CONV]]), CONV]).signals((8, 8))[-1].gaussian
    assert Network([CONV, Dropout(0.5, mode="test"), RELU])


ARGUMENTS: list[tuple[Any, str]] = [
    (lambda: Residual(CONV), "layers: expected a list of layers, not Conv("),
    (lambda: Residual([Relu]), "layers: expected layers such as Conv((3, 3)) or Relu(), not Relu"),
    (lambda: Residual([CONV], shortcut=[3]), "shortcut: expected layers such as Conv((3, 3)) or R"),
    (lambda: Residual([CONV], [ONE]), "an argument has no name: write shortcut=[Conv("),
    (lambda: Concat([[CONV]]), "branches: expected two lists of layers or more, not [[Conv"),
    (lambda: Product("ab"), "branches: expected two lists of layers or more, not 'ab'"),
    (lambda: Concat([[CONV], [ONE]], shares=[1]), "shares: 1 shares for 2 branches: give one each"),
    (lambda: Concat([[CONV], [ONE]], shares=[1, 0]), "shares: expected a finite number above zero"),
    (lambda: Concat([[CONV], [ONE]], shares=2), "shares: expected a list of numbers, not 2"),
    (lambda: LayerNorm(axes="both"), 'axes: unknown axes "both"; known: channels, all'),
    (lambda: LayerNorm(eps=-1), "eps: expected a finite number, zero or positive, not -1"),
    (lambda: Dropout(0), "rate: expected a part above 0, and at most 1, not 0"),
    (lambda: Dropout(1.5), "rate: expected a part above 0, and at most 1, not 1.5"),
    (lambda: Dropout(0.5, mode="off"), 'mode: unknown mode "off"; known: train, test'),
]


@pytest.mark.parametrize(("build", "message"), ARGUMENTS)
def test_wrong_arguments(build: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}"):
        build()


def test_branches_of_unlike_positions() -> None:
    net = Network([CONV, Residual([RELU, Conv((3, 3), strides=(2, 2))])])
    message = r"^layer 1 \(Residual\): the branches give 4x4 and 8x8 positions: use the same stride"
    with pytest.raises(ShapeError, match=message):
        net.signals((8, 8))
    inner = Network([CONV, Residual([Conv((9, 9), padding="VALID")])])
    with pytest.raises(ShapeError, match=r"^layer 1 \(Residual\): layers, layer 0 \(Conv\): with"):
        inner.signals((8, 8))


def test_widths_of_branches() -> None:
    def net(*widths: int | None, layer: Any = Residual) -> Network:
        first, *rest = (Conv((1, 1), width=width) for width in widths)
        fork = Residual(rest[:1], shortcut=rest[1:]) if layer is Residual else layer(
            [[each] for each in rest]
        )
        return Network([first, fork, Conv((1, 1))], parameterization="standard")

    program = net(3, 5, 5).program((2, 2, 1))
    assert isinstance(program.operations[3], Add)
    message = r"^layer 1 \(Residual\): its branches have 5 and 4 channels: give their last layers"
    with pytest.raises(NetworkError, match=message):
        net(3, 5, 4).program((2, 2, 1))
    with pytest.raises(NetworkError, match="have 4 and 3 channels"):
        net(3, 4).program((2, 2, 1))
    with pytest.raises(NetworkError, match=r"^layer 2 \(Conv\): the layer with weights before it"):
        net(3, 5, None)
    joined = net(3, 5, 15, layer=Concat).program((2, 2, 1)).operations
    assert isinstance(joined[3], Join)
    assert [float(share) for share in joined[3].shares] == [0.25, 0.75]
    assert joined[4].tangent[0] == 20  # type: ignore[union-attr]
    assert isinstance(net(3, 5, 5, layer=Product).program((2, 2, 1)).operations[3], Multiply)
    layers = [Conv((1, 1), width=2), Concat([[], [Conv((1, 1), width=2)]], shares=[1, 1])]
    with pytest.raises(NetworkError, match=r"^layer 1 \(Concat\): shares: in the standard param"):
        Network(layers, parameterization="standard")


TABLE = """\
Network of 3 layers, NTK parametrisation
   layer          parameters                                                      output
0  Conv           filter_shape 1x1, strides 1x1, padding SAME, W_std 1, b_std 0   8x8
1  Residual                                                                       4x4
     layers:
       Relu                                                                       8x8
       Concat     shares 1 2                                                      8x8
         branch 0:
           Conv   filter_shape 3x3, strides 1x1, padding SAME, W_std 1, b_std 0   8x8
         branch 1:  the signal as it is
       Conv       filter_shape 2x2, strides 2x2, padding VALID, W_std 1, b_std 0  4x4
     shortcut:
       AvgPool    window_shape 2x2, strides 2x2, padding VALID                    4x4
2  Dropout        rate 0.5, mode train                                            4x4"""


def test_a_table_shows_the_branches() -> None:
    main = [RELU, Concat([[CONV], []], shares=[1, 2])]
    main.append(Conv((2, 2), strides=(2, 2), padding="VALID"))
    net = Network([ONE, Residual(main, shortcut=[AvgPool((2, 2), strides=(2, 2))]), Dropout(0.5)])
    rows = [line for line in net.summary((8, 8)).splitlines() if "AvgPool" not in line]
    words = [line for line in TABLE.splitlines() if "AvgPool" not in line]
    assert [row.split() for row in rows] == [row.split() for row in words]
    starts = [len(row) - len(row[1:].lstrip()) for row in rows]
    assert starts == [len(row) - len(row[1:].lstrip()) for row in words]
    assert "<td>    Concat</td><td>shares 1 2</td>" in net._repr_html_()


branches = st.recursive(
    st.sampled_from([[CONV], [RELU, ONE], [RELU, CONV, LayerNorm()]]),
    lambda inner: st.one_of(
        st.builds(lambda a, b: [RELU, CONV, Residual(a, shortcut=b)], inner, inner),
        st.builds(lambda a, b: [Concat([a, b], shares=[1, 3]), Dropout(0.5), ONE], inner, inner),
        st.builds(lambda a, b: [Product([a, b]), CONV], inner, inner),
    ),
    max_leaves=6,
)


@given(branches)
def test_toml_gives_nested_networks_back(layers: list[Any]) -> None:
    net = Network([CONV, *layers, LayerNorm(axes="all", eps=0)])
    again = Network.from_toml_string(net.to_toml())
    assert again == net
    assert again.hash == net.hash


def test_the_hash_sees_branches() -> None:
    variants = [
        Residual([RELU, CONV]),
        Residual([RELU, CONV], shortcut=[ONE]),
        Residual([RELU, ONE]),
        Concat([[], [CONV]]),
        Concat([[], [CONV]], shares=[1, 2]),
        Product([[], [CONV]]),
        LayerNorm(),
        LayerNorm(eps=0),
        Dropout(0.5),
        Dropout(0.5, mode="test"),
    ]
    assert len({Network([CONV, layer]).hash for layer in variants}) == len(variants)


def test_branches_may_be_written_as_tables() -> None:
    text = """
[[layer]]
type = "Conv"
filter_shape = [3, 3]
[[layer]]
type = "Residual"
[[layer.layers]]
type = "Relu"
[[layer.layers]]
type = "Conv"
filter_shape = [1, 1]
[[layer]]
type = "Concat"
branches = [[], [{type = "Relu"}]]
"""
    net = Network.from_toml_string(text)
    assert net == Network([CONV, Residual([RELU, ONE]), Concat([[], [RELU]])])
    wrong = text.replace('"Relu"\n[[layer.layers]]', '"Rely"\n[[layer.layers]]')
    message = r'^net.toml, line \d+: layer 1 \(Residual\): layer 0: unknown layer "Rely" \(did you'
    with pytest.raises(NetworkError, match=message):
        Network.from_toml_string(wrong, "net.toml")
    wrong = text.replace("filter_shape = [1, 1]", "filter_shape = [1, 0]")
    message = r"^net.toml, line 11: layer 1 \(Residual\): layer 1 \(Conv\): filter_shape: expected"
    with pytest.raises(NetworkError, match=message):
        Network.from_toml_string(wrong, "net.toml")
