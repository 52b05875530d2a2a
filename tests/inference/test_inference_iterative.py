"""Kernel regression by conjugate gradients on a matrix that stays on disk."""

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import refntk
from refntk.cli import main
from refntk.errors import ConvergenceError, InputError, NotPositiveDefiniteError
from refntk.inference import IterativeRegression, KernelRegression, class_targets
from refntk.inference.banded import BandedMatrix
from refntk.inference.nystrom import Nystrom


class Watched:
    """A matrix that counts how often it is read, and refuses more than a band at a time."""

    def __init__(self, values, chunks=(64, 64)):
        self.values, self.chunks = values, chunks
        self.shape, self.dtype = values.shape, values.dtype
        self.rows = 0

    def __getitem__(self, rows):
        band = self.values[rows]
        self.rows += len(band)
        return band


@pytest.fixture(scope="module")
def problem():
    """An ill-conditioned kernel of 300 training and 20 other images, and class targets."""
    rng = np.random.default_rng(2)
    points = rng.normal(size=(320, 4))
    distance = ((points[:, None] - points) ** 2).sum(axis=2)
    kernel = np.exp(-distance / 4)
    labels = np.argmax(points, axis=1)
    return kernel[:300, :300], kernel[300:, :300], class_targets(labels[:300], 4)


@pytest.mark.parametrize(
    ("rank", "diag_reg"), [(1, 1e-2), (40, 1e-2), (40, 1e-5), (1000, 1e-2), (1000, 1e-5)]
)
def test_it_agrees_with_cholesky(problem, assert_close, rank, diag_reg):
    train, test, y = problem
    exact = KernelRegression(diag_reg).fit(train, y)
    model = IterativeRegression(diag_reg, rank=rank, tolerance=1e-10)
    model.fit(train, y)
    assert model.addition == pytest.approx(exact.addition, rel=1e-13)
    assert_close(model.predict(test), exact.predict(test), 1e-8, floor=1.0)
    assert model.report.residuals.shape == (4,)


@pytest.mark.parametrize("diag_reg", [0.0, 1e-3])
def test_noise_of_each_target_is_added_to_the_diagonal(problem, assert_close, diag_reg):
    train, test, y = problem
    noise = np.linspace(0.01, 1, 300)
    exact = KernelRegression(diag_reg).fit(train, y, noise)
    model = IterativeRegression(diag_reg, rank=100).fit(train, y, noise)
    assert_close(model.predict(test), exact.predict(test), 1e-8, floor=1.0)
    assert model.addition == pytest.approx(exact.addition, rel=1e-13, abs=0)
    with pytest.raises(InputError, match="noise: expected 300 numbers"):
        model.fit(train, y, noise[1:])


def test_the_preconditioner_saves_iterations(problem):
    train, _, y = problem
    counts = [
        IterativeRegression(1e-4, rank=rank).fit(train, y).report.iterations
        for rank in (1, 30, 150)
    ]
    assert counts[0] > counts[1] > counts[2]


def test_the_report_is_true(problem, assert_close):
    train, _, y = problem
    matrix = Watched(train)
    model = IterativeRegression(1e-4, rank=50, tolerance=1e-9).fit(matrix, y)
    report = model.report
    left = y - train @ model.coefficients - model.addition * model.coefficients
    residuals = np.linalg.norm(left, axis=0) / np.linalg.norm(y, axis=0)
    assert_close(report.residuals, residuals, 1e-2)
    assert residuals.max() <= 1e-9
    # One pass to look at the matrix, one for each iteration, one for the residual.
    assert matrix.rows == 300 * report.passes == 300 * (report.iterations + 2)
    assert report.rank == 50
    assert str(report) == (
        f"largest relative residual {residuals.max():.2g} after {report.iterations} iterations and "
        f"{report.passes} passes over the matrix, preconditioner of rank 50"
    )


