"""Groups as data: tables, permutations, point groups of lattices, representations, orbitals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refntk.errors import NetworkError
from refntk.ops.finite_group import FiniteGroup, from_table
from refntk.ops.groups import point_group
from refntk.ops.gset import GSet
from refntk.ops.lattices import LATTICES
from refntk.ops.named_groups import SETS, Spec, finite_group, gset, natural

Close = Callable[..., None]

NAMED = {"C1": 1, "C9": 9, "D3": 6, "D8": 16, "S3": 6, "S4": 24, "C4xC3": 12, "C2xD3xS3": 72}
POINT_GROUPS = [(name, lattice) for lattice, names in LATTICES.items() for name in names]

permutations_of_five = st.permutations(range(5)).map(tuple)
subgroups_of_s5 = st.lists(permutations_of_five, min_size=1, max_size=3).map(tuple)


@pytest.mark.parametrize("spec", NAMED)
def test_groups_by_name_multiply_as_their_permutations(spec: str) -> None:
    group = finite_group(spec)
    assert group.order == NAMED[spec]
    assert from_table(group.cayley).order == group.order
    assert group.permutations is not None
    for g, h in itertools.product(range(group.order), repeat=2):
        product = group.permutations[g][group.permutations[h]]
        assert np.array_equal(group.permutations[group.cayley[g, h]], product)
    assert finite_group(spec) is group


def test_elements_are_in_the_promised_order() -> None:
    assert np.array_equal(finite_group("S4").permutations, [*itertools.permutations(range(4))])
    assert finite_group("C5").permutations.tolist()[2] == [2, 3, 4, 0, 1]
    turn, mirror = np.array([1, 2, 3, 4, 0]), np.array([0, 4, 3, 2, 1])
    dihedral = finite_group("D5").permutations
    assert np.array_equal(dihedral[1], turn)
    assert np.array_equal(dihedral[5], mirror)
    assert np.array_equal(dihedral[6], turn[mirror])
    both = finite_group("C4xC3").permutations.reshape(4, 3, 4, 3)
    y, x = np.divmod(both[2, 1], 3)
    assert np.array_equal(y, np.tile([2, 3, 0, 1], (3, 1)).T)
    assert np.array_equal(x, np.tile([1, 2, 0], (4, 1)))


@given(subgroups_of_s5)
def test_what_permutations_generate_is_a_group(spec: Spec) -> None:
    group = finite_group(spec)
    assert math.factorial(5) % group.order == 0
    assert from_table(group.cayley) != group  # of another name
    assert group.permutations is not None
    assert np.array_equal(group.permutations[list(group.generators)], spec)
    for on in SETS:
        action = gset(spec, on).action(group)
        assert np.array_equal(action[0], np.arange(action.shape[1]))
        for g in group.generators:
            assert np.array_equal(action[g][action], action[group.cayley[g]])


@given(subgroups_of_s5, st.data())
def test_cosets_classes_and_normal_subgroups(spec: Spec, data: st.DataObject) -> None:
    group = finite_group(spec)
    generators = data.draw(st.lists(st.integers(0, group.order - 1), max_size=2))
    subgroup = group.subgroup(generators)
    cosets = group.cosets(subgroup)
    assert group.is_subgroup(subgroup)
    assert np.array_equal(np.bincount(cosets), [len(subgroup)] * (group.order // len(subgroup)))
    for p in subgroup:
        assert np.array_equal(cosets[group.cayley[:, p]], cosets)
    conjugates = {
        tuple(sorted(group.cayley[group.cayley[g, p], group.inverse[g]] for p in subgroup))
        for g in range(group.order)
    }
    assert group.is_normal(subgroup) == (len(conjugates) == 1)
    for g, h in itertools.product(range(0, group.order, 7), range(group.order)):
        moved = group.cayley[group.cayley[g, h], group.inverse[g]]
        assert group.classes[moved] == group.classes[h]
    assert (group.classes.max() + 1) == len(group.irreps)


@pytest.mark.parametrize(
    ("spec", "dimensions"),
    [
        ("C5", [1] * 5),
        ("D4", [1, 1, 1, 1, 2]),
        ("S4", [1, 1, 2, 3, 3]),
        ("S5", [1, 1, 4, 4, 5, 5, 6]),
        (((1, 2, 3, 4, 5, 0), (2, 3, 4, 5, 0, 1)), [1] * 6),
    ],
)
def test_irreducible_representations(
    spec: Spec, dimensions: list[int], assert_close: Close
) -> None:
    group = finite_group(spec)
    assert [irrep.dimension for irrep in group.irreps] == dimensions
    assert_close(group.irreps[0].matrices.real.ravel(), np.ones(group.order))
    characters = [np.trace(irrep.matrices, axis1=1, axis2=2) for irrep in group.irreps]
    products = np.conj(characters) @ np.transpose(characters)
    assert np.abs(products - group.order * np.eye(len(characters))).max() < 1e-9
    for irrep in group.irreps:
        for g in range(0, group.order, 5):
            product = irrep.matrices[g] @ irrep.matrices
            assert np.abs(product - irrep.matrices[group.cayley[g]]).max() < 1e-10
            identity = product @ product.conj().swapaxes(1, 2)
            assert np.abs(identity - np.eye(irrep.dimension)).max() < 1e-10


@pytest.mark.parametrize(("name", "lattice"), POINT_GROUPS)
def test_point_groups_keep_their_lattice(name: str, lattice: str) -> None:
    group = point_group(name, lattice)
    from_table(group.cayley)
    dimension = group.matrices.shape[1]
    metric = np.array([[2, 1], [1, 2]]) if lattice == "hexagonal" else np.eye(dimension, dtype=int)
    for r in range(group.order):
        m = group.matrices[r]
        assert np.array_equal(m.T @ metric @ m, metric)
        assert np.array_equal(group.matrices[group.cayley[r]], m @ group.matrices)
    symbols = group.symbols
    assert point_group(symbols.hermann_mauguin, lattice) is group
    assert point_group(symbols.space_group, lattice) is group


def test_orders_of_point_groups() -> None:
    hexagonal = {"C3": 3, "C6": 6, "D3": 6, "D3'": 6, "D6": 12}
    cubic = {"C2v": 4, "D4h": 16, "T": 12, "O": 24, "Td": 24, "Th": 24, "Oh": 48}
    for lattice, orders in (("hexagonal", hexagonal), ("cubic", cubic)):
        assert {name: point_group(name, lattice).order for name in orders} == orders
    assert len({point_group(*names) for names in POINT_GROUPS}) == len(POINT_GROUPS)


@pytest.mark.parametrize(("name", "length"), [("p3m1", 1), ("p31m", 3)])
def test_which_mirrors_the_two_forms_of_d3_have(name: str, length: int) -> None:
    """In p3m1 mirrors are perpendicular to shortest steps, in p31m along them."""
    for m in point_group(name, "hexagonal").matrices:
        if round(np.linalg.det(m)) == -1:
            normal = next(column for column in (m - np.eye(2, dtype=int)).T if column.any())
            q, r = normal // math.gcd(*normal)
            assert q * q + q * r + r * r == length


@pytest.mark.parametrize(
    ("spec", "on", "orbitals"),
    [("S4", "points", 2), ("S5", "matrix", 15), ("S4", "pairs", 7), ("C5", "points", 5),
     ("D5", "points", 3), ("C3xC3", "points", 9), ("S100", "points", 2)],
)  # fmt: skip
def test_orbitals(spec: str, on: str, orbitals: int) -> None:
    points = gset(spec, on)
    labels = points.orbitals()
    assert labels.max() + 1 == orbitals
    for s in points.generators:
        assert np.array_equal(labels[np.ix_(s, s)], labels)


def test_orbitals_between_two_sets() -> None:
    assert gset("S4", "points").orbitals(gset("S4", "matrix")).max() + 1 == 5
    with pytest.raises(NetworkError, match="2 and 1 generators; both must be acted on by"):
        gset("S4", "points").orbitals(gset("C4", "points"))


NO_GROUPS = {
    "shape": ([[0, 1]], r"table is no group: expected a square table of products, not the shape"),
    "floats": ([[0.0]], "its entries are no whole numbers but float64"),
    "row": ([[0, 1], [1, 1]], "row 1 does not list each of the 2 elements once"),
    "identity": ([[1, 0], [0, 1]], "element 0 is not the identity: list the identity first"),
    # A Latin square with an identity, of which (1·1)·2 is 2 and 1·(1·2) is 4.
    "law": (
        [[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]],
        r"\(\d·\d\)·\d is \d, but \d·\(\d·\d\) is \d",
    ),
}


@pytest.mark.parametrize("case", NO_GROUPS)
def test_a_table_that_is_no_group(case: str) -> None:
    table, message = NO_GROUPS[case]
    with pytest.raises(NetworkError, match=message):
        from_table(table)


def test_a_column_that_repeats_an_element() -> None:
    with pytest.raises(NetworkError, match="column 0 does not list"):
        from_table([[0, 1], [0, 1]])


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([[1, 0, 2], [1, 2, 0, 3]], "expected one permutation a generator, all of the same points"),
        ([[1, 0, 2], [1, 2, 2]], "mine: generator 1 is no permutation of the points 0 to 2"),
        ([[1, 2, 0]], "mine: 1 permutations for the 2 generators of S3; give one for each"),
        ([[1, 2, 0], [1, 2, 0]], "mine is no action of S3: moving points by element"),
    ],
)
def test_an_action_that_is_none(action: list[list[int]], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        GSet("mine", action).action(finite_group("S3"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("K4", 'unknown group "K4"; known: C1, C2, ...'),
        ("C0", "unknown group"),
        ("C4xQ8", 'unknown group "C4xQ8"'),
        ("D2", "D2 does not act on 2 corners as a group of order 4: write C2xC2"),
        ("D1", "D1 does not act on 1 corner as a group of order 2: write C2,"),
        ("S8", "S8: more than 5040 elements, and a kernel on a group sums over all of them"),
        (tuple(map(tuple, natural("S8").generators.tolist())), "these permutations: more than"),
        (((0, 0),), "the points of the group: generator 0 is no permutation of the points 0 to 1"),
    ],
)
def test_groups_that_there_are_not(spec: Spec, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        finite_group(spec)


def test_sets_and_lattices_that_there_are_not() -> None:
    with pytest.raises(NetworkError, match="the points of C1: a single point has no pairs"):
        gset("C1", "pairs")
    with pytest.raises(NetworkError, match='unknown lattice "cube" .*known: line, square'):
        point_group("C1", "cube")
    with pytest.raises(NetworkError, match='unknown group "C6".*known: C1, C2, C4'):
        point_group("C6")


def test_representations_of_large_groups_are_refused() -> None:
    with pytest.raises(NetworkError, match="S7: has 5040 elements; representations are found for"):
        finite_group("S7").irreps  # noqa: B018


def test_groups_are_values() -> None:
    klein = from_table([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]], "V4")
    other = FiniteGroup("V4", klein.cayley.copy(), klein.generators)
    assert klein == other
    assert len({klein, other, finite_group("C2xC2")}) == 2
    with pytest.raises(ValueError, match="read-only"):
        klein.cayley[0, 0] = 1
