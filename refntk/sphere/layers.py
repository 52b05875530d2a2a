"""The layers of networks on SO(3), O(3), SO(2) and O(2), whose filters cover the whole group.

References
----------
P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504v1.
T. S. Cohen, M. Geiger, J. Köhler, M. Welling, "Spherical CNNs", ICLR 2018: global filters.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from reprlib import repr as short
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, NetworkError, unknown
from refntk.network.arguments import by_name
from refntk.network.linear import Linear
from refntk.network.signal import Signal
from refntk.ops.program import Builder
from refntk.ops.support import Support
from refntk.sphere.circle import Turns
from refntk.sphere.harmonics import band_limit, require_real
from refntk.sphere.rotations import Rotations

__all__ = ["CircleLift", "GlobalConv", "GlobalFilter", "GroupLift", "SphereLift"]

ComplexArray = npt.NDArray[np.complex128]


@dataclass(frozen=True)
class GlobalFilter(Linear):
    """A layer whose filter covers the whole set or group.

    Parameters
    ----------
    band : int, optional
        Filters have the harmonics l < band alone (on circles the frequencies |k| < band). None:
        all of them, which is white noise.
    """

    _: KW_ONLY
    band: int | None = None

    def _rules(self) -> dict[str, Callable[[str, object], object]]:
        return {"band": _band}

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer."""
        return Signal("vector", gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        """Append a filter of one place: at each relative rotation kernels are a vector's."""
        return self.filter(build, below, Support(build.space(below), build.space(below), ()))


@dataclass(frozen=True)
class GroupLift(GlobalFilter):
    """A layer from signals to functions on a compact group, and what follows from its set."""

    groups: ClassVar[tuple[str, str]]
    reflected: ClassVar[str]

    @property
    @abstractmethod
    def reflects(self) -> bool:
        """Whether the group has reflections."""

    @abstractmethod
    def prepare(self, signals: npt.ArrayLike, name: str) -> tuple[ComplexArray, int]:
        """Check signals and bring them to the form of the grid, with their band limit.

        Raises
        ------
        InputError
            They are no finite array of signals; the message begins with their name.
        """

    @abstractmethod
    def grid(self, nodes: int, limit: int) -> Rotations | Turns:
        """Make the quadrature on the group."""

    @abstractmethod
    def nodes(self, given: int | None, limit: int, bands: int) -> int:
        """Choose the number of nodes, or check the one that is given.

        Parameters
        ----------
        given : int or None
        limit : int
            Band limit of the signals.
        bands : int
            The largest of the filters', or 0.

        Raises
        ------
        InputError
            They are too few.
        """


@by_name
@dataclass(frozen=True)
class SphereLift(GroupLift):
    """Lifting layer from functions on the sphere to functions on SO(3) or O(3).

    The output at R is the integral of the filter, moved by R, times the signal, over
    sqrt(4 pi C). Signals are coefficients (N, L², C), see `refntk.sphere.harmonics`.

    Parameters
    ----------
    group : {"SO3", "O3"}, default "SO3"
        O3 has the reflections, too.
    band, W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        See `GlobalFilter` and `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    groups: ClassVar[tuple[str, str]] = ("SO3", "O3")

    group: str = "SO3"

    def _rules(self) -> dict[str, Callable[[str, object], object]]:
        return {**super()._rules(), "group": _one_of(self.groups)}

    @property
    def reflects(self) -> bool:
        """Whether the group has reflections."""
        return self.group == "O3"

    def prepare(self, signals: npt.ArrayLike, name: str) -> tuple[ComplexArray, int]:
        """Check signals (N, L², C) and cut them to the band; see `GroupLift.prepare`."""
        given = _finite(signals, name, np.complex128)
        if given.ndim != 3 or 0 in given.shape:
            raise InputError(
                f"{name}: expected coefficients (N, L², C) of functions on the sphere, not the "
                f"shape {given.shape}"
            )
        try:
            limit = band_limit(given.shape[1])
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        require_real(given, name)
        limit = min(limit, self.band or limit)
        return Rotations.prepared(given[:, : limit * limit]), limit

    def grid(self, nodes: int, limit: int) -> Rotations:
        """Make the quadrature on SO(3)."""
        return Rotations(nodes, limit)

    def nodes(self, given: int | None, limit: int, bands: int) -> int:
        """Take 2L; see `GroupLift.nodes`."""
        least = max(limit, bands)
        return _enough(given, 2 * least, least, "nodes in cos beta")


@by_name
@dataclass(frozen=True)
class CircleLift(GroupLift):
    """Lifting layer from functions on a circle or a disc to functions on SO(2) or O(2).

    Signals are samples (N, P, C) at P uniform angles, or (N, rings, P, C) on circles about one
    centre; in between they are trigonometric polynomials.

    Parameters
    ----------
    group : {"SO2", "O2"}, default "SO2"
        O2 has the reflections, too.
    radii : list of float, optional
        Radii r of the rings, which count in proportion to them (r dr). By default all count alike.
    band, W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        See `GlobalFilter` and `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    groups: ClassVar[tuple[str, str]] = ("SO2", "O2")

    group: str = "SO2"
    radii: tuple[float, ...] = ()

    def _rules(self) -> dict[str, Callable[[str, object], object]]:
        return {**super()._rules(), "group": _one_of(self.groups), "radii": _radii}

    @property
    def reflects(self) -> bool:
        """Whether the group has reflections."""
        return self.group == "O2"

    def prepare(self, signals: npt.ArrayLike, name: str) -> tuple[ComplexArray, int]:
        """Check samples and analyse them; see `GroupLift.prepare`."""
        given = _finite(signals, name, np.float64)
        if given.ndim == 3:
            given = given[:, None]
        if given.ndim != 4 or 0 in given.shape:
            raise InputError(
                f"{name}: expected samples (N, P, C) on a circle or (N, rings, P, C) on a disc, "
                f"not the shape {given.shape}"
            )
        rings = given.shape[1]
        if self.radii and len(self.radii) != rings:
            raise InputError(
                f"{name}: has {rings} rings, and radii names {len(self.radii)}: give one for each"
            )
        shares = np.array(self.radii or [1.0] * rings)
        found = Turns.prepared(given, shares / shares.sum())[:, :, : self.band]
        return found, found.shape[2]

    def grid(self, nodes: int, limit: int) -> Turns:
        """Make the quadrature on SO(2)."""
        return Turns(nodes, limit)

    def nodes(self, given: int | None, limit: int, bands: int) -> int:
        """Take eight angles for each frequency; see `GroupLift.nodes`."""
        least = max(limit, bands)
        return _enough(given, max(32, 8 * least), 2 * least - 1, "angles")


@by_name
@dataclass(frozen=True)
class GlobalConv(GlobalFilter):
    """Group convolution whose filter covers the whole group.

    Without a band it leaves the NNGP as it is but for W_std and b_std; with one the kernels are
    projected on the harmonics l < band.

    Parameters
    ----------
    band, W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        See `GlobalFilter` and `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """


def _band(name: str, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise NetworkError(
            f"{name}: expected a band limit, a positive whole number, not {short(value)}", key=name
        )
    return int(value)


def _one_of(known: tuple[str, ...]) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if value not in known:
            raise NetworkError(f"{name}: {unknown('group', value, known)}", key=name)
        return value

    return check


def _radii(name: str, value: Any) -> tuple[float, ...]:
    try:
        radii = tuple(float(radius) for radius in value)
    except (TypeError, ValueError):
        radii = (-1.0,)
    if not all(0 < radius < np.inf for radius in radii):
        raise NetworkError(f"{name}: expected positive numbers, not {short(value)}", key=name)
    return radii


def _finite(signals: npt.ArrayLike, name: str, dtype: type) -> npt.NDArray[Any]:
    given = np.asarray(signals)
    if not (np.issubdtype(given.dtype, np.number) and np.can_cast(given.dtype, dtype)):
        raise InputError(f"{name}: expected numbers of {np.dtype(dtype)}, not {given.dtype}")
    found: npt.NDArray[Any] = given.astype(dtype, copy=False)
    if not np.isfinite(found).all():
        place = tuple(int(k) for k in np.argwhere(~np.isfinite(found))[0])
        raise InputError(f"{name}: the entry {place} is not finite")
    return found


def _enough(given: int | None, default: int, least: int, what: str) -> int:
    if given is None:
        return default
    if not isinstance(given, Integral) or isinstance(given, bool) or given < least:
        raise InputError(
            f"nodes: expected at least {least} {what} at this band limit, not {short(given)}: with "
            f"fewer the correlation of two signals is not exact; {default} are usual"
        )
    return int(given)
