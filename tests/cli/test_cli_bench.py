"""`refntk bench`."""

import sys

import pytest
from click.testing import CliRunner

import refntk.truth.bench
from refntk.cli import main
from refntk.truth.bench import Measurement


def test_a_graphics_processor(monkeypatch):
    def device_measurements(threads=None):
        yield Measurement("graphics processor", f"one, and {threads} threads")

    monkeypatch.setattr(refntk.truth.bench, "device_measurements", device_measurements)
    result = CliRunner().invoke(main, ["bench", "--backend", "cupy", "--threads", "3"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.split("  ")[0] == "graphics processor"
    assert result.stdout.endswith("one, and 3 threads\n")


def test_without_a_graphics_processor(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    result = CliRunner().invoke(main, ["bench", "--backend", "cupy"])
    assert result.exit_code == 2
    assert "the backend cupy cannot be used here" in result.stderr
    assert result.stdout == ""


@pytest.fixture
def asked(monkeypatch):
    """Replace the measurements, which take minutes, and note what is asked of them."""
    asked = []

    def measurements(threads=None, full=True):
        asked.append((threads, full))
        yield Measurement("one thing", "1.25 ns per entry and layer", "0.80 of another")
        yield Measurement("another thing", "2 s")

    monkeypatch.setattr(refntk.truth.bench, "measurements", measurements)
    return asked


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (None, True)),
        (["--quick"], (None, False)),
        (["--threads", "3"], (3, True)),
    ],
)
def test_it_prints_one_line_a_measurement(asked, arguments, expected):
    result = CliRunner().invoke(main, ["bench", *arguments])
    assert (result.exit_code, result.stderr) == (0, "")
    assert asked == [expected]
    first, second = result.stdout.splitlines()
    assert first.split("  ")[0] == "one thing"
    assert first.endswith("0.80 of another")
    assert second.endswith("2 s")
    assert first.index("1.25 ns") == second.index("2 s")


def test_no_threads_are_refused(asked):
    result = CliRunner().invoke(main, ["bench", "--threads", "0"])
    assert result.exit_code == 2
    assert "'--threads'" in result.stderr
    assert asked == []
