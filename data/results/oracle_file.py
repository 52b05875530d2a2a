"""The files of the oracle: a suite of cases, `refntk-oracle/1`, and the answers to it.

docs/oracle.md describes both for people.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from refntk.data.kernels.kernel_format import read_values
from refntk.data.limits import one_line, reading
from refntk.errors import InputError
from refntk.evaluation.evaluate import DTYPES, KERNELS
from refntk.network.network import Network
from refntk.oracle.cases import Case
from refntk.oracle.truth import Solved, Truth
from refntk.output import Output

__all__ = [
    "BUNDLED", "FORMAT", "Suite", "check_suite_path", "read_answers", "read_suite", "write_suite",
]  # fmt: skip

FORMAT = "refntk-oracle/1"

BUNDLED = "sample:oracle"
"""Name of the suite that comes with refntk: all cases, as ``oracle export --prove`` wrote it.

It is ``oracle.h5.gz`` beside this module: most of a file of many small arrays is HDF5's own.
"""


@dataclass(frozen=True, eq=False)
class Suite:
    """A suite as it was read.

    Attributes
    ----------
    identity : str
        SHA-256 of names, networks and images: what answers refer to.
    solved : dict
        Cases with their truth, by name and in the order of the file.
    damaged : dict
        By name, why a case cannot be used, in a few words.
    """

    identity: str
    solved: Mapping[str, Solved]
    damaged: Mapping[str, str]


def check_suite_path(path: str | Path, *, overwrite: bool = False) -> Output:
    """Find out before the cases are solved what would prevent writing them.

    Parameters
    ----------
    path : str or path
        The file to write.
    overwrite : bool
        Whether it may replace an older one.

    Returns
    -------
    refntk.output.Output

    Raises
    ------
    StoreError
        The folder is missing, the path is a folder, or the file exists and may not be replaced.
    """
    return Output(path, overwrite=overwrite)


def write_suite(path: str | Path, solved: Sequence[Solved], *, overwrite: bool = False) -> None:
    """Write a suite; the same cases give the same bytes.

    Parameters
    ----------
    path : str or path
        The file; it appears when it is complete.
    solved : sequence of Solved
        The cases, in their order.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    StoreError
        As `check_suite_path`, or the disk fails.
    """
    output = check_suite_path(path, overwrite=overwrite)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        _set_text(file, "format", FORMAT)
        _set_text(file, "refntk_version", version("refntk"))
        _set_text(file, "suite", _identity([one.case for one in solved]))
        file["names"] = np.array([one.case.name.encode() for one in solved])
        for one in solved:
            _write_case(file.create_group(f"cases/{one.case.name}"), one)
    with output.writing() as stream:
        stream.write(buffer.getvalue())


def read_suite(path: str | Path = BUNDLED) -> Suite:
    """Read a suite.

    Parameters
    ----------
    path : str or path
        A file, or ``sample:oracle``, the suite that comes with refntk.

    Returns
    -------
    Suite
        A case that is missing or damaged is named in `Suite.damaged`.

    Raises
    ------
    InputError
        No such file, not HDF5, no suite, or one of a format that this version does not know.
    """
    with _open(path) as file:
        found = _text(file, "format")
        if found != FORMAT:
            is_what = "is not a suite" if found is None else f"has the format {found!r}"
            raise InputError(
                f"{path}: {is_what}; expected {FORMAT!r}, which `refntk oracle export` writes"
            )
        identity = _text(file, "suite")
        if identity is None or "names" not in file or "cases" not in file:
            raise InputError(f"{path}: is a damaged suite; export it again")
        solved, damaged = {}, {}
        for name in (text.decode() for text in read_values(file, "names").tolist()):
            try:
                solved[name] = _read_case(file["cases"][name], name)
            except Exception as error:  # h5py and NumPy raise what they like on a damaged file
                damaged[name] = f"is damaged or missing in the suite ({one_line(error)})"
        return Suite(identity, solved, damaged)


def read_answers(path: str | Path, suite: Suite) -> dict[str, dict[str, NDArray[Any] | str]]:
    """Read answers to a suite.

    Parameters
    ----------
    path : str or path
        An HDF5 file with one group a case, with the datasets ``nngp`` and ``ntk``.
    suite : Suite
        The suite that they must answer.

    Returns
    -------
    dict
        By the name of the case, whether the suite has it or not, arrays by kernel; in place of one
        that cannot be read a few words about why.

    Raises
    ------
    InputError
        No such file, not HDF5, or not answers to this suite.
    """
    with _open(path) as file:
        found = _any_text(file, "suite")
        if found is None:
            raise InputError(
                f"{path}: does not say which suite it answers; copy the attribute: "
                'answers.attrs["suite"] = suite.attrs["suite"]'
            )
        if found != suite.identity:
            raise InputError(
                f"{path}: answers another version of the suite ({found[:12]}, not "
                f"{suite.identity[:12]}); answer the one that is given"
            )
        return {name: _read_answer(file[name]) for name in file}


def _identity(cases: Sequence[Case]) -> str:
    digest = hashlib.sha256()
    for case in cases:
        digest.update(f"{case.name} {case.network.hash}\n".encode())
        for images in (case.x1, case.x2):
            if images is not None:
                digest.update(f"{images.shape}\n".encode())
                digest.update(images.astype("<f8").tobytes())
    return digest.hexdigest()


def _write_case(group: h5py.Group, solved: Solved) -> None:
    case = solved.case
    _set_text(group, "network", case.network.to_toml())
    _set_text(group, "about", case.about)
    group.attrs["hard"] = case.hard
    arrays = {"x1": case.x1} | ({} if case.x2 is None else {"x2": case.x2})
    for name, truth in solved.truth.items():
        arrays |= {name: truth.value, f"{name}_radius": truth.radius}
    for name, array in arrays.items():
        group.create_dataset(name, data=array, fletcher32=True)
    for name, truth in solved.truth.items():
        for dtype, tolerance in truth.tolerance.items():
            group[name].attrs[f"tolerance_{dtype}"] = tolerance


def _read_case(group: h5py.Group, name: str) -> Solved:
    about, toml = _text(group, "about"), _text(group, "network")
    if about is None or toml is None:
        raise LookupError("an attribute is missing")
    network = Network.from_toml_string(toml, source=f"network of {name}")
    x1 = _numbers(group, "x1")
    x2 = _numbers(group, "x2") if "x2" in group else None
    pairs = len(x1), len(x1 if x2 is None else x2)
    truth = {}
    for kernel in KERNELS:
        value, radius = _numbers(group, kernel), _numbers(group, f"{kernel}_radius")
        if value.shape != radius.shape or value.shape[:2] != pairs:
            raise ValueError(f"the shape of {kernel} does not fit")
        tolerance = {dtype: float(group[kernel].attrs[f"tolerance_{dtype}"]) for dtype in DTYPES}
        truth[kernel] = Truth(value, radius, tolerance)
    return Solved(Case(name, about, network, x1, x2, bool(group.attrs["hard"])), truth)


def _numbers(group: h5py.Group, name: str) -> NDArray[np.float64]:
    numbers = read_values(group, name).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} has NaN or infinity")
    return numbers


def _read_answer(item: h5py.Group | h5py.Dataset) -> dict[str, NDArray[Any] | str]:
    answer: dict[str, NDArray[Any] | str] = {}
    for name in KERNELS:
        if isinstance(item, h5py.Group) and name in item:
            try:
                answer[name] = read_values(item, name)
            except Exception as error:  # as in a suite
                answer[name] = f"cannot be read ({one_line(error)}); store it uncompressed"
    return answer


@contextmanager
def _open(path: str | Path) -> Iterator[h5py.File]:
    if path == BUNDLED:
        whole = gzip.decompress(files(__package__).joinpath("oracle.h5.gz").read_bytes())
        with h5py.File(io.BytesIO(whole), "r") as file:
            yield file
        return
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    with reading(path), h5py.File(path, "r") as file:
        yield file


def _set_text(item: h5py.Group, name: str, text: str) -> None:
    """Write an attribute of fixed length: one of variable length can hang HDF5 where damaged."""
    item.attrs[name] = np.bytes_(text.encode())


def _any_text(item: h5py.Group, name: str) -> str | None:
    """Read text that somebody else wrote, of fixed or of variable length."""
    if name in item.attrs and h5py.check_string_dtype(item.attrs.get_id(name).dtype) is not None:
        value = item.attrs[name]
        if isinstance(value, str):
            return value
    return _text(item, name)


def _text(item: h5py.Group, name: str) -> str | None:
    """Read what `_set_text` wrote; None where there is something else or nothing."""
    if name not in item.attrs or item.attrs.get_id(name).dtype.kind != "S":
        return None
    return bytes(item.attrs[name]).decode()
