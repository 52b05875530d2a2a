"""The checks behind `refntk verify`: they pass, and each of them can fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refntk.errors import MissingPackageError
from refntk.evaluation.evaluate import Kernel, kernel
from refntk.truth import verify as module
from refntk.truth.verify import CHECKS, Check, verify

BY_NAME = {check.name: check for check in CHECKS}
LITERAL, BALLS, SINGLE, TURNS, COPIES, DEFINITE, SYMMETRY, BITS, *VOLUMES = CHECKS
ORBITS, TURNED_VOLUMES, AUGMENTED_VOLUMES = VOLUMES


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_passes(check: Check) -> None:
    (outcome,) = verify([check])
    assert not outcome.skipped
    assert outcome.passed, outcome
    assert outcome.error is not None
    assert 0 <= outcome.error <= check.bound


def test_names_are_different() -> None:
    assert len(BY_NAME) == len(CHECKS) >= 8


def changed(change: Any) -> Any:
    """Give a kernel function whose results are changed, as ``change(kernel, x1, options)`` says."""

    def faulty(net: Any, x1: Any, x2: Any = None, *args: Any, **options: Any) -> Kernel:
        right = kernel(net, x1, x2, *args, **options)
        return change(right, np.asarray(x1), options)

    return faulty


def ntk_times(factor: Any) -> Any:
    return changed(lambda k, x1, options: Kernel(k.nngp, k.ntk * factor(x1, options)))


@pytest.mark.parametrize(
    ("check", "faulty"),
    [
        # The NTK of one method, or of one precision, is a little wrong.
        (LITERAL, ntk_times(lambda x1, options: 1 + 2e-12 * ("method" not in options))),
        (BALLS, ntk_times(lambda x1, options: 1 + 2e-12)),
        (SINGLE, ntk_times(lambda x1, options: 1 + 1e-5 * ("dtype" in options))),
        # It depends on the orientation of an image.
        (TURNS, ntk_times(lambda x1, options: 1 + 1e-11 * x1[:1, 0, 0, 0])),
        (TURNED_VOLUMES, ntk_times(lambda x1, options: 1 + 1e-11 * x1[-1:, 0, 0, 0])),
        (ORBITS, ntk_times(lambda x1, options: 1 + 2e-12 * (options["method"] == "orbits"))),
        # It has a negative direction, is not symmetric, depends on the tile.
        (DEFINITE, changed(lambda k, x1, o: Kernel(k.nngp, k.ntk - 1e-9 * np.eye(len(k.ntk))))),
        (SYMMETRY, changed(lambda k, x1, o: Kernel(k.nngp, k.ntk + 1e-6 * np.tri(len(k.ntk))))),
        (BITS, ntk_times(lambda x1, options: 1 + 1e-6 * (options.get("tile") == 4))),
        (BITS, ntk_times(lambda x1, options: np.nan)),
    ],
    ids=lambda value: value.name if isinstance(value, Check) else "",
)  # fmt: skip
def test_every_check_can_fail(check: Check, faulty: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "kernel", faulty)
    (outcome,) = verify([check])
    assert not outcome.passed


@pytest.mark.parametrize("check", [COPIES, AUGMENTED_VOLUMES], ids=lambda check: check.name)
def test_the_check_of_augmentation_can_fail(check: Check, monkeypatch: Any) -> None:
    from refntk.symmetry import augmentation

    copies = augmentation.rotated_copies
    monkeypatch.setattr(augmentation, "rotated_copies", lambda images, group: copies(images, "C2"))
    (outcome,) = verify([check])
    assert not outcome.passed


def test_a_check_without_its_package_is_skipped() -> None:
    def missing() -> list[float]:
        raise MissingPackageError("needs something")

    (outcome,) = verify([Check("a", missing, 1.0)])
    assert (outcome.error, outcome.skipped, outcome.passed) == (None, "needs something", True)


def test_nan_is_a_failure() -> None:
    (outcome,) = verify([Check("a", lambda: [0.0, float("nan"), 0.0], 1.0)])
    assert not outcome.passed
