"""A list of layers as what is computed: a body on a group, a readout, and a head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from refntk.errors import NetworkError
from refntk.network.activations import Activation
from refntk.network.dense import Dense
from refntk.network.pooling import Flatten, GroupPool
from refntk.network.signal import Signal
from refntk.ops.operations import Filter, Operation, Pointwise
from refntk.ops.program import Builder, Program
from refntk.ops.space import Space
from refntk.sphere.layers import GlobalConv, GlobalFilter, GroupLift

__all__ = ["Layout", "Step", "lay_out"]


@dataclass(frozen=True)
class Step:
    """One operation of the body, and the band of its filter where it has one.

    Attributes
    ----------
    operation : Filter or Pointwise
    band : int or None
    """

    operation: Filter | Pointwise
    band: int | None


@dataclass(frozen=True)
class Layout:
    """What a list of layers computes.

    Attributes
    ----------
    lift : GroupLift
        The first layer; its operation is step 0, and its band is the signals'.
    steps : tuple of Step
    pooled : bool
        Whether the readout is the mean over the group; else it is Flatten.
    head : Program
        On vectors.
    """

    lift: GroupLift
    steps: tuple[Step, ...]
    pooled: bool
    head: Program

    @property
    def bands(self) -> int:
        """The largest band of a filter between features, or 0."""
        return max((step.band or 0 for step in self.steps), default=0)


def lay_out(layers: Sequence[Any], tangent: bool) -> Layout:
    """Check a list of layers and lower it.

    Parameters
    ----------
    layers : sequence of layers
        A lift, then GlobalConv and activations, GroupPool or Flatten, then Dense and activations.
    tangent : bool
        Whether there must be an NTK.

    Raises
    ------
    NetworkError
        The layers do not fit together; the message names one.
    MethodError
        An activation has no NTK.
    """
    layers = list(layers) if isinstance(layers, Sequence) else []
    if not layers or not isinstance(layers[0], GroupLift):
        raise NetworkError(
            "expected a list of layers that begins with SphereLift or CircleLift", layer=0
        )
    readouts = [k for k, layer in enumerate(layers) if isinstance(layer, GroupPool | Flatten)]
    if len(readouts) != 1:
        raise NetworkError(
            f"expected one readout, GroupPool or Flatten, among the layers, not {len(readouts)}"
        )
    (readout,) = readouts
    build, value, signal = Builder(Space()), 0, Signal("vector")
    bands: list[int | None] = []
    for index, layer in enumerate(layers):
        build.layer = index, type(layer).__name__
        if index == readout:
            signal = Signal("vector")
            continue
        wanted = (GlobalConv if index else GroupLift) if index < readout else Dense
        if not isinstance(layer, wanted | Activation):
            _refuse(index, layer, index < readout)
        try:
            signal = layer.after(signal)
        except NetworkError as error:
            raise NetworkError(f"layer {index} ({type(layer).__name__}): {error}") from None
        value = layer.lower(build, value)
        if index < readout:
            # A lift's band is that of the signals, which are cut to it.
            bands.append(layer.band if index and isinstance(layer, GlobalFilter) else None)
    program = build.program()
    if tangent:
        program.require_tangent()
    count = len(bands)
    return Layout(
        layers[0],
        tuple(Step(_known(op), band) for op, band in zip(program.operations, bands, strict=False)),
        isinstance(layers[readout], GroupPool),
        program.part(count, len(program)),
    )


def _known(operation: Operation) -> Filter | Pointwise:
    assert isinstance(operation, Filter | Pointwise)  # no other layer is let in
    return operation


def _refuse(index: int, layer: Any, before: bool) -> None:
    name = type(layer).__name__
    remedy = (
        "between the lift and the readout use GlobalConv and activations such as Relu"
        if before
        else "after the readout use Dense and activations such as Relu"
    )
    raise NetworkError(f"layer {index} ({name}): does not fit here: {remedy}", layer=index)
