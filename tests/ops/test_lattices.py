"""Point groups of the line, of hexagons and of volumes: how they act, and what they move."""

from __future__ import annotations

import numpy as np
import pytest

from refntk.errors import ShapeError
from refntk.ops.groups import point_group, rotate


def test_elements_as_maps_of_coordinates() -> None:
    assert point_group("C6", "hexagonal").written(1) == "(q, r) -> (-r, q+r)"
    assert point_group("D4h", "cubic").exchanges == ((1, 2),)
    assert point_group("D2h", "cubic").exchanges == ()
    assert point_group("O", "cubic").exchanges == ((0, 1), (0, 2), (1, 2))


def test_the_element_that_moves_a_support() -> None:
    group = point_group("T", "cubic")
    mover = group.mover([(0, 0, 1), (0, 0, -1)])
    assert mover is not None
    assert abs(group.matrices[mover] @ (0, 0, 1)).tolist() != [0, 0, 1]
    steps = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    assert group.mover(map(tuple, steps)) is None


@pytest.mark.parametrize(
    ("name", "lattice"), [("Oh", "cubic"), ("D1", "line"), ("D6", "hexagonal")]
)
def test_rotate_is_an_action(name: str, lattice: str, rng: np.random.Generator) -> None:
    group = point_group(name, lattice)
    axes = group.matrices.shape[1]
    x = rng.normal(size=(2, *(5, 4, 3)[:axes], 2))
    if lattice == "hexagonal":
        x = rng.normal(size=(2, 5, 5, 2))
        q, r = np.indices((5, 5)) - 2
        x[:, abs(q + r) > 2] = 0
    for g in range(group.order):
        for h in range(0, group.order, 5):
            both = rotate(rotate(x, h, group), g, group)
            assert np.array_equal(both, rotate(x, int(group.cayley[g, h]), group))
    # A pixel goes where the matrix sends its offset from the centre.
    dot, offset = np.zeros((*(5,) * axes, 1)), np.array([1, 0, 0][:axes])
    dot[tuple(offset + 2)] = 1
    for g, matrix in enumerate(group.matrices):
        assert rotate(dot, g, group)[(*(matrix @ offset + 2), 0)] == 1


def test_hexagons_have_a_centre() -> None:
    with pytest.raises(ShapeError, match=r"^hexagons are turned about a pixel: .* not 4x4$"):
        rotate(np.ones((4, 4, 1)), 1, point_group("C6", "hexagonal"))
