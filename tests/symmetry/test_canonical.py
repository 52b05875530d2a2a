"""Predictors and kernels made invariant: the mean, frames, canonical poses."""

import numpy as np
import pytest

import refntk
from refntk.errors import InputError
from refntk.symmetry import point_action, symmetry_error
from refntk.symmetry.canonical import Symmetrization, jumps, slope_energy
from refntk.symmetry.orbits import sweep
from refntk.symmetry.study import symmetrized_rows
from refntk.symmetry.three_ways import counterparts, kernel_predictor

GROUPS = ["C2", "C4", "D4"]
NET = refntk.preset("cnn-gap")


@pytest.fixture
def images(rng):
    return rng.random((4, 5, 5, 2))


def smooth(x):
    """A predictor that knows of no symmetry."""
    weights = np.random.default_rng(1).normal(size=(x[0].size, 3))
    return np.tanh(x.reshape(len(x), -1) @ weights)


def gaussian(x, y):
    """A kernel that is invariant under isometries of both arguments, and of none alone."""
    x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    return np.exp(-np.square(x[:, None] - y).sum(axis=2) / 8)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("kind", ["mean", "frame", "pose"])
def test_all_ways_are_invariant(images, assert_close, kind, group):
    way = Symmetrization(kind, group)
    found = symmetry_error(way.predictor(smooth), images, point_action(group))
    assert found.worst < 1e-14 * found.size
    assert symmetry_error(smooth, images, point_action(group)).worst > 0.1
    turned = sweep(images, group)[:, -1]
    kernel = way.kernel(gaussian, images, images)
    assert_close(way.kernel(gaussian, turned, images), kernel, tol=1e-14)
    assert_close(kernel, kernel.T, tol=1e-14)


@pytest.mark.parametrize("group", GROUPS)
def test_the_ways_agree_where_they_must(images, assert_close, group):
    pose, frame, mean = (Symmetrization(kind, group) for kind in ("pose", "frame", "mean"))
    # No two energies of random images are the same: a frame is one element.
    assert_close(frame.predictor(smooth)(images), pose.predictor(smooth)(images), tol=0)
    both = [way.kernel(gaussian, images, images) for way in (frame, pose)]
    assert_close(*both, tol=0)
    # Energies that are all the same: the frame is the group.
    flat = Symmetrization("frame", group, lambda x: np.zeros(len(x)))
    assert_close(flat.predictor(smooth)(images), mean.predictor(smooth)(images), tol=1e-14, floor=1)
    # A kernel that is invariant already: nothing to do, for any of them.
    already = mean.kernel(gaussian, images, images)
    for way in (pose, frame, mean):
        found = way.kernel(lambda x, y: mean.kernel(gaussian, x, y), images, images)
        assert_close(found, already, tol=1e-13)


def test_the_mean_of_the_kernel_is_that_of_the_group_network(images, assert_close):
    equivariant, ordinary, group = counterparts(NET, "C4")
    found = Symmetrization("mean", group).kernel(
        lambda x, y: refntk.kernel(ordinary, x, y).ntk, images, images
    )
    assert_close(found, refntk.kernel(equivariant, images).ntk, tol=1e-12)


def test_a_canonical_pose_is_one_for_the_whole_orbit(images):
    way = Symmetrization("pose", "D4")
    shown = way.canonical(images)
    for turned in np.moveaxis(sweep(images, "D4"), 1, 0):
        np.testing.assert_array_equal(way.canonical(turned), shown)
    assert (slope_energy(shown) <= slope_energy(images)).all()
    # Regression on canonical poses is regression with the canonicalised kernel.
    f = way.predictor(kernel_predictor(NET, shown[:3], np.eye(3)))
    gram = way.kernel(lambda x, y: refntk.kernel(NET, x, y).ntk, images, images)
    np.testing.assert_allclose(f(images[3:]), gram[3:, :3] @ np.linalg.inv(gram[:3, :3]), rtol=1e-9)


def test_poses_jump_and_the_mean_does_not(images):
    pose, mean = Symmetrization("pose", "C4"), Symmetrization("mean", "C4")
    found = jumps(pose.predictor(smooth), pose, images)
    assert len(found) > 0
    assert jumps(mean.predictor(smooth), mean, images) == []
    places = [leap.place for leap in found]
    assert all(0 < place < 1 for place in places)
    assert max(leap.size for leap in found) > 0.1
    # The same places, seen by a predictor without frames: no jump.
    assert all(leap.size < 1e-7 for leap in jumps(mean.predictor(smooth), pose, images))
    # Frames weigh both sides of a tie alike.
    quarter = np.rot90(images[:1], axes=(1, 2))
    tied = Symmetrization("frame", "C4").weights((images[:1] + np.rot90(quarter, axes=(1, 2))) / 2)
    assert sorted(tied[0]) == [0, 0, 0.5, 0.5]


def test_rows_of_the_command(images):
    rows = symmetrized_rows(NET, images[:3], np.eye(3), images, group="C4", poses=8)
    assert [row["way"] for row in rows] == ["mean", "pose"]
    for row in rows:
        assert row["worst"] < 1e-9 * row["size"] < row["rotations"]
    assert rows[0]["changes"] == rows[0]["largest jump"] == 0
    assert rows[1]["changes"] > 0 < rows[1]["largest jump"]


def test_an_unknown_kind():
    with pytest.raises(InputError, match='unknown kind "all"'):
        Symmetrization("all")
