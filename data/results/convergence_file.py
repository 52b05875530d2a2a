"""The file of `refntk converge`, `refntk-convergence/1`: every draw, so that more can follow.

Layout, described for people in docs/finite-width.md:

    /exact/nngp, /exact/ntk      (N, N)
    /widths/64/nngp, ntk         (D, N (N + 1) / 2): upper triangle of each draw, row by row
    /widths/64/state             (D,): 0 to be done, 1 done, 2 overflowed
    /x                           the images, as in a kernel file
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from refntk.data.images.imageset import InputInfo
from refntk.data.kernels.kernel_format import (
    KERNELS,
    read_input,
    read_text,
    read_values,
    write_input,
    write_text,
)
from refntk.data.limits import one_line, refuse_memory
from refntk.errors import RefntkError, StoreError
from refntk.finite.convergence import Samples
from refntk.finite.sampling import Draw
from refntk.output import Output

__all__ = ["FORMAT", "ConvergenceFile", "Experiment"]

FORMAT = "refntk-convergence/1"

_SECONDS_BETWEEN_SAVES = 30.0


@dataclass(frozen=True, eq=False)
class Experiment:
    """What decides about every draw: two files of equal experiments can be one.

    Parameters
    ----------
    network : str
        The network as TOML.
    network_hash : str
        `Network.hash` of it.
    dtype : str
        Precision of the networks of finite width.
    seed : int
        Of the draws.
    x : InputInfo
        The images.
    preprocessing : mapping
        What was done to them, of types that JSON has.
    """

    network: str
    network_hash: str
    dtype: str
    seed: int
    x: InputInfo
    preprocessing: Mapping[str, Any]

    def difference(self, other: Experiment) -> str | None:
        """Name the first thing in which another experiment differs; None where nothing does."""
        pairs = {
            "network": (self.network_hash, other.network_hash),
            "dtype": (self.dtype, other.dtype),
            "seed": (self.seed, other.seed),
            "images": (self.x.sha256.tolist(), other.x.sha256.tolist()),
            "preparation of the images": (
                json.dumps(self.preprocessing, sort_keys=True),
                json.dumps(other.preprocessing, sort_keys=True),
            ),
        }
        return next((name for name, (mine, theirs) in pairs.items() if mine != theirs), None)


class ConvergenceFile:
    """The draws of an experiment, kept in memory and saved now and then; a context manager.

    The file is replaced as a whole, so that it is complete at every moment. Leaving the context
    saves, after an error too.

    Parameters
    ----------
    path : str or path
    experiment : Experiment
    widths : iterable of int
        Widths that are wanted.
    draws : int
        How many of each. What the file has beyond both stays in it.
    resume : bool
        Add to the file if it is there.
    overwrite : bool
        Replace it if it is there; with `resume`, only if nothing can be added to it.

    Attributes
    ----------
    exact : dict of array of float64, shape (N, N)
        The exact kernels; empty in a new file until they are put there.
    samples : dict from int to Samples
        The draws, by width.

    Raises
    ------
    StoreError
        The file exists and neither `resume` nor `overwrite` is given; it is damaged, of another
        format or another experiment; it cannot be written.
    InputError
        The draws do not fit into memory.
    """

    def __init__(
        self,
        path: str | Path,
        experiment: Experiment,
        widths: Iterable[int],
        draws: int,
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.experiment = experiment
        self.exact: dict[str, NDArray[np.float64]] = {}
        self.samples: dict[int, Samples] = {}
        self._widths, self._draws = tuple(widths), draws
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._output = Output(self.path, overwrite=True, inputs=[experiment.x.source])
        self._output.overwrite = self.path.exists()
        if self.path.exists():
            if not resume and not overwrite:
                raise StoreError(
                    f"{self.path}: exists already; add to it with --resume, replace it with "
                    "--overwrite or choose another name"
                )
            with suppress(*[StoreError] if overwrite else []):
                if resume:
                    self._load()
        entries = experiment.x.count * (experiment.x.count + 1) // 2
        # Twice: the file is written in memory before it is written to the disk.
        refuse_memory(self.path, 2 * len(KERNELS) * 8 * entries * draws * len(self._widths))
        for width in self._widths:
            own = self.samples.setdefault(width, Samples(0, experiment.x.count))
            own.extend(draws)
        self._saved = time.monotonic()

    def pending(self) -> Iterator[tuple[int, int]]:
        """Give the width and number of each draw that is wanted and not there.

        All widths take turns, so that what an interrupt leaves is a smaller experiment of the same
        shape.
        """
        missing = {width: set(self.samples[width].pending) for width in self._widths}
        for number in range(self._draws):
            for width in self._widths:
                if number in missing[width]:
                    yield width, number

    @property
    def missing(self) -> int:
        """How many draws are wanted and not there."""
        return sum(1 for _ in self.pending())

    @property
    def summary(self) -> str:
        """Describe what is in the file in a line."""
        draws = sum(len(own.state) - len(own.pending) for own in self.samples.values())
        return (
            f"nngp and ntk of {draws} draws at {len(self.samples)} widths, "
            f"{self.experiment.x.count} images, {self.experiment.dtype}"
        )

    def keep_exact(
        self, nngp: NDArray[np.floating[Any]] | None, ntk: NDArray[np.floating[Any]] | None
    ) -> None:
        """Keep the exact kernels, shape (N, N), and save.

        Raises
        ------
        StoreError
            The file cannot be written.
        """
        for name, exact in zip(KERNELS, (nngp, ntk), strict=True):
            self.exact[name] = np.asarray(exact, np.float64)
        self.save()

    def add(self, draw: Draw) -> None:
        """Keep one draw; saves if the last time was long ago.

        Raises
        ------
        StoreError
            The file cannot be written.
        """
        self.samples[draw.width].add(draw)
        if time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self.save()

    def save(self) -> None:
        """Replace the file by what is known now.

        Raises
        ------
        StoreError
            It cannot be written; the older file is untouched.
        """
        content = self._content()
        with self._output.writing() as stream:
            stream.write(content)
        self._output.overwrite = True  # from now on it is ours
        self._saved = time.monotonic()

    def _content(self) -> memoryview:
        """Write the file into memory: HDF5 does not survive a full disk."""
        buffer = io.BytesIO()
        about = self.experiment
        with h5py.File(buffer, "w") as file:
            for name, text in (
                ("format", FORMAT),
                ("refntk_version", version("refntk")),
                ("created", self._created),
                ("network", about.network),
                ("network_hash", about.network_hash),
                ("dtype", about.dtype),
                ("preprocessing", json.dumps(about.preprocessing)),
            ):
                write_text(file.attrs, name, text)
            file.attrs["seed"] = about.seed
            write_input(file.create_group("x"), about.x)
            for name, kernel in self.exact.items():
                file[f"exact/{name}"] = kernel
            for width, own in self.samples.items():
                for name, values in (*own.values.items(), ("state", own.state)):
                    file.create_dataset(
                        f"widths/{width}/{name}", data=values, chunks=values.shape, fletcher32=True
                    )
        return buffer.getbuffer()

    def _load(self) -> None:
        try:
            with h5py.File(self.path, "r") as file:
                self._read(file)
        except RefntkError:
            raise
        except Exception as error:
            raise StoreError(
                f"{self.path}: is damaged or no file of `refntk converge` ({one_line(error)}); "
                "replace it with --overwrite"
            ) from error

    def _read(self, file: h5py.File) -> None:
        found = read_text(file.attrs, "format")
        if found != FORMAT:
            raise StoreError(
                f"{self.path}: has format {found!r}, expected {FORMAT!r}: it was written by "
                "another command or another version of refntk"
            )
        texts = {
            name: str(read_text(file.attrs, name))
            for name in ("network", "network_hash", "dtype", "preprocessing", "created")
        }
        theirs = Experiment(
            texts["network"], texts["network_hash"], texts["dtype"], int(file.attrs["seed"]),
            read_input(file["x"]), json.loads(texts["preprocessing"]),
        )  # fmt: skip
        different = self.experiment.difference(theirs)
        if different is not None:
            raise StoreError(
                f"{self.path}: holds draws of another experiment, the {different} differs; repeat "
                "the first command with --resume, or choose another name"
            )
        self._created = texts["created"]
        for name in file.get("exact", ()):
            self.exact[name] = read_values(file["exact"], name)
        for width in file["widths"]:
            group = file["widths"][width]
            own = Samples(0, theirs.x.count)
            own.restore(
                {name: read_values(group, name) for name in KERNELS}, read_values(group, "state")
            )
            self.samples[int(width)] = own

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Save."""
        self.save()
