"""Predicted and exact errors of one kernel on orbits, side by side and with one nugget.

The quantities of A. Perin, S. Deny, "On the Ability of Deep Networks to Learn Symmetries from Data:
A Neural Kernel Theory", arXiv:2412.11521. The nugget is `diag_reg` times the mean of the diagonal;
the code that they released has two, one for each side (`pair_measures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refntk.spectral.harmonic import (
    class_pose_errors,
    cyclic,
    group_average,
    pose_causes,
    pose_errors,
)
from refntk.spectral.leave_out import (
    accuracy_one_against_rest,
    leave_out_errors,
    missing_sets_errors,
)
from refntk.spectral.theory import (
    causes,
    circulant_spectrum,
    circularize,
    interleave,
    interleaved_row,
    missing_errors_spectral,
    spectral_error,
)

__all__ = ["classes_measures", "orbit_geometry", "pair_measures", "seeds_measures"]

FloatArray = npt.NDArray[np.float64]
Row = dict[str, Any]


def pair_measures(kernel: FloatArray, diag_reg: float | None, exact: int | None = None) -> Row:
    """Predicted and exact error of completing two orbits, and the two causes.

    Parameters
    ----------
    kernel : array of float, shape (2, N, 2, N)
    diag_reg : float or None
        Nugget relative to the mean of the diagonal, in all of them. None for those of the code that
        the paper's authors released: 1e-10 of the trace of the 2N - 1 points that are known in
        regression, and by orbit; 1e-5 · 2N in eq. 7.
    exact : int, optional
        Number of elements of the subgroup that permutes pixels, a divisor of N: see
        `refntk.symmetry.orbits.CyclicAction`. Default N.

    Returns
    -------
    dict
        ``exact``, the mean of ε over leaving out each point; ``accuracy``, the share with ε < 1;
        ``spectral``, eq. 7 from the circulant average; ``by_orbit``, the mean over the two orbits
        of `refntk.spectral.pose_errors`, which averages over poses but not over the orbits;
        ``separation`` and ``density``, its two causes, in units of the mean of the diagonal:
        density is the inverse of the mean variance of a pose given all others, and separation the
        mean of that of the orbits, weighted by these variances, so that by_orbit is separation /
        density (`refntk.spectral.pose_causes`; λ_N⁻¹ and ⟨λ⁻¹⟩ where the kernel is circulant);
        ``top`` and ``mean``, λ_N⁻¹ and ⟨λ⁻¹⟩ of the circulant average, in the same units, whose
        ratio is ``spectral``;
        ``deviation``, how far the kernel is from circulant; ``coset`` and ``spectral_coset``, exact
        and spectral error (eq. 59-61) where a pose is left out together with its images under the
        subgroup, the only test for a network that is blind to the subgroup, NaN where nothing of
        the orbit would be left.
    """
    poses = kernel.shape[1]
    regression, spectral = _nuggets(diag_reg, poses)
    kernel = kernel / (np.einsum("aiai->", kernel) / (2 * poses))
    mixed = interleave(kernel)
    targets = 1.0 - 2.0 * (np.arange(len(mixed)) % 2)
    errors = leave_out_errors(mixed, targets, regression) * targets
    row, deviation = circularize(mixed)
    spectrum = circulant_spectrum(row)
    top, mean = causes(spectrum, spectral)
    kappa, _ = group_average(kernel, cyclic(poses))
    separation, density = pose_causes(kappa, [1, -1], cyclic(poses), regression)
    by_orbit, variance = float((separation / density).mean()), float((1 / density).mean())
    return {
        "exact": float(errors.mean()),
        "accuracy": float(np.mean(errors < 1)),
        "spectral": 0.0 if np.isinf(mean) else top / mean,
        "by_orbit": by_orbit,
        "deviation": deviation,
        "separation": by_orbit / variance if variance else float(separation.mean()),
        "density": 1 / variance if variance else float("inf"),
        "top": top,
        "mean": mean,
    } | _coset_measures(mixed, spectrum, (regression, spectral), exact or poses)


def _nuggets(diag_reg: float | None, poses: int) -> tuple[float, float]:
    """Nuggets of regression and of eq. 7 on two orbits, in units of the mean diagonal."""
    if diag_reg is None:
        return 1e-10 * (2 * poses - 1), 1e-5 * 2 * poses
    return diag_reg, diag_reg


def orbit_geometry(orbits: FloatArray) -> Row:
    """Distance and size of two orbits in the space of images (Figures 4D, 4E, 7 and G.1).

    Parameters
    ----------
    orbits : array of float, shape (2, N, ...)
        Poses of two images.

    Returns
    -------
    dict
        ``distance``, the squared distance of the means of the orbits, Δ²; ``radius``, the root mean
        square distance of a pose from the mean of its orbit, ρ, averaged over the two.

    Examples
    --------
    >>> orbit_geometry(np.array([[[1.0, 0.0], [-1.0, 0.0]], [[3.0, 3.0], [3.0, -3.0]]]))
    {'distance': 9.0, 'radius': 2.0}
    """
    flat = orbits.reshape(*orbits.shape[:2], -1)
    centres = flat.mean(axis=1)
    spread = np.square(flat - centres[:, None]).sum(axis=2)
    return {
        "distance": float(np.square(centres[0] - centres[1]).sum()),
        "radius": float(np.sqrt(spread.mean(axis=1)).mean()),
    }


def _coset_measures(
    mixed: FloatArray, spectrum: FloatArray, nuggets: tuple[float, float], exact: int
) -> Row:
    """Errors where a pose is left out together with its images under the exact subgroup."""
    poses = len(mixed) // 2
    if exact == poses or 0 in nuggets:
        return {"coset": float("nan"), "spectral_coset": float("nan")}
    targets = 1.0 - 2.0 * (np.arange(len(mixed)) % 2)
    step = 2 * (poses // exact)
    sets = np.arange(len(mixed)).reshape(-1, step).T
    errors = missing_sets_errors(mixed, targets, sets, nuggets[0]) * targets[sets]
    first = sets[0]
    spectral = missing_errors_spectral(spectrum, first.tolist(), nuggets[1]) * targets[first]
    return {"coset": float(errors.mean()), "spectral_coset": float(spectral.mean())}


def seeds_measures(
    kernel: FloatArray, per_class: int, diag_reg: float, exact: int | None = None
) -> Row:
    """Predicted and exact error with several seeds in each of two classes.

    Parameters
    ----------
    kernel : array of float, shape (2 M, N, 2 M, N)
        The M orbits of the first class before those of the second.
    per_class : int
        M.
    diag_reg, exact
        As for `pair_measures`.

    Returns
    -------
    dict
        ``exact``, mean of ε over leaving out one pose of all seeds of one class, for each pose and
        with either class in turn (section 3.4 of the paper); ``accuracy``, the share with ε < 1;
        ``spectral``, the mean of the spectral errors of all pairs; ``spectral_accuracy``, the share
        of seeds whose mean over the other class is below 1; ``by_orbit`` and ``by_orbit_accuracy``,
        the exact ones from `refntk.spectral.class_pose_errors` of all orbits at once.
        ``one_pose``, ``one_pose_accuracy``, ``one_pose_by_orbit`` and
        ``one_pose_by_orbit_accuracy``: the same where one pose of one seed is left out, with all
        other poses of all seeds known (`refntk.spectral.pose_errors`); ``coset`` and
        ``coset_accuracy``, exact, where that pose is left out together with its images under the
        subgroup, NaN without nugget.
    """
    poses = kernel.shape[1]
    size = 2 * per_class * poses
    flat = kernel.reshape(size, size)
    targets = np.where(np.arange(size) < size // 2, 1.0, -1.0)
    nugget = diag_reg * float(np.trace(flat)) / size
    one_pose = leave_out_errors(flat, targets, nugget) * targets
    # Row p of the first half: pose p of every seed of the first class.
    sets = np.arange(size).reshape(2, per_class, poses).swapaxes(1, 2).reshape(-1, per_class)
    errors = missing_sets_errors(flat, targets, sets, nugget) * targets[sets]
    kappa, _ = group_average(kernel, cyclic(poses))
    both = np.arange(2 * per_class)
    pairs = _pairwise_errors(kappa, both[:per_class], both[per_class:], nugget)
    means = np.concatenate([pairs.mean(axis=1), pairs.mean(axis=0)])
    signs = targets[::poses]
    by_class = [
        class_pose_errors(kappa, signs, cyclic(poses), members, nugget) * signs[members]
        for members in both.reshape(2, per_class)
    ]
    by_orbit = pose_errors(kappa, signs, cyclic(poses), nugget)
    return {
        "exact": float(errors.mean()),
        "accuracy": float(np.mean(errors < 1)),
        "spectral": float(pairs.mean()),
        "spectral_accuracy": float(np.mean(means < 1)),
        "by_orbit": float(np.mean(by_class)),
        "by_orbit_accuracy": float(np.mean(np.array(by_class) < 1)),
        "one_pose": float(one_pose.mean()),
        "one_pose_accuracy": float(np.mean(one_pose < 1)),
        "one_pose_by_orbit": float(by_orbit.mean()),
        "one_pose_by_orbit_accuracy": float(np.mean(by_orbit < 1)),
    } | _coset_seeds(flat, targets, poses, nugget, exact or poses)


def _coset_seeds(
    flat: FloatArray, targets: FloatArray, poses: int, nugget: float, exact: int
) -> Row:
    """Error and accuracy where a pose is left out together with its images under the subgroup."""
    if nugget == 0:
        return {"coset": float("nan"), "coset_accuracy": float("nan")}
    turns = np.arange(len(flat)).reshape(-1, exact, poses // exact)
    sets = turns.transpose(0, 2, 1).reshape(-1, exact)
    errors = missing_sets_errors(flat, targets, sets, nugget) * targets[sets]
    return {"coset": float(errors.mean()), "coset_accuracy": float(np.mean(errors < 1))}


def classes_measures(kernel: FloatArray, labels: npt.ArrayLike, diag_reg: float) -> Row:
    """Predicted and exact accuracy of many classes, one against the rest.

    Parameters
    ----------
    kernel : array of float, shape (S, N, S, N)
    labels : array of int, shape (S,)
        Class of each seed.
    diag_reg : float

    Returns
    -------
    dict
        One pose of all seeds of a class is left out, for each pose and class in turn (section 3.4
        of the paper). ``sign``, the share of these poses whose prediction for their own class
        against the rest is positive; ``accuracy``, for which it is the largest of all classes; both
        NaN without nugget. ``by_orbit_sign`` and ``by_orbit_accuracy``: the same from
        `refntk.spectral.class_pose_errors`. ``spectral_accuracy``, the share of seeds whose mean
        spectral error against each other class is below 1, the paper's criterion; ``spectral``, the
        mean over seeds of the largest of these means. ``one_pose_accuracy`` and
        ``one_pose_by_orbit_accuracy``: where one pose of one seed is left out, the largest
        prediction being right.
    """
    labels = np.asarray(labels)
    seeds, poses = kernel.shape[:2]
    flat = kernel.reshape(seeds * poses, seeds * poses)
    nugget = diag_reg * float(np.trace(flat)) / len(flat)
    group = cyclic(poses)
    kappa, _ = group_average(kernel, group)
    classes, index = np.unique(labels, return_inverse=True)
    members = [np.flatnonzero(index == c) for c in range(len(classes))]
    targets = 2.0 * (np.arange(len(classes))[:, None] == index) - 1
    worst = np.zeros(seeds)
    for own in members:
        other = np.setdiff1d(np.arange(seeds), own)
        means = _pairwise_errors(kappa, other, own, nugget).mean(axis=1)
        worst[other] = np.maximum(worst[other], means)
    by_class = np.empty((len(classes), seeds))
    for own in members:
        by_class[:, own] = [
            y[own] - class_pose_errors(kappa, y, group, own, nugget) for y in targets
        ]
    single = [(1 - pose_errors(kappa, y, group, nugget)) * y for y in targets]
    one_pose = accuracy_one_against_rest(flat, np.repeat(labels, poses), nugget=nugget)
    return _class_accuracies(flat, targets, members, nugget) | {
        "spectral": float(worst.mean()),
        "spectral_accuracy": float(np.mean(worst < 1)),
        "by_orbit_sign": float(np.mean(by_class[index, np.arange(seeds)] > 0)),
        "by_orbit_accuracy": float(np.mean(by_class.argmax(axis=0) == index)),
        "one_pose_accuracy": one_pose,
        "one_pose_by_orbit_accuracy": float(np.mean(np.argmax(single, axis=0) == index)),
    }


def _class_accuracies(
    flat: FloatArray, targets: FloatArray, members: Sequence[npt.NDArray[np.intp]], nugget: float
) -> Row:
    """Leave one pose out of all seeds of a class: right by sign, and by the largest prediction."""
    if nugget == 0:
        return {"accuracy": float("nan"), "sign": float("nan")}
    poses = len(flat) // targets.shape[1]
    y = np.repeat(targets, poses, axis=1).T
    sign, largest, total = 0, 0, len(flat)
    for size in {len(own) for own in members}:
        own_class = [c for c, own in enumerate(members) if len(own) == size for _ in range(poses)]
        sets = np.array([
            own * poses + p for own in members if len(own) == size for p in range(poses)
        ])  # fmt: skip
        predicted = y[sets] - missing_sets_errors(flat, y, sets, nugget)
        for c, values in zip(own_class, predicted, strict=True):
            sign += int(np.count_nonzero(values[:, c] > 0))
            largest += int(np.count_nonzero(values.argmax(axis=1) == c))
    return {"accuracy": largest / total, "sign": sign / total}


def _pairwise_errors(
    kappa: FloatArray, first: npt.ArrayLike, second: npt.ArrayLike, nugget: float
) -> FloatArray:
    """Spectral errors between each of some orbits and each of others, by their invariant kernel."""
    a, b = np.asarray(first), np.asarray(second)
    own = np.einsum("aau->au", kappa)
    rows = interleaved_row(own[a][:, None], kappa[np.ix_(a, b)], own[b][None, :])
    return np.array(
        [[spectral_error(one, nugget) for one in line] for line in circulant_spectrum(rows)]
    )
