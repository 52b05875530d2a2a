"""`refntk predict`."""

import csv
import json

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import refntk
from refntk.cli import main
from refntk.data import load_images
from refntk.data.images.inputs import load_inputs
from refntk.data.kernels.kernel_cache import describe_job
from refntk.data.kernels.store import KernelWriter
from refntk.evaluation.evaluate import Job
from refntk.inference import KernelRegression, class_targets


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two sets of tiles, and kernel files of the first and of both."""
    folder = tmp_path_factory.mktemp("predict")
    tiles = load_images("sample:histology", size=7)
    train, test = np.arange(0, 90, 2), np.arange(1, 90, 2)[np.arange(45) % 3 > 0]
    for name, chosen in (("train", train), ("test", test)):
        np.savez(
            folder / f"{name}.npz", images=tiles.images[chosen], labels=tiles.labels[chosen],
            class_names=np.array(tiles.class_names),
        )  # fmt: skip
    np.savez(folder / "one.npz", images=tiles.images[:5], labels=np.zeros(5, int))
    np.savez(folder / "bare.npy.npz", images=tiles.images[test])
    np.save(folder / "bare.npy", tiles.images[test])
    for output, sets in (("train", ["train"]), ("cross", ["train", "test"])):
        paths = [f"{folder / name}.npz::images" for name in sets]
        assert run("compute", "mlp-1", *paths, "-o", folder / f"{output}.h5").exit_code == 0
    return folder


def wanted_scores(folder, name):
    """Scores by hand, and the true classes."""
    with np.load(folder / "train.npz") as train, np.load(folder / "test.npz") as test:
        net = refntk.preset("mlp-1")
        gram = getattr(refntk.kernel(net, train["images"]), name)
        cross = getattr(refntk.kernel(net, test["images"], train["images"]), name)
        model = KernelRegression(1e-6).fit(gram, class_targets(train["labels"].astype(int), 9))
        return model.predict(cross), test["labels"].astype(int)


@pytest.mark.parametrize("name", ["ntk", "nngp"])
def test_both_forms_give_the_same_answers(folder, tmp_path, assert_close, name):
    options = ["--get", name, "--diag-reg", "1e-6"]
    outputs = [tmp_path / f"a.{ending}" for ending in ("csv", "json", "h5")]
    flags = [word for path in outputs for word in ("-o", path)]
    result = run("predict", folder / "train.h5", folder / "cross.h5", *flags, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    scores, labels = wanted_scores(folder, name)
    with h5py.File(outputs[2]) as file:
        assert_close(file["scores"][...], scores, 1e-8, floor=1.0)
        np.testing.assert_array_equal(file["labels"][...], labels)
        confusion = file["confusion"][...]
    right = np.mean(scores.argmax(axis=1) == labels)
    lines = result.stdout.splitlines()
    assert lines[0] == f"{', '.join(map(str, outputs))}: 30 predictions from 45 images"
    assert lines[1] == f"accuracy {100 * right:.1f} %"
    printed = [line.split()[-9:] for line in lines[4:]]
    np.testing.assert_array_equal(np.array(printed, int), confusion)
    with outputs[0].open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    assert_close(np.array([row[5:] for row in rows], float), scores, 1e-8, floor=1.0)
    about = json.loads(outputs[1].read_text("utf-8"))
    assert about["accuracy"] == right
    assert about["diag_reg"] == 1e-6
    assert (about["kernel"], about["train_images"]) == (name, 45)
    assert about["network_hash"] == refntk.preset("mlp-1").hash
    data = [f"{folder / part}.npz::images" for part in ("train", "test")]
    cache = tmp_path / "cache"
    second = run("predict", "mlp-1", *data, "-o", tmp_path / "b.h5", "--cache", cache, *options)
    assert (second.exit_code, second.stderr) == (0, "")
    assert second.stdout.splitlines()[1:] == lines[1:]
    with h5py.File(tmp_path / "b.h5") as file:
        assert_close(file["scores"][...], scores, 1e-8, floor=1.0)
    assert len(list(cache.iterdir())) == 2


def test_images_without_classes_are_only_predicted(folder, tmp_path):
    arguments = ["mlp-1", f"{folder}/train.npz::images", folder / "bare.npy"]
    result = run("predict", *arguments, "-o", tmp_path / "a.csv", "--cache", tmp_path)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path}/a.csv: 30 predictions from 45 images\n"
    # Same images without labels: what is predicted does not change.
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert {row[3] for row in list(csv.reader(file))[1:]} == {""}


def test_shared_images_are_named(folder, tmp_path):
    data = f"{folder}/train.npz::images"
    result = run("predict", "mlp-1", data, data, "-o", tmp_path / "a.csv", "--cache", tmp_path,
                 "--diag-reg", "1e-9")  # fmt: skip
    assert result.exit_code == 0
    assert "warning: 45 of 45 test images are also training images\n" in result.stderr
    assert "accuracy 100.0 %" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train.h5"], "SOURCE: expected TRAIN.h5 TEST.h5 or NETWORK TRAIN TEST, not 1 arguments"),
        (["train.h5", "missing.h5"], "missing.h5: no such file"),
        (["cross.h5", "cross.h5"], "cross.h5: holds kernels of x1 with x2; expected"),
        (["mlp-11", "train.npz::images", "test.npz::images"], "mlp-11"),
        (["mlp-1", "bare.npy", "test.npz::images"], "bare.npy: the classes of its images are not"),
        (["mlp-1", "one.npz::images", "test.npz::images"], 'unknown class "8"'),
        (["mlp-1", "one.npz::images", "one.npz::images"], "labels: all 5 images are of class 0"),
        (["train.h5", "cross.h5", "-o", "a.txt"], "a.txt: has the ending '.txt'; expected one of"),
        (["train.h5", "cross.h5", "--diag-reg", "-1"], "--diag-reg"),
        (["train.h5", "cross.h5", "--get", "ntl"], 'unknown kernel "ntl" (did you mean "ntk"?)'),
    ],
)
def test_what_cannot_be_predicted_is_2_and_one_line(
    folder, tmp_path, monkeypatch, arguments, words
):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    output = [] if "-o" in arguments else ["-o", tmp_path / "a.csv"]
    result = run("predict", *arguments, *output, "--cache", tmp_path / "cache")
    assert result.exit_code == 2
    assert words in result.stderr
    assert [line for line in result.stderr.splitlines() if "warning" not in line][1:] == []
    assert result.stdout == ""
    assert sorted(folder.iterdir()) == before
    assert not list(tmp_path.glob("*.csv"))


def test_an_unknown_class_name(folder, tmp_path):
    with np.load(folder / "test.npz") as test:
        names = test["class_names"].tolist()
        names[2] = "debri"
        np.savez(tmp_path / "t.npz", images=test["images"], labels=test["labels"],
                 class_names=np.array(names))  # fmt: skip
    result = run("predict", "mlp-1", f"{folder}/train.npz::images", f"{tmp_path}/t.npz::images",
                 "-o", tmp_path / "a.csv", "--cache", tmp_path)  # fmt: skip
    assert result.exit_code == 2
    assert 't.npz::images: unknown class "debri" (did you mean "debris"?); known: ' in result.stderr
    assert not (tmp_path / "a.csv").exists()


def test_a_kernel_that_is_not_positive_definite(folder, tmp_path):
    """Two equal training images, and rounding that makes the kernel worse than singular."""
    path = tmp_path / "bad.h5"
    inputs = load_inputs(f"{folder}/train.npz::images")
    job = Job(refntk.preset("mlp-1"), inputs.x1)
    with KernelWriter(path, describe_job(job, inputs)) as writer:
        blocks = job.block(job.tiles[0])
        shift = 1.001 * np.linalg.eigvalsh(blocks["ntk"])[0] * np.eye(45)
        writer.write(job.tiles[0], blocks | {"ntk": blocks["ntk"] - shift})
        writer.finish()
    result = run("predict", path, folder / "cross.h5", "-o", tmp_path / "a.json")
    assert result.exit_code == 2
    assert "k_train_train: is not positive definite: smallest eigenvalue -" in result.stderr
    assert "condition number" in result.stderr
    remedy = result.stderr.split("diag_reg=")[1].split()[0]
    assert not (tmp_path / "a.json").exists()
    again = run("predict", path, folder / "cross.h5", "-o", tmp_path / "a.json",
                "--diag-reg", remedy)  # fmt: skip
    assert again.exit_code == 0
