"""Labels in every form that files have, and images whose labels are of no use."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refntk.data import load_images, load_inputs
from refntk.data.images.labels import Labels, interpret
from refntk.errors import InputError, InputWarning

CLASSES = np.array([2, 0, 1, 2])


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (4, 5, 5), dtype=np.uint8)


@given(
    classes=st.lists(st.integers(0, 4), min_size=1, max_size=9).map(np.array),
    form=st.sampled_from(
        ["i8", "u1", "f4", "f8", "column", "row", "deep"]
        + ["one-hot", "one-hot floats", "one-hot deep"]
    ),
)
def test_clear_labels_are_taken(classes, form):
    forms = {
        "column": lambda: classes[:, None],
        "row": lambda: classes[None],
        "deep": lambda: classes.reshape(-1, 1, 1, 1),
        "one-hot": lambda: np.eye(5, dtype=int)[classes],
        "one-hot floats": lambda: np.eye(5)[classes],
        "one-hot deep": lambda: np.eye(5)[classes][:, None, :, None],
    }
    values = forms[form]() if form in forms else classes.astype(form)
    found = interpret(values, len(classes))
    assert isinstance(found, Labels)
    assert found.classes.dtype == np.int64
    np.testing.assert_array_equal(found.classes, classes)


@pytest.mark.parametrize("words", [["b", "a", "b"], [b"b", b"a", b"b"]])
def test_text_is_numbered_in_the_order_of_its_words(words):
    found = interpret(np.array(words), 3)
    assert isinstance(found, Labels)
    assert found.classes.tolist() == [1, 0, 1]
    assert found.names == ("a", "b")


def test_booleans_are_two_classes():
    found = interpret(np.array([True, False]), 2)
    assert isinstance(found, Labels)
    assert found.classes.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.ones((4, 14), int), "rows that are not one-hot: several labels an image"),
        (np.array([0.5, 1, 2, 3]), "values that are not whole numbers"),
        (np.array([0, np.nan, 1, 1]), "values that are not whole numbers"),
        (np.zeros((4, 2, 2)), "not one label an image"),
        (np.arange(3), "there are 4 images"),
        (np.zeros(4, complex), "dtype complex128"),
        (np.array(["a", None, 1, 2], object), "pickled objects"),
    ],
)
def test_labels_never_decide_whether_images_load(tmp_path, images, labels, reason):
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    with pytest.warns(InputWarning, match=f"labels are left out: 'labels' .*{reason}"):
        found = load_images(str(tmp_path / "x.npz"))
    assert found.labels is None
    assert len(found.images) == 4


@pytest.mark.parametrize("suffix", ["npz", "h5"])
def test_labels_of_no_size(tmp_path, images, suffix):
    path = tmp_path / f"x.{suffix}"
    if suffix == "npz":
        np.savez(path, images=images, labels=np.zeros((4, 0)))
    else:
        with h5py.File(path, "w") as file:
            file.update({"images": images, "labels": np.zeros((4, 0))})
    with pytest.warns(InputWarning, match=r"labels are left out: 'labels' has shape \(4, 0\)"):
        assert len(load_images(path).images) == 4


@pytest.mark.parametrize("key", ["label", "Labels", "y", "Y", "targets", "classes"])
def test_usual_names(tmp_path, images, key):
    np.savez(tmp_path / "x.npz", images=images, **{key: CLASSES})
    assert load_images(str(tmp_path / "x.npz")).labels.tolist() == CLASSES.tolist()


def test_arrays_without_names(tmp_path, images):
    np.savez(tmp_path / "x.npz", images, CLASSES)
    assert load_images(str(tmp_path / "x.npz")).labels.tolist() == CLASSES.tolist()


TABLES = {
    "one.csv": "2\n0\n1\n2\n",
    "titled.csv": "label\n2\n0\n1\n2\n",
    "two.csv": "id,class\n9,2\n8,0\n7,1\n6,2\n",
    "semicolons.csv": "id;class\n9;2\n8;0\n7;1\n6;2\n",
    "tabs.tsv": "a\tb\nw\t2\nx\t0\ny\t1\nz\t2\n",
    "words.csv": "kind\nc\na\nb\nc\n",
    "column.csv::c": "a,b,c,d\n0,0,2,1\n0,0,0,1\n0,0,1,1\n0,0,2,1\n",
}


@pytest.mark.parametrize("spec", TABLES)
def test_tables_of_labels(tmp_path, images, spec):
    np.save(tmp_path / "x.npy", images)
    (tmp_path / spec.split("::", maxsplit=1)[0]).write_text(TABLES[spec])
    found = load_images(str(tmp_path / "x.npy"), labels=str(tmp_path / spec))
    assert found.labels.tolist() == CLASSES.tolist()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"0.5\n1\n2\n3\n", "holds values that are not whole numbers"),
        ("label\n1\n2\n3\n4\n".encode("utf-16"), "is UTF-16 text; save it as CSV in UTF-8"),
        (b"1\n2\n", "there are 4 images"),
        (b"1,2\n3\n", "same number of columns in every line"),
        (b"", "same number of columns in every line"),
    ],
)
def test_tables_that_are_refused(tmp_path, images, text, said):
    np.save(tmp_path / "x.npy", images)
    (tmp_path / "l.csv").write_bytes(text)
    with pytest.raises(InputError, match=said):
        load_images(tmp_path / "x.npy", labels=tmp_path / "l.csv")


def test_a_table_that_names_the_images(tmp_path):
    from PIL import Image

    for name in "abc":
        Image.new("L", (4, 4)).save(tmp_path / f"{name}.png")
    (tmp_path / "t.csv").write_text("file,label\nc.png,cat\na.png,dog\nb.png,cat\n")
    found = load_images(str(tmp_path / "*.png"), labels=str(tmp_path / "t.csv"))
    assert found.labels.tolist() == [1, 0, 0]
    assert found.class_names == ("cat", "dog")


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5"])
def test_arrays_of_labels_in_files_of_their_own(tmp_path, images, suffix):
    import h5py

    np.save(tmp_path / "x.npy", images)
    path = tmp_path / f"l.{suffix}"
    if suffix == "npy":
        np.save(path, CLASSES)
    elif suffix == "npz":
        np.savez(path, mine=CLASSES)
    else:
        with h5py.File(path, "w") as file:
            file["y"] = CLASSES.reshape(-1, 1, 1, 1)
    found = load_inputs(str(tmp_path / "x.npy"), str(tmp_path / "x.npy"), labels=[str(path)] * 2)
    assert found.info1.labels.tolist() == found.info2.labels.tolist() == CLASSES.tolist()


def test_stated_labels_must_fit(tmp_path, images):
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "l.npy", np.arange(3))
    with pytest.raises(InputError, match=r"l\.npy: has shape \(3,\), but there are 4 images"):
        load_images(str(tmp_path / "x.npy"), labels=str(tmp_path / "l.npy"))
    with pytest.raises(InputError, match=r"no\.csv: no such file of labels; known forms"):
        load_images(str(tmp_path / "x.npy"), labels=str(tmp_path / "no.csv"))
    with pytest.raises(InputError, match=r"l\.npy: is one file too many for 1 set"):
        load_inputs(str(tmp_path / "x.npy"), labels=[str(tmp_path / "l.npy")] * 2)
