"""`refntk --help`, `refntk completion` and `refntk warm-up`."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from refntk.backends.numba import warm_up as module
from refntk.cli import SECTIONS, main


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_help_groups_all_commands():
    text = run("--help").stdout
    assert sum(SECTIONS.values(), ()) == tuple(main.commands.values())
    places = [text.index(f"\n{title}:\n") for title in SECTIONS]
    assert places == sorted(places)
    for title, commands in SECTIONS.items():
        section = text.split(f"\n{title}:\n")[1].split("\n\n")[0]
        named = [line.split()[0] for line in section.splitlines() if line[2] != " "]
        assert named == [command.name for command in commands]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell):
    result = run("completion", shell)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"_REFNTK_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_is_told_which_there_are():
    result = run("completion", "powershell")
    assert result.exit_code == 2
    assert 'unknown shell "powershell"; known: bash, zsh, fish' in result.stderr


def test_words_are_completed():
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from refntk.cli import main; main(prog_name='refntk')"],
        env={**os.environ, "_REFNTK_COMPLETE": "bash_complete", "COMP_WORDS": "refntk com",
             "COMP_CWORD": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["plain,completion", "plain,compute"]


def test_warm_up_compiles_piece_by_piece(monkeypatch):
    monkeypatch.setattr(module, "_PROGRAM", "{!r}.split()")
    result = run("warm-up", "--dtype", "float32", "--threads", "2")
    assert (result.exit_code, result.stderr) == (0, "")
    *lines, last = result.stdout.splitlines()
    assert {line.rpartition("  ")[0].strip() for line in lines} == {
        "relu float32 ntk careful", "relu float32 nngp careful", "close", "perceptron",
    }  # fmt: skip
    assert last == f"kept in {module.folder()}"


def test_a_piece_that_fails_ends_all(monkeypatch):
    monkeypatch.setattr(module, "_PROGRAM", "raise SystemExit('no room for ' + {!r})")
    with pytest.raises(RuntimeError, match="compilation of close failed: no room for close"):
        list(module.warm_up(["close"], 1))


def test_what_cannot_be_kept_is_not_compiled(monkeypatch):
    monkeypatch.setattr(module, "folder", lambda: None)
    result = run("warm-up")
    assert result.exit_code == 2
    assert "nothing that is compiled can be kept here: set NUMBA_CACHE_DIR" in result.stderr


def test_the_names_of_pieces():
    assert module.pieces(("float32",), ("ntk",), careful=False) == (
        "relu float32 ntk fast", "close",
    )  # fmt: skip
    assert len(module.pieces(others=True)) == 10


@pytest.mark.slow
def test_warm_up_leaves_nothing_to_compile(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    program = [sys.executable, "-P", "-c", "from refntk.cli import main; main()"]
    subprocess.run([*program, "warm-up"], env=environment, check=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    subprocess.run([*program, "verify"], env=environment, check=True)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert before
    assert after == before
