"""`refntk learning-curve`."""

import csv
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import refntk
from refntk.cli import main
from refntk.data import load_images
from refntk.evaluation.evaluate import Job
from refntk.inference import learning_curve


def run(*arguments):
    return CliRunner().invoke(main, ["learning-curve", *map(str, arguments)])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def arguments(cache):
    """A measurement that takes a second."""
    return ["mlp-1", "cnn-gap", "sample:histology", "--size", 6, "--train", "36,9", "--test", 27,
            "--repeats", 3, "--seed", 5, "--diag-reg", "1e-6", "--cache", cache]  # fmt: skip


def test_table_csv_and_picture(arguments, tmp_path):
    result = run(*arguments, "--csv", tmp_path / "a.csv", "--plot", tmp_path / "a.svg")
    assert result.exit_code == 0
    tiles = load_images("sample:histology", size=6)
    kernels = {
        name: refntk.kernel(refntk.preset(name), tiles.images, get="ntk").ntk
        for name in ("mlp-1", "cnn-gap")
    }
    curve = learning_curve(
        kernels, tiles.labels, classes=9, sizes=[9, 36], test=27, repeats=3, seed=5, diag_reg=1e-6
    )
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == curve.rows()[0]
    assert [row[:2] for row in rows] == [
        ["mlp-1", "9"], ["mlp-1", "36"], ["cnn-gap", "9"], ["cnn-gap", "36"],
    ]  # fmt: skip
    np.testing.assert_array_equal(
        np.array([row[4:] for row in rows], float), [row[4:] for row in curve.rows()[1]]
    )
    lines = result.stdout.splitlines()
    assert lines[0] == "accuracy in %, mean and standard error of 3 repeats, 27 test images"
    assert lines[1].split() == ["train", "mlp-1", "cnn-gap", "cnn-gap", "-", "mlp-1"]
    mean, error = 100 * curve.mean(), 100 * curve.standard_error()
    gap, gap_error = (100 * values for values in curve.difference())
    for s, line in enumerate(lines[2:]):
        assert line.split() == [
            str([9, 36][s]),
            f"{mean[0, s]:.2f}", "±", f"{error[0, s]:.2f}",
            f"{mean[1, s]:.2f}", "±", f"{error[1, s]:.2f}",
            f"{gap[1, s]:+.2f}", "±", f"{gap_error[1, s]:.2f}",
        ]  # fmt: skip
    assert (tmp_path / "a.svg").stat().st_size > 5000


def test_no_entry_is_computed_twice(arguments, monkeypatch):
    assert run(*arguments).exit_code == 0
    computed = []
    block = Job.block
    monkeypatch.setattr(
        Job, "block", lambda job, tile, *rest: computed.append(tile) or block(job, tile, *rest)
    )
    first = run(*arguments)
    assert first.exit_code == 0
    assert computed == []
    more = run(*arguments[:2], "mlp-5", *arguments[2:])
    assert more.exit_code == 0
    # Of the third network, each pair of tiles once.
    assert len(set(map(str, computed))) == len(computed) > 0
    assert more.stdout.splitlines()[2].split()[:7] == first.stdout.splitlines()[2].split()[:7]


def test_fewer_images_come_from_the_same_file(arguments, monkeypatch):
    assert run(*arguments).exit_code == 0
    monkeypatch.setattr(Job, "block", lambda *_: pytest.fail("computed again"))
    result = run(*arguments[:2], *arguments[2:], "--limit", 72)
    assert result.exit_code == 0


def test_where_the_kernels_are_is_told(arguments, cache):
    result = run(*arguments)
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["mlp-1", "cnn-gap"]
    assert result.stderr.count(f": ntk of {cache}/") == 2


