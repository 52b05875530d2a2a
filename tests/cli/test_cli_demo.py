"""`refntk demo`."""

import shlex
import sys

import pytest
from click.testing import CliRunner

import refntk
from refntk.cli import main
from refntk.data import load_inputs


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The output of a first run, and the folder that it made."""
    folder = tmp_path_factory.mktemp("demo") / "shown"
    result = run("demo", "-o", folder)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout, folder


def test_it_writes_pictures_and_both_kernels(demo, assert_close):
    _, folder = demo
    assert {path.name for path in folder.iterdir()} == {
        "cnn-paper.h5", "gcnn-paper.h5", "gram.png", "curve.svg", "report.html",
    }  # fmt: skip
    assert (folder / "gram.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (folder / "curve.svg").read_bytes()
    tiles = load_inputs("sample:histology", size=14).x1
    for name in ("cnn-paper", "gcnn-paper"):
        with refntk.open_kernel(folder / f"{name}.h5") as kernel:
            exact = refntk.kernel(name, tiles[:4], get="ntk")
            assert_close(kernel.ntk[:4, :4], exact.ntk, 5e-6)


def test_it_says_what_was_learned_and_what_comes_next(demo):
    stdout, folder = demo
    first = stdout.splitlines()[0]
    assert first.startswith("54 training images: cnn-paper ")
    assert "gcnn-paper is better by 2.5 ± 0.9 points, repeat by repeat" in first
    for name in ("gram.png", "curve.svg", "report.html"):
        assert f"{folder / name}: " in stdout
    commands = stdout.split("Next:\n")[1].splitlines()
    assert len(commands) == 3
    for line in commands:
        program, command, *_ = shlex.split(line, comments=True)
        assert program == "refntk"
        assert command in main.commands


def test_it_leaves_a_folder_alone_unless_it_may_write_there(demo):
    stdout, folder = demo
    before = (folder / "gcnn-paper.h5").stat().st_mtime_ns
    result = run("demo", "-o", folder)
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {folder}: exists already; choose another folder with -o, or --overwrite the demo "
        "there\n"
    )
    again = run("demo", "-o", folder, "--overwrite")
    assert (again.exit_code, again.stdout) == (0, stdout)
    assert (folder / "gcnn-paper.h5").stat().st_mtime_ns == before  # kernels are not lost


def test_it_misses_matplotlib_before_it_computes(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("demo", "-o", tmp_path / "shown")
    assert result.exit_code == 2
    assert 'pip install "refntk[plot]"' in result.stderr
    assert not (tmp_path / "shown").exists()


def test_a_folder_that_cannot_be_created(tmp_path):
    place = tmp_path / "shown"
    place.symlink_to(tmp_path / "nowhere")
    for word in ("--quiet", "--overwrite"):
        result = run("demo", "-o", place, word)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"Error: {place}: ")
        assert result.stderr.endswith(" with -o, or --overwrite the demo there\n") or (
            "cannot be created (File exists); choose another folder with -o\n" in result.stderr
        )
    result = run("demo", "-o", "/proc/shown")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "/proc/shown: cannot be created (No such file or directory); choose" in result.stderr
