"""What the theory states of kernels on orbits of images, where it is exact (Propositions 1-4).

Fully connected networks, and convolutional ones without global pooling, have kernels that are
invariant on orbits of shifts and quarter turns but of full rank: an error that is not zero. Global
average pooling makes the kernel constant on orbits of shifts, of rank one an orbit: error zero.
"""

import numpy as np
import pytest

import refntk
from refntk.data import load_images
from refntk.errors import InputError
from refntk.spectral import circulant_spectrum, interleaved_row, spectral_error
from refntk.spectral.harmonic import cyclic, dihedral, group_average, group_spectrum, pose_errors
from refntk.spectral.leave_out import leave_out_errors
from refntk.symmetry.orbits import CyclicAction, centre, orbit_kernel, sweep

ORBITS = {
    "shifts": (CyclicAction("shift-x", 4).sweep, cyclic(4)),
    "quarter turns": (CyclicAction("rotation", 4).sweep, cyclic(4)),
    "shifts in the plane": (
        lambda x: sweep(x, [lambda i, y=y, z=z: np.roll(i, (7 * y, 14 * z), (1, 2))
                            for y in range(4) for z in range(2)]),
        cyclic(4, 2),
    ),
    "quarter turns and reflections": (lambda x: sweep(x, "D4"), dihedral(4)),
}  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    sample = load_images("sample:digits")
    return sample.images[[3, 57]] / 255.0


def kernels(name, digits, orbits, get):
    move, group = ORBITS[orbits]
    kernel = orbit_kernel(refntk.preset(name), centre(move(digits)), get=get)
    return kernel, *group_average(kernel, group), group


@pytest.mark.parametrize("get", ["nngp", "ntk"])
@pytest.mark.parametrize("orbits", ORBITS)
@pytest.mark.parametrize("name", ["mlp-1", "mlp-5", "cnn-fc", "cnn-gap"])
def test_the_kernel_is_invariant_on_the_orbits(digits, name, orbits, get):
    _, _, deviation, _ = kernels(name, digits, orbits, get)
    assert deviation < 1e-12


@pytest.mark.parametrize("get", ["nngp", "ntk"])
@pytest.mark.parametrize("orbits", ORBITS)
@pytest.mark.parametrize("name", ["mlp-1", "mlp-5", "cnn-fc"])
def test_without_pooling_it_has_full_rank_and_an_error(digits, assert_close, name, orbits, get):
    kernel, kappa, _, group = kernels(name, digits, orbits, get)
    for values in group_spectrum(kappa, group).values():
        assert values.min() > 1e-6 * kernel.max()
    errors = pose_errors(kappa, [1, -1], group)
    assert errors.min() > 0.1
    size = 2 * group.order
    targets = np.repeat([1.0, -1.0], group.order)
    exact = leave_out_errors(kernel.reshape(size, size), targets) * targets
    assert_close(exact, np.repeat(errors, group.order), tol=1e-8)


@pytest.mark.parametrize("get", ["nngp", "ntk"])
@pytest.mark.parametrize("orbits", ["shifts", "shifts in the plane"])
def test_pooling_makes_it_constant_on_orbits_of_shifts(digits, assert_close, orbits, get):
    kernel, kappa, _, group = kernels("cnn-gap", digits, orbits, get)
    assert_close(kernel, np.broadcast_to(kernel[:, :1, :, :1], kernel.shape), tol=1e-12)
    spectra = group_spectrum(kappa, group)
    trivial = spectra.pop(group.irreps[0].name)
    assert trivial.min() > 1e-6 * trivial.max()
    assert max(np.abs(values).max() for values in spectra.values()) < 1e-12 * trivial.max()
    assert list(pose_errors(kappa, [1, -1], group)) == [0, 0]
    if orbits == "shifts":
        row = interleaved_row(kappa[0, 0], kappa[0, 1], kappa[1, 1])
        assert spectral_error(circulant_spectrum(row)) == 0
    # An orbit and a shifted copy of itself are one point to this kernel: nothing tells them apart.
    same = kappa[[0, 0]][:, [0, 0]]
    with pytest.raises(InputError, match="the prediction is undefined"):
        pose_errors(same, [1, -1], group)


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_pooling_does_not_help_on_quarter_turns_but_an_equivariant_network_does(digits, get):
    digits = digits[:, ::2, ::2]  # a sixteenth of the time; the statement is of any images
    _, kappa, _, group = kernels("cnn-gap", digits, "quarter turns", get)
    assert pose_errors(kappa, [1, -1], group).min() > 1e-4
    for name, orbits in (
        ("gcnn-c4", "quarter turns"),
        ("gcnn-d4", "quarter turns and reflections"),
    ):
        kernel, kappa, _, group = kernels(name, digits, orbits, get)
        assert np.ptp(kernel, axis=(1, 3)).max() < 1e-12 * kernel.max()
        assert list(pose_errors(kappa, [1, -1], group)) == [0, 0]