def test_repeated_images_are_named(tmp_path, cache):
    tiles = load_images("sample:histology", size=4, limit=27)
    doubled = np.concatenate([tiles.images, tiles.images[:2]])
    np.savez(tmp_path / "a.npz", images=doubled, labels=[*tiles.labels, *tiles.labels[:2]])
    result = run("mlp-1", f"{tmp_path}/a.npz::images", "--train", "9", "--test", "9", "--repeats",
                 "2", "--cache", cache, "--diag-reg", "1e-6")  # fmt: skip
    assert result.exit_code == 0
    assert "warning: 4 of 29 images occur more than once" in result.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--train", "9,x"], "'9,x': expected positive whole numbers such as 16,32,64"),
        (["--train", "0,9"], "expected positive whole numbers"),
        (["--train", "80"], "train 80 and test 27: need 107 images, but there are 90"),
        (["--repeats", "1"], "--repeats"),
        (["--csv", "a.txt"], "a.txt: has the ending '.txt'; expected one of .csv"),
        (["--csv", "no/a.csv"], "there is no folder no; make it first"),
        (["--plot", "a.jpg"], "a.jpg: a picture has the ending '.jpg'; expected one of"),
        (["--diag-reg", "nan"], "diag_reg: expected zero or a positive number"),
    ],
)
def test_wrong_use_is_2_and_one_line(arguments, tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    csv_option = [] if "--csv" in change else ["--csv", "b.csv"]
    result = run(*arguments, *csv_option, *change)
    assert result.exit_code == 2
    assert words in result.stderr.splitlines()[-1]
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


def test_networks_and_images_that_cannot_be(arguments, tmp_path, cache):
    result = run("mlp-1", *arguments)
    assert result.exit_code == 2
    assert "mlp-1: is given twice; name each network once" in result.stderr
    np.save(tmp_path / "a.npy", np.ones((9, 3, 3)))
    result = run("mlp-1", tmp_path / "a.npy", "--train", 3, "--test", 3, "--cache", cache)
    assert result.exit_code == 2
    assert "a.npy: the classes of its images are not known" in result.stderr


def test_two_networks_of_one_name_are_told_apart_by_their_files(tmp_path, arguments):
    for folder, width in (("a", 1.0), ("b", 2.0)):
        (tmp_path / folder).mkdir()
        net = refntk.Network(
            [refntk.Flatten(), refntk.Dense(), refntk.Relu(), refntk.Dense(W_std=width)],
            name="same",
        )
        (tmp_path / folder / "net.toml").write_text(net.to_toml())
    files = [tmp_path / "a" / "net.toml", tmp_path / "b" / "net.toml"]
    result = run(*files, *arguments[2:])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split()[:3] == ["train", *map(str, files)]


def test_a_picture_needs_matplotlib_before_anything_is_computed(arguments, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(*arguments[:-1], tmp_path / "cache", "--plot", tmp_path / "a.svg")
    assert result.exit_code == 2
    assert 'install it with pip install "refntk[plot]"' in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_interrupt_is_130_and_says_how_to_go_on(arguments, tmp_path, monkeypatch):
    """The tiles that are done are kept, and not computed again."""
    computed, block = [], Job.block

    def stop(job, tile, *rest):
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append(tile)
        return block(job, tile, *rest)

    monkeypatch.setattr("refntk.evaluation.evaluate._tile", lambda *known: 40)
    monkeypatch.setattr(Job, "block", stop)
    given = [*arguments[:-1], tmp_path / "cache"]
    result = run(*given)
    assert result.exit_code == 130
    assert "2 tiles are kept in" in result.stderr
    assert result.stderr.endswith("To continue: refntk learning-curve " + " ".join(map(str, given))
                                  + "\n")  # fmt: skip
    monkeypatch.setattr(
        Job, "block", lambda job, tile, *rest: computed.append(tile) or block(job, tile, *rest)
    )
    whole = run(*given)
    assert whole.exit_code == 0
    assert whole.stdout == run(*arguments).stdout
    # Two networks of 90 images have 6 tiles each.
    assert len(computed) == 12
