"""`refntk networks`: the networks that come with the package."""

from __future__ import annotations

import click

from refntk.cli.program import Command
from refntk.cli.say import say

__all__ = ["networks"]


@click.command(
    cls=Command,
    short_help="List the networks that come along, or show one.",
    epilog="""\b
Examples:
  refntk networks
  refntk networks gcnn-paper > mine.toml                  a copy to change
  refntk compute mine.toml sample:histology -o mine.h5""",
)
@click.argument("name", required=False)
def networks(name: str | None) -> None:
    """List the networks that come with refntk, or show the one called NAME.

    A network is shown as the TOML file that it is, with a note on where it comes from.
    """
    from refntk.network.presets import preset, preset_text, presets

    if name is None:
        width = max(map(len, presets()))
        for known in presets():
            layers = " ".join(type(layer).__name__ for layer in preset(known).layers)
            say(f"{known:<{width}}  {layers}")
        return
    say(preset_text(name), nl=False)
