"""Permutation groups and the projection on equivariant layers."""

import itertools
import math

import numpy as np
import pytest

from refntk.dynamics.projection import Projection, mean_over_group
from refntk.dynamics.representations import (
    ACTIONS,
    PermutationGroup,
    Representation,
    image_group,
    symmetric_group,
)
from refntk.errors import InputError
from refntk.ops.groups import point_group, rotate


def matrices(representation, elements):
    """Permutation matrices of a representation, element by element."""
    identity = np.eye(representation.dimension)
    return [representation.act(g, identity).T for g in elements]


def spaces(group):
    kinds = [("points", 1), ("trivial", 2), ("points", 2)]
    if group.points < 6:
        kinds.append(("pairs", 1))
    return [Representation(group, kind, copies) for kind, copies in kinds]


GROUPS = [symmetric_group(3), symmetric_group(4), *(image_group(name, 3) for name in ACTIONS)]
GROUPS.append(image_group("transrot", 4))


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: f"{g.name}-{g.points}")
def test_elements_are_the_closure_of_the_generators(group):
    listed = {tuple(p) for p in group.elements}
    assert len(listed) == group.order
    assert tuple(range(group.points)) == tuple(group.elements[0])
    for p, q in itertools.islice(itertools.product(group.elements, repeat=2), 400):
        assert tuple(p[q]) in listed
    rng = np.random.default_rng(0)
    assert all(tuple(group.draw(rng)) in listed for _ in range(20))


def test_image_groups_move_images(rng):
    image = rng.random((5, 5))
    moved = {
        ("trans", 0): np.roll(image, 1, 0),
        ("trans", 1): np.roll(image, 1, 1),
        ("onedtrans", 0): np.roll(image, 1, 1),
        ("rot", 0): rotate(image[..., None], 1, point_group("C4"))[..., 0],
    }
    for (name, k), expected in moved.items():
        group = image_group(name, 5)
        act = Representation(group, "points").act
        turned = act(group.generators[k], image.ravel()).reshape(5, 5)
        others = [expected] if name != "rot" else [expected, np.rot90(expected, 2)]
        assert any(np.array_equal(turned, other) for other in others)


def test_adjacency_matrices_are_permuted_on_both_sides(rng):
    group = symmetric_group(5)
    graph = rng.random((5, 5))
    for _ in range(5):
        p = group.draw(rng)
        matrix = np.zeros((5, 5))
        matrix[p, np.arange(5)] = 1
        moved = Representation(group, "pairs").act(p, graph.ravel()).reshape(5, 5)
        np.testing.assert_allclose(moved, matrix @ graph @ matrix.T, rtol=1e-15)


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: f"{g.name}-{g.points}")
def test_the_projection_is_the_mean_over_the_group(group, rng, assert_close):
    for target, source in itertools.product(spaces(group), repeat=2):
        project = Projection(target, source)
        a = rng.normal(size=(target.dimension, source.dimension))
        b = rng.normal(size=a.shape)
        both = matrices(target, group.elements), matrices(source, group.elements)
        assert_close(project(a), mean_over_group(a, *both), tol=1e-12, floor=1)
        assert_close(project(project(a)), project(a), tol=1e-14, floor=1)
        assert abs(np.sum(project(a) * b) - np.sum(a * project(b))) < 1e-11
        for left, right in zip(*both, strict=True):
            assert np.abs(left @ project(a) @ right.T - project(a)).max() < 1e-13
        trace = np.mean([np.trace(x) * np.trace(y) for x, y in zip(*both, strict=True)])
        assert project.dimension == round(trace)
        assert project(a.astype(np.float32)).dtype == np.float32


