"""What people bring to a regression: names of classes, one-hot rows, kernels as they come."""

import numpy as np
import pytest

import refntk
from refntk.errors import InputError
from refntk.inference import KernelRegression, class_targets

NUMBERS = [1, 0, 2, 1]


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "a", "c", "b"],
        np.array(["b", "a", "c", "b"], object),
        np.array([b"b", b"a", b"c", b"b"]),
        np.eye(3)[NUMBERS],
        np.eye(3, dtype=bool)[NUMBERS],
        np.array(NUMBERS, np.uint8),
    ],
)
def test_classes_of_every_form(labels):
    assert np.array_equal(class_targets(labels, 3), class_targets(NUMBERS, 3))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "b"], "labels: 2 different names, but there are 3 classes; number the classes"),
        ([[1, 1, 0], [0, 1, 0]], "labels: rows must have a single 1, the class, and 0 elsewhere"),
        ([[0.5, 0.5, 0], [0, 1, 0]], "labels: rows must have a single 1"),
        ([0.5, 1.0], "labels: expected whole numbers, one an image, not float64"),
        ([np.nan, 1.0], "labels: expected whole numbers, one an image, not float64"),
    ],
)
def test_labels_that_are_no_classes(labels, message):
    with pytest.raises(InputError, match=message):
        class_targets(labels, 3)


def test_a_kernel_as_it_comes(rng):
    matrix = np.cov(rng.normal(size=(4, 9)))
    one = refntk.Kernel(None, matrix)
    expected = KernelRegression().fit(matrix, NUMBERS).predict(matrix)
    assert np.array_equal(KernelRegression().fit(one, NUMBERS).predict(one), expected)
    with pytest.raises(InputError, match="k_train_train: holds two kernels; give one of them"):
        KernelRegression().fit(refntk.Kernel(matrix, matrix), NUMBERS)
