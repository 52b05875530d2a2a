"""Predictions and tables on disk."""

import csv
import json

import h5py
import numpy as np
import pytest

from refntk.data.images.imageset import describe_images
from refntk.data.results.answers import check_path, write_predictions, write_table
from refntk.errors import InputError
from refntk.inference.classify import Classification


@pytest.fixture
def answers(rng):
    scores = rng.normal(size=(4, 3))
    return Classification(("ant", "bee, queen", "cät"), scores, scores.argmax(axis=1),
                          np.array([0, 1, 2, 0]))  # fmt: skip


@pytest.fixture
def info(rng):
    return describe_images(
        rng.random((4, 2, 2, 1)), source="s", indices=np.array([3, 5, 6, 9]), names=tuple("wxyz")
    )


def test_csv_has_a_row_for_each_image(tmp_path, answers, info):
    write_predictions(tmp_path / "a.csv", answers, info, {})
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["index", "name", "sha256", "label", "predicted", "score ant",
                      "score bee, queen", "score cät"]  # fmt: skip
    assert [row[0] for row in rows] == ["3", "5", "6", "9"]
    assert [row[1] for row in rows] == list("wxyz")
    assert [row[2] for row in rows] == [digest.decode() for digest in info.sha256]
    assert [row[3] for row in rows] == ["ant", "bee, queen", "cät", "ant"]
    assert [row[4] for row in rows] == [answers.class_names[k] for k in answers.predicted]
    np.testing.assert_array_equal(np.array([row[5:] for row in rows], float), answers.scores)


def test_json_has_everything(tmp_path, answers, info):
    write_predictions(tmp_path / "a.json", answers, info, {"kernel": "ntk"})
    read = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert read["kernel"] == "ntk"
    assert read["accuracy"] == answers.accuracy
    assert read["class_names"] == list(answers.class_names)
    assert read["confusion"] == answers.confusion.tolist()
    assert [image["scores"] for image in read["images"]] == answers.scores.tolist()
    assert read["images"][1] == {
        "index": 5, "name": "x", "sha256": info.sha256[1].decode(), "label": "bee, queen",
        "predicted": answers.class_names[answers.predicted[1]],
        "scores": answers.scores[1].tolist(),
    }  # fmt: skip


def test_hdf5_has_everything(tmp_path, answers, info):
    write_predictions(tmp_path / "a.h5", answers, info, {"kernel": "ntk"})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["format"] == "refntk-predictions/1"
        assert json.loads(file.attrs["about"]) == {"kernel": "ntk"}
        assert file.attrs["accuracy"] == answers.accuracy
        for name in ("scores", "predicted", "labels", "confusion"):
            np.testing.assert_array_equal(file[name][...], getattr(answers, name))
        np.testing.assert_array_equal(file["indices"][...], info.indices)
        np.testing.assert_array_equal(file["sha256"][...], info.sha256)
        assert [name.decode() for name in file["class_names"]] == list(answers.class_names)
        assert [name.decode() for name in file["names"]] == list("wxyz")


@pytest.mark.parametrize("ending", ["csv", "json", "h5"])
def test_without_true_classes_and_names(tmp_path, answers, rng, ending):
    unknown = Classification(answers.class_names, answers.scores, answers.predicted, None)
    info = describe_images(rng.random((4, 2, 2, 1)), source="s")
    path = tmp_path / f"a.{ending}"
    path.write_text("older")
    write_predictions(path, unknown, info, {})
    if ending == "json":
        read = json.loads(path.read_text("utf-8"))
        assert read["accuracy"] is read["confusion"] is read["images"][0]["label"] is None
    elif ending == "h5":
        with h5py.File(path) as file:
            assert sorted(file) == ["class_names", "indices", "predicted", "scores", "sha256"]
    else:
        assert path.read_text("utf-8").splitlines()[1].startswith("0,,")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_table(tmp_path):
    write_table(tmp_path / "a.csv", ["a", "b"], [["x", 0.1], [None, 1 / 3]])
    assert (tmp_path / "a.csv").read_text() == "a,b\nx,0.1\n,0.3333333333333333\n"


def test_what_cannot_be_written(tmp_path, monkeypatch, answers, info):
    with pytest.raises(InputError, match=r"a\.txt: has the ending '\.txt'; expected one of \.csv"):
        write_predictions(tmp_path / "a.txt", answers, info, {})
    with pytest.raises(InputError, match="has no ending; expected one of .x"):
        check_path(tmp_path / "a", (".x",))
    with pytest.raises(InputError, match="the folder .*no does not exist; create it"):
        check_path(tmp_path / "no" / "a.csv", (".csv",))
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(InputError, match="is a folder; give the name of a file"):
        check_path(tmp_path / "d.csv", (".csv",))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    for ending in ("csv", "json", "h5"):
        path = tmp_path / f"b.{ending}"
        with pytest.raises(InputError, match=r"b\..*: cannot be written .No space left on device"):
            write_predictions(path, answers, info, {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["d.csv"]
