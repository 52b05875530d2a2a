"""A network as a table, in text and in HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from refntk import (
    Conv,
    Dense,
    Flatten,
    GroupConv,
    GroupPool,
    Lift,
    Network,
    Polynomial,
    Relu,
    preset,
    presets,
)
from refntk.errors import ShapeError


def network(name: str | None = None) -> Network:
    """Build a network with an argument of every kind."""
    layers = [
        Lift((3, 5), group="C2", padding="VALID", b_std=0.25),
        Relu(),
        GroupConv((3, 3), W_std=2**0.5),
        GroupPool(),
        Dense(),
    ]
    return Network(layers, name)


TABLE = """\
Network mine of 5 layers, NTK parametrisation
   layer      parameters                                                         output
0  Lift       filter_shape 3x5, group C2, padding VALID, W_std 1, b_std 0.25     C2 x grid
1  Relu                                                                          C2 x grid
2  GroupConv  filter_shape 3x3, padding SAME, W_std 1.4142135623730951, b_std 0  C2 x grid
3  GroupPool                                                                     vector
4  Dense      W_std 1, b_std 0                                                   vector"""


def test_print_shows_every_layer_and_argument() -> None:
    assert str(network("mine")) == TABLE


def test_a_shape_of_images_gives_the_shapes_inside() -> None:
    lines = network().summary((9, 10, 3)).splitlines()
    assert lines[0] == "Network of 5 layers, NTK parametrisation"
    outputs = [line.split("  ")[-1].strip() for line in lines[2:]]
    assert outputs == ["C2 x 7x6", "C2 x 7x6", "C2 x 7x6", "vector", "vector"]


def test_a_stride_is_seen() -> None:
    net = Network([Conv((3, 3), strides=(2, 1)), Flatten()])
    assert net.summary((9, 10)).splitlines()[2].endswith("strides 2x1, padding SAME, W_std 1, "
                                                         "b_std 0  5x10")  # fmt: skip


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"layer 0 \(Lift\)"):
        network().summary((2, 2))


def test_one_layer_is_not_several() -> None:
    assert str(Network([Flatten()])).splitlines()[0] == "Network of 1 layer, NTK parametrisation"


@pytest.mark.parametrize("name", presets())
def test_every_preset_prints(name: str) -> None:
    net = preset(name)
    lines = str(net).splitlines()
    assert [line.split()[0] for line in lines if line[:1].isdigit() or line[1:2].isdigit()] == [
        str(number) for number in range(len(net.layers))
    ]
    assert f" {name} " in lines[0]
    assert lines == [line.rstrip() for line in lines]
    assert repr(net).startswith("Network(layers=(")  # what developers see is the constructor


class Cells(HTMLParser):
    """Texts of a document, and its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_notebook_gets_the_same_table() -> None:
    cells = Cells(network("<b>&")._repr_html_())
    assert not cells.open
    assert cells.tags.count("tr") == 6
    assert "b" not in cells.tags
    assert cells.texts[0] == "Network <b>& of 5 layers, NTK parametrisation"
    assert cells.texts[1:4] == ["layer", "parameters", "output"]
    assert cells.texts[4:8] == [
        "0", "Lift", "filter_shape 3x5, group C2, padding VALID, W_std 1, b_std 0.25", "C2 x grid",
    ]  # fmt: skip


def test_masks_rotations_and_series_are_written_as_lists() -> None:
    net = Network([
        Lift((1, 3), group="C4", mask=[[1, 1, 0]]), Relu(), GroupConv((1, 1), rotations=[0, 2]),
        Polynomial(coef=[0.5, 1.0]), GroupConv((1, 1), dilations=(2, 1)), GroupPool(),
    ])  # fmt: skip
    lines = str(net).splitlines()
    assert "mask [(1, 1, 0)]" in lines[2]
    assert "rotations [0, 2]" in lines[4]
    assert "coef 0.5 1" in lines[5]
    assert "dilations 2x1" in lines[6]
