"""How a command ends: errors as one line and an exit status, a traceback only with `--debug`."""

from __future__ import annotations

import shlex
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from refntk.errors import RefntkError, printable
from refntk.output import distinct

__all__ = ["BadUse", "Command", "Fault", "Interrupted", "Program", "terminable", "typed"]

_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_ARGUMENTS = "refntk: arguments as typed"
_ENDS = (signal.SIGTERM, signal.SIGHUP)
_OUTPUTS = ("output", "plot", "csv")
_INPUTS = ("networks", "labels")


class _Ending(click.ClickException):
    """The end of a command, with a message that may quote a file."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class Fault(_Ending):
    """The end of a command that failed for a reason nobody foresaw."""

    exit_code = 1


class BadUse(_Ending):
    """The end of a command that was used wrongly or got bad input."""

    exit_code = 2


class Interrupted(_Ending):
    """The end of a command that was interrupted, from the keyboard or by SIGTERM."""

    exit_code = 130


class Command(click.Command):
    """A click command with `-h`, `--debug` and the project's exit statuses.

    A `RefntkError` ends the process with status 2, an interrupt with 130 and the command to repeat,
    and whatever nobody foresaw with 1. Each is one line on stderr; with `--debug` the traceback
    comes before it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context_settings = {**_SETTINGS, **self.context_settings}
        self.params.append(
            click.Option(["--debug"], is_flag=True, help="Show the Python traceback of an error.")
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and translate what it raises."""
        debug = ctx.params.pop("debug")
        try:
            self._keep_inputs(ctx)
            with terminable():
                return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                click.echo(traceback.format_exc(), err=True, nl=False)
            raise _failure(error, ctx) from None


    def _keep_inputs(self, ctx: click.Context) -> None:
        """Refuse an output that is one of the inputs, which are the arguments and some options."""
        read: list[str] = []
        written: list[str] = []
        for param in self.params:
            given = ctx.params.get(str(param.name)) or ()
            names = [given] if isinstance(given, str) else given
            if param.name in _OUTPUTS:
                written += names
            elif isinstance(param, click.Argument) or param.name in _INPUTS:
                read += [name for name in names if isinstance(name, str)]
        for name in written:
            distinct(name, read)


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an interrupt, as Ctrl-C is one; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in _ENDS if signal.getsignal(n) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _failure(error: BaseException, ctx: click.Context) -> click.ClickException:
    """Word what ended a command, and choose the exit status."""
    if isinstance(error, RefntkError):
        return BadUse(str(error))
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(f"interrupted; nothing was kept. To start again: {typed(ctx)}")
    if isinstance(error, MemoryError):
        return Fault("not enough memory; try a smaller --limit, --size or --tile")
    reason = " ".join(str(error).split())
    return Fault(
        f"unexpected {type(error).__name__}: {reason}. This is a fault of refntk: please repeat "
        "the command with --debug and report what it prints, with the output of `refntk env`"
    )


def typed(ctx: click.Context, *more: str) -> str:
    """Give the command line as it was typed, to be repeated.

    Parameters
    ----------
    ctx : click.Context
        Of any command below the `Program`.
    *more : str
        Options to add where they are not there.

    Returns
    -------
    str
        One line for a shell.
    """
    arguments = ctx.meta.get(_ARGUMENTS, ())
    return shlex.join(["refntk", *arguments, *(word for word in more if word not in arguments)])


class Program(click.Group):
    """The group of commands; it remembers its arguments, for the line that an interrupt prints."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context_settings = {**_SETTINGS, **self.context_settings}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments as they were typed, then parse them."""
        ctx.meta.setdefault(_ARGUMENTS, tuple(args))  # a group inside a group sees only the rest
        with _one_line():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        with _one_line():
            return super().invoke(ctx)


@contextmanager
def _one_line() -> Iterator[None]:
    """Shorten click's answer to wrong use, four lines with a synopsis, to the one that matters."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "refntk"
        message = error.format_message().rstrip(".")
        raise BadUse(f"{message}; `{command} -h` shows the right use") from None
