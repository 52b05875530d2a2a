"""Shards of a kernel, and the file that is joined from them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from refntk.cli import main
from refntk.data.kernels.store import open_kernel


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    np.save(tmp_path / "x1.npy", rng.uniform(size=(9, 5, 5, 2)))
    np.save(tmp_path / "x2.npy", rng.uniform(size=(4, 5, 5, 2)))
    return tmp_path


def compute(folder: Path, out: str, *options: object, network: str = "gcnn-paper") -> Result:
    return run("compute", network, folder / "x1.npy", "-o", folder / out, "--tile", 2, *options)


def shards(folder: Path, count: int, *options: object) -> list[Path]:
    for number in range(1, count + 1):
        result = compute(folder, f"{number}.shard", "--shard", f"{number}/{count}", *options)
        assert (result.exit_code, result.stderr) == (0, "")
    return [folder / f"{number}.shard" for number in range(1, count + 1)]


def contents(path: Path) -> dict[str, Any]:
    """Datasets of a kernel file, and attributes but the moment of creation."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[...].tobytes()})
            if isinstance(item, h5py.Dataset)
            else None
        )
        found["attributes"] = {
            name: file.attrs[name] for name in file.attrs if name not in ("created", "seal")
        }
    return found


def same(one: Path, other: Path) -> bool:
    first, second = contents(one), contents(other)
    first["attributes"] = {k: bytes(np.asarray(v)) for k, v in first["attributes"].items()}
    second["attributes"] = {k: bytes(np.asarray(v)) for k, v in second["attributes"].items()}
    return first == second


# --- what comes out


@pytest.mark.parametrize("count", [1, 3, 40])
def test_joined_shards_are_the_file_of_one_run(folder: Path, count: int) -> None:
    names = shards(folder, count)  # of 15 tiles: some of 40 have none
    assert sorted(folder.glob("*.shard*")) == sorted(names)
    result = run("merge", *reversed(names), "-o", folder / "merged.h5")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{folder}/merged.h5: nngp (9, 9) float64, ntk (9, 9) float64\n"
    assert compute(folder, "one.h5").exit_code == 0
    assert same(folder / "merged.h5", folder / "one.h5")
    with open_kernel(folder / "merged.h5") as kernel:
        assert kernel.complete
        assert np.isfinite(np.asarray(kernel.ntk)).all()


def test_two_sets_of_images_and_one_kernel(folder: Path) -> None:
    options = (folder / "x2.npy", "--get", "ntk", "--dtype", "float32")
    names = shards(folder, 2, *options)
    assert run("merge", *names, "-o", folder / "merged.h5").exit_code == 0
    assert compute(folder, "one.h5", *options).exit_code == 0
    assert same(folder / "merged.h5", folder / "one.h5")


def test_a_shard_says_what_it_is(folder: Path) -> None:
    result = compute(folder, "a.shard", "--shard", "2/3")
    assert result.stdout == (
        f"{folder}/a.shard: shard 2/3 of nngp (9, 9) float64, ntk (9, 9) float64\n"
    )


def test_shares_of_unlike_number_may_overlap(folder: Path) -> None:
    names = shards(folder, 2)[:1]
    for number in (2, 4):
        out = f"of-four-{number}.shard"
        assert compute(folder, out, "--shard", f"{number}/4").exit_code == 0
        names.append(folder / out)
    assert run("merge", *names, "-o", folder / "merged.h5").exit_code == 0


def test_resume_knows_a_finished_shard(folder: Path) -> None:
    (name,) = shards(folder, 1)
    before = name.read_bytes()
    assert compute(folder, "1.shard", "--shard", "1/1", "--resume").exit_code == 0
    assert name.read_bytes() == before


def test_an_interrupted_shard_is_continued_or_merged_as_it_is(folder: Path) -> None:
    first, second = shards(folder, 2)
    part = folder / "2.shard.part"
    data = second.read_bytes()
    part.write_bytes(data[:-100])  # its last tile is torn
    second.unlink()
    result = run("merge", first, part, "-o", folder / "merged.h5")
    assert result.exit_code == 2
    assert "1 of 15 tiles are missing: shard 2/2; finish them" in result.stderr
    assert compute(folder, "2.shard", "--shard", "2/2", "--resume").exit_code == 0
    assert second.read_bytes() == data
    assert run("merge", first, second, "-o", folder / "merged.h5").exit_code == 0


