"""docs/sources.md: every command that it names runs, with tiny parameters."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from refntk.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
COMMANDS = sorted(set(re.findall(r"\| `(refntk [^`]*)` \|", PAGE.read_text(encoding="utf-8"))))

POSES = ["--size", 6, "--poses", 2, "-n", "mlp-1", "-q"]
TRAINING = ["--steps", 1, "--samples", 4, "--channels", 2, "--passes", 1, "-q"]
TINY = {
    "refntk verify augmentation": ["--limit", 3, "--size", 4, "-q"],
    "refntk converge": ["--limit", 2, "--size", 4, "--widths", "2,3", "--draws", 2, "--threads", 1],
    "refntk learning-curve": ["--train", 9, "--test", 9, "--repeats", 2, "--size", 4, "-q"],
    "refntk bridge": ["--size", 5, "--widths", 2, "--draws", 1, "--train", 2, "--test", 2, "-q"],
    "refntk symmetry": ["--limit", 4, "--size", 4, "--poses", 4],
    "refntk spectral toy": ["-q"],
    "refntk spectral pairs": [*POSES, "--pairs", 1],
    "refntk spectral seeds": [*POSES, "--seeds", 1],
    "refntk spectral trials": [*POSES, "--seeds", 1, "--trials", 1],
    "refntk spectral trained": [*POSES, "--pairs", 1, "--width", 2, "--steps", 1],
    "refntk spectral heat": ["--points", 4],
    "refntk spectral classes": [*POSES, "--seeds", 1],
    "refntk spectral advise": [*POSES, "--seeds", 1],
    "refntk spectral modular": ["--moduli", 3, "--shares", 0.5, "--repeats", 1, "-q"],
    "refntk dynamics meanfield": ["--units", 3, "--steps", 1, "--repeats", 1, "-q"],
    "refntk dynamics dimensions": ["--channels", 2],
    "refntk dynamics shapes": [],
    "refntk dynamics quotient": ["--steps", 1],
    "refntk dynamics perm": TRAINING,
    "refntk dynamics rot": TRAINING,
    "refntk dynamics trans": TRAINING,
    "refntk dynamics groups": TRAINING,
    "refntk networks": [],
}
"""What is appended to a command that begins so; the last value of an option counts."""

CHECKS = {"refntk verify", "refntk verify dynamics"}
"""Commands without parameters, which tests of their own run check by check."""


def test_the_page_names_every_source():
    text = PAGE.read_text(encoding="utf-8")
    for source in (
        "2406.06504", "2412.11521", "2303.13458", "Mean Field View", "Shen", "Equizero",
        "Composing global solutions", "Quotient-space",
    ):  # fmt: skip
        assert source in text
    assert len(COMMANDS) > 30


def tiny(command):
    """A case; `converge` starts processes of its own."""
    marks = [pytest.mark.slow] if command.startswith("refntk converge") else []
    return pytest.param(command, marks=marks)


@pytest.mark.parametrize("command", [tiny(c) for c in COMMANDS if c not in CHECKS])
def test_commands_run(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (beginning,) = [name for name in TINY if command.startswith(name)]
    words = [str(PAGE.parents[1] / w) if w.startswith("docs/") else w for w in shlex.split(command)]
    arguments = [*words[1:], *map(str, TINY[beginning])]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    for option in {"-o", "--csv", "--geometry"}.intersection(arguments):
        assert (tmp_path / arguments[arguments.index(option) + 1]).exists()


@pytest.mark.parametrize("command", sorted(CHECKS))
def test_checks_without_parameters_are_commands(command):
    assert command in COMMANDS
    result = CliRunner().invoke(main, [*command.split()[1:], "-h"])
    assert result.exit_code == 0