def test_dimensions_are_those_of_the_literature():
    perm = symmetric_group(6)
    graph, node, number = (Representation(perm, kind) for kind in ("pairs", "points", "trivial"))
    # Maron et al.: Bell numbers of the orders of both tensors added.
    assert Projection(graph, graph).dimension == 15
    assert Projection(number, graph).dimension == 2
    assert Projection(graph, number).dimension == 2
    assert Projection(node, graph).dimension == 5
    assert Projection(node, node).dimension == 2
    m = 6
    for name, dimension in (
        ("trans", m**2),
        ("onedtrans", m**3),
        ("rot", m**4 // 4),
        # Burnside: displacements fixed by the four turns.
        ("transrot", (m**2 + 2 + 4 + 2) // 4),
    ):
        image = Representation(image_group(name, m), "points")
        assert Projection(image, image).dimension == dimension


def test_translations_project_on_circular_convolutions(rng, assert_close):
    m = 5
    image = Representation(image_group("trans", m), "points")
    a = rng.normal(size=(m * m, m * m))
    projected = Projection(image, image)(a)
    kernel = projected[:, 0].reshape(m, m)
    x = rng.normal(size=(m, m))
    convolved = np.fft.ifft2(np.fft.fft2(kernel) * np.fft.fft2(x)).real
    assert_close(projected @ x.ravel(), convolved.ravel(), tol=1e-12, floor=1)
    # By FFT: conjugated to Fourier space, the projection keeps the diagonal.
    fourier = np.fft.ifft2(np.fft.fft2(a.reshape(m, m, m, m), axes=(0, 1)), axes=(2, 3))
    diagonal = np.einsum("abab->ab", fourier)
    kept = np.fft.ifft2(diagonal).real
    assert_close(kernel, kept, tol=1e-12, floor=1)


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: f"{g.name}-{g.points}")
def test_equivariant_layers_are_drawn_with_rows_of_norm_one(group, rng):
    for target, source in itertools.product(spaces(group), repeat=2):
        project = Projection(target, source)
        layers = [project.draw(rng) for _ in range(400)]
        assert np.abs(project(layers[0]) - layers[0]).max() < 1e-14
        squares = np.mean([np.square(layer).sum(axis=1) for layer in layers], axis=0)
        assert abs(squares.mean() - 1) < 0.3


def reflection(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s], [s, -c]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: symmetric_group(1), "n: expected at least 2 points"),
        (lambda: image_group("shear", 4), "group: expected trans, onedtrans, rot, transrot, not"),
        (lambda: image_group("rot", 2), "side: expected at least 3 pixels, not 2"),
        (lambda: symmetric_group(9).elements, "perm: has 362880 elements, too many to list"),
        (lambda: Representation(symmetric_group(3), "edges"), "kind: expected points, pairs or"),
        (
            lambda: Representation(symmetric_group(3), "points", 0),
            "multiplicity: expected at least",
        ),
        (
            lambda: Representation(symmetric_group(3), "pairs").act(np.arange(3), np.ones(8)),
            r"perm: acts on vectors of 9 numbers \(pairs\), not of 8",
        ),
        (
            lambda: Projection(
                Representation(symmetric_group(3), "points"),
                Representation(symmetric_group(3), "points"),
            ),
            "representations of the same group",
        ),
        (
            lambda: Projection(*[Representation(GROUPS[0], "points")] * 2)(np.ones((3, 2))),
            r"matrix: expected the shape \(3, 3\), not \(3, 2\)",
        ),
        (
            lambda: mean_over_group(np.eye(2), [np.eye(2), 2 * np.eye(2)], [np.eye(2)] * 2),
            r"element 1: its matrix is not orthogonal \(by 3\)",
        ),
        (lambda: mean_over_group(np.eye(2), [np.eye(3)], [np.eye(2)]), "expected a 2×2 matrix"),
        (lambda: mean_over_group(np.eye(2), [], []), "as many elements for both spaces"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_any_orthogonal_representation_can_be_averaged(rng, assert_close):
    dihedral = [np.eye(2), reflection(0.3)]
    sign = [np.eye(1), -np.eye(1)]
    a = rng.normal(size=(1, 2))
    projected = mean_over_group(a, sign, dihedral)
    assert_close(-projected @ reflection(0.3).T, projected, tol=1e-14)


def test_large_symmetric_groups_are_drawn_from(rng):
    group = symmetric_group(12)
    assert group.order == math.factorial(12)
    assert sorted(group.draw(rng)) == list(range(12))
    assert isinstance(group, PermutationGroup)


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: f"{g.name}-{g.points}")
def test_copies_are_projected_block_by_block(group, rng, assert_close):
    for target in spaces(group):
        for source in spaces(group):
            projection = Projection(target, source)
            labels = target.coordinates.orbitals(source.coordinates)
            np.testing.assert_array_equal(projection.labels, labels)
            assert projection.shape == labels.shape
            assert projection.dimension == labels.max() + 1
            drawn = projection.draw_projected(rng, 1.0)
            assert_close(projection(drawn), drawn, tol=1e-14, floor=1)


def test_a_projected_normal_layer_has_the_spread_of_its_orbits(rng):
    space = Representation(image_group("rot", 4), "points", 2)
    projection = Projection(space, space)
    drawn = np.array([projection.draw_projected(rng, 3.0) for _ in range(400)])
    # Each orbit has four pairs, and the mean of four normal numbers half their deviation.
    assert abs(drawn.std() - 1.5) < 0.02


def test_powers_are_drawn_from_one_number_too_many():
    group = image_group("trans", 3)
    rng = np.random.default_rng(0)
    drawn = [tuple(group.draw_powers(rng)) for _ in range(3200)]
    listed = {tuple(p) for p in group.elements}
    assert set(drawn) == listed
    share = drawn.count(tuple(range(9))) / len(drawn)
    assert abs(share - 1 / 4) < 0.03  # 2/4 along each axis
    with pytest.raises(InputError, match="perm: permutations are not drawn as powers"):
        symmetric_group(3).draw_powers(rng)
