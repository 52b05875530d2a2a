"""Sphinx: the pages of this folder, its notebooks, every public name (`tox -e docs`)."""

import re
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path
from types import GenericAlias
from typing import Any

from refntk.network.layers import LAYERS


def public() -> dict[str, list[str]]:
    """List the public names of each module that api.md names."""
    text = Path(__file__).with_name("api.md").read_text(encoding="utf-8")
    modules = re.findall(r"^   (refntk[.\w]*)$", text, re.MULTILINE)
    names = {module: import_module(module).__all__ for module in modules}
    return {m: [name for name in names[m] if not name.startswith("__")] for m in modules}


def types(public: dict[str, list[str]]) -> dict[str, str]:
    """Spell out the names for annotations, of which numpydoc makes nothing."""
    values = {f"{m}.{name}": getattr(import_module(m), name) for m in public for name in public[m]}
    return {name: str(value) for name, value in values.items() if isinstance(value, GenericAlias)}


def homes(public: dict[str, list[str]]) -> dict[str, str]:
    """Say on which module's page each name is described: the first that has it."""
    first: dict[int, str] = {}
    found = {}
    for module, names in public.items():
        for name in names:
            value = getattr(import_module(module), name)
            found[f"{module}.{name}"] = first.setdefault(id(value), module)
    return found


project = "refntk"
author = copyright = "refntk developers"
version = release = version_of("refntk")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_click",
    "sphinx_copybutton",
    "numpydoc",
    "myst_nb",
]
exclude_patterns = ["_build", "_templates", "jupyter_execute"]
templates_path = ["_templates"]
# `name` in a docstring is a link where it is a public name, and code where it is not.
default_role = "py:obj"

html_theme = "furo"
html_title = f"refntk {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
# A Python prompt, a continuation or a shell prompt is not what one wants to paste.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Pages link to each other's headings as they do where their files are read.
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 900  # of a cell, on a busy machine that compiles
nb_execution_raise_on_error = True
nb_merge_streams = True

# A module's page lists its `__all__`, and nothing else.
autosummary_ignore_module_all = False
autosummary_imported_members = True
autosummary_context = {
    "public": public(),
    "homes": homes(public()),
    "types": types(public()),
    "layers": {"refntk": list(LAYERS)},
}
# Docstrings say the types in words, with shapes.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False


def skip(_app: Any, _what: str, _name: str, value: Any, *_: Any) -> bool | None:
    """Leave out what scikit-learn adds to its estimators, and names of types."""
    added = str(getattr(value, "__module__", "")).startswith("sklearn.")
    return True if added or isinstance(value, GenericAlias) else None


def escape(_app: Any, _context: Any, lines: list[str]) -> None:
    """Keep the stars of help texts, which are patterns."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def setup(app: Any) -> None:
    """Connect what is above."""
    app.connect("autodoc-skip-member", skip)
    for part in ("description", "options", "epilog"):
        app.connect(f"sphinx-click-process-{part}", escape)
