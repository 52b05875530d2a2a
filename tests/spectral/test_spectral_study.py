"""The experiments of the spectral theory, against regression on the same orbits."""

import numpy as np
import pytest

import refntk
from refntk.data import area_resample, load_images
from refntk.errors import InputError
from refntk.spectral.measures import (
    classes_measures,
    orbit_geometry,
    pair_measures,
    seeds_measures,
)
from refntk.spectral.study import (
    Study,
    draw_pairs,
    draw_seeds,
    draw_trials,
    pair_rows,
    trial_rows,
)
from refntk.spectral.summary import advice, summarize_pairs, summarize_trials, worth
from refntk.spectral.toy import circle_kernel, several_missing, toy_measures, toy_rows


@pytest.fixture(scope="module")
def digits():
    sample = load_images("sample:digits")
    return area_resample(sample.images / 255.0, 8), sample.labels


def left_out(flat, targets, points, nugget):
    """Targets minus predictions, each point from all the others by a linear solver."""
    errors = []
    for i in points:
        rest = np.delete(np.arange(len(flat)), i)
        gram = flat[np.ix_(rest, rest)] + nugget * np.eye(len(rest))
        errors.append(targets[i] - flat[i, rest] @ np.linalg.solve(gram, targets[rest]))
    return np.array(errors)


def left_out_together(flat, targets, out, nugget):
    """Targets minus predictions at some points, from all the others by a linear solver."""
    out = list(out)
    rest = np.setdiff1d(np.arange(len(flat)), out)
    gram = flat[np.ix_(rest, rest)] + nugget * np.eye(len(rest))
    return targets[out] - flat[np.ix_(out, rest)] @ np.linalg.solve(gram, targets[rest])


@pytest.mark.parametrize("kind", ["rotation", "shift-x"])
@pytest.mark.parametrize("get", ["nngp", "ntk"])
@pytest.mark.parametrize("name", ["mlp-1", "cnn-fc"])
def test_a_pair(digits, assert_close, kind, get, name):
    images, labels = digits
    net = refntk.preset(name)
    study = Study(images, kind, get)
    a, b = draw_pairs(labels, 1, seed=5)[0]
    kernel = study.pair(net, a, b, 8)
    whole = study.kernel(net, [a, b], 8)
    assert_close(kernel, whole, tol=1e-9)
    np.testing.assert_array_equal(kernel, kernel.transpose(2, 3, 0, 1))
    row = pair_measures(kernel, 1e-6, 4 if kind == "rotation" else 8)
    flat = kernel.reshape(16, 16)
    targets = np.repeat([1.0, -1.0], 8)
    errors = left_out(flat, targets, range(16), 1e-6 * np.trace(flat) / 16) * targets
    assert_close(row["exact"], errors.mean(), tol=1e-6)
    assert row["accuracy"] == np.mean(errors < 1)
    assert_close(row["by_orbit"], row["separation"] / row["density"], tol=1e-12)
    if kind == "shift-x":  # the kernel is invariant: averaging over poses changes nothing
        assert_close(row["by_orbit"], errors.mean(), tol=1e-6)
    else:
        assert abs(row["by_orbit"] / errors.mean() - 1) < 0.2
    assert 0 < row["deviation"] < 0.5
    if kind == "shift-x":
        assert np.isnan(row["coset"])
        return
    together = []
    for first in (0, 1, 8, 9):  # two poses of each orbit, with their quarter turns
        out = first + np.arange(0, 8, 2)
        nugget = 1e-6 * np.trace(flat) / 16
        together.append(left_out_together(flat, targets, out, nugget) * targets[out])
    assert_close(row["coset"], np.mean(together), tol=1e-6)
    assert abs(row["spectral_coset"] / row["coset"] - 1) < 0.3


def test_the_nuggets_of_the_released_code(digits, assert_close):
    study, n = Study(digits[0], "rotation"), 8
    kernel = study.pair(refntk.preset("cnn-gap"), 0, 50, n)
    row, one = pair_measures(kernel, None, 4), pair_measures(kernel, 1e-5 * 2 * n, 4)
    unit = np.trace(kernel.reshape(2 * n, 2 * n)) / (2 * n)
    flat, targets = kernel.reshape(2 * n, 2 * n), np.repeat([1.0, -1.0], n)
    errors = left_out(flat, targets, range(2 * n), 1e-10 * unit * (2 * n - 1)) * targets
    assert_close(row["exact"], errors.mean(), tol=1e-6)
    assert row["spectral"] == one["spectral"] != one["exact"]
    assert row["spectral_coset"] == one["spectral_coset"]
    assert_close(row["by_orbit"], pair_measures(kernel, 1e-10 * (2 * n - 1))["by_orbit"], tol=1e-12)
    # What the nugget of eq. 7 changes, where pooling leaves small eigenvalues.
    assert row["spectral"] / pair_measures(kernel, 1e-10 * (2 * n - 1))["spectral"] > 1.01


