"""`refntk plot`."""

import sys

import pytest
from click.testing import CliRunner

from refntk.cli import main


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Kernel files: of tiles with themselves, with NTK alone, and of two sets."""
    folder = tmp_path_factory.mktemp("stores")
    for name, inputs, options in (
        ("both", ["sample:histology"], []),
        ("ntk", ["sample:digits"], ["--get", "ntk", "--dtype", "float32"]),
        ("cross", ["sample:digits", "sample:digits"], []),
    ):
        arguments = ["mlp-1", *inputs, "-o", folder / f"{name}.h5", "--limit", "18", *options]
        assert run("compute", *arguments).exit_code == 0
    return folder


@pytest.mark.parametrize("picture", ["gram", "spectrum"])
@pytest.mark.parametrize("store", ["both", "ntk"])
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_picture_of_a_store(stores, tmp_path, picture, store, suffix):
    output = tmp_path / f"a.{suffix}"
    result = run("plot", picture, stores / f"{store}.h5", "-o", output)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{output}: {picture} of {stores / f'{store}.h5'}\n"
    assert output.stat().st_size > 1000


def test_the_kernel_can_be_chosen(stores, tmp_path):
    for kernel in ("nngp", "ntk"):
        run("plot", "gram", stores / "both.h5", "-o", tmp_path / f"{kernel}.png", "--get", kernel)
    run("plot", "gram", stores / "both.h5", "-o", tmp_path / "default.png")
    nngp, ntk, default = (
        (tmp_path / f"{name}.png").read_bytes() for name in ("nngp", "ntk", "default")
    )
    assert default == ntk != nngp


def test_trajectories_of_an_image_that_is_left_out(stores, tmp_path):
    output = tmp_path / "a.svg"
    result = run("plot", "trajectories", stores / "both.h5", "-o", output, "--image", "3",
                 "--diag-reg", "1e-4")  # fmt: skip
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{output}: trajectories of {stores / 'both.h5'}\n"
    assert output.stat().st_size > 5000
    other = tmp_path / "b.svg"
    run("plot", "trajectories", stores / "both.h5", "-o", other, "--diag-reg", "1e-4")
    assert other.read_bytes() != output.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gramm", "both.h5"], 'unknown picture "gramm" (did you mean "gram"?)'),
        (["gram", "missing.h5"], "missing.h5: no such file"),
        (["gram", "cross.h5"], "cross.h5: holds kernels of x1 with x2; expected those of one set"),
        (["spectrum", "cross.h5"], "compute them without X2"),
        (["gram", "ntk.h5", "--get", "nngp"], 'ntk.h5: unknown kernel "nngp"; known: ntk'),
        (["trajectories", "ntk.h5"], 'ntk.h5: unknown kernel "nngp"; known: ntk'),
        (["trajectories", "both.h5", "--image", "18"], "image 18: there are 18, from 0 to 17"),
        (["gram", "ntk.h5", "-o", "a.jpg"], "a.jpg: a picture has the ending '.jpg'; expected"),
    ],
)
def test_what_cannot_be_drawn_is_2_and_one_line(stores, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(stores)
    before = sorted(stores.iterdir())
    if "-o" not in arguments:
        arguments = [*arguments, "-o", str(tmp_path / "a.svg")]
    result = run("plot", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert sorted(stores.iterdir()) == before
    assert not list(tmp_path.iterdir())


def test_an_unfinished_store(stores, tmp_path):
    import h5py

    from refntk.data.kernels.kernel_seal import write_seal

    path = tmp_path / "part.h5"
    path.write_bytes((stores / "both.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file["tiles"][0, 0] = 0
        del file.attrs["seal"]
        write_seal(file)
    result = run("plot", "gram", path, "-o", tmp_path / "a.svg")
    assert result.exit_code == 2
    assert "part.h5: only 0 of 1 tiles are complete; finish the computation first" in result.stderr


def test_without_matplotlib(stores, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("plot", "gram", stores / "both.h5", "-o", tmp_path / "a.svg")
    assert result.exit_code == 2
    assert 'install it with pip install "refntk[plot]"' in result.stderr