# --- what is refused


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_missing_shards_are_named(folder: Path) -> None:
    names = shards(folder, 5)
    out = folder / "merged.h5"
    message = refused("merge", names[0], names[2], names[3], "-o", out)
    assert message == (
        "Error: 6 of 15 tiles are missing: shards 2/5, 5/5; finish them, with --resume, and merge "
        "again\n"
    )
    assert not out.exists()


def test_missing_tiles_are_named_where_shares_differ(folder: Path) -> None:
    first, _ = shards(folder, 2)
    compute(folder, "x.shard", "--shard", "2/3")
    message = refused("merge", first, folder / "x.shard", "-o", folder / "merged.h5")
    tiles = "[6:8, 6:8], [0:2, 2:4], [2:4, 4:6], [2:4, 8:9]"
    assert f"4 of 15 tiles are missing: tiles {tiles}; " in message


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (("--dtype", "float32"), "dtype: float64 there, float32 here"),
        (("--limit", "8"), "X1: 9 images there, 8 here"),
        (("--standardize",), "standardize: None there"),
    ],
)
def test_a_shard_of_another_kernel(folder: Path, options: tuple[str, ...], difference: str) -> None:
    first, second = shards(folder, 2)
    other = folder / "other.shard"
    assert compute(folder, other.name, "--shard", "2/2", *options).exit_code == 0
    message = refused("merge", first, other, second, "-o", folder / "merged.h5")
    assert message.startswith(f"Error: {other}: does not belong to {first} (")
    assert difference in message


def test_a_file_that_is_no_shard(folder: Path) -> None:
    (first,) = shards(folder, 1)
    run("merge", first, "-o", folder / "merged.h5")
    message = refused("merge", folder / "merged.h5", "-o", folder / "again.h5")
    assert "merged.h5: is no journal of refntk; expected a shard" in message
    assert "nothing.shard" in refused("merge", folder / "nothing.shard", "-o", folder / "again.h5")
    os.mkfifo(folder / "pipe")
    for path in (folder / "pipe", folder, "/dev/zero"):
        message = refused("merge", first, path, "-o", folder / "again.h5")
        assert message.startswith(f"Error: {path}: is no regular file; expected a shard")


def test_a_shard_is_no_kernel_file_and_a_kernel_file_holds_no_images(folder: Path) -> None:
    (first,) = shards(folder, 1)
    message = refused("export", first, "--format", "npz")
    assert f"{first}: is a shard, or what a run left behind: join shards with refntk mer" in message
    run("merge", first, "-o", folder / "merged.h5")
    message = refused("compute", "mlp-1", folder / "merged.h5", "-o", folder / "again.h5")
    assert "merged.h5: is a kernel file of refntk, and holds no images" in message


def test_an_existing_file_is_replaced_only_when_told(folder: Path) -> None:
    names = shards(folder, 1)
    out = folder / "merged.h5"
    out.write_bytes(b"precious")
    assert "exists already" in refused("merge", *names, "-o", out)
    assert out.read_bytes() == b"precious"
    assert run("merge", *names, "-o", out, "--overwrite").exit_code == 0
    with open_kernel(out) as kernel:
        assert kernel.complete


def test_a_flipped_byte_in_a_shard_is_a_missing_tile(folder: Path) -> None:
    first, second = shards(folder, 2)
    data = bytearray(second.read_bytes())
    data[-442] ^= 1  # of the last tile
    second.write_bytes(data)
    message = refused("merge", first, second, "-o", folder / "merged.h5")
    assert "1 of 15 tiles are missing: shard 2/2" in message


def test_another_share_does_not_continue(folder: Path) -> None:
    shards(folder, 2)
    message = refused(
        "compute", "gcnn-paper", folder / "x1.npy", "-o", folder / "1.shard", "--tile", 2,
        "--shard", "2/2", "--resume",
    )  # fmt: skip
    assert "cannot be continued" in message or "lacks tiles of its share" in message


@pytest.mark.parametrize(
    "word",
    ["3", "0/4", "5/4", "1/0", "-1/4", "a/b", "1/2/3", "1 / 2", "", "1/" + "9" * 20],
)
def test_a_wrong_share(folder: Path, word: str) -> None:
    message = refused("compute", "mlp-1", folder / "x1.npy", "-o", folder / "a", "--shard", word)
    assert f"{word!r}: expected I/N with I from 1 to N, such as 3/64" in message
