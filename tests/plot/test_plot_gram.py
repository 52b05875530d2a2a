"""The picture of a Gram matrix."""

import numpy as np
import pytest

from refntk.errors import InputError
from refntk.plot.gram import correlations, plot_gram


@pytest.fixture
def gram(rng):
    """A Gram matrix of eight images, and labels of three classes out of order."""
    features = rng.normal(size=(8, 20))
    return features @ features.T, np.array([2, 0, 1, 1, 0, 2, 2, 0])


def test_correlations_are_those_of_the_features(rng, assert_close):
    features = rng.normal(size=(7, 5))
    assert_close(correlations(features @ features.T), _cosines(features), floor=1.0)
    centred = features - features.mean(axis=0)
    assert_close(correlations(features @ features.T, centred=True), _cosines(centred), floor=1.0)


def _cosines(features):
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit @ unit.T


def test_features_without_length_correlate_with_nothing():
    features = np.array([[0.0, 0.0], [1.0, 2.0], [1.0, 2.0]])
    gram = features @ features.T
    np.testing.assert_array_equal(correlations(gram)[0], 0)
    assert not correlations(np.full((3, 3), 2.0), centred=True).any()


def test_images_are_sorted_by_class(gram):
    kernel, labels = gram
    figure = plot_gram(kernel, labels, ["ant", "bee", "cat"], name="NTK")
    left, right = figure.axes[:2]
    order = [1, 4, 7, 2, 3, 0, 5, 6]
    for axes, centred in ((left, False), (right, True)):
        drawn = np.asarray(axes.images[0].get_array())
        wanted = correlations(kernel[np.ix_(order, order)], centred=centred)
        np.testing.assert_array_equal(drawn, wanted.astype(np.float32))
        assert [line.get_ydata()[0] for line in axes.lines[::2]] == [2.5, 4.5]
        assert axes.get_xlabel() == "image, sorted by class"
    assert left.get_title() == "NTK, normalised to its diagonal"
    assert [text.get_text() for text in left.get_yticklabels()] == ["ant", "bee", "cat"]
    assert list(left.get_yticks()) == [1, 3.5, 6]
    assert [axes.get_ylabel() for axes in figure.axes[2:]] == ["correlation", "correlation"]
    assert right.images[0].get_clim() == (-1, 1)


def test_classes_that_are_absent_have_no_name(gram):
    kernel, labels = gram
    axes = plot_gram(kernel, 3 * labels, ["name"] * 7).axes[0]
    assert list(axes.get_yticks()) == [1, 3.5, 6]


def test_without_names_classes_have_numbers(gram):
    axes = plot_gram(*gram).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["class 0", "class 1", "class 2"]


def test_without_labels_images_stay_in_order(gram):
    axes = plot_gram(gram[0]).axes[0]
    wanted = correlations(gram[0]).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), wanted)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("image", "image")
    assert not axes.lines


def test_too_many_classes_are_counted_instead_of_named():
    axes = plot_gram(np.eye(60), np.arange(60)).axes[0]
    assert axes.get_ylabel() == "image, sorted by class (60 classes)"
    assert not len(axes.get_yticks())


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (np.ones((3, 2)), r"NTK: expected a square Gram matrix.*not shape \(3, 2\)"),
        (np.ones(3), "expected a square Gram matrix"),
        (np.ones((0, 0)), "expected a square Gram matrix"),
        (np.full((2, 2), np.nan), r"entry \(0, 0\) is NaN or infinite"),
        (np.array([[1.0, 2.0], [2.1, 4.0]]), "is not symmetric"),
    ],
)
def test_what_is_no_gram_matrix(kernel, words):
    with pytest.raises(InputError, match=words):
        plot_gram(kernel, name="NTK")


@pytest.mark.parametrize(
    ("labels", "names", "words"),
    [
        ([0, 1], None, r"labels: expected 3 whole numbers, one an image, .* of shape \(2,\)"),
        ([0.0, 1.0, 1.0], None, "not float64"),
        ([0, 1, 2], ["a", "b"], "there are 2 names, but labels from 0 to 2"),
        ([-1, 0, 1], ["a", "b"], "labels from -1 to 1"),
    ],
)
def test_labels_that_do_not_fit(labels, names, words):
    with pytest.raises(InputError, match=words):
        plot_gram(np.eye(3), labels, names)
