"""Point groups: their tables, and how they act on images."""

from __future__ import annotations

import itertools

import array_api_strict
import numpy as np
import pytest

from refntk.errors import NetworkError
from refntk.ops.groups import GROUPS, point_group, rotate

ORDERS = {"C1": 1, "C2": 2, "C4": 4, "D1": 2, "D2": 4, "D4": 8}


def test_all_groups_are_listed() -> None:
    assert set(GROUPS) == set(ORDERS)


@pytest.mark.parametrize("name", GROUPS)
def test_tables_are_those_of_a_group(name: str) -> None:
    group = point_group(name)
    assert group.name == name
    assert group.order == ORDERS[name] == len(group.matrices)
    assert group.matrices[0].tolist() == [[1, 0], [0, 1]]
    for r, q in itertools.product(range(group.order), repeat=2):
        product = group.matrices[r] @ group.matrices[q]
        assert np.array_equal(group.matrices[group.cayley[r, q]], product)
    for r in range(group.order):
        assert group.cayley[r, group.inverse[r]] == group.cayley[group.inverse[r], r] == 0
        assert sorted(group.cayley[r]) == list(range(group.order))


def test_elements_are_in_the_promised_order() -> None:
    quarter, mirror = np.array([[0, -1], [1, 0]]), np.array([[1, 0], [0, -1]])
    powers = [np.linalg.matrix_power(quarter, k) for k in range(4)]
    assert np.array_equal(point_group("C4").matrices, powers)
    assert np.array_equal(point_group("D4").matrices, powers + [p @ mirror for p in powers])
    assert np.array_equal(point_group("C2").matrices, powers[::2])
    half = powers[::2]
    assert np.array_equal(point_group("D2").matrices, half + [p @ mirror for p in half])
    assert np.array_equal(point_group("D1").matrices, [powers[0], mirror])


@pytest.mark.parametrize("name", GROUPS)
def test_only_quarter_turns_swap_the_axes(name: str) -> None:
    assert point_group(name).swaps_axes == (name in ("C4", "D4"))


def test_groups_are_values() -> None:
    assert point_group("D4") is point_group("D4")
    assert point_group("D4") != point_group("C4")
    assert len({point_group(name) for name in GROUPS}) == len(GROUPS)
    with pytest.raises(ValueError, match="read-only"):
        point_group("C4").matrices[0, 0, 0] = 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("c4", r'unknown group "c4" \(did you mean "C4"\?\); known: C1, C2, C4, D1, D2, D4'),
        ("SO3", r'unknown group "SO3"; known'),
        (4, "unknown group 4; known"),
        ("C6", 'C6 is a group of lattice="hexagonal"'),
        ("O", "D4; O is a group of filters of three sides"),
        ("C8", "; turns by 45 degrees map no lattice to itself, .* keep 0.42 of their variance"),
        ("D16", 'turns by 22.5 degrees .* C6 or D6 with lattice="hexagonal", or refntk.sphere'),
        (["C4"], "unknown group"),
    ],
)
def test_unknown_groups_are_refused(name: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        point_group(name)


@pytest.mark.parametrize(
    ("height", "width", "invariant_under"),
    [(3, 3, set(GROUPS)), (1, 3, {"C1", "C2", "D1", "D2"}), (1, 1, set(GROUPS))],
)
def test_invariance_of_offsets(height: int, width: int, invariant_under: set[str]) -> None:
    support = [(y - height // 2, x - width // 2) for y in range(height) for x in range(width)]
    assert {name for name in GROUPS if point_group(name).acts_on(support)} == invariant_under


def test_lopsided_offsets_are_not_invariant() -> None:
    assert not point_group("D1").acts_on([(0, 0), (0, 1)])
    assert point_group("D1").acts_on([(0, 0), (1, 0)])


@pytest.mark.parametrize("name", GROUPS)
def test_rotation_moves_the_pixels_about_the_centre(name: str, rng: np.random.Generator) -> None:
    group = point_group(name)
    shape = (2, 3, 3, 2) if group.swaps_axes else (2, 3, 4, 2)
    image = rng.normal(size=shape)
    height, width = shape[1:3]
    for r in range(group.order):
        turned = rotate(image, r, group)
        back = group.matrices[group.inverse[r]]
        for y, x in itertools.product(range(height), range(width)):
            # twice the offset from the centre, so that even sides stay integer
            y0, x0 = back @ (2 * y - height + 1, 2 * x - width + 1)
            source = image[:, (y0 + height - 1) // 2, (x0 + width - 1) // 2]
            assert np.array_equal(turned[:, y, x], source)


@pytest.mark.parametrize("name", GROUPS)
def test_rotation_is_a_left_action(name: str, rng: np.random.Generator) -> None:
    group = point_group(name)
    image = rng.normal(size=(4, 4, 1))
    for r, q in itertools.product(range(group.order), repeat=2):
        twice = rotate(rotate(image, q, group), r, group)
        assert np.array_equal(twice, rotate(image, group.cayley[r, q], group))


def test_a_quarter_turn_exchanges_height_and_width(rng: np.random.Generator) -> None:
    image = rng.normal(size=(2, 5, 3))
    assert np.array_equal(rotate(image, 1, point_group("C4")), np.rot90(image))
    assert rotate(image, 1, point_group("D4"), axes=(0, 2)).shape == (3, 5, 2)


def test_rotation_runs_in_any_namespace(rng: np.random.Generator) -> None:
    image = rng.normal(size=(3, 3, 2))
    group = point_group("D4")
    device = array_api_strict.Device("device1")
    for r in range(group.order):
        turned = rotate(array_api_strict.asarray(image, device=device), r, group)
        assert turned.device == device
        on_cpu = turned.to_device(array_api_strict.Device("CPU_DEVICE"))
        assert np.array_equal(np.asarray(on_cpu), rotate(image, r, group))


def test_interpolated_filters_lose_variance_at_45_degrees():
    places = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij"), axis=-1).reshape(-1, 2)
    half = np.sqrt(0.5)
    turned = places @ np.array([[half, half], [-half, half]])
    far = np.abs(turned[:, None, :] - places)  # B[s, t], the weight of place t in the turned s
    weights = np.clip(1 - far, 0, None).prod(axis=-1)
    assert round(float((weights**2).sum() / len(places)), 2) == 0.42
