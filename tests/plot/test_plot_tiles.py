"""Images beside their kernels."""

import numpy as np
import pytest

from refntk.errors import InputError
from refntk.plot import plot_tiles, save_figure
from refntk.plot.gram import correlations
from refntk.plot.tiles import as_pictures


@pytest.fixture
def given(rng):
    """Seven images of three classes out of order, and two kernels of them."""
    features = rng.normal(size=(2, 7, 20))
    kernels = {"one": features[0] @ features[0].T, "two": features[1] @ features[1].T}
    return rng.random((7, 4, 6, 3)), kernels, np.array([2, 0, 1, 1, 0, 2, 2])


def test_images_stand_beside_the_block_of_their_class(given):
    images, kernels, labels = given
    figure = plot_tiles(images, kernels, labels, ["ant", "bee", "cat"], title="NTK")
    panel, one, two, _ = figure.axes
    assert [text.get_text() for text in panel.get_yticklabels()] == ["ant", "bee", "cat"]
    assert list(panel.get_yticks()) == [1, 3, 5.5]
    order = [1, 4, 2, 3, 0, 5, 6]
    boxes = {0: (2, 0), 2: (4, 2), 4: (7, 4)}  # first image of a class: bottom and top
    shown = {tuple(image.get_extent()): image.get_array() for image in panel.images}
    for place, (bottom, top) in boxes.items():
        drawn = next(a for box, a in shown.items() if box[0] == 0 and box[2:] == (bottom, top))
        np.testing.assert_array_equal(drawn, images[order[place]])
    for axes, (name, kernel) in zip((one, two), kernels.items(), strict=True):
        assert axes.get_title() == name
        expected = correlations(kernel[np.ix_(order, order)], centred=True).astype(np.float32)
        np.testing.assert_array_equal(axes.images[0].get_array(), expected)
    assert figure.get_suptitle() == "NTK"


def test_it_can_be_saved_without_names(given, tmp_path):
    images, kernels, labels = given
    save_figure(plot_tiles(images, kernels, labels), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_pictures_are_what_a_screen_can_show(rng):
    colours = rng.random((2, 3, 3, 3))
    np.testing.assert_array_equal(as_pictures(colours), colours)
    np.testing.assert_array_equal(
        as_pictures(np.full((1, 2, 2, 1), 255, np.uint8)), np.ones((1, 2, 2, 3))
    )
    wide = as_pictures(5 * rng.normal(size=(4, 3, 3, 2)))
    assert wide.shape == (4, 3, 3, 3)
    assert 0 <= wide.min() < wide.max() <= 1


def test_what_does_not_fit(given):
    images, kernels, labels = given
    with pytest.raises(InputError, match=r"images: expected shape \(N, H, W, C\), not \(7, 4\)"):
        plot_tiles(images[:, :, 0, 0], kernels, labels)
    with pytest.raises(InputError, match="labels: expected 7 whole numbers, one an image"):
        plot_tiles(images, kernels, labels[:3])
    with pytest.raises(InputError, match="one: a kernel of 7 images, but 5 images"):
        plot_tiles(images[:5], kernels, labels[:5])
