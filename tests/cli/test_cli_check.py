"""`refntk check` and `refntk export`."""

import dataclasses
import zipfile

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import refntk
import refntk.data.kernels.check
from refntk.cli import main
from refntk.data.kernels.kernel_writer import KernelWriter


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images and kernels of them: one set, two sets, and float32."""
    folder = tmp_path_factory.mktemp("stores")
    rng = np.random.default_rng(8)
    np.save(folder / "x.npy", rng.integers(0, 256, (9, 6, 6, 2), dtype=np.uint8))
    np.save(folder / "y.npy", rng.integers(0, 256, (5, 6, 6, 2), dtype=np.uint8))
    x, y = folder / "x.npy", folder / "y.npy"
    for name, arguments in {
        "one": (x, "--tile", 4),
        "two": (x, y, "--tile", 4, "--standardize"),
        "half": (x, "--tile", 4, "--dtype", "float32"),
        "ntk": (x, "--get", "ntk", "--size", 3, "--limit", 6, "--seed", 2),
        "other": (y, "--get", "nngp"),
    }.items():
        assert run("compute", "cnn-gap", *arguments, "-o", folder / f"{name}.h5").exit_code == 0
    return folder


def rewrite(source, target, change):
    """Write a file anew, sealed and whole, with other kernels."""
    with refntk.open_kernel(source) as kernel:
        description = kernel.record.description
        values = {name: change(name, getattr(kernel, name)[...]) for name in kernel.names}
    with KernelWriter(target, description) as writer:
        for tile in writer.missing():
            writer.write(tile, {name: v[tile.rows, tile.cols] for name, v in values.items()})
        writer.finish()
    return target


# --- one file


@pytest.mark.parametrize("name", ["one", "two", "half", "ntk", "other"])
def test_a_sound_file_is_0(folder, name):
    result = run("check", folder / f"{name}.h5", "--sample", 16)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "seal        as they were written" in result.stdout
    assert "entries computed again, largest relative difference" in result.stdout
    symmetric = name != "two"
    assert ("exactly symmetric" in result.stdout) is symmetric
    assert ("eigenvalues" in result.stdout) is symmetric


def test_the_eigenvalues_are_those_of_numpy(folder):
    result = run("check", folder / "one.h5", "--sample", 0)
    with h5py.File(folder / "one.h5") as file:
        values = np.linalg.eigvalsh(file["ntk"][...])
    assert f"eigenvalues {values[0]:.6g} to {values[-1]:.6g}, all 9 computed" in result.stdout
    assert "computed again" not in result.stdout


@pytest.mark.parametrize("available", [None, 10**9])
def test_big_matrices_are_estimated(folder, monkeypatch, available):
    monkeypatch.setattr(refntk.data.kernels.check, "_ALL_EIGENVALUES", 5)
    monkeypatch.setattr(refntk.data.kernels.check, "available_memory", lambda: available)
    result = run("check", folder / "one.h5", "--sample", 0)
    with h5py.File(folder / "one.h5") as file:
        largest = np.linalg.eigvalsh(file["ntk"][...])[-1]
    assert f" to {largest:.6g}, estimated in 9 steps, the smallest within" in result.stdout


@pytest.mark.parametrize("taken", [("digests", "seal"), ("digests",), ("seal",)])
def test_a_file_without_its_seal_is_refused(folder, tmp_path, taken):
    bare = tmp_path / "bare.h5"
    bare.write_bytes((folder / "one.h5").read_bytes())
    with h5py.File(bare, "r+") as file:
        file["nngp"][1, 8] += 1
        for name in taken:
            del (file.attrs if name == "seal" else file)[name]
    result = run("check", bare)
    assert result.exit_code == 2
    assert "bare.h5: " in result.stderr
    if "seal" in taken and "digests" not in taken:
        assert "has no seal, which a complete kernel file carries" in result.stderr
    assert "compute the kernel again" in result.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name, k: np.where(np.eye(9) > 0, np.nan, k), "9 entries are NaN or infinite"),
        (lambda name, k: k - 2 * k.max() * np.eye(9), "not positive semidefinite, below -1e-12 of"),
        (lambda name, k: k * (1 + 1e-9), "largest relative difference 1e-09, more than 1e-12"),
    ],
    ids=["nan", "indefinite", "other values"],
)
def test_wrong_values_in_a_whole_file(folder, tmp_path, change, message):
    path = rewrite(folder / "one.h5", tmp_path / "k.h5", change)
    result = run("check", path, "--sample", 81)
    assert result.exit_code == 2
    assert message in result.stdout
    assert message in result.stderr
    assert result.stderr.startswith(f"Error: {path}: ")
    assert result.stderr.count("\n") == 1


def test_damaged_tiles_are_counted_and_named(folder, tmp_path):
    path = tmp_path / "k.h5"
    data = bytearray((folder / "one.h5").read_bytes())
    with h5py.File(folder / "one.h5") as file:
        for part in (np.s_[:4, 4:8], np.s_[4:8, 4:8]):
            data[data.index(file["ntk"][part].tobytes())] ^= 1
    path.write_bytes(data)
    result = run("check", path)
    assert result.exit_code == 2
    assert "ntk: 2 tiles are damaged" in result.stderr
    assert "tile (0, 1) of ntk" in result.stderr
    assert "tile (1, 1) of ntk" in result.stderr
    assert "nngp        exactly symmetric" in result.stdout


def test_a_broken_seal_is_refused(folder, tmp_path):
    path = tmp_path / "k.h5"
    path.write_bytes((folder / "one.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["tile"] = 4
        file["x1/indices"][0] = 7
    result = run("check", path)
    assert result.exit_code == 2
    assert "does not match its seal" in result.stderr


def test_images_that_moved(folder, tmp_path):
    path = tmp_path / "k.h5"
    assert run("compute", "cnn-gap", folder / "x.npy", "-o", path).exit_code == 0
    moved = dataclasses.replace  # the file still names the place where the images were
    with refntk.open_kernel(path) as kernel:
        description = kernel.record.description
        values = {name: getattr(kernel, name)[...] for name in kernel.names}
    gone = moved(description, x1=moved(description.x1, source=str(tmp_path / "gone.npy")))
    path.unlink()
    with KernelWriter(path, gone) as writer:
        (tile,) = writer.missing()
        writer.write(tile, values)
        writer.finish()
    result = run("check", path)
    assert result.exit_code == 0
    assert "sample      not computed again: " in result.stdout
    assert "gone.npy" in result.stdout
    result = run("check", path, "--x1", folder / "x.npy")
    assert "64 entries computed again" in result.stdout
    result = run("check", path, "--x1", folder / "y.npy")
    assert "y.npy: does not hold image 0 of the kernel; --x1" in result.stdout


def test_other_statistics(folder):
    result = run("check", folder / "two.h5", "--x1", folder / "y.npy")
    assert result.exit_code == 0
    assert "the mean and deviation of its images are others" in result.stdout


# --- two files


def test_equal_files(folder, tmp_path):
    copy = rewrite(folder / "one.h5", tmp_path / "copy.h5", lambda name, k: k)
    result = run("check", folder / "one.h5", copy)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "nngp        every entry is the same\nntk         every entry is the same\n"
    )


def test_close_files(folder):
    result = run("check", folder / "one.h5", folder / "half.h5")
    assert result.exit_code == 0
    assert "differs in  dtype: float64 there, float32 here" in result.stdout
    assert "relative difference" in result.stdout
    result = run("check", folder / "one.h5", folder / "half.h5", "--tol", "1e-12")
    assert result.exit_code == 2
    assert "one.h5: nngp: relative difference" in result.stderr


def test_different_files(folder):
    result = run("check", folder / "one.h5", folder / "other.h5")
    assert result.exit_code == 2
    assert "nngp: shape (9, 9) and (5, 5)" in result.stderr
    assert "ntk: is not in " in result.stderr


def test_one_changed_entry_is_found(folder, tmp_path):
    def change(name, k):
        k[8, 2] = k[2, 8] = k[2, 8] * (1 + 1e-10)
        return k

    path = rewrite(folder / "one.h5", tmp_path / "k.h5", change)
    result = run("check", path, folder / "one.h5")
    assert result.exit_code == 2
    assert "nngp: relative difference 1e-10" in result.stderr


# --- export


@pytest.mark.parametrize("name", ["one", "two", "half"])
@pytest.mark.parametrize("form", ["npy", "csv"])
def test_one_kernel(folder, tmp_path, name, form):
    target = tmp_path / f"k.{form}"
    arguments = ("--format", form, "--get", "ntk", "-o", target)
    result = run("export", folder / f"{name}.h5", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    with h5py.File(folder / f"{name}.h5") as file:
        expected = file["ntk"][...]
    got = np.load(target) if form == "npy" else np.loadtxt(target, delimiter=",")
    np.testing.assert_array_equal(got.astype(expected.dtype), expected)
    assert result.stdout == f"{target}: ntk {expected.shape} {expected.dtype.name}\n"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_everything(folder, tmp_path):
    result = run("export", folder / "two.h5", "--format", "npz", "-o", tmp_path / "k.npz")
    assert result.exit_code == 0
    with np.load(tmp_path / "k.npz") as got, h5py.File(folder / "two.h5") as file:
        assert sorted(got) == [
            "nngp", "ntk", "x1_indices", "x1_sha256", "x2_indices", "x2_sha256",
        ]  # fmt: skip
        for name in ("nngp", "ntk"):
            np.testing.assert_array_equal(got[name], file[name])
        np.testing.assert_array_equal(got["x2_sha256"], file["x2/sha256"])
    with zipfile.ZipFile(tmp_path / "k.npz") as archive:
        assert archive.testzip() is None


def test_labels_and_names_of_the_sample(tmp_path):
    store = tmp_path / "k.h5"
    assert run("compute", "mlp-1", "sample:digits", "-o", store, "--limit", 20).exit_code == 0
    assert run("export", store, "--format", "npz").exit_code == 0
    with np.load(tmp_path / "k.npz") as got, refntk.open_kernel(store) as kernel:
        assert got["x1_labels"].tolist() == kernel.x1.labels.tolist()
        assert "x2_indices" not in got


def test_an_only_kernel_needs_no_choice(folder, tmp_path):
    assert run("export", folder / "ntk.h5", "--format", "npy", "-o", tmp_path / "a").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("one.h5", "--format", "npy"), "holds nngp and ntk, and npy takes one kernel: choose"),
        (("ntk.h5", "--format", "csv", "--get", "nngp"), 'unknown kernel "nngp"; known: ntk'),
        (("ntk.h5", "--format", "cvs"), 'unknown format "cvs" (did you mean "csv"?)'),
        (("gone.h5", "--format", "csv"), "no such file"),
        (("ntk.h5", "--format", "npy", "-o", "no/k.npy"), "cannot be written (No such file"),
        (("ntk.h5", "--format", "npy", "-o", "x.npy"), "exists already; choose another name"),
    ],
)
def test_what_export_refuses(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    result = run("export", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert sorted(folder.iterdir()) == before


def test_export_overwrites_when_asked(folder, tmp_path):
    (tmp_path / "k.npy").touch()
    arguments = ("--format", "npy", "-o", tmp_path / "k.npy")
    assert run("export", folder / "ntk.h5", *arguments, "--overwrite").exit_code == 0
    assert np.load(tmp_path / "k.npy").shape == (6, 6)


def test_damage_is_not_exported(folder, tmp_path):
    path = tmp_path / "k.h5"
    data = bytearray((folder / "one.h5").read_bytes())
    with h5py.File(folder / "one.h5") as file:
        data[data.index(file["ntk"][4:8, 4:8].tobytes())] ^= 1
    path.write_bytes(data)
    result = run("export", path, "--format", "npz")
    assert result.exit_code == 2
    assert "tile (1, 1) of ntk is damaged" in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["k.h5"]


def test_an_unfinished_file_is_not_exported(folder, tmp_path):
    from refntk.data.kernels.kernel_seal import write_seal

    path = tmp_path / "k.h5"
    path.write_bytes((folder / "ntk.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file["tiles"][0, 0] = 0
        del file.attrs["seal"]
        write_seal(file)
    result = run("export", path, "--format", "npy")
    assert result.exit_code == 2
    assert "is not complete; finish the computation first" in result.stderr
