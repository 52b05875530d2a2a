"""The site, as far as it can be judged without building it: its pages and what they import."""

import ast
import re
import textwrap
from pathlib import Path

import pytest

import refntk
from refntk import plot

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
LISTED = set(re.findall(r"^   (refntk[.\w]*)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE))


def blocks(page):
    """The Python of a page, one text a block."""
    fences = re.findall(r"^```+(?:python|\{code-cell\}[^\n]*)\n(.*?)^```+$", page, re.M | re.S)
    return [re.sub(r"^%.*$", "", block, flags=re.M) for block in fences if block[:2] != "%%"]


def imported(page):
    """Modules of refntk from which the code of a page imports."""
    for block in blocks(page):
        for node in ast.walk(ast.parse(textwrap.dedent(block))):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "refntk":
                yield node.module


def test_the_api_lists_every_public_package():
    assert {"refntk", *(f"refntk.{name}" for name in refntk._MODULES)} <= LISTED


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_what_a_page_imports_is_in_the_api(page):
    assert set(imported(page.read_text("utf-8"))) <= LISTED


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_page_is_in_the_contents(page):
    name = page.relative_to(DOCS).with_suffix("").as_posix()
    contents = (DOCS / "index.md").read_text("utf-8").splitlines()
    assert name == "index" or name in contents


def test_the_gallery_shows_every_picture():
    gallery = (DOCS / "notebooks" / "gallery.md").read_text("utf-8")
    drawn = {node.func.id for block in blocks(gallery) for node in ast.walk(ast.parse(block))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
    assert {name for name in plot.__all__ if name.startswith("plot_")} <= drawn
