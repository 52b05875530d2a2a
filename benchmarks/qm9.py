"""Learning curves on molecules: energies of QM9 by sums of networks on SO(3).

    python benchmarks/qm9.py qm9.npz --molecules 200 --train 20,40,80,160 --test 40

The file has the arrays Z (N, A), charges with zeros where a molecule has no more atoms, R (N, A, 3)
in angstrom, and U0_hartree (N,). From the energies a linear fit on the counts of elements is
subtracted, which is made on the training molecules alone.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time

import numpy as np

import refntk
from refntk import sphere
from refntk.inference import KernelRegression

KCAL = 627.5094740631
"""A hartree in kcal/mol."""

ELEMENTS = (1, 6, 7, 8, 9)


def network(scale: float) -> list:
    """Two layers with the error function, a mean over SO(3), and a linear layer."""
    return [
        sphere.SphereLift(W_std=scale), refntk.Erf(), sphere.GlobalConv(), refntk.Erf(),
        refntk.GroupPool(), refntk.Dense(),
    ]  # fmt: skip


def residuals(counts: np.ndarray, energies: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Subtract the fit of the training molecules from all energies."""
    coefficients = np.linalg.lstsq(counts[train], energies[train], rcond=None)[0]
    return energies - counts @ coefficients


def main() -> None:
    """Compute one kernel for each pairing and group, and its learning curve."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file")
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--train", default="20,40,80,160")
    parser.add_argument("--test", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=6)
    parser.add_argument("--scale", type=float, default=1.0, help="W_std of the lift")
    parser.add_argument("--nugget", type=float, default=1e-3, help="of the mean diagonal")
    parser.add_argument("--hydrogen", action="store_true", help="hydrogens see, too")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with np.load(options.file) as file:
        chosen = rng.permutation(len(file["Z"]))[: options.molecules]
        charges, positions = file["Z"][chosen], file["R"][chosen].astype(np.float64)
        energies = KCAL * file["U0_hartree"][chosen]
    counts = np.stack([(charges == element).sum(axis=1) for element in ELEMENTS], axis=1)
    order = np.stack([rng.permutation(charges.shape[1]) for _ in charges])
    shuffled = (
        np.take_along_axis(charges, order, 1), np.take_along_axis(positions, order[..., None], 1)
    )  # fmt: skip
    seers = None if options.hydrogen else ELEMENTS[1:]
    kernels: dict[str, np.ndarray] = {}
    for name, pairing, molecules, flat in (
        ("by element", "elements", (charges, positions), False),
        ("by element, no pooling", "elements", (charges, positions), True),
        ("by slot", "slots", (charges, positions), False),
        ("by slot, atoms shuffled", "slots", shuffled, False),
    ):
        atoms = sphere.environments(*molecules, centres=seers)
        net = network(options.scale)
        if flat:
            net[4] = refntk.Flatten()
        start = time.process_time()
        k = sphere.molecular_kernel(net, atoms, pairing=pairing, nodes=options.nodes)
        spent = time.process_time() - start
        kernels[name] = k.ntk
        print(
            f"{name}: {len(atoms.signals)} atoms, {spent:.0f} s of processor time, error "
            f"{k.error['ntk']:.1g}, smallest eigenvalue {k.smallest_eigenvalue['ntk']:.1g}",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["kernel", "train", "test", "repeats", "mae_kcal_mol", "standard_error"])
    sizes = [int(size) for size in options.train.split(",")]
    splits = [rng.permutation(len(charges)) for _ in range(options.repeats)]
    for name in ["composition alone", *kernels]:
        for size in sizes:
            errors = []
            for split in splits:
                test, train = split[: options.test], split[options.test :][:size]
                rest = residuals(counts, energies, train)
                predicted = np.zeros(len(test))
                if name in kernels:
                    kernel = kernels[name]
                    model = KernelRegression(options.nugget)
                    model.fit(kernel[np.ix_(train, train)], rest[train])
                    predicted = model.predict(kernel[np.ix_(test, train)])
                errors.append(np.abs(predicted - rest[test]).mean())
            error = np.std(errors, ddof=1) / np.sqrt(len(errors))
            row = [name, size, options.test, options.repeats]
            table.writerow([*row, f"{np.mean(errors):.3f}", f"{error:.3f}"])


if __name__ == "__main__":
    main()
