"""Judging a big kernel matrix by a sample of its entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

import refntk
from refntk.cli import main
from refntk.errors import InputError
from refntk.oracle.sample import Sample, judge_matrix

NETWORK = "mlp-1"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["oracle", "judge", *map(str, arguments)])


@pytest.fixture(scope="module")
def images() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(20, 4, 4, 2)) / 4


@pytest.fixture(scope="module")
def gram(images: Any) -> refntk.Kernel:
    return refntk.kernel(refntk.preset(NETWORK), images)


def saved(folder: Path, images: Any, matrix: Any) -> tuple[Path, Path]:
    np.save(folder / "x.npy", images)
    np.save(folder / "k.npy", matrix)
    return folder / "k.npy", folder / "x.npy"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_a_right_matrix(dtype: str, get: str, images: Any, gram: Any, tmp_path: Path) -> None:
    matrix, x = saved(tmp_path, images, getattr(gram, get).astype(dtype))
    result = run(matrix, "--network", NETWORK, "--x", x, "--get", get, "--entries", 60)
    assert (result.exit_code, result.stderr) == (0, "")
    first, second, third, fourth = result.stdout.splitlines()
    assert first == f"{matrix}: {get}"
    assert second == "  60 of 400 entries computed again"
    assert third.startswith("  largest relative error ")
    # 1 - 0.05^(1/60)
    limit = "1e-09" if dtype == "float64" else "1e-04"
    assert fourth == (
        f"  0 of 60 wrong by more than {limit}: with 95% confidence at most 4.87% of all entries "
        "are"
    )


def test_a_wrong_factor_is_named(images: Any, gram: Any, tmp_path: Path) -> None:
    matrix, x = saved(tmp_path, images, 2 * gram.ntk)
    result = run(matrix, "--network", NETWORK, "--x", x, "--entries", 20)
    assert result.exit_code == 1
    assert "20 of 20 wrong by more than 1e-09: with 95% confidence at most 100.00%" in result.stdout
    assert "all of these entries are 2 times what they should be" in result.stdout


def test_some_wrong_entries_are_counted(images: Any, gram: Any) -> None:
    broken = gram.nngp.copy()
    broken[5] *= 1.001
    broken[7, :4] = np.nan
    sample = judge_matrix(refntk.preset(NETWORK), broken, images, get="nngp", count=200, seed=3)
    rows, columns = sample.places.T
    # A wrong mirror image is as bad as a wrong entry.
    hit = (rows == 5) | (columns == 5)
    lost = ((rows == 7) & (columns < 4)) | ((rows < 4) & (columns == 7))
    assert hit.any()
    assert lost.any()
    assert sample.wrong == np.count_nonzero(hit | lost)
    np.testing.assert_allclose(sample.errors[hit & ~lost], 1e-3, rtol=1e-6)
    assert np.isinf(sample.errors[lost]).all()
    assert np.max(sample.errors[~hit & ~lost]) < 1e-12
    assert sample.ratio is None
    true_share = (20 + 19 + 4 + 4) / 400
    assert true_share < sample.share < true_share + 0.1
    looser = judge_matrix(
        refntk.preset(NETWORK), broken, images, get="nngp", count=200, seed=3, tolerance=0.01
    )
    assert looser.wrong == np.count_nonzero(lost)


def test_the_bound_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    exact, held, share = np.ones(50), 0, 0.07
    for _ in range(1000):
        given = np.where(rng.random(50) < share, 2.0, 1.0)
        held += Sample(np.zeros((50, 2), int), given, exact, 0.1, 2500).share >= share
    assert 950 <= held < 1000


def test_two_sets_of_images(images: Any, tmp_path: Path) -> None:
    cross = refntk.kernel(refntk.preset("cnn-gap"), images[:6], images[6:], get="nngp").nngp
    matrix, x = saved(tmp_path, images[:6], cross)
    np.save(tmp_path / "y.npy", images[6:])
    arguments = ("--network", "cnn-gap", "--x", x, "--x2", tmp_path / "y.npy", "--get", "nngp")
    assert run(matrix, *arguments, "--entries", 20).exit_code == 0
    np.save(matrix, cross[:, ::-1])
    assert run(matrix, *arguments, "--entries", 20).exit_code == 1


def test_a_kernel_file_says_how_images_were_prepared(tmp_path: Path) -> None:
    store = tmp_path / "k.h5"
    arguments = ["sample:histology", "-o", str(store), "--limit", "9", "--size", "6"]
    made = CliRunner().invoke(main, ["compute", NETWORK, *arguments, "--standardize", "-q"])
    assert made.exit_code == 0, made.stderr
    judged = (store, "--network", NETWORK, "--x", "sample:histology", "--entries", 30)
    result = run(*judged)
    assert result.exit_code == 0, result.stdout
    assert [line for line in result.stdout.splitlines() if not line.startswith(" ")] == [
        f"{store}: nngp",
        f"{store}: ntk",
    ]
    result = run(*judged, "--get", "ntk")
    assert result.stdout.splitlines()[0] == f"{store}: ntk"
    assert run(*judged[:2], "mlp-5", *judged[3:]).exit_code == 1


def test_a_damaged_entry_is_2_and_one_line(images: Any, gram: Any, tmp_path: Path) -> None:
    _, x = saved(tmp_path, images, gram.ntk)
    path = tmp_path / "k.h5"
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("ntk", data=gram.ntk, chunks=(20, 20), fletcher32=True)
        where = stored.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    result = run(path, "--network", NETWORK, "--x", x, "--entries", 3)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {path}: cannot be read (")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.npy",), "none.npy: no such file"),
        (("text.npy",), "text.npy: cannot be read"),
        (("text.txt",), "text.txt: its name says no known kind of file; expected .npy or .h5"),
        (("other.h5",), "other.h5: holds no dataset /nngp or /ntk; expected a kernel matrix"),
        (("ntk.h5", "--get", "nngp"), 'ntk.h5: unknown kernel "nngp"'),
        (("k.npy", "--x2", "few.npy"), "the matrix has the shape (20, 20), but there are 20 and 3"),
        (("ints.npy",), "the matrix has the dtype int64: expected float64 or float32"),
    ],
)
def test_bad_use_is_2_and_one_line(
    arguments: tuple[str, ...],
    words: str,
    images: Any,
    gram: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, images, gram.ntk)
    np.save("few.npy", images[:3])
    np.save("ints.npy", np.ones((20, 20), np.int64))
    for name in ("text.npy", "text.txt"):
        Path(name).write_text("this is text")
    with h5py.File("other.h5", "w") as file:
        file["x"] = np.zeros(3)
    with h5py.File("ntk.h5", "w") as file:
        file["ntk"] = gram.ntk
    result = run(*arguments, "--network", NETWORK, "--x", "x.npy")
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_matrix_is_read_one_entry_at_a_time(images: Any, gram: Any) -> None:
    class Reader:
        shape, dtype, read = gram.ntk.shape, gram.ntk.dtype, 0

        def __getitem__(self, place: tuple[int, int]) -> float:
            self.read += 1
            row, column = place
            return float(gram.ntk[row, column])

    reader, told = Reader(), []
    judge_matrix(refntk.preset(NETWORK), reader, images, count=10, progress=told.append)
    assert (reader.read, told) == (20, [1] * 10)


def test_a_list_of_images_is_no_matrix(images: Any) -> None:
    with pytest.raises(InputError, match=r"^the matrix has the shape \(20, 4, 4, 2\)"):
        judge_matrix(refntk.preset(NETWORK), images, images)
