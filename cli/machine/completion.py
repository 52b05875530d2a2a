"""`refntk completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click

from refntk.cli import options
from refntk.cli.program import Command
from refntk.cli.say import say

__all__ = ["completion"]


@click.command(
    cls=Command,
    short_help="Print what a shell needs to complete commands.",
    epilog="""\b
To complete with the Tab key in every new shell:
  bash   echo 'eval "$(refntk completion bash)"' >> ~/.bashrc
  zsh    echo 'eval "$(refntk completion zsh)"' >> ~/.zshrc
  fish   refntk completion fish > ~/.config/fish/completions/refntk.fish""",
)
@click.argument("shell", type=options.Word("shell", "bash", "zsh", "fish"))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL: bash, zsh or fish."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    script = kind(ctx.find_root().command, {}, "refntk", "_REFNTK_COMPLETE")
    say(script.source_template % script.source_vars())