def test_causes_of_eq_7_and_the_space_of_images(digits, assert_close):
    study = Study(digits[0], "shift-x")
    row = pair_measures(study.pair(refntk.preset("mlp-1"), 0, 50, 8), 1e-8)
    assert_close(row["spectral"], row["top"] / row["mean"], tol=1e-14)
    orbits = study.orbits([0, 50], 8).reshape(2, 8, -1)
    found = orbit_geometry(orbits)
    gram = np.einsum("aip,bjp->aibj", orbits, orbits)
    means = gram.mean(axis=(1, 3))
    assert_close(found["distance"], means[0, 0] + means[1, 1] - 2 * means[0, 1], tol=1e-12)
    # Poses have norm 1: what is not in the mean is in the radius.
    assert_close(found["radius"], np.sqrt(1 - np.diagonal(means)).mean(), tol=1e-12)


def test_trials_are_pairs_of_classes_with_their_own_seeds(digits, assert_close):
    images, labels = digits
    drawn = draw_trials(labels, 5, 2, seed=3)
    assert drawn == draw_trials(labels, 8, 2, seed=3)[:5]
    assert len({tuple(t) for t in drawn}) == 5
    for trial in drawn:
        first, second = labels[trial[:2]], labels[trial[2:]]
        assert first[0] == first[1] < second[0] == second[1]
    nets = {name: refntk.preset(name) for name in ("mlp-1", "cnn-fc")}
    study = Study(images, "shift-x")
    rows = list(trial_rows(study, nets, labels, drawn, [2, 4], 1e-6))
    assert [r["trial"] for r in rows] == [*range(5)] * 4
    expected = seeds_measures(study.kernel(nets["cnn-fc"], drawn[1], 4), 2, 1e-6)
    assert rows[16]["exact"] == expected["exact"]
    rest = list(trial_rows(study, nets, labels, drawn, [2, 4], 1e-6, rows[:3]))
    assert repr(rest) == repr(rows[3:])
    condensed = summarize_trials(rows)
    assert [(r["network"], r["poses"], r["trials"]) for r in condensed] == [
        ("mlp-1", 2, 5), ("mlp-1", 4, 5), ("cnn-fc", 2, 5), ("cnn-fc", 4, 5),
    ]  # fmt: skip
    assert_close(condensed[3]["exact"], np.mean([r["exact"] for r in rows[15:]]), tol=1e-14)
    values = np.array([[r["exact"], r["spectral"]] for r in rows[:5]]).T
    assert_close(condensed[0]["r"], np.corrcoef(values)[0, 1], tol=1e-12)
    assert all(1 <= r["by_orbit_within"] < 1 + 1e-6 for r in condensed)  # shifts are exact


def test_an_equivariant_network_knows_a_pose_by_its_quarter_turns_and_by_nothing_else(digits):
    study = Study(digits[0], "rotation")
    row = pair_measures(study.pair(refntk.preset("gcnn-c4"), 0, 50, 8), 1e-8, exact=4)
    assert row["exact"] < 1e-4 < 1e-2 < row["coset"]


