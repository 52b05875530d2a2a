"""The theorems on augmented and equivariant training, as checks of an installation."""

import numpy as np
import pytest

from refntk.dynamics import theorems
from refntk.dynamics.theorems import THEOREMS, drift
from refntk.truth.verify import verify


@pytest.mark.parametrize("check", THEOREMS, ids=lambda check: check.name)
def test_they_hold(check):
    (outcome,) = verify([check])
    assert outcome.passed, f"{check.name}: {outcome.error} > {check.bound}"


def test_single_precision_leaves_the_equivariant_parameters_by_its_rounding():
    net, a, x, y = list(theorems._networks())[1]
    single = [(w.astype(np.float32), b.astype(np.float32)) for w, b in a]
    moved = drift(net, single, x.astype(np.float32), y.astype(np.float32), steps=200)
    assert 1e-9 < moved < 1e-5


def test_a_wrong_projection_is_found(monkeypatch):
    monkeypatch.setattr(
        "refntk.dynamics.EquivariantMlp.project", lambda self, a: [(w * 0.9, b) for w, b in a]
    )
    failed = {outcome.check.name for outcome in verify(THEOREMS[2:4]) if not outcome.passed}
    assert "∇R_aug = Π∇R = ∇R_eqv on E" in failed
    assert "∇²R_aug on E and on its complement" in failed
