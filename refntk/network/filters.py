"""The convolutions: Conv, Lift and GroupConv."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace

from refntk.errors import ShapeError
from refntk.network.arguments import by_name, require_odd, times
from refntk.network.linear import Linear
from refntk.network.signal import Signal, require
from refntk.ops.groups import PointGroup, point_group
from refntk.ops.program import Builder
from refntk.ops.space import Space
from refntk.ops.support import Support, Window

__all__ = ["Conv", "GroupConv", "Lift", "offsets", "windows"]


@by_name
@dataclass(frozen=True)
class Conv(Linear):
    """Ordinary convolution, grid to grid; with SAME, even sides and strides follow XLA.

    Parameters
    ----------
    filter_shape : (int, int)
        Height and width of the filter.
    strides : (int, int), default (1, 1)
        Step along y and x.
    padding : {"SAME", "VALID", "CIRCULAR"}, default "SAME"
    W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        Scale and training of the weights, see `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    filter_shape: tuple[int, int]
    _: KW_ONLY
    strides: tuple[int, int] = (1, 1)
    padding: str = "SAME"

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
        Height and width of the filter, both odd: the group turns it about its centre.
    group : str
        Name of the point group, one of C1, C2, C4, D1, D2, D4.
    padding : {"SAME", "VALID", "CIRCULAR"}, default "SAME"
    W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        Scale and training of the weights, see `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    filter_shape: tuple[int, int]
    _: KW_ONLY
    group: str
    padding: str = "SAME"

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        super().__post_init__()
        require_odd("filter_shape", self.filter_shape)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        require(signal, "grid")
        return Signal("group", _turned_positions(self, signal.shape, self.group), self.group, True)

    def lower(self, build: Builder, below: int) -> int:
        """Append one filter; see `Layer.lower`."""
        return _filter(self, build, below, point_group(self.group))


@by_name
@dataclass(frozen=True)
class GroupConv(Linear):
    """Group convolution over the group of the Lift before it; filters cover all its rotations.

    Parameters
    ----------
    filter_shape : (int, int)
        Height and width of the filter, both odd: the group turns it about its centre.
    padding : {"SAME", "VALID", "CIRCULAR"}, default "SAME"
    W_std, b_std, bias, width, learning_rate, learning_rate_bias, trainable
        Scale and training of the weights, see `refntk.network.linear.Linear`.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    filter_shape: tuple[int, int]
    _: KW_ONLY
    padding: str = "SAME"

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        super().__post_init__()
        require_odd("filter_shape", self.filter_shape)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError` or `ShapeError`."""
        require(signal, "group")
        assert signal.group is not None  # a signal of kind "group" names its group
        shape = _turned_positions(self, signal.shape, signal.group)
        return replace(signal, shape=shape, gaussian=True)

    def lower(self, build: Builder, below: int) -> int:
        """Append one filter; see `Layer.lower`."""
        return _filter(self, build, below, build.space(below).group)


def offsets(layer: Lift | GroupConv) -> tuple[tuple[int, int], ...]:
    """List the offsets S of a group layer's filter, centred, row by row.

    Parameters
    ----------
    layer : Lift or GroupConv

    Returns
    -------
    tuple of (int, int)
        The |S| offsets (y, x).

    Examples
    --------
    >>> offsets(GroupConv((1, 3)))
    ((0, -1), (0, 0), (0, 1))
    """
    height, width = layer.filter_shape
    return tuple((a - height // 2, b - width // 2) for a in range(height) for b in range(width))


def windows(layer: Conv | Lift | GroupConv, shape: tuple[int, int]) -> tuple[Window, Window]:
    """Say how a layer's filter, as it is written down, slides over an image.

    A group layer turns the filter by each element; this is its window for the identity.

    Parameters
    ----------
    layer : Conv, Lift or GroupConv
    shape : (int, int)
        Height and width of the image below.

    Returns
    -------
    (Window, Window)
        Along y and along x. For side k, stride s and n inputs: SAME has ceil(n / s) outputs and
        max((n_out - 1) s + k - n, 0) zeros, of which half, rounded down, lie below; VALID has
        (n - k) // s + 1 outputs; CIRCULAR has n / s, and (k - 1) // 2 wrapped positions below.

    Raises
    ------
    ShapeError
        VALID: the filter is larger than the image. CIRCULAR: the filter is larger than the image
        (a window would count a pixel twice), or a stride does not divide it.
    """
    sides, strides = layer.filter_shape, layer.strides if isinstance(layer, Conv) else (1, 1)
    too_large = any(k > n for k, n in zip(sides, shape, strict=True))
    if too_large and layer.padding == "VALID":
        raise ShapeError(
            f"with padding VALID the {times(sides)} filter eats the {times(shape)} image: "
            "use padding SAME, a smaller filter or larger images"
        )
    if too_large and layer.padding == "CIRCULAR":
        raise ShapeError(
            f"with padding CIRCULAR the {times(sides)} filter would count pixels of the "
            f"{times(shape)} image twice: use a smaller filter or larger images"
        )
    if layer.padding == "CIRCULAR" and any(n % s for n, s in zip(shape, strides, strict=True)):
        raise ShapeError(
            f"with padding CIRCULAR the strides {times(strides)} must divide the {times(shape)} "
            "image: use padding SAME or VALID, other strides or other images"
        )
    y, x = (_window(layer.padding, k, s, n) for k, s, n in zip(sides, strides, shape, strict=True))
    return y, x


def _window(padding: str, size: int, stride: int, n_in: int) -> Window:
    if padding == "VALID":
        return Window(n_in, (n_in - size) // stride + 1, size, stride, 0, False)
    n_out = -(-n_in // stride)
    if padding == "CIRCULAR":
        return Window(n_in, n_out, size, stride, (size - 1) // 2, True)
    low = max((n_out - 1) * stride + size - n_in, 0) // 2
    return Window(n_in, n_out, size, stride, low, False)


def _filter(
    layer: Conv | Lift | GroupConv, build: Builder, below: int, group: PointGroup | None
) -> int:
    """Append the filter of a layer whose outputs are indexed by a group, or by none."""
    space = build.space(below)
    height, width = space.shape
    frame = windows(layer, (height, width))
    above = Space(tuple(window.n_out for window in frame), group)
    return layer.filter(build, below, Support(space, above, frame))


def _positions(
    layer: Conv | Lift | GroupConv, shape: tuple[int, int] | None
) -> tuple[int, int] | None:
    if shape is None:
        return None
    y, x = windows(layer, shape)
    return y.n_out, x.n_out


def _turned_positions(
    layer: Lift | GroupConv, shape: tuple[int, int] | None, name: str
) -> tuple[int, int] | None:
    if shape is None:
        return None
    group = point_group(name)
    if group.swaps_axes and shape[0] != shape[1]:
        raise ShapeError(
            f"the group {name} turns images by 90 degrees and needs square ones, "
            f"not {times(shape)}: crop or resize them, or use one of C1, C2, D1, D2"
        )
    if layer.padding == "VALID" and not group.acts_on(offsets(layer)):
        raise ShapeError(
            f"with padding VALID the group {name} must map the {times(layer.filter_shape)} filter "
            "to itself, else each rotation has other output positions: use a square filter, or SAME"
        )
    return _positions(layer, shape)
