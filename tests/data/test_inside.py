"""Names in an HDF5 file: links that stay inside are followed, nothing outside is opened."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from refntk.data.images.load import load_images
from refntk.data.inside import find, plain_dataset
from refntk.data.kernels.store import open_kernel
from refntk.errors import InputError, StoreError

SECRET = np.arange(16, dtype=np.uint8)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "secret.bin").write_bytes(SECRET.tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["values"] = SECRET
        other["group/values"] = SECRET
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["group/values"] = SECRET
        yield file


def elsewhere(file: h5py.File, kind: str) -> None:
    """Let the name ``kernel`` lead out of the file."""
    folder = Path(file.filename).parent
    if kind == "external link":
        file["kernel"] = h5py.ExternalLink(str(folder / "other.h5"), "/values")
    elif kind == "soft link over an external one":
        file["away"] = h5py.ExternalLink(str(folder / "other.h5"), "/group")
        file["kernel"] = h5py.SoftLink("/away/values")
    elif kind == "external link to a pipe":  # to open it is to wait for ever
        file["kernel"] = h5py.ExternalLink("/dev/stdin", "/values")
    elif kind == "virtual dataset":
        layout = h5py.VirtualLayout(shape=(16,), dtype=np.uint8)
        layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "values", shape=(16,))
        file.create_virtual_dataset("kernel", layout)
    else:
        outside = [(str(folder / "secret.bin"), 0, 16)]
        file.create_dataset("kernel", (16,), np.uint8, external=outside)


KINDS = {
    "external link": "a link to another file",
    "soft link over an external one": "a link to another file",
    "external link to a pipe": "a link to another file",
    "virtual dataset": "a virtual dataset",
    "external storage": "a dataset whose values lie in another file",
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_outside_is_read(file, kind):
    elsewhere(file, kind)
    message = rf"file\.h5::kernel: is {KINDS[kind]}.*, which is not opened; copy the data into one"
    with pytest.raises(InputError, match=message):
        plain_dataset(file, "kernel")


@pytest.mark.parametrize("path", ["/group/values", "group", "values", "./values", "chain"])
def test_links_inside_are_followed(file, path):
    file["group/here"] = h5py.SoftLink("values")
    file["chain2"] = h5py.SoftLink("/group")
    file["chain"] = h5py.SoftLink("chain2/here")
    targets = {"group": "group/here", "values": "/chain2/values", "./values": "./group/./values"}
    found = plain_dataset(file, targets.get(path, path))
    np.testing.assert_array_equal(found[...], SECRET)


def test_names_that_lead_nowhere(file):
    file["round"] = h5py.SoftLink("/round")
    file["dangling"] = h5py.SoftLink("/nothing")
    with pytest.raises(InputError, match="round: its links go round in circles"):
        find(file, "round")
    for name in ("dangling", "missing", "group/values/deeper"):
        with pytest.raises(KeyError):
            find(file, name)
    with pytest.raises(KeyError):
        plain_dataset(file, "group")


@pytest.mark.parametrize("name", ["nngp", "x1/sha256", "tiles", "digests/nngp"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "pipe" not in kind])
def test_a_kernel_file_reads_nothing_outside(kernel_file, tmp_path, file, kind, name):
    elsewhere(file, kind)
    with h5py.File(kernel_file, "r+") as kernels:
        del kernels[name]
        if "link" in kind:
            kernels[name] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/values")
        else:
            file.copy("kernel", kernels, name)
    with pytest.raises(StoreError, match=f"{name.split('/')[-1]}: is a .*, which is not opened"):
        open_kernel(kernel_file)


@pytest.fixture
def kernel_file(tmp_path):
    from click.testing import CliRunner

    from refntk.cli import main

    np.save(tmp_path / "x.npy", np.ones((3, 4, 4, 1)))
    path = tmp_path / "kernel.h5"
    words = ["compute", "cnn-paper", str(tmp_path / "x.npy"), "-o", str(path), "-q"]
    result = CliRunner().invoke(main, [*words, "--backend", "numpy"])
    assert result.exit_code == 0, result.output
    return path


def test_an_image_file_reads_nothing_outside(file, tmp_path):
    file.create_dataset(
        "images", (1, 4, 4), np.uint8, external=[(str(tmp_path / "secret.bin"), 0, 16)]
    )
    file.close()
    with pytest.raises(InputError, match="images: is a dataset whose values lie in another file"):
        load_images(str(tmp_path / "file.h5::images"))
