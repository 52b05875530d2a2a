"""Put sampled networks beside certified and answered NTKs.

    python compare_sampled.py suite.h5 answers.h5 gcnn-c4-linear gcnn-c4 --width 256 --draws 400

Networks of the given width are drawn at random, and their NTKs averaged; a deviation is counted in
standard errors of that mean. It needs refntk.
"""

from __future__ import annotations

import argparse
import os

import numpy as np

from refntk.data.results.oracle_file import read_answers, read_suite
from refntk.finite.sampling import estimate


def main() -> None:
    """Draw networks for each case, and print a row an entry."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite")
    parser.add_argument("answers")
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    suite = read_suite(arguments.suite)
    answers = read_answers(arguments.answers, suite)
    print("| case | entry | sampled NTK | certified | away | answered | away |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.cases:
        case, truth = suite.solved[name].case, suite.solved[name].truth["ntk"].value
        images = np.concatenate([case.x1, case.x1 if case.x2 is None else case.x2])
        found = estimate(
            case.network, images, arguments.width, arguments.draws, seed=arguments.seed,
            processes=os.cpu_count() or 1,
        )  # fmt: skip
        for i, j in np.ndindex(*truth.shape):
            place = i, len(case.x1) + j
            mean, error = found.ntk[place], found.ntk_error[place]
            cells = [f"| {name} | ({i}, {j}) | {mean:.7f} ± {error:.7f}"]
            for value in (truth[i, j], answers[name]["ntk"][i, j]):
                distance = abs(value - mean)
                # A network of one layer is linear in its weights: its NTK does not scatter at all.
                exact = error < 1e-12 * mean
                away = f"{distance:.0e}" if exact else f"{distance / error:.1f} s.e."
                cells.append(f"{value:.7f} | {away}")
            print(" | ".join(cells), "|")


if __name__ == "__main__":
    main()
