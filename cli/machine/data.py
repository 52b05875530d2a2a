"""`refntk data`: public data sets, fetched and ready for `refntk compute`."""

from __future__ import annotations

import click

from refntk.cli.program import Command, Interrupted, Program, typed
from refntk.cli.say import say
from refntk.progress import ProgressBar

__all__ = ["data", "fetch"]


@click.group(
    cls=Program,
    epilog="""\b
Examples:
  refntk data fetch                 what there is
  refntk data fetch pathmnist""",
)
def data() -> None:
    """Fetch public data sets."""


@data.command(
    cls=Command,
    short_help="Fetch a public data set, or list those that are known.",
    epilog="""\b
Examples:
  refntk data fetch                       list the data sets that are known
  refntk data fetch mnist
  refntk data fetch nct-crc-he-100k --folder /scratch/data""",
)
@click.argument("name", required=False)
@click.option(
    "--folder",
    type=click.Path(file_okay=False),
    envvar="REFNTK_DATA",
    show_envvar=True,
    metavar="FOLDER",
    help="Keep the data in FOLDER/NAME.  [default: the user's cache folder, ~/.cache/refntk]",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress bar.")
@click.pass_context
def fetch(ctx: click.Context, name: str | None, folder: str | None, quiet: bool) -> None:
    """Fetch the data set called NAME, and print the inputs for `refntk compute` that it gives.

    Every file is compared with its checksum. What is there already is not fetched again, and a
    download that was interrupted continues where it stopped. Needs the extra "fetch" of refntk.
    """
    from refntk.data.datasets.catalogue import DATASETS, dataset
    from refntk.data.datasets.fetch import fetch as fetch_data
    from refntk.errors import size_text

    if name is None:
        width = max(map(len, DATASETS))
        for known in DATASETS.values():
            say(
                f"{known.name:<{width}}  {size_text(known.size):>8}  {known.title} "
                f"({known.licence}; {known.source})"
            )
        return
    wanted = dataset(name)
    try:
        fetched = fetch_data(
            wanted.name,
            folder,
            meter=lambda total: ProgressBar(total, quiet=quiet, unit="bytes"),
        )
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; what has come in is kept. To continue: {typed(ctx)}"
        ) from None
    say(f"{wanted.name}: {fetched.folder}")
    width = max(len(path) for path, _ in fetched.inputs)
    for path, what in fetched.inputs:
        say(f"{path:<{width}}  {what}")
    again = f"refntk compute {wanted.network} {fetched.inputs[0][0]} {wanted.options}"
    say(f"next: {again} -o {wanted.name}.h5")
    say(f"cite: {wanted.source}; {wanted.licence}")