def test_each_orbits_own_kernel_is_computed_once(digits, monkeypatch):
    calls = []

    def counted(*arguments, **options):
        calls.append(arguments)
        return orbit_kernel(*arguments, **options)

    from refntk.symmetry.orbits import orbit_kernel

    monkeypatch.setattr("refntk.spectral.study.orbit_kernel", counted)
    study = Study(digits[0], "shift-x")
    net = refntk.preset("mlp-1")
    first = study.pair(net, 0, 50, 4)
    assert len(calls) == 2
    again = study.pair(net, 50, 20, 4)
    assert len(calls) == 3
    np.testing.assert_array_equal(again[0, :, 0], first[1, :, 1])


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_several_seeds(digits, assert_close, get):
    images, labels = digits
    seeds = draw_seeds(labels, [4, 9], 3, seed=1)
    assert list(labels[seeds]) == [4, 4, 4, 9, 9, 9]
    study = Study(images, "shift-x", get)
    kernel = study.kernel(refntk.preset("mlp-1"), seeds, 4)
    row = seeds_measures(kernel, 3, 1e-4)
    flat = kernel.reshape(24, 24)
    nugget = 1e-4 * np.trace(flat) / 24
    targets = np.repeat([1.0, -1.0], 12)
    classes = [[12 * c + 4 * s + pose for s in range(3)] for c in (0, 1) for pose in range(4)]
    together = np.array(
        [left_out_together(flat, targets, out, nugget) * targets[out] for out in classes]
    )
    assert_close(row["exact"], together.mean(), tol=1e-8)
    assert row["accuracy"] == np.mean(together < 1)
    # Shifts are exact symmetries of this kernel, so that all poses of an orbit are alike.
    assert_close(row["by_orbit"], together.mean(), tol=1e-8)
    assert row["by_orbit_accuracy"] == np.mean(together < 1)
    errors = left_out(flat, targets, range(24), nugget) * targets
    assert_close(row["one_pose"], errors.mean(), tol=1e-8)
    assert row["one_pose_accuracy"] == np.mean(errors < 1)
    pairs = np.array(
        [
            [
                pair_measures(kernel[np.ix_([a, b], range(4), [a, b], range(4))], 1e-4)["spectral"]
                for b in (3, 4, 5)
            ]
            for a in (0, 1, 2)
        ]
    )
    assert_close(row["spectral"], pairs.mean(), tol=1e-2)  # nuggets relative to other diagonals
    means = np.concatenate([pairs.mean(axis=1), pairs.mean(axis=0)])
    assert row["spectral_accuracy"] == np.mean(means < 1)
    assert_close(row["one_pose_by_orbit"], errors.mean(), tol=1e-8)
    assert row["one_pose_by_orbit_accuracy"] == np.mean(errors < 1)
    # Shifts all permute pixels: with a pose its whole orbit is left out.
    orbits = [left_out_together(flat, targets, range(4 * s, 4 * s + 4), nugget) for s in range(6)]
    orbits = np.concatenate(orbits) * targets
    assert_close(row["coset"], orbits.mean(), tol=1e-8)
    assert row["coset_accuracy"] == np.mean(orbits < 1)
    finer = seeds_measures(kernel, 3, 1e-4, exact=2)
    halves = [[4 * s + k, 4 * s + k + 2] for s in range(6) for k in (0, 1)]
    halves = [left_out_together(flat, targets, out, nugget) * targets[out] for out in halves]
    assert_close(finer["coset"], np.mean(halves), tol=1e-8)
    assert finer["exact"] == row["exact"]
    assert np.isnan(seeds_measures(kernel, 3, 0.0)["coset"])


def test_many_classes(digits, assert_close):
    images, labels = digits
    seeds = draw_seeds(labels, range(4), 2, seed=1)
    kernel = Study(images, "rotation").kernel(refntk.preset("mlp-1"), seeds, 4)
    row = classes_measures(kernel, labels[seeds], 1e-3)
    flat = kernel.reshape(32, 32)
    nugget = 1e-3 * np.trace(flat) / 32
    classes = np.repeat(labels[seeds], 4)
    targets = 2.0 * (classes[:, None] == np.arange(4)) - 1
    predictions = np.array(
        [targets[i] - left_out(flat, targets, [i], nugget)[0] for i in range(32)]
    )
    assert row["one_pose_accuracy"] == np.mean(predictions.argmax(axis=1) == classes)
    sign, largest = [], []
    for c in range(4):
        for p in range(4):
            out = np.flatnonzero((classes == c) & (np.arange(32) % 4 == p))
            values = targets[out] - left_out_together(flat, targets, out, nugget)
            sign += list(values[:, c] > 0)
            largest += list(values.argmax(axis=1) == c)
    assert len(sign) == 32
    assert (row["sign"], row["accuracy"]) == (np.mean(sign), np.mean(largest))
    # Quarter turns are exact symmetries of this kernel.
    assert row["one_pose_by_orbit_accuracy"] == row["one_pose_accuracy"]
    assert (row["by_orbit_sign"], row["by_orbit_accuracy"]) == (row["sign"], row["accuracy"])
    assert np.isnan(classes_measures(kernel, labels[seeds], 0.0)["sign"])
    assert 0 <= row["spectral_accuracy"] <= 1 < 10 * row["spectral"]


