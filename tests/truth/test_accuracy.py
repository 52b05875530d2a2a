"""The page of measured accuracy, in small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from refntk.cli import main
from refntk.truth import accuracy
from refntk.truth.accuracy_page import page

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "_DEPTHS", (1, 2))
    monkeypatch.setattr(accuracy, "_SIDES", {"C1": 3})
    monkeypatch.setattr(accuracy, "_SHOWN", ("duplicates", "flat regions", "opposite"))
    monkeypatch.setattr(accuracy, "_special", dict)


def rows_of(lines: list[str], title: str) -> dict[tuple[str, ...], list[float]]:
    """The figures of one table by what is left of them."""
    first = next(k for k, line in enumerate(lines) if line == f"## {title}")
    rows = {}
    for line in lines[first + 4 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[tuple(cells[:-8])] = [float(cell) for cell in cells[-8:]]
    return rows


@pytest.mark.usefixtures("small")
def test_a_small_page() -> None:
    result = CliRunner().invoke(main, ["accuracy", "--trials", "3", "--seed", "2"])
    assert result.exit_code == 0, result.output
    assert "network 9 of 9" in result.stderr
    lines = result.stdout.splitlines()
    slices, literal = (rows_of(lines, f"Method {method}") for method in ("slices", "literal"))
    assert list(slices) == list(literal)
    assert set(slices) == {
        ("C1", padding, str(depth)) for padding in ("SAME", "VALID", "CIRCULAR") for depth in (1, 2)
    }
    for figures in slices.values():
        assert max(figures[:4]) <= 1e-12
        assert max(figures[4:]) <= 5e-6
    # What the fast method is better at: the NTK of hard images in float64.
    assert max(figures[3] for figures in literal.values()) > 1e-10
    assert "## Random networks" in lines
    assert list(page(accuracy.measure(trials=3, seed=2), 3, 2)) == lines


def test_the_page_keeps_the_bounds() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = rows_of(lines, "Method slices")
    assert len(rows) == 3 * len(accuracy._SIDES) * len(accuracy._DEPTHS)
    for figures in rows.values():
        assert max(figures[:4]) <= 1e-12
        assert max(figures[4:]) <= 5e-6


def test_hard_pairs_are_the_same_at_every_call() -> None:
    pairs = accuracy.hard_pairs(3)
    accuracy.hard_pairs.cache_clear()
    again = accuracy.hard_pairs(3)
    assert pairs is not again
    for name, (x1, x2) in pairs.items():
        assert re.fullmatch(r"[\w ,.-]+", name)
        assert x1.shape == x2.shape == (3, 3, 2)
        assert (again[name][0] == x1).all()
        assert (again[name][1] == x2).all()
