r"""Networks of finite width, drawn at random: what the exact kernels are the limit of.

The kernels of one draw are

.. math::
    \hat K(x, x') = \frac{1}{O} \sum_o f_o(x) f_o(x'), \qquad
    \hat\Theta(x, x') = \frac{1}{O} \sum_o \sum_p
        \frac{\partial f_o(x)}{\partial p} \frac{\partial f_o(x')}{\partial p}

with outputs o and parameters p. Their means over draws tend to K and Theta as the width grows.

References
----------
P. Misof, P. Kessel, J. E. Gerken, "Equivariant Neural Tangent Kernels", arXiv:2406.06504v1,
section 5.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from refntk.errors import InputError, NetworkError, ShapeError, unknown
from refntk.finite.layers import operator
from refntk.finite.operator import FloatArray, Joint, LinearOperator, Operator, Weights
from refntk.network.network import Network
from refntk.ops.operations import Average, Filter, Join, Pointwise, Stack, read_by

__all__ = ["FiniteNetwork"]

_DTYPES = ("float64", "float32")


class FiniteNetwork:
    """A network of finite width, without its parameters.

    Parameters
    ----------
    net : Network
        It may end at any layer; the kernels need a readout.
    shape : (int, int, int) or (int, int)
        Height, width and channels of the images; points and channels of signals on a finite set.
    width : int
        Number of channels of each layer with parameters: for features on a group, the channels at
        each group element.
    outputs : int, optional
        Number of channels of the last of these layers. Default: `width`.
    dtype : {"float64", "float32"}
        Precision of parameters and features.

    Attributes
    ----------
    operators : tuple of Operator or Joint
        One for each operation of the network's program.

    Raises
    ------
    InputError
        Width or outputs are not positive, or the dtype is unknown.
    MethodError
        A layer has no counterpart of finite width.
    ShapeError
        A layer cannot take images of this shape.

    Examples
    --------
    >>> from refntk.network import preset
    >>> finite = FiniteNetwork(preset("cnn-gap"), (8, 8, 3), width=16, outputs=10)
    >>> parameters = finite.draw(np.random.default_rng(0))
    >>> finite.forward(parameters, np.ones((2, 8, 8, 3)))[-1].shape
    (2, 10)
    """

    def __init__(
        self,
        net: Network,
        shape: Sequence[int],
        width: int,
        outputs: int | None = None,
        dtype: str = "float64",
    ) -> None:
        for name, value in (("width", width), ("outputs", width if outputs is None else outputs)):
            if value < 1:
                raise InputError(f"{name}: expected a positive number of channels, not {value}")
        if dtype not in _DTYPES:
            raise InputError(unknown("dtype", dtype, _DTYPES))
        self._shape = tuple(int(side) for side in shape)
        program = net.program(shape)
        weighted = [isinstance(layer, Filter) for layer in program.operations]
        last = max((index for index, has in enumerate(weighted) if has), default=None)
        above = range(len(program) if last is None else last + 1, len(program))
        # Then the outputs do not depend on other channels of the last layer with parameters.
        self._apart = all(
            read_by(program.operations[k]) == (k,)
            and isinstance(program.operations[k], Pointwise | Average | Stack)
            for k in above
        )
        if outputs is not None and not self._apart:
            raise InputError("outputs: the network ends in branches: put a Dense at its end")
        counts, operators = [int(shape[-1])], []
        for index, layer in enumerate(program.operations):
            read = [counts[value] for value in read_by(layer)]
            operators.append(operator(program, index, *read))
            counts.append(sum(read) if isinstance(layer, Join) else read[0])
            if weighted[index]:
                counts[-1] = outputs if outputs is not None and index == last else width
            elif isinstance(layer, Stack):
                counts[-1] *= layer.support.size
        pairs = zip(counts[1:], weighted, strict=True)
        self._channels = [count if has else None for count, has in pairs]
        self.operators: tuple[Operator | Joint, ...] = tuple(operators)
        self._reads = tuple(read_by(layer) for layer in program.operations)
        self._last, self._ends_in, self._dtype = last, net.signals(shape)[-1].kind, dtype

    def draw(self, rng: np.random.Generator) -> list[Weights | None]:
        """Draw all parameters, standard normal.

        Parameters
        ----------
        rng : numpy.random.Generator

        Returns
        -------
        list of Weights or None
            One entry for each layer; None where it has no parameters.
        """
        return [
            layer.draw(rng, channels, self._dtype)
            if isinstance(layer, LinearOperator) and channels is not None
            else None
            for layer, channels in zip(self.operators, self._channels, strict=True)
        ]

    def forward(
        self, parameters: Sequence[Weights | None], images: FloatArray
    ) -> list[FloatArray]:
        """Apply the network.

        Parameters
        ----------
        parameters : sequence of Weights or None
            As `draw` gives them.
        images : float array, shape (N, H, W, C)

        Returns
        -------
        list of float array
            The images in the network's precision, then the features after each layer; their axes
            are listed in `refntk.finite.operator`.

        Raises
        ------
        ShapeError
            The images are not of the shape that the network was made for.
        """
        if images.shape[1:] != self._shape:
            raise ShapeError(
                f"expected images of shape (N, {', '.join(map(str, self._shape))}), "
                f"not {images.shape}: the network was made for these"
            )
        features = [images.astype(self._dtype, copy=False)]
        for index, (layer, own) in enumerate(zip(self.operators, parameters, strict=True)):
            parts = [features[value] for value in self._reads[index]]
            if isinstance(layer, Joint):
                features.append(layer.forward(parts))
            else:
                features.append(layer.forward(own, parts[0]))
        return features

    def backward(
        self,
        parameters: Sequence[Weights | None],
        features: Sequence[FloatArray],
        covector: FloatArray,
    ) -> tuple[list[Weights | None], FloatArray]:
        """Multiply a covector with the derivative of the network.

        Parameters
        ----------
        parameters : sequence of Weights or None
        features : sequence of float array
            What `forward` gave for these parameters.
        covector : float array, shape of the last features
            Derivative of a function, such as a loss, in the outputs.

        Returns
        -------
        gradients : list of Weights or None
            Derivative of that function in the parameters of each layer, summed over the images.
        images : float array, shape (N, H, W, C)
            Derivative in the images.
        """
        gradients: list[Weights | None] = [None] * len(self.operators)
        images = np.zeros_like(features[0])
        for index, g in self._down(parameters, features, covector, images):
            layer = self.operators[index]
            if isinstance(layer, LinearOperator):
                gradients[index] = layer.gradient(features[self._reads[index][0]], g)
        return gradients, images

    def _down(
        self,
        parameters: Sequence[Weights | None],
        features: Sequence[FloatArray],
        covector: FloatArray,
        images: FloatArray | None = None,
    ) -> Iterator[tuple[int, FloatArray]]:
        """Give the covector at the output of each operator that has a say, the last one first.

        That in the images is added to `images`; without it, layers below all parameters are left
        out.
        """
        weighted = (k for k, own in enumerate(parameters) if own is not None)
        first = next(weighted, 0) if images is None else 0
        covectors = {len(self.operators): covector}
        for index in reversed(range(first, len(self.operators))):
            g = covectors.pop(index + 1)
            yield index, g
            layer, read = self.operators[index], self._reads[index]
            below = [value for value in read if value > first or images is not None]
            if not below:
                continue
            parts = [features[value] for value in read]
            if isinstance(layer, Joint):
                pulled = layer.pull_back(parts, g)
            else:
                pulled = [layer.pull_back(parameters[index], parts[0], g)]
            for value, part in zip(read, pulled, strict=True):
                covectors[value] = covectors[value] + part if value in covectors else part
        if images is not None:
            images += covectors.get(0, 0)

    def nngp(self, features: Sequence[FloatArray]) -> npt.NDArray[np.float64]:
        """Average the products of the outputs.

        Parameters
        ----------
        features : sequence of float array
            What `forward` gave for N images.

        Returns
        -------
        array of float64, shape (N, N)

        Raises
        ------
        NetworkError
            The network has no readout.
        """
        self.require_readout()
        outputs = features[-1].astype(np.float64)
        return np.asarray(outputs @ outputs.T / outputs.shape[1])

    def ntk(
        self,
        parameters: Sequence[Weights | None],
        features: Sequence[FloatArray],
        channels: int = 1,
    ) -> npt.NDArray[np.float64]:
        """Contract the derivatives in all parameters, one layer and one output after the other.

        Parameters
        ----------
        parameters : sequence of Weights or None
        features : sequence of float array
            What `forward` gave for these parameters and N images.
        channels : int, default 1
            How many channels of the last layer with parameters are averaged over; all have the same
            expectation, and each costs a backward pass. Where only a Flatten follows, one pass for
            each position: their expectations differ. Where branches are joined behind it, or a
            LayerNorm stands there, all outputs are averaged over.

        Returns
        -------
        array of float64, shape (N, N)

        Raises
        ------
        NetworkError
            The network has no readout.

        Notes
        -----
        No Jacobian of the network is formed: at most the derivatives of one output of N images in
        the parameters of one layer.
        """
        self.require_readout()
        count = len(features[0])
        kernel: npt.NDArray[np.float64] = np.zeros((count, count))
        if self._last is None:
            return kernel
        cut, kept = list(parameters), list(features)
        if self._apart:
            own = parameters[self._last]
            assert own is not None
            cut[self._last] = own.first(channels)
            kept[self._last + 1 :] = [features[self._last + 1][..., :channels]]
            for layer in self.operators[self._last + 1 :]:
                assert isinstance(layer, Operator)
                kept.append(layer.forward(None, kept[-1]))
        outputs = kept[-1].shape[1]
        for output in range(outputs):
            covector = np.zeros_like(kept[-1])
            covector[:, output] = 1
            kernel += self._tangent_kernel(cut, kept, covector)
        return np.asarray(kernel / outputs)

    def _tangent_kernel(
        self,
        parameters: Sequence[Weights | None],
        features: Sequence[FloatArray],
        covector: FloatArray,
    ) -> npt.NDArray[np.float64]:
        kernel = np.zeros((len(covector),) * 2)
        for index, g in self._down(parameters, features, covector):
            layer = self.operators[index]
            if isinstance(layer, LinearOperator):
                kernel += layer.tangent_kernel(features[self._reads[index][0]], g)
        return kernel

    def require_readout(self) -> None:
        """Raise `NetworkError` unless the network ends behind a readout, as its kernels must."""
        if self._ends_in != "vector":
            raise NetworkError(
                "the network ends without a readout: add GroupPool, GlobalAvgPool or Flatten"
            )
