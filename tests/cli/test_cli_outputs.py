"""What commands never do to files: overwrite an input, or replace what was not to be replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Eight images of two classes."""
    path = tmp_path / "images.npz"
    rng = np.random.default_rng(0)
    labels = np.arange(8) % 2
    np.savez(path, images=rng.random((8, 4, 4, 1)), labels=labels)
    return path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(word) for word in arguments])
    return result.exit_code, result.output


WRITERS = {
    "compute": ["compute", "mlp-1", "IN", "-o", "OUT", "--overwrite", "-q"],
    "compute, second set": ["compute", "mlp-1", "sample:digits", "IN", "-o", "OUT", "--overwrite"],
    "resume": ["compute", "mlp-1", "IN", "-o", "OUT", "--resume", "-q"],
    "shard": ["compute", "mlp-1", "IN", "-o", "OUT", "--shard", "1/2", "--overwrite", "-q"],
    "predict": ["predict", "mlp-1", "IN", "IN", "-o", "OUT", "--overwrite", "-q"],
    "merge": ["merge", "IN", "-o", "OUT", "--overwrite"],
    "export": ["export", "IN", "-o", "OUT", "--format", "npz", "--overwrite"],
    "converge": ["converge", "mlp-1", "IN", "-o", "OUT", "--overwrite", "-q"],
    "learning-curve": [
        "learning-curve", "mlp-1", "IN", "--train", "4", "--test", "2", "--csv", "OUT",
        "--overwrite",
    ],
    "bridge": ["bridge", "cnn-gap", "IN", "-o", "OUT", "--overwrite"],
    "spectral": ["spectral", "pairs", "IN", "-o", "OUT", "--overwrite"],
    "dynamics": ["dynamics", "groups", "IN", "-o", "OUT", "--overwrite"],
    "plot": ["plot", "gram", "IN", "-o", "OUT", "--overwrite"],
    "symmetry": ["symmetry", "cnn-gap", "IN", "--plot", "OUT", "--overwrite"],
}  # fmt: skip


@pytest.mark.parametrize("link", [False, True], ids=["by its name", "by a link"])
@pytest.mark.parametrize("command", WRITERS)
def test_an_input_is_never_written_over(images: Path, command: str, link: bool) -> None:
    before, out = images.read_bytes(), images
    if link:
        out = images.with_name("link.npz")
        out.symlink_to(images)
    words = [{"IN": f"{images}", "OUT": f"{out}"}.get(word, word) for word in WRITERS[command]]
    code, output = run(*words)
    assert code == 2
    assert "nothing is written over what is read: choose another name" in output
    assert output.count("\n") == 1
    assert images.read_bytes() == before
    assert not set(os.listdir(images.parent)) - {"images.npz", "link.npz"}


def test_a_network_file_is_never_written_over(images: Path) -> None:
    net = images.with_name("net.toml")
    net.write_text('[[layer]]\ntype = "Flatten"\n\n[[layer]]\ntype = "Dense"\n')
    code, output = run("compute", net, images, "-o", net, "--overwrite", "-q")
    assert (code, "nothing is written over what is read" in output) == (2, True)
    assert net.read_text().startswith("[[layer]]")


@pytest.mark.parametrize("suffix", [".lock", ".part"])
@pytest.mark.parametrize("how", ["file", "link", "empty"])
def test_files_beside_the_output_are_left_alone(images: Path, suffix: str, how: str) -> None:
    out = images.with_name("k.h5")
    place, victim = images.with_name("k.h5" + suffix), images.with_name("precious")
    victim.write_text("precious")
    if how == "link":
        place.symlink_to(victim)
    else:
        place.write_text("mine" if how == "file" else "")
    before = place.lstat()
    code, output = run("compute", "mlp-1", images, "-o", out, "-q")
    if (suffix, how) == (".part", "empty"):  # what is left of a journal that somebody emptied
        assert code == 0
        return
    assert code == 2
    assert f"k.h5{suffix}: is in the way, refntk did not write it" in output
    assert place.lstat().st_mtime_ns == before.st_mtime_ns
    assert victim.read_text() == "precious"
    assert not out.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "mlp-1", "IN", "IN", "-o", "OUT.csv", "-q", "--cache", "CACHE"],
        ["learning-curve", "mlp-1", "IN", "--train", "4", "--test", "2", "--csv", "OUT.csv",
         "-q", "--cache", "CACHE"],
    ],
    ids=["predict", "learning-curve"],
)  # fmt: skip
def test_tables_are_replaced_only_where_allowed(images: Path, words: list[str]) -> None:
    out = images.with_name("out.csv")
    out.write_text("mine")
    names = {"IN": images, "OUT.csv": out, "CACHE": images.with_name("cache")}
    given = [names.get(word, word) for word in words]
    code, output = run(*given)
    assert (code, out.read_text()) == (2, "mine")
    assert "out.csv: exists already; choose another name or allow it to be replaced" in output
    assert run(*given, "--overwrite")[0] == 0
    assert out.read_text() != "mine"


def test_overwrite_and_resume_together_from_the_start(images: Path) -> None:
    out = images.with_name("k.h5")
    out.write_text("something else")
    assert run("compute", "mlp-1", images, "-o", out, "-q", "--resume")[0] == 2
    assert out.read_text() == "something else"
    assert run("compute", "mlp-1", images, "-o", out, "-q", "--resume", "--overwrite")[0] == 0
    written = out.read_bytes()
    assert run("compute", "mlp-1", images, "-o", out, "-q", "--resume", "--overwrite")[0] == 0
    assert out.read_bytes() == written
    assert run("compute", "mlp-5", images, "-o", out, "-q", "--resume", "--overwrite")[0] == 0
    assert out.read_bytes() != written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_commands_that_keep_nothing_end_in_a_line(number: int, tmp_path: Path) -> None:
    program = [sys.executable, "-P", "-c", "from refntk.cli import main; main()"]
    command = [*program, "oracle", "export", "suite.h5", "--prove"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(3)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("Error: interrupted; nothing was kept.")
    assert "Traceback" not in errors
    assert os.listdir(tmp_path) == []


def test_a_full_device_for_what_is_printed_is_one_line() -> None:
    program = [sys.executable, "-P", "-c", "from refntk.cli import main; main()"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*program, "networks"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
