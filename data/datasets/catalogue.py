"""The public data sets that `refntk data fetch` knows: where they are and what they must be.

Checksums and sizes are those that the publishers, or the packages that distribute the files, state.
"""

from __future__ import annotations

from dataclasses import dataclass

from refntk.errors import InputError, unknown

__all__ = ["DATASETS", "Dataset", "RemoteFile", "dataset"]


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set.

    Parameters
    ----------
    name : str
        Its name in the cache folder.
    url : str
    size : int
        In bytes.
    checksum : str
        As pooch writes it: the algorithm, a colon and the digest in hexadecimal.
    exact : bool
        Whether the publisher states `size`; else it is an upper bound, and the server says how
        long the file is.
    """

    name: str
    url: str
    size: int
    checksum: str
    exact: bool = True


@dataclass(frozen=True)
class Dataset:
    """A data set and the forms in which its images go into a kernel.

    Parameters
    ----------
    name : str
        What it is called here.
    title : str
        What it holds, in a few words.
    source, licence : str
        Who publishes it, where, and what may be done with it.
    files : tuple of RemoteFile
    inputs : tuple of (str, str)
        Each input for `refntk.data.load_images`, as a path below the data set's folder, and what it
        holds.
    unpacked : str, optional
        The folder inside the only file, a ZIP archive, that takes the place of that file.
    network : str
        A preset that takes its images.
    options : str
        Options that `refntk compute` should get with images this many or this large.
    """

    name: str
    title: str
    source: str
    licence: str
    files: tuple[RemoteFile, ...]
    inputs: tuple[tuple[str, str], ...]
    unpacked: str | None = None
    network: str = "gcnn-paper"
    options: str = ""

    @property
    def size(self) -> int:
        """Bytes to download in all, or at most."""
        return sum(file.size for file in self.files)


def _mnist(name: str, size: int, sha256: str) -> RemoteFile:
    url = f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}"
    return RemoteFile(name, url, size, f"sha256:{sha256}")


_MNIST = Dataset(
    name="mnist",
    title="handwritten digits, 28x28 grey, 10 classes",
    source="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Proc. IEEE 86(11), 1998",
    licence="CC BY-SA 3.0",
    files=(
        _mnist(
            "train-images-idx3-ubyte.gz", 9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        _mnist(
            "train-labels-idx1-ubyte.gz", 28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        _mnist(
            "t10k-images-idx3-ubyte.gz", 1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        _mnist(
            "t10k-labels-idx1-ubyte.gz", 4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    inputs=(
        ("train-images-idx3-ubyte.gz", "60000 training images, with labels"),
        ("t10k-images-idx3-ubyte.gz", "10000 test images, with labels"),
    ),
    options="--limit 90",
)  # fmt: skip

_PATHMNIST = Dataset(
    name="pathmnist",
    title="colon histology, 28x28 RGB, 9 tissue classes",
    source="J. Yang et al., MedMNIST v2, Scientific Data 10:41 (2023), doi:10.5281/zenodo.10519652",
    licence="CC BY 4.0",
    files=(
        RemoteFile(
            "pathmnist.npz",
            "https://zenodo.org/records/10519652/files/pathmnist.npz?download=1",
            205_615_438,
            "md5:a8b06965200029087d5bd730944a56c1",
        ),
    ),
    inputs=(
        ("pathmnist.npz::train_images", "89996 training tiles, with labels"),
        ("pathmnist.npz::val_images", "10004 validation tiles, with labels"),
        ("pathmnist.npz::test_images", "7180 test tiles of another clinic, with labels"),
    ),
    options="--limit 90",
)

_HISTOLOGY = Dataset(
    name="nct-crc-he-100k",
    title="colon histology, 224x224 RGB, 9 tissue classes",
    source="J. N. Kather, N. Halama, A. Marx (2018), doi:10.5281/zenodo.1214456",
    licence="CC BY 4.0",
    files=(
        RemoteFile(
            "NCT-CRC-HE-100K.zip",
            "https://zenodo.org/records/1214456/files/NCT-CRC-HE-100K.zip?download=1",
            11_690_284_003,
            "md5:6fd702d11df6292bc054397ae038a464",
        ),
    ),
    inputs=(("NCT-CRC-HE-100K", "100000 tiles, a sub-folder for each class"),),
    unpacked="NCT-CRC-HE-100K",
    options="--limit 90 --size 32",
)

_ORGANS = Dataset(
    name="organmnist3d",
    title="organs in CT scans, volumes of 28x28x28, 11 classes",
    source="J. Yang et al., MedMNIST v2, Scientific Data 10:41 (2023), doi:10.5281/zenodo.10519652",
    licence="CC BY 4.0",
    files=(
        RemoteFile(
            "organmnist3d.npz",
            "https://zenodo.org/records/10519652/files/organmnist3d.npz?download=1",
            38_300_000,  # 1742 volumes before they are compressed
            "md5:a0c5a1ff56af4f155c46d46fbb45a2fe",
            exact=False,
        ),
    ),
    inputs=(
        ("organmnist3d.npz::train_images", "971 training volumes, with labels"),
        ("organmnist3d.npz::val_images", "161 validation volumes, with labels"),
        ("organmnist3d.npz::test_images", "610 test volumes, with labels"),
    ),
    network="gcnn-3d",
    options="--limit 90 --size 14",
)

DATASETS: dict[str, Dataset] = {
    each.name: each for each in (_MNIST, _PATHMNIST, _HISTOLOGY, _ORGANS)
}
"""Every data set by its name."""


def dataset(name: str) -> Dataset:
    """Return the data set of this name.

    Parameters
    ----------
    name : str
        One of `DATASETS`; upper and lower case count as equal.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        No data set has this name.
    """
    if name.lower() not in DATASETS:
        raise InputError(unknown("data set", name, DATASETS))
    return DATASETS[name.lower()]
