"""An end from outside, Ctrl-C or a scheduler's SIGTERM: keep what is done and leave soon."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from refntk.cli.program import ENDS, Interrupted, first, typed
from refntk.cli.say import say

__all__ = ["interruptible"]

_PATIENCE = 8.0
"""Seconds until a process that cannot be interrupted is ended: schedulers kill after 10 or more."""


@contextmanager
def interruptible(
    kept: Callable[[], str], *, again: Sequence[str] = ("--resume",)
) -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Interrupted`, with the command that continues.

    Python runs handlers between its own instructions only. Where a library computes for longer, or
    the disk does not answer, the process is ended after some seconds: nothing is lost, because
    tiles are safe from the moment at which they are written.

    Parameters
    ----------
    kept : callable
        Says what is done and kept, such as ``"3 tiles are kept in k.h5.part"``; ``""`` for nothing.
    again : sequence of str
        Options that the command needs to continue.

    Raises
    ------
    Interrupted
        One of the signals came.
    """
    context = click.get_current_context()
    command = typed(context, *again)

    def message() -> str:
        done = kept()
        if not done:
            return f"interrupted; nothing was kept. To start again: {typed(context)}"
        return f"interrupted; {done}. To continue: {command}"

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    left = threading.Event()
    fallback = f"interrupted; what was finished is kept. To continue: {command}"
    watch = threading.Thread(target=_watch, args=(reading, left, fallback), daemon=True)
    previous = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    heard = [number for number in ENDS if signal.getsignal(number) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, first) for number in heard}
    watch.start()
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(message()) from None
    finally:
        # After a signal further ones are ignored until the command has ended.
        if all(signal.getsignal(number) is first for number in heard):
            for number, handler in handlers.items():
                signal.signal(number, handler)
        signal.set_wakeup_fd(previous)
        left.set()
        os.close(writing)
        watch.join()
        os.close(reading)


def _watch(reading: int, left: threading.Event, message: str) -> None:
    """End the process where it does not end by itself after a signal."""
    while number := os.read(reading, 1):
        if number[0] in ENDS:
            if not left.wait(_PATIENCE):
                say(f"Error: {message}", err=True)
                os._exit(Interrupted.exit_code)
            return
