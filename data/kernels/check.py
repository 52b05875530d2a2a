"""Whether a kernel file holds what it says: digests, symmetry, eigenvalues, entries anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refntk.data.images.inputs import load_inputs
from refntk.data.kernels.kernel_array import KernelArray
from refntk.data.kernels.kernel_reader import KernelFile
from refntk.data.kernels.kernel_record import differences
from refntk.data.kernels.lanczos import Extremes, extreme_eigenvalues
from refntk.errors import RefntkError, StoreError
from refntk.evaluation.evaluate import kernel
from refntk.evaluation.machine import available_memory
from refntk.network.network import Network

__all__ = ["TOLERANCES", "Findings", "check_file", "compare_files"]

FloatArray = NDArray[np.floating[Any]]

TOLERANCES = {"float64": 1e-12, "float32": 5e-6}
"""Largest relative difference of an entry that is computed another way, by dtype."""

_ALL_EIGENVALUES = 2000
"""Up to this size all eigenvalues are computed; beyond, the extreme ones are estimated."""

_SHOWN = 3


@dataclass
class Findings:
    """What a check found.

    Attributes
    ----------
    lines : list of str
        For a person, in the order in which it was found.
    faults : list of str
        What is wrong, one text each; empty where everything is as it should be.
    """

    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, what: str, text: str, *, fault: bool = False) -> None:
        """Add a line that begins with what it is about.

        Parameters
        ----------
        what : str
            A word, or nothing where it goes on with the one before.
        text : str
        fault : bool
            Whether it is one.
        """
        self.lines.append(f"{what:<12}{text}")
        if fault:
            self.faults.append(f"{what}: {text}" if what else text)


def check_file(
    file: KernelFile,
    *,
    x1: str | None = None,
    x2: str | None = None,
    sample: int = 64,
    seed: int = 0,
    progress: Callable[[int], None] = lambda entries: None,
) -> Findings:
    """Read a whole kernel file, and compute some of it again.

    Parameters
    ----------
    file : KernelFile
        Open; its seal was compared when it was opened.
    x1, x2 : str, optional
        Where the images are now. Default: where the file says that they were.
    sample : int
        About how many entries of each kernel are computed again; 0 for none.
    seed : int
        Of the choice of these.
    progress : callable, optional
        Called now and then with the number of entries that have been read since.

    Returns
    -------
    Findings
        Damaged tiles, entries that are not finite or not symmetric, eigenvalues below
        ``-TOLERANCES * largest``, and entries that come out otherwise are faults. That the images
        are not there any more is not.
    """
    found = Findings()
    state = "complete" if file.complete else f"{file.tiles.sum()} of {file.tiles.size} tiles"
    found.add("file", f"{file.attributes['format']}, {state}", fault=not file.complete)
    found.add("seal", "as they were written")
    for name in file.names:
        array = getattr(file, name)
        whole = _check_entries(array, file.attributes["symmetric"], found, progress)
        if whole and file.complete and file.attributes["symmetric"]:
            _check_eigenvalues(array, found)
    if sample and not found.faults:
        _check_sample(file, x1, x2, sample, seed, found)
    return found


def _check_entries(
    array: KernelArray, symmetric: bool, found: Findings, progress: Callable[[int], None]
) -> bool:
    """Read every tile; whether all are whole, finite and, where they must be, symmetric."""
    damaged: list[str] = []
    infinite = asymmetric = 0
    side = array.chunks[0]
    for top in range(0, array.shape[0], side):
        rows = slice(top, min(top + side, array.shape[0]))
        try:
            band = array[rows]
            infinite += int(np.count_nonzero(~np.isfinite(band)))
            if symmetric:
                right = band[:, top:]
                equal = (right == array[top:, rows].T) | np.isnan(right)
                asymmetric += int(np.count_nonzero(~equal))
        except StoreError:
            damaged += array.damaged(top // side)
        progress((rows.stop - rows.start) * array.shape[1])
    if damaged:
        text = f"{len(damaged)} tiles are damaged: {'; '.join(damaged[:_SHOWN])}"
        found.add(array.name, text + ("; ..." if len(damaged) > _SHOWN else ""), fault=True)
        return False
    found.add(array.name, f"{array.size} entries {array.dtype.name}, every tile as it was written")
    if infinite:
        found.add(array.name, f"{infinite} entries are NaN or infinite", fault=True)
    if symmetric:
        text = "exactly symmetric" if not asymmetric else f"{asymmetric} entries are not symmetric"
        found.add(array.name, text, fault=bool(asymmetric))
    return not infinite and not asymmetric


def _check_eigenvalues(array: KernelArray, found: Findings) -> None:
    """Report the extreme eigenvalues of a Gram matrix."""
    size, limit = array.shape[0], TOLERANCES[array.dtype.name]
    extremes = _extremes(array)
    text = f"eigenvalues {extremes.smallest:.6g} to {extremes.largest:.6g}"
    if extremes.steps:
        text += f", estimated in {extremes.steps} steps, the smallest within {extremes.error:.2g}"
    else:
        text += f", all {size} computed"
    negative = extremes.smallest < -limit * extremes.largest
    if negative:
        text += f": not positive semidefinite, below -{limit:g} of the largest"
    found.add(array.name, text, fault=negative)


def _extremes(array: KernelArray) -> Extremes:
    """Smallest and largest eigenvalue, in memory if there is enough, else from the file."""
    size = array.shape[0]
    if size <= _ALL_EIGENVALUES:
        values = np.linalg.eigvalsh(array[...].astype(np.float64))
        return Extremes(float(values[0]), float(values[-1]), 0.0, 0)
    memory = available_memory()
    held = array[...] if memory is not None and array.nbytes < memory // 4 else None

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.empty(size)
        for top in range(0, size, array.chunks[0]):
            rows = slice(top, min(top + array.chunks[0], size))
            band = array[rows] if held is None else held[rows]
            out[rows] = band.astype(np.float64) @ vector
        return out

    return extreme_eigenvalues(product, size)


def _check_sample(
    file: KernelFile, x1: str | None, x2: str | None, sample: int, seed: int, found: Findings
) -> None:
    """Compute the entries of some rows and columns again, from the images."""
    rng = np.random.default_rng(seed)
    side = max(1, round(sample**0.5))
    chosen = [
        np.sort(rng.choice(info.count, min(side, info.count), replace=False))
        for info in (file.x1, file.x2)
    ]
    about = file.attributes
    try:
        net = Network.from_toml_string(about["network"])
        one, two = _images_again(file, x1, x2, chosen)
        again = kernel(net, one, two, file.names, about["dtype"], about["backend"])
    except RefntkError as error:
        found.add("sample", f"not computed again: {error}; --x1 and --x2 say where the images are")
        return
    if net.hash != about["network_hash"]:
        found.add("network", "its hash is not that of the network in the file", fault=True)
    for name in file.names:
        stored, computed = getattr(file, name)[np.ix_(*chosen)], getattr(again, name)
        worst = _largest_difference(stored, computed)
        text = f"{stored.size} entries computed again, largest relative difference {worst:.2g}"
        limit = TOLERANCES[about["dtype"]]
        if worst > limit:
            text += f", more than {limit:g}"
        found.add(name, text, fault=not worst <= limit)


def _images_again(
    file: KernelFile, x1: str | None, x2: str | None, chosen: list[NDArray[np.int64]]
) -> list[FloatArray]:
    """Load the images of some rows and columns, told by their digests."""
    prepared = file.attributes["preprocessing"]
    symmetric = file.attributes["symmetric"]
    inputs = load_inputs(
        x1 or file.x1.source,
        None if symmetric else x2 or file.x2.source,
        limit=prepared.get("limit"),
        seed=prepared.get("seed") or 0,
        size=prepared.get("size"),
        standardize=prepared.get("standardize") is not None,
        scale=prepared.get("scale", "auto"),
        alpha=prepared.get("alpha"),
        fit=prepared.get("fit", "resize"),
        axes=len(file.x1.shape) - 1,
        lattice=prepared.get("lattice"),
    )
    if inputs.preprocessing.get("standardize") != prepared.get("standardize"):
        raise StoreError(f"{inputs.info1.source}: the mean and deviation of its images are others")
    loaded = [(inputs.info1, inputs.x1), (inputs.info2 or inputs.info1, inputs.x2)]
    out: list[FloatArray] = []
    for (info, images), stored, wanted in zip(loaded, (file.x1, file.x2), chosen, strict=True):
        place = {digest: index for index, digest in enumerate(info.sha256.tolist())}
        digests = stored.sha256[wanted].tolist()
        missing = [int(i) for i, digest in zip(wanted, digests, strict=True) if digest not in place]
        if missing:
            raise StoreError(f"{info.source}: does not hold image {missing[0]} of the kernel")
        pixels = inputs.x1 if images is None else images
        out.append(pixels[[place[digest] for digest in digests]])
    return out


def _largest_difference(first: FloatArray, second: FloatArray) -> float:
    """Largest difference of two arrays, relative to the entry of the first."""
    one, two = (np.asarray(x, np.float64) for x in (first, second))
    difference = np.abs(one - two)
    scale = np.abs(one)
    relative = np.full(one.shape, np.inf)
    np.divide(difference, scale, out=relative, where=scale > 0)
    relative[one == two] = 0.0
    relative[~np.isfinite(difference) & ~(one == two)] = np.inf
    return float(relative.max())


def compare_files(
    first: KernelFile, second: KernelFile, tolerance: float | None = None
) -> Findings:
    """Compare two kernel files entry by entry.

    Parameters
    ----------
    first, second : KernelFile
    tolerance : float, optional
        Largest relative difference of an entry. Default: `TOLERANCES` of the coarser dtype.

    Returns
    -------
    Findings
        Kernels that only one of them has, other shapes and entries that differ by more are faults.
        Other networks, images and so on are told and are none by themselves.
    """
    found = Findings()
    for text in differences(first.record.description, second.record.description):
        found.add("differs in", text)
    limit = tolerance
    if limit is None:
        limit = max(TOLERANCES[file.attributes["dtype"]] for file in (first, second))
    for name in dict.fromkeys([*first.names, *second.names]):
        one, two = getattr(first, name), getattr(second, name)
        if one is None or two is None:
            lacking = first if one is None else second
            found.add(name, f"is not in {lacking.path}", fault=True)
        elif one.shape != two.shape:
            found.add(name, f"shape {one.shape} and {two.shape}", fault=True)
        else:
            worst = max(
                _largest_difference(band, np.asarray(two[rows])) for rows, band in one.bands()
            )
            same = "every entry is the same" if worst == 0 else f"relative difference {worst:.3g}"
            found.add(name, same, fault=not worst <= limit)
    return found
