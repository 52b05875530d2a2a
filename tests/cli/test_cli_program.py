"""How a command of the command line ends."""

import os
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from refntk import cli
from refntk.cli import main
from refntk.cli.program import Command, Program
from refntk.errors import InputError


@pytest.fixture
def run():
    """Run a program whose only command, `act`, raises the given error."""

    def run(error, *arguments):
        @click.group(cls=Program)
        def program():
            """A program."""

        @program.command(cls=Command)
        @click.argument("word", default="")
        def act(word):
            """Act."""
            click.echo("before")
            if error is not None:
                raise error

        return CliRunner().invoke(program, ["act", *arguments])

    return run


def test_success_is_0_and_leaves_stderr_alone(run):
    result = run(None)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "before\n", "")


def test_bad_input_is_2_and_one_line(run):
    result = run(InputError("X1: image 17 holds NaN or infinite pixels"))
    assert result.exit_code == 2
    assert result.stderr == "Error: X1: image 17 holds NaN or infinite pixels\n"


def test_interrupt_is_130_and_shows_the_command(run):
    result = run(KeyboardInterrupt(), "two words")
    assert result.exit_code == 130
    assert result.stderr == (
        "Error: interrupted; nothing was kept. To start again: refntk act 'two words'\n"
    )


def test_lack_of_memory_is_1_and_names_the_remedy(run):
    result = run(MemoryError())
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: not enough memory; try a smaller --limit, --size or --tile\n"
    )


def test_a_fault_is_1_and_asks_for_a_report_on_one_line(run):
    result = run(ZeroDivisionError("first\n  second"))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: unexpected ZeroDivisionError: first second. This is a")
    assert "--debug" in result.stderr
    assert "refntk env" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status"), [(InputError("bad"), 2), (KeyboardInterrupt(), 130), (TypeError("x"), 1)]
)
def test_debug_adds_the_traceback_and_keeps_the_status(run, error, status):
    result = run(error, "--debug")
    assert result.exit_code == status
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert result.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("flag", ["-v", "--verbose"])
def test_verbose_prints_what_is_logged(tmp_path, flag):
    out = tmp_path / "k.h5"
    arguments = ["compute", "mlp-1", "sample:digits", "--limit", "4", "-o", str(out), "--quiet"]
    said = [line for line in CliRunner().invoke(main, [*arguments, flag]).stderr.splitlines()
            if "compiling" not in line]  # fmt: skip
    assert said[0].startswith("refntk: nngp and ntk of 4 x 4 images of 28 x 28 x 1: backend numba")
    assert said[1:] == [f"refntk: {out}: 1 tiles to compute"]
    again = CliRunner().invoke(main, [*arguments, "--overwrite"])
    assert (again.exit_code, again.stderr) == (0, "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_short_or_long(run, flag):
    result = run(None, flag)
    assert result.exit_code == 0
    assert "--debug" in result.stdout


def test_an_unknown_option_is_2_and_one_line(run):
    result = run(None, "--debig")
    assert result.exit_code == 2
    assert "No such option '--debig'" in result.stderr or "No such option: --debig" in result.stderr
    assert "--debug" in result.stderr
    assert result.stderr.endswith("act -h` shows the right use\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["acct"], ["--colour"]])
def test_wrong_use_of_the_program_is_2_and_one_line(arguments):
    @click.group(cls=Program)
    def program():
        """A program."""

    result = CliRunner().invoke(program, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: No such ")
    assert arguments[0] in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_command_shows_the_help():
    @click.group(cls=Program)
    def program():
        """A program."""

    result = CliRunner().invoke(program, [])
    assert "A program." in result.output


def test_messages_quote_no_escape_sequence():
    from refntk.cli.program import BadUse, Fault, Interrupted

    for kind in (BadUse, Fault, Interrupted):
        message = kind("tiles\x1b[2J\r\u202e\udcff: bad\nmore").format_message()
        assert message == r"tiles\x1b[2J\r\u202e\udcff: bad" + "\nmore"


def test_texts_from_files_are_printed_by_the_one_that_escapes_them():
    sources = {path: path.read_text() for path in Path(cli.__file__).parent.rglob("*.py")}
    assert [path.name for path, text in sources.items() if "click.echo(" in text] == ["say.py"]


def test_names_of_classes_are_printed_escaped(tmp_path):
    rng, files = np.random.default_rng(0), []
    for part in ("train", "test"):
        path = tmp_path / f"{part}.npz"
        names = np.array(["a\x1b[2J", "b\u202e"])
        labels = names[np.arange(6) % 2]
        np.savez(path, images=rng.random((6, 4, 4, 1)), labels=labels)
        files.append(str(path))
    out = str(tmp_path / "answers.csv")
    result = CliRunner().invoke(main, ["predict", "mlp-1", *files, "-o", out, "-q"])
    assert result.exit_code == 0, result.output
    assert result.stdout.count(r"a\x1b[2J") == 1
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output


def test_names_that_are_not_utf8_from_the_images_to_the_answers(tmp_path):
    folder = tmp_path / os.fsdecode(b"t\xe9")
    for part in ("train", "test"):
        for name in (b"caf\xe9", b"th\xe9"):
            place = folder / part / os.fsdecode(name)
            try:
                place.mkdir(parents=True)
            except OSError:
                pytest.skip("this file system takes names in UTF-8 only")
            pixels = np.random.default_rng(len(name)).integers(0, 256, (4, 4), np.uint8)
            for number in (1, 2):
                file = place / os.fsdecode(b"%d\xff.png" % number)
                Image.fromarray(pixels // number).save(file)
    files = [tmp_path / os.fsdecode(name) for name in (b"k\xe9.h5", b"c\xe9.h5", b"a\xe9.csv")]
    train, test = str(folder / "train"), str(folder / "test")
    for words in (
        ["compute", "mlp-1", train, "-o", str(files[0]), "--backend", "numpy", "-q"],
        ["compute", "mlp-1", test, train, "-o", str(files[1]), "--backend", "numpy", "-q"],
        ["info", str(files[0])],
        ["check", str(files[0])],
        ["predict", str(files[0]), str(files[1]), "-o", str(files[2]), "--diag-reg", "1e-3"],
    ):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        assert result.stdout.isascii()
    assert all(file.exists() for file in files)
    assert r"caf\xe9" in files[2].read_text()
