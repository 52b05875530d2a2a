"""What commands share that write a table of results row by row: options, opening, and the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from refntk.cli import options
from refntk.cli.say import say
from refntk.cli.signals import interruptible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from refntk.data.results.result_table import Table

__all__ = ["finish", "open_table", "output_options"]


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options -o, --plot, --resume, --overwrite and -q to a command."""
    for option in (
        options.quiet,
        click.option("--overwrite", is_flag=True, help="Replace OUT.csv if it exists."),
        click.option("--resume", is_flag=True, help="Go on with OUT.csv if it exists."),
        click.option(
            "--plot", metavar="FILE", help="Draw the result: .svg or .pdf to print, .png to look."
        ),
        click.option(
            "-o", "--output", required=True, metavar="OUT.csv",
            help="The table to write, row by row; its first line records the settings.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@contextmanager
def open_table(
    output: str, record: dict[str, Any], plot: str | None, resume: bool, overwrite: bool
) -> Iterator[Table]:
    """Open the table, once it is sure that the picture can be drawn; an interrupt keeps its rows.

    Parameters
    ----------
    output : str
        The CSV file.
    record : dict
        Settings that its rows depend on.
    plot : str or None
        The picture that `finish` will draw.
    resume, overwrite : bool
        As for `refntk.data.results.result_table.Table`, which also lists the errors.

    Yields
    ------
    refntk.data.results.result_table.Table

    Raises
    ------
    Interrupted
        Ctrl-C or SIGTERM; the message has the command that continues.
    """
    from refntk.data.results.result_table import Table

    if plot is not None:
        from refntk.plot.style import check_figure_path

        check_figure_path(plot, overwrite=resume or overwrite)
    with (
        Table(output, record, resume=resume, overwrite=overwrite) as table,
        interruptible(lambda: f"{len(table.rows)} rows are kept in {output}"),
    ):
        yield table


def finish(output: str, rows: int, plot: str | None, draw: Callable[[], Figure]) -> None:
    """Say what was written, and draw the picture where one is wanted."""
    say(f"{output}: {rows} rows")
    if plot is not None:
        from refntk.plot import save_figure

        save_figure(draw(), plot)
        say(f"{plot}: picture of {output}")
