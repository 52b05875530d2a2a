"""Networks of finite width on SO(3), drawn at random, against the kernels of infinite width.

Written for this test alone: the layers act on values at the rotations of a quadrature that is exact
for them, gradients are by the chain rule, by hand.
"""

from __future__ import annotations

import numpy as np
import pytest

import refntk
from refntk import sphere
from refntk.sphere.harmonics import wigner_matrix
from refntk.sphere.rotations import Rotations

LIMIT, BAND, WIDTH, DRAWS = 2, 2, 32, 100
W, B = 1.3, 0.2


class Drawn:
    """Lift, activation, convolution of a band, activation, mean over SO(3), linear readout."""

    def __init__(self, activation: refntk.Relu | refntk.Erf) -> None:
        self.dual = activation.dual
        grid = Rotations(5, BAND)
        self.weights = grid.weights
        matrices = wigner_matrix(max(LIMIT, BAND), grid.angles)
        self.rotated = matrices[:LIMIT]  # (rotations, m, m') for each l
        # Filters are real parts of sums of sqrt(2l + 1) z D: half of the root goes to each factor.
        self.basis = [(2 * degree + 1) ** 0.25 * D for degree, D in enumerate(matrices[:BAND])]

    def lifted(self, f: np.ndarray) -> np.ndarray:
        """Values at each rotation of the integral of f with each real harmonic, moved by it."""
        columns = []
        for degree, D in enumerate(self.rotated):
            moved = np.einsum("qmk,mc->qkc", D.conj(), f[degree**2 : (degree + 1) ** 2])
            for m in range(degree + 1):
                part = moved[:, degree + m] * (np.sqrt(2) if m else 1)
                columns += [part.real, part.imag] if m else [part.real]
        return np.stack(columns, axis=1) / np.sqrt(4 * np.pi * f.shape[1])  # (q, L², C)

    def analysed(self, values: np.ndarray) -> list[np.ndarray]:
        """Integrals of values (q, c) with D^l_km: (k, m, c) for each l."""
        return [np.einsum("qkm,qc->kmc", D, self.weights[:, None] * values) for D in self.basis]

    def kernels(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """NNGP and NTK of one draw between two signals, and of each with itself."""
        channels = x.shape[2]
        first = W * rng.normal(size=(WIDTH, LIMIT**2, channels)), B * rng.normal(size=WIDTH)
        filters = [
            W / np.sqrt(WIDTH) * rng.normal(size=(2, 2 * k + 1, 2 * k + 1, WIDTH, WIDTH))
            for k in range(BAND)
        ]  # fmt: skip
        second_bias, last = B * rng.normal(size=WIDTH), rng.normal(size=WIDTH) / np.sqrt(WIDTH)
        grads, outputs = [], []
        for f in x:
            columns = self.lifted(f)
            one = np.einsum("qkc,hkc->qh", columns, first[0]) + first[1]
            below, slope = self.dual.value(one), self.dual.slope(one)
            parts = self.analysed(below)
            two = np.zeros_like(one) + second_bias
            for (re, im), D, part in zip(filters, self.basis, parts, strict=True):
                # Re sum over k, m, m' of z_{mm'} conj(D_km(R)) part_{km'}.
                inner = np.einsum("nmgh,knh->kmg", re.swapaxes(0, 1), part) + 1j * np.einsum(
                    "nmgh,knh->kmg", im.swapaxes(0, 1), part
                )
                two += np.einsum("qkm,kmg->qg", D.conj(), inner).real
            pooled = self.weights @ self.dual.value(two)
            outputs.append(pooled)
            delta = self.dual.slope(two) * last * self.weights[:, None]
            grad = [pooled / np.sqrt(WIDTH), B * delta.sum(axis=0)]
            back = np.zeros_like(one)
            for (re, im), D, part in zip(filters, self.basis, parts, strict=True):
                up = np.einsum("qkm,qg->kmg", D.conj(), delta)
                pairs = np.einsum("kmg,knh->mngh", up, part) * W / np.sqrt(WIDTH)
                grad += [pairs.real.ravel(), -pairs.imag.ravel()]
                down = np.einsum("mngh,kmg->knh", re, up) + 1j * np.einsum("mngh,kmg->knh", im, up)
                back += np.einsum("qkn,knh->qh", D, down).real
            hidden = back * self.weights[:, None] * slope
            grad += [W * np.einsum("qh,qkc->hkc", hidden, columns).ravel(), B * hidden.sum(axis=0)]
            grads.append(np.concatenate([each.ravel() for each in grad]))
        tops = np.stack(outputs) @ np.stack(outputs).T / WIDTH
        tangent = np.stack(grads) @ np.stack(grads).T
        pick = np.triu_indices(2)
        return np.stack([tops[pick], tangent[pick]])


@pytest.mark.parametrize("activation", [refntk.Relu(), refntk.Erf()], ids=["relu", "erf"])
def test_drawn_networks(activation: refntk.Relu | refntk.Erf, rng: np.random.Generator) -> None:
    x = sphere.random_signals(rng, 2, LIMIT, 2)
    net = [
        sphere.SphereLift(W_std=W, b_std=B), activation,
        sphere.GlobalConv(band=BAND, W_std=W, b_std=B), activation,
        refntk.GroupPool(), refntk.Dense(),
    ]  # fmt: skip
    k = sphere.kernel(net, x, nodes=12)
    exact = np.stack([k.nngp[np.triu_indices(2)], k.ntk[np.triu_indices(2)]])
    drawn = Drawn(activation)
    draws = np.stack([drawn.kernels(x, rng) for _ in range(DRAWS)])
    error = draws.std(axis=0, ddof=1) / np.sqrt(DRAWS)
    z = (draws.mean(axis=0) - exact) / error
    assert np.abs(z).max() < 3, z
