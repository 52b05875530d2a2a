"""The bundled samples: what they hold, and that they say where they come from."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from refntk.data import load_images, sample_names
from refntk.data.samples import sample_file
from refntk.errors import InputError


def test_the_samples_are_known_by_name():
    assert sample_names() == ("digits", "histology", "volumes")


@pytest.mark.parametrize(
    ("name", "shape", "classes"), [("histology", (28, 28, 3), 9), ("digits", (28, 28, 1), 10)]
)
def test_ten_images_of_each_class_in_order(name, shape, classes):
    sample = load_images(f"sample:{name}")
    assert sample.images.shape == (10 * classes, *shape)
    assert sample.images.dtype == np.uint8
    assert sample.labels is not None
    assert sample.labels.tolist() == np.repeat(np.arange(classes), 10).tolist()
    assert sample.class_names is not None
    assert len(set(sample.class_names)) == classes
    assert sample.indices.tolist() == list(range(10 * classes))
    assert sample.source == f"sample:{name}"
    assert len(np.unique(sample.info.sha256)) == 10 * classes


def test_volumes_are_what_their_formula_says():
    sample = load_images("sample:volumes")
    assert sample.images.shape == (20, 13, 13, 13, 1)
    assert sample.labels.tolist() == np.repeat(np.arange(4), 5).tolist()
    assert sample.class_names == ("rod", "ring", "right screw", "left screw")
    # A rod is long, a ring flat: of the spreads along its axes the middle one, by the largest.
    axis = np.arange(13) - 6.0
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    for image, label in zip(sample.images[:10], sample.labels, strict=False):
        mass = np.where(image > 165, 1.0, 0.0).ravel()
        middle = mass @ places / mass.sum()
        spread = (places - middle).T @ ((places - middle) * mass[:, None])
        _, mid, high = np.linalg.eigvalsh(spread)
        assert mid < 0.3 * high if label == 0 else mid > 0.3 * high
    text = (files("refntk.data.samples") / "volumes.md").read_text(encoding="utf-8")
    for heading in ("Formula", "Choice", "Licence"):
        assert f"**{heading}.**" in text


def test_histology_has_the_classes_of_its_source():
    sample = load_images("sample:histology")
    assert sample.class_names is not None
    assert sample.class_names[0] == "adipose"
    assert sample.class_names[8] == "colorectal adenocarcinoma epithelium"
    # The mean colour of the 718 tiles that the sample was drawn from, classes unequally frequent.
    assert sample.images.mean((0, 1, 2)) / 255 == pytest.approx([0.7346, 0.5494, 0.7122], abs=0.05)


def test_the_first_digit_of_the_test_set_is_in_its_place():
    with np.load(str(sample_file("digits"))) as arrays:
        assert arrays["labels"][arrays["source_indices"] == 0].tolist() == [7]
        assert arrays["source_indices"][:10].tolist() == [3, 10, 13, 25, 28, 55, 69, 71, 101, 126]


@pytest.mark.parametrize("name", ["histology", "digits"])
def test_source_indices_follow_the_file_within_each_class(name):
    with np.load(str(sample_file(name))) as arrays:
        indices = arrays["source_indices"].reshape(-1, 10)
    assert (np.diff(indices, axis=1) > 0).all()
    assert len(np.unique(indices)) == indices.size


@pytest.mark.parametrize("name", ["histology", "digits"])
def test_source_licence_and_citation_lie_beside_the_images(name):
    text = (files("refntk.data.samples") / f"{name}.md").read_text(encoding="utf-8")
    for heading in ("Choice", "Source", "Licence", "Citation"):
        assert f"**{heading}.**" in text
    assert "CC BY" in text


def test_an_unknown_sample_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r'unknown sample "histologi" \(did you mean "histology"'):
        load_images("sample:histologi")
