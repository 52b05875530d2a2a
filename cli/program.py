"""How a command ends: errors as one line and an exit status, a traceback only with `--debug`."""

from __future__ import annotations

import errno
import logging
import shlex
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from refntk.cli.say import say
from refntk.errors import RefntkError, RefntkWarning, printable
from refntk.output import distinct

__all__ = [
    "ENDS",
    "BadUse",
    "Command",
    "Fault",
    "Interrupted",
    "Program",
    "first",
    "terminable",
    "typed",
]

_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_ARGUMENTS = "refntk: arguments as typed"
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command."""

# What the system has too little of, wherever that shows: disk, descriptors, memory.
_SCARCE = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)

_OUTPUTS = ("output", "plot", "csv", "geometry")
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
    """A click command with `-h`, `-v`, `--debug` and the project's exit statuses.

    A `RefntkError` ends the process with status 2, an interrupt with 130 and the command to repeat,
    and whatever nobody foresaw with 1. Each is one line on stderr; with `--debug` the traceback
    comes before it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context_settings = {**_SETTINGS, **self.context_settings}
        self.params += [
            click.Option(["-v", "--verbose"], is_flag=True, help="Say on stderr what is done."),
            click.Option(["--debug"], is_flag=True, help="Show the Python traceback of an error."),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and translate what it raises."""
        debug, verbose = ctx.params.pop("debug"), ctx.params.pop("verbose")
        try:
            self._keep_inputs(ctx)
            with terminable(), _warning_lines(), _log_lines(verbose):
                return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                say(traceback.format_exc(), err=True, nl=False)
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
def _warning_lines() -> Iterator[None]:
    """Print each warning of refntk as one line on stderr, once, whoever has it to say."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        text = " ".join(str(message).split())
        if not issubclass(category, RefntkWarning):
            usual(message, category, *place, **more)
        elif text.split(": ", 1)[-1] not in said:  # the same of X1 by its file and as X1
            said.add(text.split(": ", 1)[-1])
            say(f"warning: {text}", err=True)

    with warnings.catch_warnings():
        usual = warnings.showwarning
        warnings.simplefilter("always", RefntkWarning)
        warnings.showwarning = show
        yield


class _Lines(logging.Handler):
    """What prints each record as one line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, over a progress bar if one stands in the line."""
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        say(f"refntk: {record.getMessage()}", err=True)


@contextmanager
def _log_lines(verbose: bool) -> Iterator[None]:
    """Print what refntk logs, where it is asked for."""
    logger, handler = logging.getLogger("refntk"), _Lines()
    level = logger.level
    if verbose:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt a command as Ctrl-C does; in the main thread only.

    One that was ignored before stays so, such as SIGHUP under nohup.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    plain = (signal.SIG_DFL, signal.default_int_handler)
    handlers = {n: signal.getsignal(n) for n in ENDS if signal.getsignal(n) in plain}
    for number in handlers:
        signal.signal(number, first)
    try:
        yield
    finally:
        # A process that was interrupted is about to end, and says so undisturbed.
        if not (_whole_process and signal.getsignal(signal.SIGINT) is signal.SIG_IGN):
            for number, handler in handlers.items():
                signal.signal(number, handler)


_whole_process = False


def first(number: int, frame: FrameType | None) -> None:
    """Interrupt at the first signal, and ignore what comes while things are put away.

    Parameters
    ----------
    number, frame
        As Python calls handlers of signals.

    Raises
    ------
    KeyboardInterrupt
        Always.
    """
    for other in ENDS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _failure(error: BaseException, ctx: click.Context) -> click.ClickException:
    """Word what ended a command, and choose the exit status."""
    if isinstance(error, RefntkError):
        return BadUse(str(error))
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(f"interrupted; nothing was kept. To start again: {typed(ctx)}")
    if isinstance(error, MemoryError):
        return Fault("not enough memory; try a smaller --limit, --size or --tile")
    if isinstance(error, OSError) and error.errno in _SCARCE:
        place = f" ({error.filename})" if error.filename is not None else ""
        return BadUse(
            f"the system refuses to go on: {error.strerror}{place}; free what is scarce and repeat"
        )
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
    """The group of commands; it remembers its arguments, for the line that an interrupt prints.

    Attributes
    ----------
    sections : dict of str to list of str
        Names of commands by the title under which `--help` lists them; those in none come first.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections: dict[str, list[str]] = {}
        self.context_settings = {**_SETTINGS, **self.context_settings}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program that ends the process."""
        global _whole_process
        _whole_process = True
        return super().__call__(*args, **kwargs)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands of each section, in columns of one width."""
        grouped = [name for names in self.sections.values() for name in names]
        rest = [name for name in self.list_commands(ctx) if name not in grouped]
        width = max((len(name) for name in self.commands), default=0)
        for title, names in {"Commands": rest, **self.sections}.items():
            rows = [
                (name.ljust(width), self.commands[name].get_short_help_str(limit=100))
                for name in names
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

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
