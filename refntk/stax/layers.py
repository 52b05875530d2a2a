"""The layers, with the words, the order of arguments and the defaults of neural-tangents."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from refntk.errors import NetworkError, unknown
from refntk.network import layers as own
from refntk.network.arguments import arguments
from refntk.progress import say_once
from refntk.stax.parts import Part

__all__ = [
    "ABRelu",
    "Abs",
    "AvgPool",
    "Conv",
    "Cos",
    "Dense",
    "Dropout",
    "ElementwiseNumerical",
    "Erf",
    "Exp",
    "ExpNormalized",
    "Flatten",
    "Gaussian",
    "Gelu",
    "GlobalAvgPool",
    "GlobalSumPool",
    "Hermite",
    "Identity",
    "LayerNorm",
    "LeakyRelu",
    "Monomial",
    "Polynomial",
    "Rbf",
    "RectifiedMonomial",
    "Relu",
    "Sigmoid_like",
    "Sign",
    "Sin",
    "SumPool",
]

_AXES = {"batch_axis": (0,), "batch_axis_out": (0,), "channel_axis": (-1, 3), "s": ((1, 1),)}
"""Arguments of neural-tangents that have one meaning here, with the values that say it."""


def Dense(
    out_dim: int,
    W_std: float = 1.0,
    b_std: float | None = None,
    *,
    parameterization: str = "ntk",
    **axes: Any,
) -> Part:
    """Fully connected layer; where there are positions, the same at each of them.

    Parameters
    ----------
    out_dim : int
        Its width, which matters in the standard parametrisation, and to `FanInConcat`.
    W_std : float
    b_std : float, optional
        None is no bias; in the standard parametrisation that differs from 0.
    parameterization : {"ntk", "standard"}
    **axes
        ``batch_axis``, ``channel_axis`` and ``s`` with their defaults.

    Returns
    -------
    Part

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """
    _check_axes("Dense", axes)
    return _weighted(own.Dense, (), out_dim, W_std, b_std, parameterization)


def Conv(
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    W_std: float = 1.0,
    b_std: float | None = None,
    dimension_numbers: Sequence[str] | None = None,
    parameterization: str = "ntk",
    **axes: Any,
) -> Part:
    """Convolution.

    Parameters
    ----------
    out_chan : int
        Its width; see `Dense`.
    filter_shape : sequence of int
        One number an axis of positions.
    strides : sequence of int, optional
        Default: 1 along each.
    padding : {"VALID", "SAME", "CIRCULAR"}
    W_std, b_std, parameterization, **axes
        As for `Dense`.
    dimension_numbers : (str, str, str), optional
        Channels last, such as ("NHWC", "HWIO", "NHWC"), which is the default.

    Returns
    -------
    Part

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """
    _check_axes("Conv", axes)
    if dimension_numbers is not None:
        places = dimension_numbers[0][1:-1]
        if tuple(dimension_numbers) != (f"N{places}C", f"{places}IO", f"N{places}C"):
            raise NetworkError(
                f"Conv: dimension_numbers {tuple(dimension_numbers)}: expected channels last, "
                "('NHWC', 'HWIO', 'NHWC')"
            )
    windows = {"strides": _steps(strides, filter_shape), "padding": padding}
    shape = (tuple(filter_shape),)
    return _weighted(own.Conv, shape, out_chan, W_std, b_std, parameterization, **windows)


def _weighted(
    layer: Callable[..., Any],
    shape: tuple[Any, ...],
    width: int,
    W_std: float,
    b_std: float | None,
    parameterization: str,
    **windows: Any,
) -> Part:
    """Make a layer with weights, which keeps its width also where no kernel depends on it."""
    if parameterization not in ("ntk", "standard"):
        known = ("ntk", "standard")
        raise NetworkError(unknown("parameterization", parameterization, known))
    if parameterization == "ntk":
        say_once(
            "networks are infinitely wide: the widths of a stax network in the NTK parametrisation "
            "count where FanInConcat joins channels, and nowhere else"
        )
    bias = {"bias": False} if b_std is None else {"b_std": b_std}
    made = layer(*shape, W_std=W_std, width=width, **bias, **windows)
    return Part((made,), frozenset({parameterization}))


def AvgPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    normalize_edges: bool = False,
    **axes: Any,
) -> Part:
    """Mean over windows.

    Parameters
    ----------
    window_shape : sequence of int
    strides : sequence of int, optional
        Default: 1 along each axis.
    padding : {"VALID", "SAME", "CIRCULAR"}
    normalize_edges : bool
        Whether zeros beyond the edge are left out of the mean.
    **axes
        ``batch_axis`` and ``channel_axis`` with their defaults.

    Returns
    -------
    Part

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """
    _check_axes("AvgPool", axes)
    return Part((
        own.AvgPool(
            tuple(window_shape),
            strides=_steps(strides, window_shape),
            padding=padding,
            normalize_edges=normalize_edges,
        ),
    ))


def SumPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    **axes: Any,
) -> Part:
    """Sum over windows.

    Parameters
    ----------
    window_shape, strides, padding, **axes
        As for `AvgPool`.

    Returns
    -------
    Part

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """
    _check_axes("SumPool", axes)
    steps = _steps(strides, window_shape)
    return Part((own.SumPool(tuple(window_shape), strides=steps, padding=padding),))


def Identity() -> Part:
    """Do nothing, as beside a branch in `parallel`.

    Returns
    -------
    Part
    """
    return Part(())


def LayerNorm(axis: int | Sequence[int] = -1, eps: float = 1e-12, **axes: Any) -> Part:
    """Features less their mean, divided by their deviation.

    Parameters
    ----------
    axis : int or sequence of int
        The channels, -1, or all axes of an image, (1, 2, 3).
    eps : float
        Added to the variance.
    **axes
        ``batch_axis`` and ``channel_axis`` with their defaults.

    Returns
    -------
    Part

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """
    _check_axes("LayerNorm", axes)
    over = {axis} if isinstance(axis, int) else set(axis)
    if over not in ({-1}, {3}, {1, 2, 3}, {1, 2, -1}):
        raise NetworkError(f"LayerNorm: axis {axis}: expected the channels, -1, or (1, 2, 3)")
    return Part((own.LayerNorm(axes="channels" if len(over) == 1 else "all", eps=eps),))


def Monomial(degree: int) -> Part:
    """Pointwise power.

    Parameters
    ----------
    degree : int
        From 0 to 64.

    Returns
    -------
    Part

    Raises
    ------
    NetworkError
        Another degree.
    """
    if not isinstance(degree, int) or degree < 0:
        raise NetworkError(f"Monomial: degree {degree!r}: expected a whole number from 0 to 64")
    return Part((own.Polynomial(coef=(*[0.0] * degree, 1.0)),))


def ElementwiseNumerical(
    fn: Callable[[Any], Any] | str,
    deg: int | None = None,
    df: Callable[[Any], Any] | None = None,
    do_backprop: bool = False,
) -> Part:
    """Pointwise any function, by a series with a proven rest in the place of a quadrature.

    Parameters
    ----------
    fn : callable or str
        A function of a float64 NumPy array, entry by entry, or a name as for `refntk.Elementwise`.
    deg, do_backprop
        Change nothing: the series is as long as its tolerance of 1e-12 asks for.
    df : callable, optional
        Derivative.

    Returns
    -------
    Part

    Raises
    ------
    NetworkError
        An argument is wrong; the message begins with its name.
    """
    return Part((own.Elementwise(fn, derivative=df),))


def _same(name: str) -> Callable[..., Part]:
    """Build the function that makes a layer whose arguments are those of neural-tangents."""
    layer = own.LAYERS[name]
    names = [each.name for each in arguments(layer)]

    def make(*args: Any, **kwargs: Any) -> Part:
        if len(args) > len(names):
            raise NetworkError(f"{name}: takes {len(names)} arguments, not {len(args)}")
        if kwargs.pop("approximate", False):
            raise NetworkError(
                f"{name}: approximate=True is another function; leave it out for the exact one"
            )
        # These say how something is computed, and not what.
        kept = {key: kwargs[key] for key in kwargs if not key.startswith("do_")}
        others = {key: kept.pop(key) for key in [*kept] if key in _AXES}
        _check_axes(name, others)
        return Part((layer(**dict(zip(names, args, strict=False)), **kept),))

    make.__name__ = make.__qualname__ = name
    make.__doc__ = inspect.getdoc(layer)
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_KEYWORD
    own_arguments = inspect.signature(layer).parameters
    shown = [inspect.Parameter(n, kinds[0], default=own_arguments[n].default) for n in names]
    vars(make)["__signature__"] = inspect.Signature([*shown, inspect.Parameter("_", kinds[1])])
    return make


def _check_axes(name: str, given: dict[str, Any]) -> None:
    """Refuse arguments that are not known, or say something that is not here."""
    for word, value in given.items():
        if word not in _AXES:
            raise NetworkError(f"{name}: {unknown('argument', word, _AXES)}")
        if (tuple(value) if isinstance(value, list) else value) not in _AXES[word]:
            raise NetworkError(f"{name}: {word}={value!r}: only {_AXES[word][0]} is here")


def _steps(strides: Sequence[int] | None, shape: Sequence[int]) -> tuple[int, ...]:
    """Give strides, by default 1 along each axis."""
    return tuple(strides or (1,) * len(shape))


ABRelu, Abs, Cos, Dropout, Erf, Exp = map(_same, ("ABRelu", "Abs", "Cos", "Dropout", "Erf", "Exp"))
ExpNormalized, Flatten, Gaussian = map(_same, ("ExpNormalized", "Flatten", "Gaussian"))
Gelu, GlobalAvgPool, GlobalSumPool = map(_same, ("Gelu", "GlobalAvgPool", "GlobalSumPool"))
Hermite, LeakyRelu, Polynomial = map(_same, ("Hermite", "LeakyRelu", "Polynomial"))
Rbf, RectifiedMonomial, Relu = map(_same, ("Rbf", "RectifiedMonomial", "Relu"))
Sigmoid_like, Sign, Sin = map(_same, ("Sigmoid_like", "Sign", "Sin"))
