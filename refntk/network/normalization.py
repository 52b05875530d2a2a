"""Layers without weights that keep every feature in its place: LayerNorm and Dropout."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace

from refntk.errors import NetworkError, unknown
from refntk.network.arguments import by_name, canonical, finite_number
from refntk.network.signal import Signal
from refntk.ops.operations import Rescale, Thin
from refntk.ops.program import Builder

__all__ = ["Dropout", "LayerNorm"]

_AXES = ("channels", "all")
_MODES = ("train", "test")


@by_name
@dataclass(frozen=True)
class LayerNorm:
    """Features less their mean, divided by their deviation; no gain and no shift is learned.

    Parameters
    ----------
    axes : {"channels", "all"}, default "channels"
        Over what mean and deviation are taken: over the channels, for each position and group
        element; or over these as well, one number an image.
    eps : float, default 1e-12
        Added to the variance before the root; 0 is allowed, and features without variance stay 0.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """

    _: KW_ONLY
    axes: str = "channels"
    eps: float = 1e-12

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, axes=_axes, eps=_epsilon)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer, or raise `NetworkError`."""
        if not signal.gaussian:
            raise NetworkError(
                "needs Gaussian features of mean zero, which the input, an activation and a "
                "Flatten do not give: put it right behind a layer with weights"
            )
        return signal

    def lower(self, build: Builder, below: int) -> int:
        """Append a rescaling; see `Layer.lower`."""
        return build.add(Rescale(below, self.eps, self.axes == "all"))


@by_name
@dataclass(frozen=True)
class Dropout:
    """Features that are set to zero at random while a network is trained.

    Parameters
    ----------
    rate : float
        Probability with which a feature is kept, above 0 and at most 1, as in neural-tangents;
        features that are kept are divided by it.
    mode : {"train", "test"}, default "train"
        With test nothing is done.

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.

    Notes
    -----
    Each image has zeros of its own: with another image, also one that is equal, features have the
    covariance that they had. An image with itself has the variances divided by the rate.
    """

    rate: float
    _: KW_ONLY
    mode: str = "train"

    def __post_init__(self) -> None:
        """Check the arguments and bring them to their canonical types."""
        canonical(self, rate=_part, mode=_mode)

    def after(self, signal: Signal) -> Signal:
        """Give the signal after this layer."""
        return signal if self.mode == "test" else replace(signal, gaussian=False)

    def lower(self, build: Builder, below: int) -> int:
        """Append a thinning, or nothing; see `Layer.lower`."""
        return below if self.mode == "test" else build.add(Thin(below, self.rate))


def _axes(name: str, value: object) -> str:
    if not isinstance(value, str) or value not in _AXES:
        raise NetworkError(f"{name}: {unknown('axes', value, _AXES)}", key=name)
    return value


def _mode(name: str, value: object) -> str:
    if not isinstance(value, str) or value not in _MODES:
        raise NetworkError(f"{name}: {unknown('mode', value, _MODES)}", key=name)
    return value


def _epsilon(name: str, value: object) -> float:
    return finite_number(name, value, "a finite number, zero or positive", 0.0)


def _part(name: str, value: object) -> float:
    number = finite_number(name, value, "a part above 0, and at most 1", 0.0)
    if not 0 < number <= 1:
        raise NetworkError(f"{name}: expected a part above 0, and at most 1, not {value}", key=name)
    return number
