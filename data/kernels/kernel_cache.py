"""Kernels that are looked for on disk before they are computed, and kept there afterwards.

A cache is a folder of ordinary kernel files. Any complete one in it serves, whoever wrote it and
whatever its name: what counts is the network, the images and what was done to them.
"""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import InputInfo
from refntk.data.images.inputs import Inputs
from refntk.data.kernels.kernel_format import KernelDescription
from refntk.data.kernels.store import KernelFile, KernelWriter, open_kernel
from refntk.data.limits import one_line
from refntk.errors import StoreError
from refntk.evaluation.evaluate import Job
from refntk.evaluation.options import Options
from refntk.evaluation.result import Computed
from refntk.network.network import Network

__all__ = ["CachedKernel", "default_cache", "describe_job", "match_images"]

IntArray = NDArray[np.int64]


def default_cache() -> Path:
    """Find the folder where kernels are kept if no other is named.

    Returns
    -------
    pathlib.Path
        ``refntk/kernels`` in ``$XDG_CACHE_HOME``, or else in ``~/.cache``.
    """
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "refntk" / "kernels"


def describe_job(job: Job | Computed, inputs: Inputs) -> KernelDescription:
    """Put together what a kernel file says about the computation of its kernels.

    Parameters
    ----------
    job : Job or Computed
        Made of the images of `inputs`.
    inputs : Inputs

    Returns
    -------
    KernelDescription
    """
    return KernelDescription(
        network=job.net.to_toml(),
        network_hash=job.net.hash,
        kernels=job.get,
        dtype=job.dtype,
        backend=job.backend,
        method=job.method,
        tile=job.tile,
        x1=inputs.info1,
        x2=inputs.info2,
        preprocessing=inputs.preprocessing,
    )


def match_images(wanted: InputInfo, held: InputInfo) -> IntArray | None:
    """Find images among others, by their digests.

    Parameters
    ----------
    wanted, held : InputInfo

    Returns
    -------
    array of int64, shape (wanted.count,), or None
        Place of each wanted image among the held ones; None where one is missing, or where the
        images were stored with another shape or dtype.
    """
    if (wanted.shape, wanted.dtype) != (held.shape, held.dtype):
        return None
    places = {digest: place for place, digest in enumerate(held.sha256.tolist())}
    found = [places.get(digest, -1) for digest in wanted.sha256.tolist()]
    return None if -1 in found else np.array(found, np.int64)


class CachedKernel:
    """One kernel of one network for given images, from a cache folder or into it.

    Parameters
    ----------
    net : Network
    inputs : Inputs
        The images, prepared, and what is known about them.
    name : {"nngp", "ntk"}
        Which kernel.
    folder : path
        The cache; made where it does not exist.
    dtype : {"float64", "float32"}
        A kernel of another precision does not serve.
    threads : int, optional
        For the computation.

    Attributes
    ----------
    path : pathlib.Path
        The file that serves, or the one that `open` will write.
    found : bool
        Whether `path` holds the kernel, so that there is nothing to compute.
    job : refntk.evaluation.evaluate.Job
        The computation.

    Raises
    ------
    StoreError
        The folder cannot be made or read.
    InputError, ShapeError, NetworkError
        As `refntk.kernel`.
    """

    def __init__(
        self,
        net: Network,
        inputs: Inputs,
        name: str,
        *,
        folder: str | Path,
        dtype: str = "float64",
        threads: int | None = None,
    ) -> None:
        self._inputs = inputs
        self._name = name
        options = Options(get=name, dtype=dtype, threads=threads)
        self.job = Job(net, inputs.x1, inputs.x2, options)
        self._folder = Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            files = sorted(self._folder.glob("*.h5"))
        except OSError as error:
            raise StoreError(
                f"{self._folder}: not usable as a folder for kernels ({one_line(error)}); choose "
                "another with --cache"
            ) from error
        self.path = self._folder / self._file_name()
        self.found = False
        for path in files:
            if self._serves(path):
                self.path, self.found = path, True
                break

    def _file_name(self) -> str:
        """Name a new file after everything that distinguishes it."""
        infos = [info for info in (self._inputs.info1, self._inputs.info2) if info is not None]
        told: list[Any] = [
            version("refntk"),  # one version does not go on with what another began
            self.job.net.hash,
            _preparation(self._inputs.preprocessing),
            [[info.shape, info.dtype, info.sha256.tobytes().decode()] for info in infos],
        ]
        digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
        title = "".join(c if c.isalnum() or c in "-_" else "-" for c in self.job.net.name or "net")
        return f"{title[:40]}-{self._name}-{self.job.dtype}-{digest}.h5"

    def _serves(self, path: Path) -> bool:
        """Whether a file holds every entry that is wanted."""
        try:
            with open_kernel(path) as kernel:
                return kernel.complete and self._places(kernel) is not None
        except StoreError:
            # A file that is no kernel, or damaged, is none that serves.
            return False

    def _places(self, kernel: KernelFile) -> tuple[IntArray, IntArray] | None:
        """Rows and columns of a file at which the wanted entries are."""
        about = kernel.attributes
        if (
            about["network_hash"] != self.job.net.hash
            or about["dtype"] != self.job.dtype
            or self._name not in kernel.names
            or not _same_preparation(about["preprocessing"], self._inputs.preprocessing)
        ):
            return None
        first, second = self._inputs.info1, self._inputs.info2
        rows = match_images(first, kernel.x1)
        columns = match_images(first if second is None else second, kernel.x2)
        return None if rows is None or columns is None else (rows, columns)

    def open(self) -> KernelWriter:
        """Begin the file that holds the kernel, or go on with what is there of it.

        Returns
        -------
        KernelWriter
            To be filled with the tiles of `job` and finished; a context manager. What is written
            survives an interruption, and is found by the next one that is opened.

        Raises
        ------
        StoreError
            The file cannot be written, or another process writes it.
        """
        # A file of this name that does not serve is damaged.
        damaged = self.path.exists()
        description = describe_job(self.job, self._inputs)
        return KernelWriter(self.path, description, resume=not damaged, overwrite=damaged)

    def read(self) -> NDArray[np.floating[Any]]:
        """Read the kernel.

        Returns
        -------
        float array, shape (N1, N2)
            Rows and columns in the order of the images that were given.

        Raises
        ------
        StoreError
            The file is missing or damaged, or changed since it was found.
        """
        with open_kernel(self.path) as kernel:
            places = self._places(kernel)
            if places is None or not kernel.complete:
                raise StoreError(f"{self.path}: changed while it was used; repeat the command")
            values: NDArray[np.floating[Any]] = getattr(kernel, self._name)[...]
        rows, columns = places
        whole = (np.arange(values.shape[0]), np.arange(values.shape[1]))
        if np.array_equal(rows, whole[0]) and np.array_equal(columns, whole[1]):
            return values
        return values[np.ix_(rows, columns)]


def _preparation(record: dict[str, Any]) -> list[Any]:
    """Pick what was done to each image; their digests tell which were chosen."""
    scaling = record.get("scaling") or {}
    first = scaling.get("x1")
    return [first, scaling.get("x2", first), record.get("size"), record.get("standardize")]


def _same_preparation(held: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return "scaling" in held and _preparation(held) == _preparation(wanted)
