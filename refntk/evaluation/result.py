"""What a computation gives: the kernels, and what can be done with them at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, missing_package

if TYPE_CHECKING:
    from refntk.evaluation.evaluate import Job
    from refntk.network.network import Network

__all__ = ["Computed", "Kernel", "Origin"]

FloatArray = npt.NDArray[np.floating[Any]]

_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Computed:
    """What a `Job` was, without its images and without what computes.

    Attributes
    ----------
    net : Network
    get : tuple of str
    dtype, backend, method : str
    tile : int
    symmetric : bool
    """

    net: Network
    get: tuple[str, ...]
    dtype: str
    backend: str
    method: str
    tile: int
    symmetric: bool

    @classmethod
    def by(cls, job: Job) -> Computed:
        """Keep what a job was."""
        return cls(**{each.name: getattr(job, each.name) for each in fields(cls)})


@dataclass(frozen=True, eq=False)
class Origin:
    """What a kernel was computed from, for a file that says so.

    Attributes
    ----------
    job : Computed
    sets : tuple
        x1, and x2 where it is not x1, as they were given.
    scale : str or float
        The rule by which pixels were divided.
    description : refntk.data.kernels.kernel_format.KernelDescription or None
        What a file says, where it was put together already.
    """

    job: Computed
    sets: tuple[Any, ...]
    scale: str | float
    description: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the images out: a file says no more of them than their digests and labels."""
        # What lies on disk is above this module: it is called by its name.
        told = self.description or import_module("refntk.data.kernels.saving").describe(self)
        return {"job": self.job, "sets": (), "scale": self.scale, "description": told}


@dataclass(frozen=True, eq=False)
class Kernel:
    """The kernels of a network between two sets of images.

    It unpacks, ``nngp, ntk = kernel``; NumPy makes an array of it where it holds one kernel.

    Attributes
    ----------
    nngp, ntk : float array, shape (N1, N2), or None
        Covariance of the outputs at initialisation, and neural tangent kernel, per output; axes are
        images of x1 and images of x2. None where it was not asked for. Shape (N1,) where only the
        diagonal was asked for.
    origin : Origin or None
        What it was computed from; None of a kernel that was put together by hand, or of a diagonal.
    """

    nngp: FloatArray | None
    ntk: FloatArray | None
    origin: Origin | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[FloatArray | None]:
        """Give the NNGP and then the NTK."""
        return iter((self.nngp, self.ntk))

    @property
    def kernels(self) -> dict[str, FloatArray]:
        """The kernels that are there, by name."""
        pairs = (("nngp", self.nngp), ("ntk", self.ntk))
        return {name: values for name, values in pairs if values is not None}

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Make an array of the only kernel.

        Raises
        ------
        InputError
            There are two, so that it is not clear which one is meant.
        """
        if len(self.kernels) != 1:
            raise InputError(
                "this holds two kernels, NNGP and NTK: take one of them, k.ntk or k.nngp, or ask "
                'for one, get="ntk"'
            )
        (values,) = self.kernels.values()
        return np.array(values, dtype, copy=copy)

    def _repr_html_(self) -> str:
        """Show shapes, dtype and the first entries, in a notebook."""
        parts = []
        for name, values in self.kernels.items():
            some = np.atleast_2d(np.asarray(values))[:_SHOWN, :_SHOWN]
            cut = any(length > _SHOWN for length in values.shape)
            rows = "".join(
                "<tr>" + "".join(f"<td>{entry:.6g}</td>" for entry in row) + "</tr>" for row in some
            )
            shape = " × ".join(map(str, values.shape))
            title = f"{name.upper()}, {shape}, {values.dtype}{', its corner' if cut else ''}"
            parts.append(f"<table><caption>{escape(title)}</caption><tbody>{rows}</tbody></table>")
        return "".join(parts)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a kernel file, as `refntk compute` does.

        Parameters
        ----------
        path : str or path
        overwrite : bool
            Whether an existing file may be replaced.

        Raises
        ------
        InputError
            It is not known what this was computed from.
        StoreError
            The file cannot be written.
        """
        # What lies on disk is above this module: it is called by its name.
        import_module("refntk.data.kernels.saving").save_kernel(self, path, overwrite=overwrite)

    def to_xarray(self) -> Any:
        """Give an xarray Dataset with the kernels, and labels as coordinates where known.

        Returns
        -------
        xarray.Dataset
            Dimensions ``image`` and ``other`` (``image`` alone of a diagonal).

        Raises
        ------
        MissingPackageError
            xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise missing_package("a Dataset needs xarray", "xarray") from error
        coordinates = {}
        for axis, images in zip(("image", "other"), self._sets(), strict=False):
            labels = getattr(images, "labels", None)
            if labels is not None:
                coordinates[f"{axis}_label"] = (axis, np.asarray(labels))
        variables = {
            name: (("image", "other")[: values.ndim], np.asarray(values))
            for name, values in self.kernels.items()
        }
        return xarray.Dataset(variables, coordinates)

    def _sets(self) -> tuple[Any, ...]:
        if self.origin is None:
            return ()
        told, sets = self.origin.description, self.origin.sets
        if told is not None:
            sets = (told.x1,) if told.x2 is None else (told.x1, told.x2)
        return sets * 2 if len(sets) == 1 else sets