def test_a_pooled_network_is_blind_to_shifts_and_learns_them_at_once(digits):
    net = refntk.preset("cnn-gap")
    kernel = Study(digits[0], "shift-x").pair(net, 0, 50, 4)
    row = pair_measures(kernel, 1e-9)
    assert 0 < row["exact"] < 1e-6
    assert 0 < row["spectral"] < 1e-6
    assert row["accuracy"] == 1


def test_pairs_use_every_image_before_one_comes_twice():
    labels = np.repeat([0, 1, 2], 10)
    pairs = draw_pairs(labels, 10, 3, between=(2, 0))
    assert sorted(a for a, _ in pairs) == list(range(20, 30))
    assert sorted(b for _, b in pairs) == list(range(10))
    many = draw_pairs(labels, 40, 3)
    assert all(labels[a] != labels[b] for a, b in many)
    assert draw_pairs(labels, 40, 3) == many != draw_pairs(labels, 40, 4)


def test_the_toy_fails_where_circles_are_close_and_sparse():
    errors = {(n, d): toy_measures(n, d, 1.4, 1e-5) for n in (4, 8, 24) for d in (0.5, 1, 2)}
    for row in errors.values():
        assert abs(row["exact"] / row["spectral"] - 1) < 1e-6
        assert abs(row["spectral"] - row["separation_part"] / row["density_part"]) < 1e-12
    assert errors[4, 0.5]["exact"] > errors[8, 0.5]["exact"] > errors[24, 0.5]["exact"]
    assert errors[8, 0.5]["exact"] > errors[8, 1]["exact"] > errors[8, 2]["exact"]


def test_rows_go_on_where_they_stopped_and_are_condensed(digits):
    images, labels = digits
    nets = {name: refntk.preset(name) for name in ("mlp-1", "cnn-fc")}
    pairs = draw_pairs(labels, 3, 0)
    study = Study(images, "shift-x")
    rows = list(pair_rows(study, nets, labels, pairs, [2, 4], 1e-6))
    assert len(rows) == 12
    assert [r["network"] for r in rows] == ["mlp-1"] * 6 + ["cnn-fc"] * 6
    rest = list(pair_rows(study, nets, labels, pairs, [2, 4], 1e-6, rows[:5]))
    assert repr(rest) == repr(rows[5:])  # NaN is not equal to itself
    assert all(labels[r["image_a"]] == r["class_a"] != r["class_b"] for r in rows)
    condensed = summarize_pairs(rows)
    assert [(r["network"], r["poses"], r["pairs"]) for r in condensed] == [
        ("mlp-1", 2, 3), ("mlp-1", 4, 3), ("cnn-fc", 2, 3), ("cnn-fc", 4, 3),
    ]  # fmt: skip
    assert condensed[1]["exact"] == np.median([r["exact"] for r in rows[3:6]])
    assert all(1 <= r["spectral_within"] < 3 and 0 <= r["same_side"] <= 1 for r in condensed)
    assert all(1 <= r["by_orbit_within"] < 1 + 1e-6 for r in condensed)


def advice_row(a, b, poses, error, between=0.1, network="n"):
    return {
        "network": network, "poses": poses, "class_a": a, "class_b": b, "by_orbit": error,
        "spectral": error / 30, "separation": 2 * error, "density": 2.0, "coset": between,
    }  # fmt: skip


def test_advice_tells_how_many_angles_are_needed():
    row = advice_row
    rows = [row(0, 1, 4, 1.5), row(1, 0, 4, 0.5), row(0, 1, 8, 0.5), row(0, 1, 16, 0.1)]
    rows += [row(2, 0, 4, 0.5), row(0, 2, 8, 1.5), row(0, 2, 16, 2.0), row(0, 2, 16, 3.0)]
    table = advice(rows, ["zero", "one", "two"])
    assert [r["classes"] for r in table] == ["zero / one", "zero / two"]
    assert [r["poses"] for r in table] == [8, "> 16"]
    assert [r["error"] for r in table] == [0.1, 3.0]
    assert (table[1]["separation"], table[1]["density"]) == (6, 2)


def test_one_wrong_pair_in_ten_is_forgiven():
    rows = [advice_row(0, 1, 8, error) for error in (2.0, *[0.5] * 9)]
    assert advice(rows, "01")[0]["poses"] == 8
    assert advice([*rows, rows[0]], "01")[0]["poses"] == "> 8"


