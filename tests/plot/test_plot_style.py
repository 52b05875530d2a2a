"""Figures and their files."""

import sys

import matplotlib
import matplotlib.colors
import numpy as np
import pytest
from matplotlib import _pylab_helpers as pyplot_state

from refntk.errors import InputError, MissingPackageError
from refntk.plot.style import (
    DASHES,
    MARKERS,
    PALETTE,
    SUFFIXES,
    check_figure_path,
    new_figure,
    save_figure,
)


def curves():
    """A figure with as many curves as there are colours."""
    figure, (axes,) = new_figure()
    for shift in range(len(PALETTE)):
        axes.plot(np.arange(4) + shift, label=str(shift))
    axes.set(xlabel="x", ylabel="y")
    axes.legend()
    return figure


def test_panels_come_row_by_row():
    figure, axes = new_figure(2, 3, size=(6, 4))
    assert len(axes) == 6
    assert tuple(figure.get_size_inches()) == (6, 4)
    assert [panel.get_subplotspec().num1 for panel in axes] == list(range(6))


def test_curves_differ_in_colour_dashes_and_markers():
    (axes,) = curves().axes
    assert [line.get_color() for line in axes.lines] == list(PALETTE)
    assert [line.get_marker() for line in axes.lines] == list(MARKERS)
    assert len({str(line._dash_pattern) for line in axes.lines}) == len(DASHES) == len(PALETTE)


def test_colours_are_dark_enough_for_a_line_on_white():
    grey = np.array([matplotlib.colors.to_rgb(colour) for colour in PALETTE]) @ [0.3, 0.59, 0.11]
    assert grey.max() < 0.7


def test_a_picture_leaves_pyplot_and_the_settings_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    save_figure(curves(), tmp_path / "a.svg")
    assert dict(matplotlib.rcParams) == before
    assert not pyplot_state.Gcf.figs


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".SVG", b"<?xml")],
)
def test_the_ending_chooses_the_format_and_bytes_repeat(tmp_path, suffix, start):
    for name in "ab":
        save_figure(curves(), tmp_path / (name + suffix))
    first, second = ((tmp_path / (name + suffix)).read_bytes() for name in "ab")
    assert first.startswith(start)
    assert first == second
    assert len(list(tmp_path.iterdir())) == 2


def test_svg_keeps_its_curves_as_vectors_and_has_no_date(tmp_path):
    save_figure(curves(), tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "<image" not in text
    assert "dc:date" not in text
    assert "stroke-dasharray" in text


def test_an_older_picture_is_replaced(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    save_figure(curves(), path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.jpg", "a picture has the ending '.jpg'; expected one of .png, .svg, .pdf"),
        ("a", "a picture has no ending; expected one of"),
        ("gone/a.svg", "the folder .*gone does not exist; create it"),
        ("folder.svg", "is a folder; give the name of a file"),
    ],
)
def test_paths_that_cannot_be_pictures(tmp_path, name, words):
    (tmp_path / "folder.svg").mkdir()
    for action in (check_figure_path, lambda path: save_figure(curves(), path)):
        with pytest.raises(InputError, match=words):
            action(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.svg"]


def test_a_file_that_cannot_be_written(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match=r"a.svg: cannot be written \(No space left on device"):
        save_figure(curves(), tmp_path / "a.svg")
    assert not list(tmp_path.iterdir())


def test_there_is_a_format_for_print_and_one_for_screens():
    assert SUFFIXES == (".png", ".svg", ".pdf")


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    words = r'pictures need matplotlib; install it with pip install "refntk\[plot\]"'
    with pytest.raises(MissingPackageError, match=words):
        new_figure()
    with pytest.raises(MissingPackageError, match=words):
        check_figure_path(tmp_path / "a.svg")
