"""`refntk spectral`."""

import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main
from refntk.data.results.result_table import read_table


def run(*arguments):
    return CliRunner().invoke(main, ["spectral", *map(str, arguments)])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve small labelled images of three classes."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    rng = np.random.default_rng(0)
    np.savez(path, images=rng.random((12, 8, 8, 1)), labels=np.repeat([0, 1, 2], 4))
    return f"{path}::images"


NETWORKS = ["-n", "mlp-1", "-n", "cnn-fc"]
COMMANDS = {
    "pairs": (["--pairs", 3, "--poses", 4], 6),
    "seeds": (["--seeds", 2, "--poses", "2,4"], 4),
    "trials": (["--seeds", 2, "--trials", 2, "--poses", "2,4"], 8),
    "classes": (["--seeds", 2, "--poses", "2,4"], 4),
    "advise": (["--seeds", 1, "--poses", "2,4"], 12),
}


def test_toy(tmp_path):
    table, picture = tmp_path / "toy.csv", tmp_path / "toy.svg"
    result = run("toy", "-o", table, "--plot", picture)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith(f"{table}: 68 rows\n{picture}: picture of {table}\n")
    assert picture.stat().st_size > 1000
    assert len(read_table(table)[1]) == 68


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("group", ["rotation", "shift-x"])
def test_experiments(tmp_path, data, command, group):
    options, count = COMMANDS[command]
    table, picture = tmp_path / "a.csv", tmp_path / "a.svg"
    arguments = [command, data, *NETWORKS, "--group", group, *options, "-o", table]
    result = run(*arguments, "--plot", picture)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{table}: {count} rows\n" in result.stdout
    assert "mlp-1" in result.stdout
    settings, rows = read_table(table)
    assert settings["group"] == group
    assert len(rows) == count
    assert picture.stat().st_size > 1000

    whole = table.read_bytes()
    table.write_bytes(whole[: 2 * len(whole) // 3])
    result = run(*arguments, "--resume")
    assert result.exit_code == 0
    assert table.read_bytes() == whole


def test_pairs_with_the_released_nuggets_and_the_geometry(tmp_path, data):
    table, picture = tmp_path / "a.csv", tmp_path / "g.png"
    arguments = ["pairs", data, *NETWORKS, "--pairs", 3, "--poses", 4, "-o", table]
    result = run(*arguments, "--released", "--geometry", picture)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith(f"{picture}: picture of {table}\n")
    assert "distance_r" in result.stdout
    settings, rows = read_table(table)
    assert settings["diag_reg"] == "released"
    assert {"distance", "radius", "top", "mean"} < set(rows[0])
    assert picture.stat().st_size > 1000
    result = run(*arguments, "--resume", "--geometry", table)
    assert (result.exit_code, "a picture has the ending '.csv'" in result.stderr) == (2, True)


def test_an_interrupt_keeps_the_rows_and_names_the_command(tmp_path, data, monkeypatch):
    from refntk.spectral import study as spectral_study

    calls = []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return measures(*arguments)

    measures = spectral_study.pair_measures
    monkeypatch.setattr(spectral_study, "pair_measures", interrupted)
    table = tmp_path / "a.csv"
    arguments = ["pairs", data, *NETWORKS, "--pairs", 3, "--poses", 4, "-o", table]
    result = run(*arguments)
    assert result.exit_code == 130
    assert "interrupted; 2 rows are kept in " in result.stderr
    assert "a.csv. To continue: refntk spectral pairs" in result.stderr
    assert result.stderr.rstrip().endswith("--resume")
    assert len(read_table(table)[1]) == 2
    monkeypatch.undo()
    assert run(*arguments, "--resume").exit_code == 0
    assert len(read_table(table)[1]) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pairs", "DATA", "--poses", "5"], "N = 5 poses: expected an even number"),
        (["pairs", "DATA", "--poses", "4;8"], "--poses: expected whole numbers such as 4,8,16"),
        (["pairs", "DATA", "--poses", "6", "--group", "shift-x"], "N must divide the side"),
        (["pairs", "DATA", "--group", "shear"], 'unknown group "shear"'),
        (["pairs", "DATA", "-n", "mlp-9"], "mlp-9"),
        (["seeds", "DATA", "--classes", "1"], "--classes: expected two classes such as 4,9"),
        (["seeds", "DATA", "--seeds", "5"], "class 0: has 4 images, fewer than 5 seeds a class"),
        (["seeds", "DATA", "--classes", "0,7", "--seeds", "2"], "class 7: has 0 images"),
        (["pairs", "DATA", "--plot", "a.jpg"], "a.jpg: a picture has the ending '.jpg'"),
        (["pairs", "missing.npy"], "missing.npy: no such file"),
        (["pairs", "UNLABELLED"], "has no labels; the classes of the images are needed"),
        (
            ["pairs", "DATA", "-n", "cnn-gap", "--group", "shift-x", "--diag-reg", "0", "--same"],
            "prediction is undefined: give a nugget above 0",
        ),
    ],
)
def test_what_is_refused_is_2_and_one_line(tmp_path, data, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "unlabelled.npy", rng.random((4, 8, 8, 1)))
    np.savez(tmp_path / "same.npz", images=np.stack([rng.random((8, 8, 1))] * 2), labels=[0, 1])
    where = {"DATA": data, "UNLABELLED": "unlabelled.npy"}
    if "--same" in arguments:
        arguments = [a for a in arguments if a != "--same"]
        where["DATA"] = "same.npz::images"
    arguments = [where.get(a, a) for a in arguments]
    if "--poses" not in arguments:
        arguments += ["--poses", "4"]
    result = run(*arguments, "-o", "a.csv")
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_table_of_other_settings_is_not_continued(tmp_path, data):
    table = tmp_path / "a.csv"
    arguments = ["pairs", data, "-n", "mlp-1", "--pairs", 1, "--poses", 4, "-o", table]
    assert run(*arguments).exit_code == 0
    assert "a.csv: exists; use --resume to go on" in run(*arguments).stderr
    result = run(*arguments, "--resume", "--seed", 1)
    assert result.exit_code == 2
    assert "made with seed = 124, not 1" in result.stderr
    assert run(*arguments, "--overwrite", "--seed", 1).exit_code == 0


def test_advice_says_whether_an_equivariant_network_is_worth_it(tmp_path, data):
    networks = ["-n", "mlp-1", "-n", "gcnn-c4"]
    options = ["--seeds", 1, "--poses", 4, "-o", tmp_path / "a.csv"]
    lines = run("advise", data, *networks, *options).stdout.splitlines()
    columns = "classes network error separation density between poses equivariant"
    assert lines[0].split() == columns.split()
    assert lines[-3].startswith("mlp-1: right at unseen poses for ")
    assert lines[-2].endswith("for 3 of 3 pairs of classes; it is equivariant.")


def test_help_teaches():
    assert "Columns:\n    error " in run("advise", "-h").stdout
    assert "arXiv:2412.11521" in run("-h").stdout
