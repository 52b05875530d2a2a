"""Scripts in the manner of neural-tangents' examples, which run with either library.

    python scripts.py neural_tangents OUT.json

computes the numbers that lie beside this file; with refntk in the place of neural_tangents, those
of the product. Nothing but the import differs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np


def numbers(*shape: int, seed: int) -> np.ndarray:
    """Numbers between -1 and 1 that every version of NumPy makes alike."""
    return np.arange(seed, seed + int(np.prod(shape))).reshape(shape) * 7919 % 1013 / 506.5 - 1


TABLES = numbers(4, 6, seed=1), numbers(3, 6, seed=50)
IMAGES = numbers(3, 6, 6, 2, seed=100), numbers(2, 6, 6, 2, seed=400)
SIGNALS = numbers(3, 7, 2, seed=600), numbers(2, 7, 2, seed=700)
STANDARD = {"parameterization": "standard"}


def perceptrons(stax: Any) -> dict[str, Any]:
    """Build networks of vectors."""
    serial, dense = stax.serial, stax.Dense
    return {
        "two layers of erf": serial(
            dense(512, 1.5, 0.05), stax.Erf(),
            dense(512, W_std=1.5, b_std=0.05), stax.Erf(), dense(1),
        ),
        "relus": serial(
            dense(100), stax.Relu(), dense(100), stax.LeakyRelu(0.1),
            dense(100), stax.ABRelu(-0.3, 1.2), dense(100, b_std=0.2), stax.Abs(), dense(1, 2.0),
        ),
        "waves": serial(
            dense(9), stax.Sin(1.0, 0.5), dense(9), stax.Cos(0.7), dense(9), stax.Rbf(0.3),
            dense(9), stax.Exp(0.5, 0.3), dense(9), stax.Gaussian(), dense(1),
        ),
        "gates": serial(
            dense(9), stax.Gelu(), dense(9), stax.Sigmoid_like(), dense(9, 1.2, 0.1),
            stax.ExpNormalized(0.8), dense(1),
        ),
        "polynomial": serial(dense(9, 1.2, 0.1), stax.Polynomial([0.1, 0.5, 0.2]), dense(1)),
        "power": serial(dense(9, 1.2, 0.1), stax.Monomial(3), dense(1)),
        "half of a power": serial(dense(9, 1.2, 0.1), stax.RectifiedMonomial(2), dense(1)),
        "three summed": serial(
            dense(8), stax.FanOut(3),
            stax.parallel(
                stax.Identity(), serial(stax.Relu(), dense(8)), serial(stax.Erf(), dense(8, 0.5)),
            ),
            stax.FanInSum(), stax.Relu(), dense(1),
        ),
        "product": serial(
            dense(5), stax.FanOut(2),
            stax.parallel(serial(dense(8), stax.Erf()), serial(dense(8), stax.Relu())),
            stax.FanInProd(), dense(1),
        ),
        "normalized": serial(dense(64), stax.LayerNorm(), stax.Relu(), dense(1, b_std=0.3)),
        "thinned": serial(dense(64), stax.Relu(), stax.Dropout(0.8), dense(1)),
        "standard": serial(
            dense(64, 1.2, 0.1, **STANDARD), stax.Relu(), dense(32, 1.1, 0.2, **STANDARD),
            stax.Relu(), dense(1, 1.1, **STANDARD),
        ),
    }  # fmt: skip


def convolutional(stax: Any) -> dict[str, Any]:
    """Build networks of images."""
    serial, conv = stax.serial, stax.Conv

    def same(width: int, **more: Any) -> Any:
        return conv(width, (3, 3), padding="SAME", **more)

    def block(width: int, strides: tuple[int, int] = (1, 1), change: bool = False) -> Any:
        """Make one block of a wide residual network."""
        main = serial(
            stax.Relu(), conv(width, (3, 3), strides, padding="SAME"), stax.Relu(), same(width)
        )
        other = conv(width, (3, 3), strides, padding="SAME") if change else stax.Identity()
        return serial(stax.FanOut(2), stax.parallel(main, other), stax.FanInSum())

    return {
        "flattened": serial(
            same(64, b_std=0.1), stax.Relu(), conv(64, (3, 3), strides=(2, 2)), stax.Relu(),
            stax.AvgPool((2, 2)), stax.Flatten(), stax.Dense(10),
        ),
        "pooled": serial(
            conv(64, (3, 3)), stax.Relu(), stax.AvgPool((2, 2), (2, 2)),
            conv(64, (2, 2), padding="CIRCULAR"), stax.Relu(), stax.GlobalAvgPool(),
            stax.Dense(10),
        ),
        "sums": serial(
            conv(64, (3, 3)), stax.Relu(), stax.SumPool((2, 2), (2, 2), "SAME"), same(3),
            stax.Relu(), stax.AvgPool((3, 3), (1, 1), "SAME", True), stax.GlobalSumPool(),
            stax.Dense(10),
        ),
        "dense at pixels": serial(
            stax.Dense(7, 1.3), stax.Relu(), same(5), stax.Relu(), stax.Dense(4), stax.Flatten(),
            stax.Flatten(), stax.Dense(2),
        ),
        "wide residual": serial(
            same(16), block(32, (1, 1), change=True), block(32), block(64, (2, 2), change=True),
            stax.AvgPool((3, 3)), stax.Flatten(), stax.Dense(10, 1.0, 0.0),
        ),
        "concatenated": serial(
            same(16), stax.Relu(), stax.FanOut(2),
            stax.parallel(same(12), serial(conv(24, (1, 1)), stax.Relu())), stax.FanInConcat(),
            same(3), stax.Relu(), stax.Flatten(), stax.FanOut(2),
            stax.parallel(stax.Identity(), stax.Dense(100)), stax.FanInConcat(-1), stax.Dense(1),
        ),
        "normalized images": serial(
            same(64), stax.LayerNorm(axis=(1, 2, 3)), stax.Relu(), stax.GlobalAvgPool(),
            stax.Dense(1, b_std=0.3),
        ),
        "standard images": serial(
            same(16, b_std=0.0, **STANDARD), stax.Relu(),
            stax.repeat(serial(same(16, **STANDARD), stax.Relu()), 2),
            stax.Flatten(), stax.Dense(1, 1.1, 0.2, **STANDARD),
        ),
    }  # fmt: skip


def of_signals(stax: Any) -> dict[str, Any]:
    """Build networks of sequences."""
    return {
        "signals": stax.serial(
            stax.Conv(8, (3,), padding="SAME"), stax.Relu(), stax.Conv(8, (2,), (2,)), stax.Erf(),
            stax.Dense(4), stax.AvgPool((2,)), stax.Flatten(), stax.Dense(1),
        ),
        "pooled signals": stax.serial(
            stax.Dense(8), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1)
        ),
        "flattened signals": stax.serial(
            stax.Flatten(), stax.Dense(8), stax.Relu(), stax.Dense(1)
        ),
    }  # fmt: skip


def kernels(stax: Any, **options: Any) -> Iterator[tuple[str, Any]]:
    """Compute the kernels of all networks."""
    builds = (TABLES, perceptrons), (IMAGES, convolutional), (SIGNALS, of_signals)
    for (x1, x2), build in builds:
        for name, network in build(stax).items():
            init_fn, apply_fn, kernel_fn = network
            both = kernel_fn(x1, x2, ("nngp", "ntk"), **options)
            yield f"{name}, nngp", both.nngp
            yield f"{name}, ntk", both.ntk
            yield f"{name}, ntk with itself", kernel_fn(x1, None, "ntk", **options)


def predictions(nt: Any, stax: Any, **options: Any) -> Iterator[tuple[str, Any]]:
    """Predict at the end of training and before, for other points and for those of training."""
    init_fn, apply_fn, kernel_fn = stax.serial(
        stax.Dense(256, 1.3, 0.2), stax.Erf(), stax.Dense(1, 1.3, 0.2)
    )
    kernel_fn = nt.batch(kernel_fn, batch_size=0, device_count=0)
    x_train, x_test = TABLES
    y_train = numbers(4, 2, seed=900)
    for diag_reg, absolute in ((0.0, False), (0.1, False), (0.3, True)):
        predict_fn = nt.predict.gradient_descent_mse_ensemble(
            kernel_fn, x_train, y_train, learning_rate=0.7, diag_reg=diag_reg,
            diag_reg_absolute_scale=absolute, **options,
        )  # fmt: skip
        for points, x in (("test", x_test), ("training", None)):
            for when, t in (("end", None), ("3", 3.0), ("times", np.array([[0.0], [50.0]]))):
                found = predict_fn(t=t, x_test=x, compute_cov=True)
                name = f"diag_reg {diag_reg}, {points}, t {when}"
                for kernel in ("nngp", "ntk"):
                    mean, covariance = getattr(found, kernel)
                    yield f"{name}, {kernel} mean", mean
                    yield f"{name}, {kernel} covariance", covariance
                yield f"{name}, mean alone", predict_fn(t=t, x_test=x, get="ntk")


def main() -> None:
    """Write all numbers, those of an array in a row."""
    library, out = sys.argv[1:]
    if library == "neural_tangents":
        import_module("jax").config.update("jax_enable_x64", True)
    nt, stax = import_module(library), import_module(f"{library}.stax")
    found = {
        part: {name: np.asarray(array).tolist() for name, array in arrays}
        for part, arrays in (("kernels", kernels(stax)), ("predictions", predictions(nt, stax)))
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=0)


if __name__ == "__main__":
    main()