def test_advice_tells_whether_an_equivariant_network_is_worth_it():
    nan = float("nan")
    rows = [
        advice_row(0, 1, 8, 0.5), advice_row(0, 2, 8, 1.5), advice_row(1, 2, 8, 1.5, 1.1),
        *(advice_row(a, b, 8, 0.0, network="turned") for a, b in ((0, 1), (0, 2), (1, 2))),
        *(advice_row(a, b, 8, 0.5, network="learns") for a, b in ((0, 1), (0, 2), (1, 2))),
        *(advice_row(a, b, 8, 2.0, nan, network="shifts") for a, b in ((0, 1), (0, 2), (1, 2))),
    ]  # fmt: skip
    table = advice(rows, "abc", ["turned"])
    verdicts = {}
    for row in table:
        verdicts.setdefault(row["network"], []).append(row["equivariant"])
    assert verdicts == {
        "n": ["not needed", "worth it", "worth it, not between"],
        "turned": ["is one"] * 3,
        "learns": ["not needed"] * 3,
        "shifts": ["worth it"] * 3,
    }
    assert worth(table) == [
        "n: right at unseen poses for 1 of 3 pairs of classes; an equivariant network is worth it "
        "for the other 2 (1 at turns of known poses only).",
        "turned: right at unseen poses for 3 of 3 pairs of classes; it is equivariant.",
        "learns: right at unseen poses for 3 of 3 pairs of classes; an equivariant network is not "
        "needed.",
        "shifts: right at unseen poses for 0 of 3 pairs of classes; an equivariant network is "
        "worth it for the other 3.",
    ]


def test_an_equivariant_network_errs_between_known_poses_as_its_counterpart_does(
    digits, assert_close
):
    study = Study(digits[0], "rotation")
    nets = {name: refntk.preset(name) for name in ("mlp-1", "cnn-gap", "gcnn-c4")}
    assert study.equivariant(nets, 8) == ["gcnn-c4"]
    assert Study(digits[0], "shift-x").equivariant(nets, 8) == ["cnn-gap", "gcnn-c4"]
    plain, turned = (
        pair_measures(study.pair(nets[name], 0, 50, 8), 1e-10, 4) for name in ("cnn-gap", "gcnn-c4")
    )
    assert_close(turned["coset"], plain["coset"], tol=1e-6)


def test_the_toys_sweeps():
    rows = toy_rows(1e-5)
    points = [r["exact"] for r in rows if r["panel"] == "points"]
    separations = [r["exact"] for r in rows if r["panel"] == "separation"]
    assert points == sorted(points, reverse=True)
    assert separations == sorted(separations, reverse=True)
    assert separations[0] > 1 > separations[-1]
    missing = [r for r in rows if r["panel"] == "missing"]
    assert [r["x"] for r in missing] == list(range(1, 16))
    assert max(abs(r["exact"] / r["spectral"] - 1) for r in missing) < 1e-8
    gaps = [r["exact"] for r in missing]
    assert gaps[:11] == sorted(gaps[:11])  # the more poses are missing, the worse
    assert gaps[0] < 0.02
    assert gaps[-1] > 0.9
    assert gaps[0] == pytest.approx(toy_measures(16, 1.0, 1.4, 1e-5)["exact"], rel=1e-10)


def test_several_missing_points_of_the_toy(assert_close):
    kernel = circle_kernel(6, 1.0, 0.85) + 1e-2 * np.eye(12)
    row = several_missing(kernel, 3, 0.0)
    targets = (-1.0) ** np.arange(12)
    assert_close(row["exact"], left_out_together(kernel, targets, [0, 2, 4], 0.0).mean(), tol=1e-12)
    assert_close(row["spectral"], row["exact"], tol=1e-12)
    assert [r["panel"] for r in toy_rows(0.0)].count("missing") == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: draw_pairs([1, 1], 2, 0), "labels: pairs need images of two classes"),
        (
            lambda: draw_pairs([1, 2], 2, 0, between=(1, 7)),
            "class 7: has no images; there are 1, 2",
        ),
        (lambda: draw_seeds([1, 1, 2], [1, 2], 2, 0), "class 2: has 1 images, fewer than 2 seeds"),
        (lambda: draw_trials([1, 1], 2, 1, 0), "labels: trials need images of two classes"),
        (lambda: toy_measures(1, 1, 1, 0), "N = 1 points on a circle"),
        (lambda: toy_measures(40, 0, 0.1, 0), "prediction is undefined: give a nugget above 0"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
