"""The picture of a spectrum."""

import numpy as np
import pytest

from refntk.errors import InputError
from refntk.plot.spectrum import condition_text, plot_spectrum


def matrix(rng, eigenvalues):
    """A symmetric matrix with these eigenvalues."""
    turn = np.linalg.qr(rng.normal(size=(len(eigenvalues),) * 2))[0]
    product = (turn * eigenvalues) @ turn.T
    return (product + product.T) / 2


def test_eigenvalues_are_drawn_largest_first(rng, assert_close):
    figure = plot_spectrum({"NNGP": matrix(rng, [1, 4, 2.0]), "NTK": matrix(rng, [5, 50.0])})
    (axes,) = figure.axes
    assert_close(axes.lines[0].get_ydata(), [4, 2, 1])
    assert_close(axes.lines[1].get_ydata(), [50, 5])
    assert list(axes.lines[0].get_xdata()) == [1, 2, 3]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlabel() == "rank of the eigenvalue"
    assert axes.get_ylabel() == "eigenvalue of the Gram matrix"
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["NNGP: condition number 4", "NTK: condition number 10"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rounding_is_marked_where_the_spectrum_reaches_it(rng, dtype):
    kernel = np.ones((4, 4), dtype)
    (axes,) = plot_spectrum({"NTK": kernel}).axes
    eps = np.finfo(dtype).eps
    assert axes.lines[1].get_ydata()[0] == pytest.approx(4 * eps, rel=1e-9)
    assert [text.get_text() for text in axes.texts] == [f"rounding of {dtype}, NTK"]
    (text,) = axes.get_legend().get_texts()
    assert text.get_text() == f"NTK: condition number above {1 / eps:.2g}, singular to rounding"
    assert (axes.lines[0].get_ydata() > 0).all()


def test_a_negative_eigenvalue_is_no_condition_number():
    assert "singular" in condition_text(np.array([1.0, -0.5]), 2**-52)


@pytest.mark.parametrize(
    ("kernels", "words"),
    [
        ({}, "there is nothing to draw"),
        ({"NTK": np.ones((2, 3))}, "NTK: expected a square Gram matrix"),
        ({"NTK": np.zeros((2, 2))}, "NTK: has no positive eigenvalue, so it is not a kernel"),
    ],
)
def test_what_has_no_spectrum(kernels, words):
    with pytest.raises(InputError, match=words):
        plot_spectrum(kernels)
