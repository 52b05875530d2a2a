"""NIfTI files: axes, scaling, voxel sizes, and what is refused."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from refntk.data import load_images, load_inputs
from refntk.errors import InputError, InputWarning


def save(path: Path, values: Any, affine: Any = None) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


def scan(seed: int = 0, shape: tuple[int, ...] = (3, 4, 5)) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_depth_is_the_last_axis_of_the_file(tmp_path: Path, suffix: str) -> None:
    x = scan()
    found = load_images(save(tmp_path / f"x{suffix}", x)).images
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[0, ..., 0], x.transpose(2, 1, 0))


def test_axes_are_brought_to_the_directions_of_the_body(tmp_path: Path) -> None:
    x = scan()
    stored = np.flip(x, 0).transpose(1, 0, 2)  # the file's first axis is y, its second -x
    affine = np.array([[0, -1, 0, 2], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    found = load_images(save(tmp_path / "x.nii", stored, affine)).images
    np.testing.assert_array_equal(found[0, ..., 0], x.transpose(2, 1, 0))


def test_values_are_scaled_as_the_header_says(tmp_path: Path) -> None:
    x = scan().astype(np.int16)
    path = save(tmp_path / "x.nii", x)
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([2, -5], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(raw)
    np.testing.assert_array_equal(
        load_images(path).images[0, ..., 0], 2.0 * x.transpose(2, 1, 0) - 5
    )


def test_a_fourth_axis_is_that_of_channels(tmp_path: Path) -> None:
    x = scan(shape=(3, 4, 5, 2))
    for name, values in (("x.nii", x), ("y.nii", x[:, :, :, None])):
        found = load_images(save(tmp_path / name, values)).images
        np.testing.assert_array_equal(found[0], x.transpose(2, 1, 0, 3))


def test_sub_folders_are_classes_and_sizes_may_differ(tmp_path: Path) -> None:
    for k, name in enumerate(("ill", "well")):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "a.nii.gz", scan(k, (4, 4, 4)))
        save(tmp_path / name / "b.nii.gz", scan(k + 2, (6, 5, 4)))
    with pytest.raises(InputError, match="--size PX shrinks images of unlike size"):
        load_inputs(str(tmp_path), axes=3)
    with pytest.warns(InputWarning, match="differ in size"):
        inputs = load_inputs(str(tmp_path), size=2, axes=3)
    assert inputs.x1.shape == (4, 2, 2, 2, 1)
    assert inputs.info1.shape == (4, 5, 6, 1)
    assert inputs.info1.class_names == ("ill", "well")
    assert inputs.info1.names == ("ill/a.nii.gz", "ill/b.nii.gz", "well/a.nii.gz", "well/b.nii.gz")
    assert len(load_images(f"{tmp_path}/*/a.nii.gz").images) == 2


def test_voxels_that_are_no_cubes_are_said(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", scan(), np.diag([1, 1, 3, 1]))
    with pytest.warns(InputWarning, match=r"1 x 1 x 3 and no cubes, .* such as D2h"):
        load_images(path)
    path = save(tmp_path / "a.nii", scan(), np.diag([2, 2, 2, 1]))
    save(tmp_path / "b.nii", scan())
    with pytest.warns(InputWarning, match=r"b.nii: its voxels are 1 x 1 x 1, and .* 2 wide"):
        load_images(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_images(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((3, 4), np.float32), r"shape \(3, 4\); expected one volume"),
        (np.ones((3, 4, 5, 2, 2), np.float32), "expected one volume"),
        (np.ones((3, 4, 5), np.complex64), "values of dtype complex64"),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path: Path, values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_images(save(tmp_path / "x.nii", values))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_damaged_files_are_refused(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"x{suffix}", scan(shape=(20, 20, 20)))
    whole = path.read_bytes()
    for cut in (0, 100, 400, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match=f"x{suffix}: "):
            load_images(path)


def test_a_header_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", scan())
    raw = bytearray(path.read_bytes())
    raw[42:48] = np.array([20000, 20000, 20000], "<i2").tobytes()
    path.write_bytes(raw)
    with pytest.raises(InputError, match="x.nii: "):
        load_images(path)


def test_without_nibabel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "x.nii", scan())
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(InputError, match=r"need nibabel; install it with .*refntk\[images\]"):
        load_images(path)


def test_a_network_of_images_refuses_a_scan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the network is not one of volumes"):
        load_inputs(str(save(tmp_path / "x.nii", scan())), axes=2)
