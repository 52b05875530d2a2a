"""The convolutions: Conv, Lift and GroupConv."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from refntk.errors import NetworkError, ShapeError, unknown
from refntk.network.arguments import QUIET, Mask, by_name, times
from refntk.network.linear import Linear
from refntk.network.signal import Signal, require
from refntk.ops.groups import PointGroup, point_group
from refntk.ops.lattices import GRIDS
from refntk.ops.program import Builder
from refntk.ops.space import Space
from refntk.ops.support import Support, Window

__all__ = ["Conv", "GroupConv", "Lift", "recast", "windows"]


@by_name
@dataclass(frozen=True)
class Conv(Linear):
    """Ordinary convolution, grid to grid; with SAME, even sides and strides follow XLA.

    Parameters
    ----------
    filter_shape : (int, int)
        Height and width of the filter. One number is for signals (N, L, C), three are for volumes
        (N, D, H, W, C); so with strides and dilations.
    strides : (int, int), default (1, 1)
        Step along y and x.
    padding : {"SAME", "VALID", "CIRCULAR"}, default "SAME"
    dilations : (int, int), default (1, 1)
        Distance of the positions that a filter reads, along y and x.
    mask : rows of 0 and 1, of the shape of the filter, optional
        Where the filter has weights; by default everywhere.
    W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        Scale and training of the weights, see `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    filter_shape: tuple[int, ...]
    _: KW_ONLY
    strides: tuple[int, ...] = (1, 1)
    padding: str = "SAME"
    dilations: tuple[int, ...] = field(default=(1, 1), metadata=QUIET)
    mask: Mask | None = field(default=None, metadata=QUIET)

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        super().__post_init__()
        _require_fit(self)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        require(signal, "grid")
        return replace(signal, shape=_positions(self, signal.shape), gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        """Append one filter; see `Layer.lower`."""
        return _filter(self, build, below, None)


@by_name
@dataclass(frozen=True)
class Lift(Linear):
    """Lifting convolution, from functions on the grid to functions on the group.

    Parameters
    ----------
    filter_shape : (int, int)
        Height and width of the filter, which the group turns about its centre. One number is for
        signals (N, L, C), three are for volumes (N, D, H, W, C); so with strides and dilations.
    group : str
        Name of the point group: C1, C2, C4, D1, D2, D4 of images, C1, D1 of signals, T, O, Oh, D4h,
        C2v and the others of `refntk.ops.lattices` of volumes; its Hermann-Mauguin symbol does,
        too.
    padding : {"SAME", "VALID", "CIRCULAR"}, default "SAME"
    strides, dilations : (int, int), default (1, 1)
        As for `Conv`. The network is equivariant where the group maps the windows to one another.
    mask : rows of 0 and 1, of the shape of the filter, optional
        Where the filter has weights, which need not be symmetric: the group turns it.
    lattice : {"hexagonal"}, optional
        Images are axial arrays of hexagons, turned by C2, C3, C6, D3, D3' or D6, see
        docs/lattices.md; a filter of sides 3, 5, ... then has 7, 19, ... places. By default the
        lattice is that of the sides of the filter.
    W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        Scale and training of the weights, see `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    filter_shape: tuple[int, ...]
    _: KW_ONLY
    group: str
    padding: str = "SAME"
    strides: tuple[int, ...] = field(default=(1, 1), metadata=QUIET)
    dilations: tuple[int, ...] = field(default=(1, 1), metadata=QUIET)
    mask: Mask | None = field(default=None, metadata=QUIET)
    lattice: str | None = field(default=None, metadata=QUIET)

    @property
    def elements(self) -> PointGroup:
        """The point group that turns the filter."""
        return point_group(self.group, self.lattice or GRIDS[len(self.filter_shape) - 1])

    def _rules(self) -> dict[str, Callable[[str, object], object]]:
        """Add the rule for the lattice."""
        return {"lattice": _lattice}

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        super().__post_init__()
        _require_fit(self)
        object.__setattr__(self, "group", self.elements.name)
        _require_pixels(self, self.elements)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        require(signal, "grid")
        shape = _turned_positions(self, signal.shape, self.elements)
        return Signal(
            "group", shape, self.group, True, lattice=self.elements.lattice,
            hexagon=self.lattice == "hexagonal" and self.padding != "CIRCULAR",
        )  # fmt: skip

    def lower(self, build: Builder, below: int) -> int:
        """Append one filter; see `Layer.lower`."""
        return _filter(self, build, below, self.elements)


