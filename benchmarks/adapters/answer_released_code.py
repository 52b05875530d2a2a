"""Answer a suite of `refntk oracle` by the recursion of the released group-convolution code.

    python answer_released_code.py suite.h5 answers.h5 [--ntk-from-zero]
    refntk oracle check suite.h5 answers.h5 --only 'gcnn-c4*'

The released code has layers for C4: a lift, a group convolution over all rotations, and group
pooling; its Relu and Dense are those of neural-tangents. Here is their recursion in NumPy, written
anew: the position in the second image is turned by the difference of the two rotations, the kernel
is averaged as for an ordinary convolution, and turned back. As there, an NTK that no layer has set
begins as the kernel of the images; with --ntk-from-zero it begins as zero.

It needs NumPy and h5py, and not refntk.
"""

from __future__ import annotations

import argparse
import tomllib
from typing import Any

import h5py
import numpy as np

ORDER = 4
KNOWN = {"Lift", "GroupConv", "Relu", "GroupPool", "Dense"}


def supported(layers: list[dict[str, Any]]) -> bool:
    """Tell whether the released code has all these layers: C4 and square filters only."""
    return (
        {layer["type"] for layer in layers} <= KNOWN
        and all(layer.get("group", "C4") == "C4" for layer in layers)
        and all(len(set(layer.get("filter_shape", [1]))) == 1 for layer in layers)
        and layers[0]["type"] == "Lift"
    )


def average(kernel: np.ndarray, side: int, padding: str) -> np.ndarray:
    """Average over a square filter, jointly over both positions; axes (..., H, W, H, W)."""
    half = side // 2
    if padding != "VALID":
        mode = "wrap" if padding == "CIRCULAR" else "constant"
        kernel = np.pad(kernel, [(0, 0)] * (kernel.ndim - 4) + [(half, half)] * 4, mode=mode)
    size = kernel.shape[-1] - side + 1
    parts = (
        kernel[..., a : a + size, b : b + size, a : a + size, b : b + size]
        for a in range(side)
        for b in range(side)
    )
    return sum(parts) / side**2


def turned(kernel: np.ndarray, quarters: int) -> np.ndarray:
    """Turn the position in the second image."""
    return np.rot90(kernel, quarters, axes=(-2, -1))


def on_group(kernel: np.ndarray, layer: dict[str, Any], lifted: bool) -> np.ndarray:
    """Average over the filter of a lift or a group convolution, to (..., 4, 4, H, W, H, W)."""
    rows = []
    for r in range(ORDER):
        row = []
        for r2 in range(ORDER):
            block = kernel if lifted else kernel[..., r, r2, :, :, :, :]
            block = average(turned(block, r2 - r), layer["filter_shape"][0], layer["padding"])
            row.append(turned(block, r - r2))
        rows.append(np.stack(row, axis=-5))
    result = np.stack(rows, axis=-6)
    if lifted:
        return result
    return sum(np.roll(result, (q, q), axis=(-6, -5)) for q in range(ORDER)) / ORDER


def linear(layer: dict[str, Any]) -> Any:
    """Give the average that a layer with parameters takes."""
    if layer["type"] == "Dense":
        return lambda kernel: kernel
    return lambda kernel: on_group(kernel, layer, layer["type"] == "Lift")


def diagonal(kernel: np.ndarray) -> np.ndarray:
    """Variances of the kernel of an image with itself, (..., 4, 4, H, W, H, W) or (...)."""
    return np.einsum("...rrhwhw->...rhw", kernel) if kernel.ndim > 5 else kernel


def rectify(
    kernel: np.ndarray, var1: np.ndarray, var2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Apply Relu to a kernel; also give the kernel of its derivative."""
    if var1.ndim > 2:
        var1, var2 = var1[..., :, None, :, :, None, None], var2[..., None, :, None, None, :, :]
    scale = np.sqrt(var1 * var2)
    cosine = np.clip(np.divide(kernel, scale, out=np.zeros_like(kernel), where=scale > 0), -1, 1)
    angle = np.arccos(cosine)
    new = scale * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)
    return new, np.where(scale > 0, (np.pi - angle) / (2 * np.pi), 0)


def images_kernel(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Average over channels of products of pixels, (N1, N2, H, W, H, W)."""
    return np.einsum("ihwc,jyxc->ijhwyx", x1, x2) / x1.shape[-1]


def kernels(
    layers: list[dict[str, Any]], x1: np.ndarray, x2: np.ndarray, from_zero: bool
) -> dict[str, np.ndarray]:
    """Compute NNGP and NTK, with the rotations in the order of refntk."""
    nngp, ntk = images_kernel(x1, x2), None
    own = [np.stack([images_kernel(x[None], x[None])[0, 0] for x in xs]) for xs in (x1, x2)]
    for layer in layers:
        kind = layer["type"]
        if kind == "Relu":
            var1, var2 = diagonal(own[0])[:, None], diagonal(own[1])[None, :]
            nngp, slope = rectify(nngp, var1, var2)
            ntk = ntk * slope
            own = [rectify(k, diagonal(k), diagonal(k))[0] for k in own]
        elif kind == "GroupPool":
            nngp, ntk, *own = (k.mean(axis=tuple(range(-6, 0))) for k in (nngp, ntk, *own))
        else:
            if ntk is None:
                ntk = np.zeros_like(nngp) if from_zero else nngp
            weight, bias, mean = layer["W_std"] ** 2, layer["b_std"] ** 2, linear(layer)
            nngp = weight * mean(nngp) + bias
            ntk = nngp + weight * mean(ntk)
            own = [weight * mean(k) + bias for k in own]
    if nngp.ndim > 2:
        # The released code turns its filters the other way, which is a convention.
        other = [-r % ORDER for r in range(ORDER)]
        nngp, ntk = (k[:, :, other][:, :, :, other] for k in (nngp, ntk))
    return {"nngp": nngp, "ntk": ntk}


def main() -> None:
    """Read the suite, answer what the released code can, and write the answers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite")
    parser.add_argument("answers")
    parser.add_argument("--ntk-from-zero", action="store_true", help="begin with an NTK of zero")
    arguments = parser.parse_args()
    with h5py.File(arguments.suite) as suite, h5py.File(arguments.answers, "w") as answers:
        answers.attrs["suite"] = suite.attrs["suite"]
        for name, case in suite["cases"].items():
            layers = tomllib.loads(case.attrs["network"].decode())["layer"]
            if supported(layers):
                x1 = case["x1"][...]
                x2 = case["x2"][...] if "x2" in case else x1
                found = kernels(layers, x1, x2, arguments.ntk_from_zero)
                for kernel, value in found.items():
                    answers[f"{name}/{kernel}"] = value


if __name__ == "__main__":
    main()
