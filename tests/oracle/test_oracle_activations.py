"""Cases with other activations than Relu, and what is known to go wrong with them."""

from __future__ import annotations

import numpy as np
import pytest

from refntk.oracle.cases import cases
from refntk.oracle.truth import solve
from refntk.oracle.verdicts import judge
from refntk.recursion import propagate

CASES = {case.name: case for case in cases() if case.name.startswith("act-")}


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"act-elementwise"}))
def test_the_literal_recursion_is_right(name: str) -> None:
    case = CASES[name]
    state = propagate(case.network, case.x1, case.x2)
    verdict = judge(solve(case), {"nngp": state.nngp, "ntk": state.ntk})
    assert not verdict.wrong
    assert not verdict.obstacles


def test_hermite_polynomials_for_unit_variance_are_found() -> None:
    case = CASES["act-hermite"]
    solved = solve(case)
    x1, x2 = (np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]) for x in (case.x1, case.x2))
    n, (_, height, width, channels) = 3, case.x1.shape
    patches = [
        np.lib.stride_tricks.sliding_window_view(x, (n, n), axis=(1, 2)).reshape(
            2, height * width, -1
        )
        for x in (x1, x2)
    ]
    nngp = 1.4**2 * np.einsum("aif,bjf->abij", *patches) / (channels * n * n) + 0.09
    ntk = nngp.copy()

    def power(k, theta):
        return k**3, 3 * k**2 * theta

    def conv(kernel):
        grid = kernel.reshape(2, 2, height, width, height, width)
        grid = np.pad(grid, [(0, 0), (0, 0)] + [(1, 1)] * 4)
        total = sum(
            grid[:, :, a : a + height, b : b + width, a : a + height, b : b + width]
            for a in range(n)
            for b in range(n)
        )
        return (1.4**2 * total / (n * n)).reshape(kernel.shape)

    nngp, ntk = power(nngp, ntk)
    nngp, ntk = conv(nngp) + 0.09, conv(ntk) + conv(nngp) + 0.09
    nngp, ntk = power(nngp, ntk)
    verdict = judge(solved, {"nngp": nngp.mean((2, 3)), "ntk": ntk.mean((2, 3))})
    assert verdict.wrong
    assert verdict.suspects == ("Hermite off unit variance",)


@pytest.mark.parametrize(("name", "known"), [("act-relu2", True), ("act-erf", False)])
def test_nan_is_put_down_to_what_is_known(name: str, known: bool) -> None:
    solved = solve(CASES[name])
    answer = {kernel: truth.value.copy() for kernel, truth in solved.truth.items()}
    answer["ntk"][0, 0] = np.nan
    (obstacle,) = judge(solved, answer).obstacles
    assert obstacle.startswith(f"{name}: ntk has NaN or infinity in 1 of 4 entries")
    assert ("as neural-tangents 0.6.5 does for this activation" in obstacle) == known
