"""`refntk spectral heat`: heat kernels on a quotient, by both formulas."""

from __future__ import annotations

import click

from refntk.cli import options
from refntk.cli.program import Command
from refntk.cli.result_tables import finish, open_table, output_options
from refntk.cli.say import say

__all__ = ["heat"]


@click.command(cls=Command, short_help="Heat on a circle, and on its quotient by a group.")
@click.option(
    "--points", type=options.positive, default=48, show_default=True, metavar="N",
    help="Points of the circle.",
)
@click.option(
    "--turns", type=options.positive, default=2, show_default=True, metavar="K",
    help="Turns of the group, by multiples of 360°/K; K divides N.",
)
@click.option(
    "--mirror/--no-mirror", default=True, show_default=True, help="Reflections in the group."
)
@click.option(
    "--times", default="1,10,100", show_default=True, metavar="T,…", help="Times of diffusion."
)  # fmt: skip
@output_options
def heat(
    points: int, turns: int, mirror: bool, times: str, output: str, plot: str | None,
    resume: bool, overwrite: bool, quiet: bool,
) -> None:  # fmt: skip
    """Let heat spread from a point of a circle, and fold it; or spread it on orbits alone.

    Both are the same: the heat kernel of a quotient is the group mean of that of the whole.
    """
    from refntk.errors import InputError
    from refntk.plot.heat import plot_heat
    from refntk.symmetry.heat import circle_moves, heat_rows

    try:
        moments = [float(part) for part in times.split(",")]
    except ValueError:
        raise InputError(f"--times: expected numbers such as 1,10,100, not {times!r}") from None
    circle_moves(points, turns, mirror)  # refuses what is no group
    record = {
        "command": "spectral heat", "points": points, "turns": turns, "mirror": mirror,
        "times": moments,
    }  # fmt: skip
    with open_table(output, record, plot, resume, overwrite) as table:
        for k, row in enumerate(heat_rows(points, turns, mirror, moments)):
            if k >= len(table.rows):
                table.append(row)
    gap = max(abs(row["averaged"] - row["quotient"]) for row in table.rows)
    say(f"largest difference of the group mean and the heat of the quotient: {gap:.2g}")
    finish(output, len(table.rows), plot, lambda: plot_heat(table.rows))
