"""Module paths from before the packages."""

import importlib
import sys

import pytest

from refntk.former import FORMER


@pytest.mark.parametrize("old", sorted(FORMER))
def test_a_former_path_warns_and_gives_the_module_at_its_new_place(old, monkeypatch):
    monkeypatch.delitem(sys.modules, f"refntk.{old}", raising=False)
    with pytest.warns(DeprecationWarning, match=f"refntk.{old} is now refntk.{FORMER[old]}"):
        module = importlib.import_module(f"refntk.{old}")
    assert module is importlib.import_module(f"refntk.{FORMER[old]}")
    monkeypatch.delitem(sys.modules, f"refntk.{old}")


def test_other_unknown_paths_are_unknown_still():
    with pytest.raises(ModuleNotFoundError, match="refntk.nothing"):
        importlib.import_module("refntk.nothing")