def test_the_same_seed_gives_the_same_bits(problem):
    train, _, y = problem
    first, again = (IterativeRegression(1e-3, rank=20).fit(train, y) for _ in range(2))
    np.testing.assert_array_equal(first.coefficients, again.coefficients)
    other = IterativeRegression(1e-3, rank=20, seed=1).fit(train, y)
    assert not np.array_equal(first.coefficients, other.coefficients)


def test_targets_that_depend_on_each_other(problem, assert_close):
    """Class targets always do; here are also equal, zero and single ones."""
    train, test, y = problem
    targets = np.column_stack([y[:, 0], y[:, 0], np.zeros(300), y.sum(axis=1) + y[:, 1]])
    exact = KernelRegression(1e-4).fit(train, targets)
    model = IterativeRegression(1e-4, rank=50, tolerance=1e-11).fit(train, targets)
    assert_close(model.predict(test), exact.predict(test), 1e-8, floor=1.0)
    single = IterativeRegression(1e-4, rank=50, tolerance=1e-11).fit(train, y[:, 1])
    assert single.predict(test).shape == (20,)
    assert_close(single.predict(test), exact.predict(test)[:, 3], 1e-8, floor=1.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_dataset_on_disk(problem, tmp_path, assert_close, dtype):
    train, test, y = problem
    with h5py.File(tmp_path / "k.h5", "w") as file:
        file.create_dataset("ntk", data=train.astype(dtype), chunks=(64, 64), fletcher32=True)
        model = IterativeRegression(1e-3, rank=40, tolerance=1e-11).fit(file["ntk"], y)
    exact = KernelRegression(1e-3).fit(train.astype(dtype), y)
    assert_close(model.predict(test), exact.predict(test), 1e-8, floor=1.0)


@pytest.mark.parametrize("name", ["nngp", "ntk"])
def test_a_kernel_file(tmp_path, assert_close, name):
    path = tmp_path / "k.h5"
    arguments = ["compute", "mlp-1", "sample:digits", "-o", str(path), "--tile", "16"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    with refntk.open_kernel(path) as kernel:
        y = class_targets(kernel.x1.labels, 10)
        model = IterativeRegression(1e-3, rank=30).fit(getattr(kernel, name), y)
        gram = kernel.gram(name)
    assert_close(model.predict(gram), KernelRegression(1e-3).fit(gram, y).predict(gram), 1e-8,
                 floor=1.0)  # fmt: skip


def test_the_operator_is_the_matrix(problem, assert_close):
    train, _, y = problem
    matrix = Watched(train)
    banded = BandedMatrix(matrix, 0.5)
    shifted = train + 0.5 * np.eye(300)
    assert_close(banded.multiply(y), shifted @ y, floor=1.0)
    operator = banded.linear_operator()
    assert operator.shape == (300, 300)
    assert_close(operator @ y[:, 0], shifted @ y[:, 0], floor=1.0)
    assert_close(operator.T @ y, shifted @ y, floor=1.0)
    assert matrix.rows == 300 * banded.passes


def test_bands_are_whole_chunks(monkeypatch):
    monkeypatch.setattr("refntk.inference.banded._BAND_BYTES", 8 * 100 * 70)
    seen = []
    BandedMatrix(Watched(np.eye(100), chunks=(32, 32))).visit(lambda rows, _: seen.append(rows))
    assert seen == [slice(0, 64), slice(64, 100)]


def test_the_preconditioner_is_the_square_root_of_the_approximation(problem, assert_close):
    train, _, y = problem
    chosen = np.arange(0, 300, 6)
    near = Nystrom(train[:, chosen], chosen, 0.01)
    root = near.multiply_root(np.eye(300), 1)
    core = np.linalg.pinv(train[np.ix_(chosen, chosen)], rcond=1e-14, hermitian=True)
    wanted = train[:, chosen] @ core @ train[chosen] + 0.01 * np.eye(300)
    # Outside of the span of the columns it scales by the smallest value inside.
    vectors = np.linalg.qr(train[:, chosen])[0]
    inside = vectors.T @ (root @ root) @ vectors
    assert_close(inside, vectors.T @ wanted @ vectors, 1e-6, floor=1.0)
    assert_close(near.multiply_root(root, -1), np.eye(300), 1e-10, floor=1.0)


def test_equal_images_do_no_harm_with_regularisation(problem, assert_close):
    train, test, y = problem
    twice = np.r_[0:300, 0:50]
    doubled, targets = train[np.ix_(twice, twice)], y[twice]
    exact = KernelRegression(1e-4).fit(doubled, targets)
    model = IterativeRegression(1e-4, rank=350, tolerance=1e-11).fit(doubled, targets)
    wanted = exact.predict(test[:, twice])
    assert_close(model.predict(test[:, twice]), wanted, 1e-8, floor=1.0)


def test_what_does_not_converge_says_how_far_it_came(problem):
    train, _, y = problem
    with pytest.raises(
        ConvergenceError, match=r"after 3 iterations the relative residual is \S+, above the tol"
    ):
        IterativeRegression(1e-5, rank=5, max_iterations=3).fit(train, y)
    with pytest.raises(ConvergenceError, match="a larger rank, diag_reg, tolerance or max_iterat"):
        IterativeRegression(1e-12, rank=300, tolerance=1e-17).fit(train, y)


def test_a_kernel_that_is_not_positive_definite(problem):
    train, _, y = problem
    with pytest.raises(NotPositiveDefiniteError, match="an eigenvalue is -.* or less") as caught:
        IterativeRegression(rank=20).fit(train - 0.5 * np.eye(300), y)
    smallest = np.linalg.eigvalsh(train)[0] - 0.5
    assert smallest <= caught.value.smallest_eigenvalue < 0
    assert caught.value.diag_reg > 0


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (np.ones((3, 2)), r"expected a square Gram matrix.*not float64 of shape \(3, 2\)"),
        (np.array([["a"]]), "not <U1 of shape"),
        (np.diag([1.0, np.nan, 1.0]), r"entry \(1, 1\) is NaN or infinite"),
        (np.eye(3) + np.eye(3, k=1) / 9, "is not symmetric, as a Gram matrix is"),
        (-np.eye(3), "the mean of its diagonal is -1, not positive"),
    ],
)
def test_what_is_no_kernel(kernel, words):
    with pytest.raises(InputError, match=words):
        IterativeRegression().fit(kernel, np.ones(3))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 0}, "rank: expected a positive whole number, not 0"),
        ({"rank": 1.5}, "rank: expected a positive whole number, not 1.5"),
        ({"max_iterations": True}, "max_iterations: expected a positive whole number, not True"),
        ({"tolerance": 0.0}, "tolerance: expected a number between 0 and 1, not 0.0"),
        ({"diag_reg": -1.0}, "diag_reg: expected zero or a positive number"),
    ],
)
def test_options_that_cannot_be(options, words):
    with pytest.raises(InputError, match=words):
        IterativeRegression(**options).fit(np.eye(3), np.ones(3))


@pytest.mark.slow
def test_five_thousand_images_agree_with_cholesky(tmp_path, assert_close):
    """The NTK of a real network, in a file; ten targets."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(5200, 4, 4, 1))
    ntk = refntk.kernel(refntk.preset("mlp-1"), images, get="ntk").ntk
    train, test = ntk[:5000, :5000], ntk[5000:, :5000]
    y = class_targets(rng.integers(0, 10, 5000), 10)
    with h5py.File(tmp_path / "k.h5", "w") as file:
        file.create_dataset("ntk", data=train, chunks=(64, 64), fletcher32=True)
        model = IterativeRegression(1e-4).fit(file["ntk"], y)
    exact = KernelRegression(1e-4).fit(train, y)
    assert_close(model.coefficients, exact.coefficients, 1e-8, floor=1.0)
    assert_close(model.predict(test), exact.predict(test), 1e-8, floor=1.0)
