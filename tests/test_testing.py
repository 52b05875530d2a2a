"""Assertions for other people's tests."""

import numpy as np
import pytest

import refntk
from refntk.testing import assert_kernel

NET = refntk.Network([refntk.Flatten(), refntk.Dense(), refntk.Relu(), refntk.Dense()])


@pytest.fixture
def right(rng):
    x = rng.random((3, 4, 4, 2))
    return x, refntk.kernel(NET, x)


def test_what_is_right_passes(right):
    x, k = right
    assert_kernel(NET, x, nngp=k.nngp, ntk=k.ntk)
    assert_kernel(NET, x, ntk=k.ntk.astype(np.float32))
    assert_kernel(NET, x, ntk=1.00001 * k.ntk, dtype=np.float32)
    assert_kernel(NET, x, ntk=1.01 * k.ntk, tolerance=0.1)
    assert_kernel(NET, x, x[:1], nngp=k.nngp[:, :1])


def test_a_constant_ratio_is_named(right):
    x, k = right
    with pytest.raises(AssertionError, match="^ntk: 9 of 9 entries are wrong; the ratio is "
                       "2.000000 everywhere; the largest relative error 1, above 1e-10, is at"):
        assert_kernel(NET, x, nngp=k.nngp, ntk=2 * k.ntk)


def test_the_worst_entry_is_shown(right):
    x, k = right
    wrong = k.nngp.copy()
    wrong[1, 2] = 0.125
    with pytest.raises(AssertionError) as error:
        assert_kernel(NET, x, nngp=wrong)
    assert str(error.value).startswith("nngp: 1 of 9 entries are wrong; the largest relative")
    assert str(error.value).endswith(f"at (1, 2): got 0.125, expected {float(k.nngp[1, 2])!r}")
    wrong[0, 0] = np.nan
    with pytest.raises(AssertionError, match=r"2 of 9 .* at \(0, 0\): got nan"):
        assert_kernel(NET, x, nngp=wrong)


def test_shapes_and_arguments(right):
    x, k = right
    with pytest.raises(AssertionError, match=r"ntk: has the shape \(2, 3\), expected \(3, 3\)"):
        assert_kernel(NET, x, ntk=k.ntk[:2])
    with pytest.raises(ValueError, match="give nngp or ntk"):
        assert_kernel(NET, x)