@by_name
@dataclass(frozen=True)
class GroupConv(Linear):
    """Group convolution over the group of the Lift before it.

    Parameters
    ----------
    filter_shape : (int, int)
        Height and width of the filter, which the group turns about its centre; of as many sides as
        that of the Lift.
    padding : {"SAME", "VALID", "CIRCULAR"}, default "SAME"
    strides, dilations, mask
        As for `Lift`.
    rotations : list of int, optional
        Elements q of the group that the filter covers, by their numbers; by default all. The output
        at r reads the elements r q.
    W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        Scale and training of the weights, see `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    filter_shape: tuple[int, ...]
    _: KW_ONLY
    padding: str = "SAME"
    strides: tuple[int, ...] = field(default=(1, 1), metadata=QUIET)
    dilations: tuple[int, ...] = field(default=(1, 1), metadata=QUIET)
    mask: Mask | None = field(default=None, metadata=QUIET)
    rotations: tuple[int, ...] | None = field(default=None, metadata=QUIET)

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        super().__post_init__()
        _require_fit(self)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        require(signal, "group")
        group = signal.elements_of_grid
        order = group.order
        if max(self.rotations or (0,)) >= order:
            raise NetworkError(
                f"rotations: the group {signal.group} has the elements 0 to {order - 1}, and no "
                f"{max(self.rotations or (0,))}",
                key="rotations",
            )
        if group.lattice == "hexagonal" and signal.hexagon == (self.padding == "CIRCULAR"):
            raise NetworkError(
                "padding: CIRCULAR is for a rhombus that wraps around, and SAME and VALID for a "
                "hexagon: use that of the Lift in all layers",
                key="padding",
            )
        shape = _turned_positions(self, signal.shape, group)
        return replace(signal, shape=shape, gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        """Append one filter; see `Layer.lower`."""
        return _filter(self, build, below, build.space(below).group)


_Filter = TypeVar("_Filter", Conv, Lift, GroupConv)


def recast(layer: Conv | Lift | GroupConv, kind: type[_Filter], **others: Any) -> _Filter:
    """Make a convolution of another class with the arguments that the two share.

    Parameters
    ----------
    layer : Conv, Lift or GroupConv
    kind : type
        One of these.
    **others
        Arguments that the layer does not have.

    Returns
    -------
    Conv, Lift or GroupConv
    """
    names = [each.name for each in fields(kind) if hasattr(layer, each.name)]
    return kind(**{name: getattr(layer, name) for name in names}, **others)


def windows(layer: Conv | Lift | GroupConv, shape: tuple[int, ...]) -> tuple[Window, ...]:
    """Say how a layer's filter, as it is written down, slides over an image.

    A group layer turns the filter by each element; this is its window for the identity.

    Parameters
    ----------
    layer : Conv, Lift or GroupConv
    shape : tuple of int
        Height and width of the image below, or what it has in their place.

    Returns
    -------
    tuple of Window
        Along each axis. For side k, dilation d, stride s and n inputs a window spans
        k' = (k - 1) d + 1: SAME has ceil(n / s) outputs and max((n_out - 1) s + k' - n, 0) zeros,
        of which half, rounded down, lie below; VALID has (n - k') // s + 1 outputs; CIRCULAR has
        n / s, and (k' - 1) // 2 wrapped positions below.

    Raises
    ------
    ShapeError
        VALID: the filter is larger than the image. CIRCULAR: the filter is larger than the image
        (a window would count a pixel twice), or a stride does not divide it.
    """
    if len(shape) != len(layer.filter_shape):
        raise ShapeError(
            f"a {times(layer.filter_shape)} filter is for inputs of {len(layer.filter_shape)} axes "
            f"of positions, not {times(shape)}"
        )
    strides, spans = layer.strides, [reach + 1 for reach in _reach(layer)]
    sides = times(spans)
    too_large = any(k > n for k, n in zip(spans, shape, strict=True))
    if too_large and layer.padding == "VALID":
        raise ShapeError(
            f"with padding VALID the {sides} filter eats the {times(shape)} image: "
            "use padding SAME, a smaller filter or larger images"
        )
    if too_large and layer.padding == "CIRCULAR":
        raise ShapeError(
            f"with padding CIRCULAR the {sides} filter would count pixels of the "
            f"{times(shape)} image twice: use a smaller filter or larger images"
        )
    if layer.padding == "CIRCULAR" and any(n % s for n, s in zip(shape, strides, strict=True)):
        raise ShapeError(
            f"with padding CIRCULAR the strides {times(strides)} must divide the {times(shape)} "
            "image: use padding SAME or VALID, other strides or other images"
        )
    axes = zip(layer.filter_shape, layer.dilations, strides, shape, strict=True)
    return tuple(_window(layer.padding, *axis) for axis in axes)


def _window(padding: str, size: int, dilation: int, stride: int, n_in: int) -> Window:
    span = (size - 1) * dilation + 1
    if padding == "VALID":
        return Window(n_in, (n_in - span) // stride + 1, size, stride, 0, False, dilation)
    n_out = -(-n_in // stride)
    if padding == "CIRCULAR":
        return Window(n_in, n_out, size, stride, (span - 1) // 2, True, dilation)
    low = max((n_out - 1) * stride + span - n_in, 0) // 2
    return Window(n_in, n_out, size, stride, low, False, dilation)


def _filter(
    layer: Conv | Lift | GroupConv, build: Builder, below: int, group: PointGroup | None
) -> int:
    """Append the filter of a layer whose outputs are indexed by a group, or by none."""
    space = build.space(below)
    frame = windows(layer, space.shape)
    hexagonal = group is not None and group.lattice == "hexagonal"
    above = Space(
        tuple(window.n_out for window in frame), group,
        hexagon=hexagonal and layer.padding != "CIRCULAR",
    )  # fmt: skip
    rotations = layer.rotations if isinstance(layer, GroupConv) else None
    mask = None if layer.mask is None else tuple(np.array(layer.mask, bool).ravel().tolist())
    if hexagonal and mask is None:
        places = np.indices(layer.filter_shape) - (np.array(layer.filter_shape) // 2)[:, None, None]
        kept = np.abs(places.sum(axis=0)) <= max(layer.filter_shape) // 2
        mask = None if kept.all() else tuple(kept.ravel().tolist())
    return layer.filter(build, below, Support(space, above, frame, rotations, mask))


def _positions(
    layer: Conv | Lift | GroupConv, shape: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    if shape is None:
        return None
    return tuple(window.n_out for window in windows(layer, shape))


def _turned_positions(
    layer: Lift | GroupConv, shape: tuple[int, ...] | None, group: PointGroup
) -> tuple[int, ...] | None:
    _require_pixels(layer, group)
    if group.lattice == "hexagonal":
        _require_hexagons(layer, shape)
    reach = _reach(layer)
    turned = any(reach[i] != reach[j] for i, j in group.exchanges)
    if shape is not None and turned and layer.padding == "VALID":
        alike = "a filter of like sides" if len(reach) == 3 else "a square filter"
        raise ShapeError(
            f"with padding VALID the group {group.name} must map the {times(layer.filter_shape)} "
            f"filter to itself, else each rotation has other output positions: use {alike}, or SAME"
        )
    return _positions(layer, shape)


def _require_fit(layer: Conv | Lift | GroupConv) -> None:
    """Bring steps to the axes of the filter, and refuse what does not fit it."""
    axes = len(layer.filter_shape)
    for name in ("strides", "dilations"):
        steps = getattr(layer, name)
        if set(steps) == {1}:
            object.__setattr__(layer, name, (1,) * axes)
        elif len(steps) != axes:
            raise NetworkError(
                f"{name}: expected {axes} numbers, as filter_shape has them, not {times(steps)}",
                key=name,
            )
    shape = layer.mask and np.shape(layer.mask)
    if shape and shape != layer.filter_shape:
        raise NetworkError(
            f"mask: expected {times(layer.filter_shape)} numbers, as filter_shape says, not "
            f"{times(shape)}",
            key="mask",
        )


def _lattice(name: str, value: object) -> str | None:
    """Return the hexagonal lattice, or None for that of the sides of the filter."""
    if value not in (None, "hexagonal"):
        known = ("hexagonal", "leave it out: the sides of the filter say the others")
        raise NetworkError(f"lattice: {unknown('lattice', value, known)}", key="lattice")
    return "hexagonal" if value else None


def _require_hexagons(layer: Lift | GroupConv, shape: tuple[int, ...] | None) -> None:
    """Refuse filters and images that are no hexagons about a pixel."""
    if len(layer.filter_shape) != 2 or any(side % 2 == 0 for side in layer.filter_shape):
        raise NetworkError(
            "filter_shape: expected two odd sides on the hexagonal lattice, such as (3, 3) for 7 "
            f"places, not {times(layer.filter_shape)}",
            key="filter_shape",
        )
    if set(layer.strides) != {1}:
        raise NetworkError(
            "strides: on the hexagonal lattice there are none: leave them out", key="strides"
        )
    if shape is None:
        return
    if shape[0] != shape[1] or (shape[0] % 2 == 0 and layer.padding != "CIRCULAR"):
        raise ShapeError(
            f"hexagons come as axial images of one odd side, not {times(shape)}: the side of "
            "radius N is 2 N + 1; a rhombus of any side is for padding CIRCULAR"
        )


def _require_pixels(layer: Lift | GroupConv, group: PointGroup) -> None:
    """Refuse a filter that the group turns to places between the pixels."""
    reach = _reach(layer)
    if len(reach) != len(group.matrices[0]):
        raise NetworkError(
            f"filter_shape: expected {len(group.matrices[0])} sides, as the filter of the Lift has,"
            f" not {times(layer.filter_shape)}",
            key="filter_shape",
        )
    if any((reach[i] - reach[j]) % 2 for i, j in group.exchanges):
        raise NetworkError(
            f"filter_shape: a {times(layer.filter_shape)} filter that the group {group.name} turns "
            "by 90 degrees would lie between the pixels: use sides that are all odd or all even",
            key="filter_shape",
        )


def _reach(layer: Conv | Lift | GroupConv) -> tuple[int, ...]:
    """Positions from the first place of a filter to the last one, along each axis."""
    return tuple((k - 1) * d for k, d in zip(layer.filter_shape, layer.dilations, strict=True))
