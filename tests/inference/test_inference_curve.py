"""Learning curves, random divisions and predicted classes."""

import numpy as np
import pytest

from refntk.errors import InputError, NotPositiveDefiniteError
from refntk.inference import KernelRegression, class_targets, classify, learning_curve
from refntk.inference.classify import class_list, renumber
from refntk.inference.curve import LearningCurve
from refntk.inference.splits import random_split, stratified_order

LABELS = np.repeat([0, 1, 2], [30, 20, 10])


@pytest.fixture
def grams(rng):
    """Kernels of 60 images of three classes: one that sees the class well, and one badly."""
    centres = rng.normal(size=(3, 12))
    noise = rng.normal(size=(60, 12))
    kernels = {}
    for name, scale in (("blind", 4.0), ("keen", 0.8)):
        features = centres[LABELS] + scale * noise
        kernels[name] = features @ features.T + 0.1 * np.eye(60)
    return kernels


def test_every_beginning_has_the_classes_in_proportion():
    for seed in range(20):
        order = stratified_order(LABELS, np.random.default_rng(seed))
        assert sorted(order) == list(range(60))
        for size in range(1, 60):
            counts = np.bincount(LABELS[order[:size]], minlength=3)
            share = np.array([30, 20, 10]) / 60
            assert (np.abs(counts - share * size) < 1 + 3 * share).all()


def test_every_image_has_the_same_chance_of_being_tested():
    times = np.zeros(60)
    for seed in range(600):
        times[random_split(LABELS, 12, np.random.default_rng(seed)).test] += 1
    # 120 expected; 5 standard deviations of 600 draws with probability 1/5.
    assert np.abs(times - 120).max() < 5 * np.sqrt(600 * 0.2 * 0.8)


def test_training_and_test_images_are_all_and_distinct():
    split = random_split(LABELS, 25, np.random.default_rng(1))
    assert sorted([*split.train, *split.test]) == list(range(60))
    assert (len(split.train), len(split.test)) == (35, 25)
    np.testing.assert_array_equal(split.test, np.sort(split.test))


@pytest.mark.parametrize("test", [0, 60, 61, -1])
def test_a_test_set_leaves_something_to_train_on(test):
    with pytest.raises(InputError, match=rf"test {test}: expected a positive number of images be"):
        random_split(LABELS, test, np.random.default_rng(0))


def test_a_curve_is_what_single_regressions_give(grams):
    curve = learning_curve(
        grams, LABELS, classes=3, sizes=[20, 8, 20], test=15, repeats=4, seed=9, diag_reg=1e-3
    )
    assert curve.networks == ("blind", "keen")
    assert (curve.sizes, curve.test, curve.repeats) == ((8, 20), 15, 4)
    for repeat in range(4):
        split = random_split(LABELS, 15, np.random.default_rng([9, repeat]))
        for s, size in enumerate((8, 20)):
            train = split.train[:size]
            targets = class_targets(LABELS[train], 3)
            for k, gram in enumerate(grams.values()):
                model = KernelRegression(1e-3).fit(gram[np.ix_(train, train)], targets)
                predicted = model.predict(gram[np.ix_(split.test, train)]).argmax(axis=1)
                wanted = np.mean(predicted == LABELS[split.test])
                assert curve.accuracies[k, s, repeat] == wanted
    assert (curve.mean()[1] > curve.mean()[0]).all()


def test_more_repeats_add_to_fewer(grams):
    few, many = (
        learning_curve(grams, LABELS, classes=3, sizes=[10], test=20, repeats=r).accuracies
        for r in (3, 6)
    )
    np.testing.assert_array_equal(many[:, :, :3], few)
    assert len(np.unique(many)) > 2


def test_means_errors_and_paired_differences(grams, assert_close):
    curve = learning_curve(grams, LABELS, classes=3, sizes=[10, 30], test=20, repeats=5)
    values = curve.accuracies
    assert_close(curve.mean(), values.sum(axis=2) / 5)
    spread = np.sqrt(((values - values.mean(axis=2)[..., None]) ** 2).sum(axis=2) / 4)
    assert_close(curve.standard_error(), spread / np.sqrt(5))
    gaps = values[1] - values[0]
    mean, error = curve.difference()
    assert_close(mean[1], gaps.mean(axis=1))
    assert_close(error[1], gaps.std(axis=1, ddof=1) / np.sqrt(5))
    assert not mean[0].any()
    assert not error[0].any()


def test_the_finding_is_one_sentence():
    accuracies = np.array([[[0.5, 0.7]], [[0.5, 0.6]], [[0.8, 1.0]]])
    curve = LearningCurve(("one", "two", "three"), (8,), 10, accuracies)
    assert curve.finding() == (
        "8 training images: one 60.0 ± 10.0 %, two 55.0 ± 5.0 %, three 90.0 ± 10.0 % right; "
        "two and one cannot be told apart (5.0 ± 5.0 points, repeat by repeat); "
        "three is better by 30.0 ± 0.0 points, repeat by repeat"
    )


