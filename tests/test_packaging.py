"""The distribution: packages, data files, public names, examples, imports, the README's lines."""

import ast
import configparser
import doctest
import importlib
import json
import re
from importlib import metadata, resources
from pathlib import Path

import pytest

import refntk

ROOT = Path(__file__).resolve().parent.parent
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")


def text(name):
    """A file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def words(section, key):
    """The lines of a list in setup.cfg."""
    return CONFIG[section][key].split("\n")[1:]


FOLDERS = dict(re.split(r"\s*=\s*", line) for line in words("options", "package_dir"))


def files(pattern):
    """Package and path inside it of each file that matches, below every folder of packages."""
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                *inner, name = path.relative_to(ROOT / folder).parts
                yield ".".join([package, *inner]), name


def bound_names(tree):
    """Names that a module defines at its top level: functions, classes, constants.

    Names of types, which are assigned but not in capitals, are there for annotations only.
    """
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [name.id for name in targets if isinstance(name, ast.Name)]
            yield from (name for name in names if name.isupper())


def test_every_folder_of_modules_is_a_listed_package():
    assert sorted(words("options", "packages")) == sorted({name for name, _ in files("*.py")})


@pytest.mark.parametrize(
    ("package", "name"), [entry for entry in files("*") if not entry[1].endswith(".py")]
)
def test_data_files_are_installed(package, name):
    assert resources.files(package).joinpath(name).is_file()


MODULES = [f"{package}.{name[:-3]}".removesuffix(".__init__") for package, name in files("*.py")]


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("module", MODULES)
def test_all_lists_the_public_names(module):
    loaded = importlib.import_module(module)
    tree = ast.parse(Path(loaded.__file__).read_text(encoding="utf-8"))
    public = {name for name in bound_names(tree) if not name.startswith("_")}
    only_a_docstring = len(tree.body) == (ast.get_docstring(tree) is not None)
    exported = getattr(loaded, "__all__", () if only_a_docstring else None)
    assert exported is not None, f"{module} has no __all__"
    assert len(exported) == len(set(exported))
    assert public <= set(exported), f"{module}.__all__ lacks {sorted(public - set(exported))}"
    missing = [name for name in exported if not hasattr(loaded, name)]
    assert not missing, f"{module}.__all__ lists {missing}, which do not exist"


def test_the_import_contract_covers_the_whole_core():
    lines = words("importlinter:contract:layers", "layers")
    layers = [name for line in lines for name in line.split(" | ")]
    core = [f"refntk.{name}" for name in layers if f"refntk.{name}" not in FOLDERS]
    assert words("importlinter:contract:core", "source_modules") == core


def test_no_module_takes_the_place_of_a_public_name():
    # Importing refntk.x binds x in refntk, over a function that __getattr__ would have found.
    modules = {module.split(".")[1] for module in MODULES if module.count(".")}
    assert not modules & set(refntk.__all__)


def test_versions_agree():
    version = metadata.version("refntk")
    assert CONFIG["metadata"]["version"] == version
    assert f"\nversion: {version}\n" in text("CITATION.cff")
    assert json.loads(text(".zenodo.json"))["version"] == version
    assert f'\n  version: "{version}"\n' in text("conda/meta.yaml")


def test_the_archive_has_the_title_of_the_citation():
    assert f'\ntitle: "{json.loads(text(".zenodo.json"))["title"]}"\n' in text("CITATION.cff")


def test_the_conda_recipe_needs_what_the_wheel_needs():
    run = re.search(r"  run:\n((?:    - .*\n)+)", text("conda/meta.yaml"))[1]
    python = f"python {CONFIG['options']['python_requires']}"
    needed = [python, "__unix", *words("options", "install_requires")]
    assert [line.replace(" ", "") for line in re.findall(r"- (.*)", run)] == [
        line.replace(" ", "") for line in needed
    ]


def test_the_lower_bounds_are_those_of_setup_cfg():
    tools = {"pytest", "pytest-xdist", "hypothesis"}
    lines = {*words("options", "install_requires"), *words("options.extras_require", "test")}
    bounds = dict(line.split(">=") for line in lines)
    tested = re.findall(r"^([\w-]+)==([\d.]+)\.\*$", text(".ci/lower-bounds.txt"), re.MULTILINE)
    for name, version in tested:
        assert f"{bounds[name]}.0.".startswith(f"{version}."), name
    assert {name for name, _ in tested} == set(bounds) - tools


def test_pre_commit_runs_what_tox_runs():
    hooks, tox = text(".pre-commit-config.yaml"), configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    (command,) = tox["testenv:lint"]["commands"].split("\n")[1:]
    assert command == "ruff check --no-cache {posargs:.}"
    assert "entry: ruff check --no-cache --force-exclude\n" in hooks
    assert f'["{tox["testenv:lint"]["deps"]}"]' in hooks


def test_readme_has_its_two_lines():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    one, two = [line for line in lines if line.startswith("python3 ")]
    assert one.endswith('pip install -q ".[plot]" && .venv/bin/refntk demo')
    assert two.endswith("tox run -e tests")
