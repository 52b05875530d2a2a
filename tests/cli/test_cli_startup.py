"""The command line starts fast: nothing heavy is imported before a command needs it."""

import subprocess
import sys

import pytest

HEAVY = {
    "PIL",
    "array_api_compat",
    "cupy",
    "dask",
    "distributed",
    "h5py",
    "llvmlite",
    "matplotlib",
    "numba",
    "numpy",
    "pooch",
    "requests",
    "scipy",
}


def imported(code):
    """Top-level names of the modules in a fresh interpreter after some code.

    With -P, so that the folder `refntk/` of a checkout does not hide the installed package.
    """
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-P", "-c", code]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return set(run.stdout.splitlines()[-1].split())


def test_importing_the_command_line_imports_nothing_heavy():
    assert not imported("import refntk.cli") & HEAVY


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["-h"],
        ["compute", "-h"],
        ["info", "-h"],
        ["check", "-h"],
        ["export", "-h"],
        ["merge", "-h"],
        ["plot", "-h"],
        ["predict", "-h"],
        ["learning-curve", "-h"],
        ["networks", "-h"],
        ["symmetry", "-h"],
        ["bridge", "-h"],
        ["verify", "-h"],
        ["verify", "augmentation", "-h"],
        ["data", "-h"],
        ["data", "fetch", "-h"],
        ["bench", "-h"],
        ["env", "-h"],
    ],
    ids=" ".join,
)
def test_version_and_help_import_nothing_heavy(arguments):
    code = f"from refntk.cli import main; main({arguments}, standalone_mode=False)"
    assert not imported(code) & HEAVY