def test_the_table_has_a_row_for_each_network_and_size(grams):
    curve = learning_curve(grams, LABELS, classes=3, sizes=[10, 30], test=20, repeats=2)
    header, rows = curve.rows()
    assert header[:8] == [
        "network", "train", "test", "repeats", "accuracy", "standard_error",
        "difference", "difference_standard_error",
    ]  # fmt: skip
    assert header[8:] == ["repeat_0", "repeat_1"]
    assert [row[:4] for row in rows] == [
        [name, size, 20, 2] for name in ("blind", "keen") for size in (10, 30)
    ]
    assert rows[3][4:6] == [curve.mean()[1, 1], curve.standard_error()[1, 1]]
    assert rows[2][8:] == curve.accuracies[1, 0].tolist()


def test_progress_counts_the_fits(grams):
    told = []
    learning_curve(
        grams, LABELS, classes=3, sizes=[10, 30], test=20, repeats=3, progress=told.append
    )
    assert sum(told) == 2 * 2 * 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sizes": []}, r"train \[\]: expected numbers of images, 2 or more each"),
        ({"sizes": [1, 4]}, r"train \[1, 4\]: expected numbers of images, 2 or more each"),
        ({"sizes": [50]}, "train 50 and test 20: need 70 images, but there are 60"),
        ({"test": 0}, "test 0: expected a positive number"),
        ({"repeats": 1}, "repeats 1: expected 2 or more; one has no error bar"),
        ({"seed": -1}, "seed -1: expected an integer that is not negative"),
        ({"classes": 2}, "labels: from 0 to 2, but there are 2 classes"),
        ({"diag_reg": -1.0}, "diag_reg: expected zero or a positive number"),
    ],
)
def test_what_cannot_be_measured(grams, options, words):
    given = {"classes": 3, "sizes": [10], "test": 20, **options}
    with pytest.raises(InputError, match=words):
        learning_curve(grams, LABELS, **given)


def test_kernels_that_do_not_fit(grams):
    given = {"classes": 3, "sizes": [10], "test": 20}
    with pytest.raises(InputError, match="kernels: expected one Gram matrix at least"):
        learning_curve({}, LABELS, **given)
    with pytest.raises(InputError, match="keen: a kernel of 59 images, but 60 labels"):
        learning_curve({"keen": grams["keen"][1:, 1:]}, LABELS, **given)
    with pytest.raises(InputError, match="10 training images, repeat 0: labels: all 10 images"):
        learning_curve(
            {"even": np.eye(60)}, np.repeat([0, 1], [59, 1]), classes=2, sizes=[10], test=20
        )
    with pytest.raises(
        NotPositiveDefiniteError, match=r"flat, 10 training images, repeat 0: .* will do"
    ) as caught:
        learning_curve({"flat": np.ones((60, 60)) - 1e-3 * np.eye(60)}, LABELS, **given)
    assert 0 < caught.value.diag_reg < 0.01


def test_classes_scores_and_confusion(grams):
    gram, train, test = grams["keen"], np.arange(0, 60, 2), np.arange(1, 60, 2)
    answers = classify(
        gram[np.ix_(train, train)], LABELS[train], gram[np.ix_(test, train)],
        class_names=["a", "b", "c"], test_labels=LABELS[test],
    )  # fmt: skip
    np.testing.assert_array_equal(answers.predicted, answers.scores.argmax(axis=1))
    assert answers.accuracy == np.mean(answers.predicted == LABELS[test])
    for true in range(3):
        for predicted in range(3):
            count = np.sum((LABELS[test] == true) & (answers.predicted == predicted))
            assert answers.confusion[true, predicted] == count
    silent = classify(
        gram[np.ix_(train, train)], LABELS[train], gram[np.ix_(test, train)], class_names="abc"
    )
    assert (silent.labels, silent.accuracy, silent.confusion) == (None, None, None)


def test_true_classes_must_fit():
    with pytest.raises(InputError, match=r"test_labels: expected 2, one a test image, not .*3,"):
        classify(np.eye(2), [0, 1], np.eye(2), class_names="ab", test_labels=[0, 1, 0])
    with pytest.raises(InputError, match="test_labels: from 0 to 2, but there are 2 classes"):
        classify(np.eye(2), [0, 1], np.eye(2), class_names="ab", test_labels=[0, 2])


def test_classes_are_matched_by_name():
    known = class_list(np.array([0, 2]), ["ant", "bee", "cat"])
    assert known == ("ant", "bee", "cat")
    assert renumber(np.array([1, 0, 1]), ["cat", "ant"], known, "T").tolist() == [0, 2, 0]
    with pytest.raises(InputError, match=r'T: unknown class "bees" .did you mean "bee".*known: an'):
        renumber(np.array([0, 1]), ["cat", "bees"], known, "T")
    # A name that no image has does not matter.
    assert renumber(np.array([0]), ["cat", "dog"], known, "T").tolist() == [2]


def test_classes_without_names_are_matched_by_number():
    known = class_list(np.array([3, 1]), None)
    assert known == ("0", "1", "2", "3")
    assert renumber(np.array([3, 0]), ["w", "x", "y", "z"], known, "T").tolist() == [3, 0]
    assert renumber(np.array([1]), None, ("a", "b"), "T").tolist() == [1]
    with pytest.raises(InputError, match='T: unknown class "4"'):
        renumber(np.array([4]), None, known, "T")
    with pytest.raises(InputError, match="labels: from 0 to 3, but there are 3 class names"):
        class_list(np.array([0, 3]), ["a", "b", "c"])
    with pytest.raises(InputError, match="labels: from -1 to 1, but they count from 0"):
        class_list(np.array([-1, 1]), None)
