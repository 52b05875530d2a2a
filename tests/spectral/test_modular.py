"""Addition modulo p: the kernel's values, its characters, and what can be learned."""

import numpy as np
import pytest
from click.testing import CliRunner

import refntk
from refntk.cli import main
from refntk.data.results.result_table import read_table
from refntk.errors import InputError
from refntk.plot.spectral import plot_modular
from refntk.spectral.modular import (
    averaged_over_sums,
    modular_accuracy,
    modular_kernel,
    modular_spectrum,
    one_hot_pairs,
)


@pytest.mark.parametrize("get", ["nngp", "ntk"])
@pytest.mark.parametrize("p", [3, 5])
def test_the_kernel_and_its_mean_by_characters(p, get, assert_close):
    kernel = modular_kernel(refntk.preset("mlp-1"), p, get)
    inner = one_hot_pairs(p).reshape(p * p, -1)
    inner = np.rint(inner @ inner.T).astype(int)
    k0, k1, k2 = (kernel[inner == value].mean() for value in range(3))
    assert_close(kernel, np.array([k0, k1, k2])[inner], tol=1e-12, floor=1)
    c1, c2 = k1 - k0, k2 - 2 * k1 + k0
    axis = np.zeros((p, p))
    axis[0] += 1
    axis[:, 0] += 1
    expected = c2 + p * c1 * axis
    expected[0, 0] += p * p * k0
    assert_close(modular_spectrum(kernel), expected, tol=1e-12, floor=1)
    mean = averaged_over_sums(kernel)
    a, b = np.divmod(np.arange(p * p), p)
    same = ((a + b)[:, None] - (a + b)) % p == 0
    two = np.where(same, k2 + (p - 1) * k0, 2 * k1 + (p - 2) * k0) / p
    assert_close(mean, two, tol=1e-12, floor=1)
    assert_close(modular_spectrum(mean), np.diag(np.diag(expected)), tol=1e-12, floor=1)


def test_what_is_fitted_without_the_symmetry_is_additive(rng, assert_close):
    p = 5
    kernel = modular_kernel(refntk.preset("mlp-1"), p)
    train = rng.random(p * p) < 0.6
    values = rng.normal(size=p * p)
    gram = kernel[np.ix_(train, train)]
    fitted = (kernel[:, train] @ np.linalg.solve(gram, values[train])).reshape(p, p)
    # Off the cells that are known, f(a, b) = u(a) + v(b): fill them in by least squares.
    a, b = np.nonzero(~train.reshape(p, p))
    design = np.hstack([np.eye(p)[a], np.eye(p)[b]])
    left = fitted[a, b]
    assert_close(design @ np.linalg.pinv(design) @ left, left, tol=1e-12, floor=1)


def test_only_the_mean_kernel_adds(rng):
    p = 11
    kernel = modular_kernel(refntk.preset("mlp-1"), p)
    train = np.zeros(p * p, bool)
    train[rng.choice(p * p, 60, replace=False)] = True
    assert modular_accuracy(kernel, train) == 0
    a, b = np.divmod(np.arange(p * p), p)
    seen = np.isin((a + b) % p, ((a + b) % p)[train])
    assert modular_accuracy(averaged_over_sums(kernel), train) == seen[~train].mean()


def test_what_is_refused():
    with pytest.raises(InputError, match="p: expected a modulus of 2 at least, not 1"):
        one_hot_pairs(1)
    with pytest.raises(InputError, match=r"kernel: expected the shape \(p², p²\), not \(3, 3\)"):
        averaged_over_sums(np.eye(3))
    with pytest.raises(InputError, match="expected some cells of the table, not all and not none"):
        modular_accuracy(np.eye(9), np.ones(9, bool))
    with pytest.raises(InputError, match="rows: there is nothing to draw"):
        plot_modular([])


def run(*arguments):
    return CliRunner().invoke(main, ["spectral", "modular", *map(str, arguments)])


def test_the_command(tmp_path):
    table, picture = tmp_path / "a.csv", tmp_path / "a.svg"
    options = ["--moduli", 3, "--shares", "0.5,0.8", "--repeats", 2, "-o", table]
    result = run(*options, "--plot", picture)
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(read_table(table)[1]) == 4
    assert picture.exists()
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) - 30])
    assert run(*options, "--resume").exit_code == 0
    assert table.read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shares", "0.5,1"], "--shares: expected numbers between 0 and 1 such as 0.3,0.8, not"),
        (["--moduli", "three"], "--moduli: expected whole numbers such as 4,8,16, not 'three'"),
        (["--moduli", "1"], "p: expected a modulus of 2 at least, not 1"),
        (["-n", "mlp-one"], "mlp-one"),
    ],
)
def test_errors_of_the_command(arguments, words, tmp_path):
    result = run(*arguments, "-o", tmp_path / "a.csv")
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "a.csv").exists()
