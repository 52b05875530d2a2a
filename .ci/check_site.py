"""Check that the site has every public name, and that its notebooks end in a picture."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from sphinx.util.inventory import InventoryFile

import refntk

MODULES = ["refntk", *(f"refntk.{name}" for name in refntk._MODULES)]


def described(site: Path) -> set[str]:
    """Full names of what the pages describe."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {item for kind in inventory.data for item in inventory.data[kind]}


def public() -> dict[str, set[str]]:
    """Each public name, with all public names of the same thing."""
    names: dict[int, set[str]] = {}
    for module in map(import_module, MODULES):
        for name in module.__all__:
            if not name.startswith("__"):
                full = f"{module.__name__}.{name}"
                names.setdefault(id(getattr(module, name)), set()).add(full)
    return {name: same for same in names.values() for name in same}


def main(site: Path) -> int:
    """Say what the site lacks; return the exit status."""
    there = described(site)
    names = public()
    lacking = [f"no page describes {name}" for name in sorted(names) if not names[name] & there]
    notebooks = sorted((site / "notebooks").glob("*.html"))
    for page in notebooks:
        *_, last = page.read_text(encoding="utf-8").split('<div class="cell docutils')
        if "<img " not in last:
            lacking.append(f"the last cell of {page.name} shows no picture")
    for line in lacking:
        print(line)
    print(f"{site}: {len(names)} public names, {len(notebooks)} notebooks")
    return 1 if lacking or not notebooks else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
