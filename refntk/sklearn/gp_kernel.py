"""The kernel of a network as a kernel of scikit-learn."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.gaussian_process.kernels import Kernel

from refntk.errors import InputError, unknown
from refntk.evaluation.evaluate import KERNELS
from refntk.network.network import Network
from refntk.sklearn.batches import as_batch, cross, gram, resolve, self_kernels

__all__ = ["RefntkKernel"]

Float64Array = npt.NDArray[np.float64]


class RefntkKernel(Kernel):  # type: ignore[misc]  # scikit-learn has no types
    """The NNGP or the NTK of a network, wherever scikit-learn takes a kernel.

    - In `GaussianProcessRegressor`, alone or in sums and products with other kernels, such as
      ``ConstantKernel() * RefntkKernel("mlp-5") + WhiteKernel()``.
    - As a function of two tables, ``SVC(kernel=RefntkKernel("mlp-5"))``.
    - As a matrix: ``kernel(X)`` for ``kernel="precomputed"``, and ``kernel.distance(X)`` for
      ``metric="precomputed"``.

    Parameters
    ----------
    network : Network or str, default "mlp-1"
        A network, the name of a preset or the path of a TOML file.
    get : {"nngp", "ntk"}
    image_shape : (H, W, C) or (H, W), optional
        The rows of X hold the pixels of images of this shape, channels last.
    dtype, backend, threads
        As for `refntk.kernel`.

    Notes
    -----
    It has no hyperparameters of its own. The last Gram matrix is kept, so that a search over
    those of the other kernels of a product computes it once; copies start without it.

    Examples
    --------
    >>> kernel = RefntkKernel("mlp-5")
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> bool(np.array_equal(kernel.diag(X), np.diagonal(kernel(X))))
    True
    """

    def __init__(
        self,
        network: Network | str = "mlp-1",
        get: str = "nngp",
        image_shape: tuple[int, ...] | None = None,
        dtype: str = "float64",
        backend: str = "numba",
        threads: int | None = None,
    ) -> None:
        self.network = network
        self.get = get
        self.image_shape = image_shape
        self.dtype = dtype
        self.backend = backend
        self.threads = threads

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """Evaluate the kernel.

        Parameters
        ----------
        X : array, shape (N, features) or (N, H, W, C)
        Y : array, shape (M, features) or (M, H, W, C), optional
            Default: X.
        eval_gradient : bool, default False
            Also the gradient by hyperparameters, of which there are none.

        Returns
        -------
        matrix : array of float64, shape (N, M)
        gradient : array of float64, shape (N, N, 0)
            Where it is asked for.

        Raises
        ------
        InputError, NetworkError, ShapeError
            A parameter is wrong, network and samples do not fit, or a gradient with Y.
        """
        net, images, options = self._prepared(X)
        if Y is not None:
            if eval_gradient:
                raise InputError("RefntkKernel: there is a gradient for Y=None only")
            others = as_batch(np.asarray(Y), self.image_shape, net)
            return cross(net, images, others, self.get, **options).astype(np.float64)
        matrix = self._gram(net, images, options)
        return (matrix, np.empty((*matrix.shape, 0))) if eval_gradient else matrix

    def diag(self, X: Any) -> Float64Array:
        """Kernel of each sample with itself.

        Parameters
        ----------
        X : array, shape (N, features) or (N, H, W, C)

        Returns
        -------
        array of float64, shape (N,)
            The diagonal of ``kernel(X)``.

        Raises
        ------
        InputError, NetworkError, ShapeError
            As a call of the kernel.
        """
        net, images, options = self._prepared(X)
        return self_kernels(net, images, self.get, **options)

    def distance(self, X: Any, Y: Any = None) -> Float64Array:
        r"""Distance of samples in the feature space of the kernel, for ``metric="precomputed"``.

        Parameters
        ----------
        X : array, shape (N, features) or (N, H, W, C)
        Y : array, shape (M, features) or (M, H, W, C), optional
            Default: X; the diagonal is then exactly zero.

        Returns
        -------
        array of float64, shape (N, M)
            :math:`\sqrt{K(x, x) + K(y, y) - 2 K(x, y)}`. The difference cancels: distances below
            1e-8 times the norm are rounding.

        Raises
        ------
        InputError, NetworkError, ShapeError
            As a call of the kernel.
        """
        matrix = self(X, Y)
        own = np.diagonal(matrix) if Y is None else self.diag(X)
        other = own if Y is None else self.diag(Y)
        squared = own[:, None] + other - 2 * matrix
        return np.asarray(np.sqrt(np.maximum(squared, 0.0)), np.float64)

    def is_stationary(self) -> bool:
        """Whether the kernel depends on differences of samples only: it does not."""
        return False

    def _prepared(self, X: Any) -> tuple[Network, npt.NDArray[Any], dict[str, Any]]:
        if self.get not in KERNELS:
            raise InputError(unknown("kernel", self.get, KERNELS))
        net = resolve(self.network)
        options = {"dtype": self.dtype, "backend": self.backend, "threads": self.threads}
        return net, as_batch(np.asarray(X), self.image_shape, net), options

    def _gram(self, net: Network, images: npt.NDArray[Any], options: Any) -> Float64Array:
        """Gram matrix, not computed again for the same network and images."""
        digest = hashlib.sha256(np.ascontiguousarray(images).tobytes())
        digest.update(repr((images.shape, images.dtype, net.hash, self.get, options)).encode())
        key = digest.hexdigest()
        known: tuple[str, Float64Array] | None = self.__dict__.get("_last")
        if known is None or known[0] != key:
            known = key, gram(net, images, self.get, **options).astype(np.float64)
            self._last = known
        return known[1].copy()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the kept matrix behind."""
        return {name: value for name, value in self.__dict__.items() if name != "_last"}

    def __repr__(self) -> str:
        """Show the parameters that differ from nothing: network and kernel."""
        name = self.network.name if isinstance(self.network, Network) else self.network
        return f"RefntkKernel({name or 'a network'!r}, {self.get!r})"
