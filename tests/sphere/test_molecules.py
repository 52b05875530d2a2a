"""Kernels of molecules: literal sums over atoms, invariances, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import refntk
from refntk import sphere
from refntk.errors import InputError
from refntk.sphere import molecules

NET = [
    sphere.SphereLift(W_std=0.1, b_std=0.2), refntk.Erf(), refntk.GroupPool(),
    refntk.Dense(b_std=0.1),
]  # fmt: skip


@pytest.fixture
def given(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Four molecules of up to five atoms."""
    charges = np.array([[6, 1, 1, 8, 0], [8, 1, 1, 0, 0], [6, 8, 0, 0, 0], [1, 6, 7, 1, 6]])
    return charges, rng.normal(size=(4, 5, 3)) + 3 * np.arange(5)[:, None]


def environments(given: tuple[np.ndarray, np.ndarray], **options: Any) -> sphere.Atoms:
    return sphere.environments(*given, limit=3, elements=(1, 6, 7, 8), **options)


def test_an_atom_sees_its_neighbours(given: Any) -> None:
    atoms = sphere.environments(*given, limit=24, elements=(1, 6, 7, 8))
    charges, positions = given
    n = np.array([[0.0, 0.6, 0.8], [0.0, 0.0, -1.0]])
    values = (sphere.harmonics(n, 24) @ atoms.signals[0]).real.reshape(2, 4, 2)
    for k, element in enumerate((1, 6, 7, 8)):
        for q, power in enumerate((2, 6)):
            total = np.zeros(2)
            for j in range(1, 5):
                if charges[0, j] == element:
                    step = positions[0, j] - positions[0, 0]
                    r = np.linalg.norm(step)
                    width = -((np.cos(np.pi / 4) - 1) ** 2) / np.log(0.05)
                    bump = np.exp(-((n @ step / r - 1) ** 2) / width)
                    total += 6 * element / r**power * bump
            np.testing.assert_allclose(values[:, k, q], total, atol=1e-3 * abs(total).max())


@pytest.mark.parametrize("pairing", molecules.PAIRINGS)
@pytest.mark.parametrize("at_once", [1, 7, 1 << 19])
def test_sums_over_atoms(
    pairing: str, at_once: int, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(molecules, "_PAIRS_AT_ONCE", at_once)
    atoms = environments(given)
    k = sphere.molecular_kernel(NET, atoms, pairing=pairing)
    single = sphere.kernel(NET, atoms.signals)
    labels = atoms.element if pairing == "elements" else atoms.slot
    shared = labels[:, None] == labels
    for name in ("nngp", "ntk"):
        literal = np.zeros((4, 4))
        np.add.at(literal, np.ix_(atoms.molecule, atoms.molecule), shared * single.kernels[name])
        np.testing.assert_allclose(k.kernels[name], literal, rtol=1e-12)
    part = sphere.molecular_kernel(NET, atoms[1:3], atoms, pairing=pairing)
    np.testing.assert_allclose(part.ntk, k.ntk[1:3], rtol=1e-12)


def test_what_is_invariant(given: Any, rng: np.random.Generator) -> None:
    """Rotations and translations never count; the order of atoms does, with one network a slot."""
    (charges, positions), order = given, [4, 2, 0, 1, 3]
    turn = Rotation.from_euler("ZYZ", rng.uniform(0, 6, 3)).as_matrix()
    atoms = environments(given)
    moved = environments((charges, positions @ turn.T + 1.5))
    shuffled = environments((charges[:, order], positions[:, order]))
    k = sphere.molecular_kernel(NET, atoms, nodes=8)
    scale = k.ntk.max()
    for pairing in molecules.PAIRINGS:
        plain, same = (
            sphere.molecular_kernel(NET, atoms, each, pairing=pairing, nodes=8)
            for each in (atoms, moved)
        )
        assert np.abs(plain.ntk - same.ntk).max() < 1e-6 * scale
    by_element, by_slot = (
        np.abs(sphere.molecular_kernel(NET, atoms, shuffled, pairing=pairing, nodes=8).ntk
               - sphere.molecular_kernel(NET, atoms, atoms, pairing=pairing, nodes=8).ntk).max()
        for pairing in molecules.PAIRINGS
    )  # fmt: skip
    assert by_element < 1e-12 * scale
    assert by_slot > 1e-2 * scale


def test_atoms_that_see_may_be_fewer(given: Any) -> None:
    heavy = environments(given, centres=(6, 7, 8))
    assert set(heavy.element.tolist()) == {6, 7, 8}
    assert heavy.signals.shape == (8, 9, 8)
    assert len(heavy) == 4


@pytest.mark.parametrize(
    ("charges", "positions", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 3, 3)),
         "molecules: expected charges (N, A), whole numbers, and positions (N, A, 3), not the "
         "shapes (2, 3) of float64 and (2, 3, 3)"),
        (np.full((1, 2), 17), np.ones((1, 2, 3)),
         "charges: an atom has the charge 17, which elements lacks"),
        (np.ones((1, 2), int), np.ones((1, 2, 3)),
         "molecule 0: atom 0 has a neighbour at no finite distance above zero"),
    ],
)  # fmt: skip
def test_molecules_that_are_wrong(charges: Any, positions: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        sphere.environments(charges, positions)
    assert str(error.value) == message


def test_options_that_are_wrong(given: Any) -> None:
    atoms = environments(given)
    with pytest.raises(InputError, match='unknown pairing "slot"'):
        sphere.molecular_kernel(NET, atoms, pairing="slot")
    circle = [sphere.CircleLift(), refntk.GroupPool()]
    with pytest.raises(InputError, match="layers: molecules are signals on the sphere: begin with"):
        sphere.molecular_kernel(circle, atoms)
