"""The progress bar: work done, rate and time left, on stderr and only where that is a terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from sys import modules
from types import TracebackType
from typing import TextIO

from refntk.errors import size_text

__all__ = ["ProgressBar", "reporting", "say_once"]

_WIDTH = 24
_SECONDS_BETWEEN_LINES = 0.1
_MARKS = 100


class ProgressBar:
    """A line that rewrites itself, `[#####    ]  42 %  1720/4095 pairs  35.1 pairs/s  1:08 left`.

    Used as a context manager; leaving it removes the line, so that what is printed next stands
    alone. The rate counts from the first report onwards: what comes before is compilation, which
    the remaining pairs do not pay. It is that of the later half of the time since, so that it soon
    tells of workers that came or went, and work that is reported in bursts does not make it jump.

    Parameters
    ----------
    total : int
        Number of units of work, such as pairs of images to compute.
    quiet : bool
        Show nothing, whatever stderr is.
    unit : str, default "pairs"
        What is counted. ``bytes`` are shown with a unit of their size, such as MB.
    """

    def __init__(self, total: int, *, quiet: bool, unit: str = "pairs") -> None:
        self._total = total
        self._unit = unit
        self._quiet = quiet
        self._stream = sys.stderr
        self._shown = total > 0 and not quiet and _watched(self._stream)
        self._done = 0
        self._begin = 0.0
        # Moments and what was done by then; all but the oldest are of the later half of the time.
        self._marks: deque[tuple[float, int]] = deque()
        self._last_line = 0.0

    def __enter__(self) -> ProgressBar:
        if self._shown:
            self._write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def note(self, text: str) -> None:
        """Print a line of text above the bar, also where stderr is no terminal.

        Parameters
        ----------
        text : str
            Something that the user should know; with `quiet` it is left out.
        """
        if not self._quiet:
            self._stream.write(("\r\x1b[K" if self._shown else "") + text + "\n")
            self._stream.flush()

    def update(self, amount: int) -> None:
        """Report work that has just been finished.

        Parameters
        ----------
        amount : int
            How much, since the last report.
        """
        self._done += amount
        now = time.monotonic()
        self._mark(now)
        if self._shown and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._write()

    def _mark(self, now: float) -> None:
        if not self._marks:
            self._begin = now
        if not self._marks or now - self._marks[-1][0] > (now - self._begin) / _MARKS:
            self._marks.append((now, self._done))
        else:  # so soon after the last one that it counts as the same moment
            self._marks[-1] = (self._marks[-1][0], self._done)
        while len(self._marks) > 1 and self._marks[1][0] <= (self._begin + now) / 2:
            self._marks.popleft()

    def reach(self, done: int, total: int) -> None:
        """Report all the work that is finished so far, where the whole is known only now.

        Parameters
        ----------
        done, total : int
            In units of work.
        """
        self._total = total
        self.update(done - self._done)

    def line(self, now: float) -> str:
        """Compose the text of the line.

        Parameters
        ----------
        now : float
            The moment, in seconds of `time.monotonic`.

        Returns
        -------
        str
            Bar, percentage, work done and, once two reports have come, rate and time left.
        """
        filled = _WIDTH * self._done // self._total
        parts = [
            f"[{'#' * filled}{' ' * (_WIDTH - filled)}]",
            f"{100 * self._done // self._total:3d} %",
            self._amounts(),
        ]
        moment, before = self._marks[0] if self._marks else (now, self._done)
        if self._done > before and now > moment:
            rate = (self._done - before) / (now - moment)
            parts += [self._speed(rate), f"{_clock((self._total - self._done) / rate)} left"]
        return "  ".join(parts)

    def _amounts(self) -> str:
        if self._unit != "bytes":
            return f"{self._done}/{self._total} {self._unit}"
        return f"{size_text(self._done)}/{size_text(self._total)}"

    def _speed(self, rate: float) -> str:
        if self._unit != "bytes":
            return f"{rate:.3g} {self._unit}/s"
        return f"{size_text(round(rate))}/s"

    def _write(self) -> None:
        self._stream.write("\r" + self.line(time.monotonic()) + "\x1b[K")
        self._stream.flush()


def _clock(seconds: float) -> str:
    """Seconds as 1:23 or 4:05:06."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def _watched(stream: TextIO) -> bool:
    """Whether a person sees what is written: at a terminal, or in a notebook."""
    return stream.isatty() or "ipykernel" in modules


@contextmanager
def reporting(
    progress: Callable[[int, int], None] | bool | None, total: int
) -> Iterator[Callable[[int], None]]:
    """Tell of progress as a caller of the library wants it.

    Parameters
    ----------
    progress : callable, bool or None
        Called with what is done and `total`; True stands for a bar, False and None for nothing.
    total : int
        Units of work.

    Yields
    ------
    callable
        To be called with what has been done since the last call.
    """
    done = 0

    def told(amount: int) -> None:
        nonlocal done
        done += amount
        if callable(progress):
            progress(done, total)

    if progress is True:
        with ProgressBar(total, quiet=False) as bar:
            yield bar.update
    else:
        yield told


@cache
def say_once(text: str) -> None:
    """Say in one line, once a process, what a person may want to know.

    It goes to the logger ``refntk``, as information, and to stderr where a person looks on and the
    logger has no handler of its own.

    Parameters
    ----------
    text : str
    """
    logger = logging.getLogger("refntk")
    logger.info(text)
    if not logger.handlers and sys.stderr is not None and _watched(sys.stderr):
        # A progress bar may stand in the line.
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""
        sys.stderr.write(f"{clear}refntk: {text}\n")
        sys.stderr.flush()
