"""The progress bar."""

import io
from types import SimpleNamespace

import pytest

from refntk import progress
from refntk.progress import ProgressBar


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Set the time that the bar sees."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def set_clock(seconds):
        now[0] = seconds

    return set_clock


@pytest.fixture
def stderr(monkeypatch):
    """Set what the bar takes for stderr; pytest sets the real one anew before each test."""

    def set_stderr(stream):
        monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
        return stream

    return set_stderr


@pytest.fixture
def terminal(stderr):
    """Make stderr a terminal and return it."""
    return stderr(Terminal())


def test_the_line_starts_empty(clock):
    assert ProgressBar(50, quiet=False).line(0.0) == f"[{' ' * 24}]    0 %  0/50 pairs"


def test_rate_and_time_left_count_from_the_first_report(clock):
    bar = ProgressBar(1000, quiet=False)
    clock(20.0)  # compilation: no pair done, no part of the rate
    bar.update(100)
    assert "left" not in bar.line(20.0)
    clock(30.0)
    bar.update(150)
    line = bar.line(30.0)
    assert line == f"[{'#' * 6}{' ' * 18}]   25 %  250/1000 pairs  15 pairs/s  0:50 left"


def test_time_left_follows_the_rate_of_the_later_half(clock):
    bar = ProgressBar(10_000, quiet=False)
    bar.update(0)
    for second in range(1, 101):  # one worker, and from 50 s on three of them
        clock(float(second))
        bar.update(1 if second <= 50 else 3)
    assert bar.line(100.0).endswith("200/10000 pairs  3 pairs/s  54:27 left")


def test_bursts_do_not_make_the_rate_jump(clock):
    bar = ProgressBar(1000, quiet=False)
    bar.update(0)  # four workers begin, and finish a tile each at about the same time
    for burst in range(1, 6):
        for worker in range(4):
            clock(10.0 * burst + 0.01 * worker)
            bar.update(1)
        rate = float(bar.line(10.0 * burst + 0.03).split("  ")[-2].split()[0])
        assert 0.3 < rate < 0.6


@pytest.mark.parametrize(
    ("pairs", "left"), [(1, "0:01"), (59, "0:59"), (60, "1:00"), (3599, "59:59"), (7384, "2:03:04")]
)
def test_time_left_in_words(clock, pairs, left):
    bar = ProgressBar(pairs + 2, quiet=False)
    bar.update(1)
    clock(1.0)
    bar.update(1)
    assert bar.line(1.0).endswith(f"1 pairs/s  {left} left")


def test_a_terminal_gets_one_line_that_is_removed_at_the_end(clock, terminal):
    with ProgressBar(2, quiet=False) as bar:
        clock(1.0)
        bar.update(1)
        clock(2.0)
        bar.update(1)
    text = terminal.getvalue()
    assert "\n" not in text
    assert "2/2 pairs" in text
    assert text.endswith("\r\x1b[K")


def test_the_line_is_rewritten_ten_times_a_second_at_most(clock, terminal):
    with ProgressBar(1000, quiet=False) as bar:
        for step in range(1000):
            clock(1.0 + step * 0.001)
            bar.update(1)
    assert 9 <= terminal.getvalue().count("\r") - 1 <= 12


def test_the_line_goes_when_the_work_fails(clock, terminal):
    with pytest.raises(KeyboardInterrupt), ProgressBar(2, quiet=False):
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_quiet_shows_nothing(clock, terminal):
    with ProgressBar(2, quiet=True) as bar:
        bar.update(2)
    assert terminal.getvalue() == ""


def test_no_terminal_shows_nothing(clock, stderr):
    stream = stderr(io.StringIO())
    with ProgressBar(2, quiet=False) as bar:
        bar.update(2)
    assert stream.getvalue() == ""


def test_bytes_get_a_unit_of_their_size(clock):
    bar = ProgressBar(205_600_000, quiet=False, unit="bytes")
    bar.update(1_000_000)
    clock(2.0)
    bar.update(50_400_000)
    line = bar.line(2.0)
    assert line.endswith("25 %  51.4 MB/205.6 MB  25.2 MB/s  0:06 left")


def test_a_note_takes_the_place_of_the_bar(clock, terminal):
    with ProgressBar(2, quiet=False) as bar:
        bar.update(1)
        bar.note("waiting for workers")
    assert "\r\x1b[Kwaiting for workers\n" in terminal.getvalue()


@pytest.mark.parametrize(("quiet", "text"), [(False, "waiting for workers\n"), (True, "")])
def test_a_note_needs_no_terminal(stderr, quiet, text):
    stream = stderr(io.StringIO())
    ProgressBar(2, quiet=quiet).note("waiting for workers")
    assert stream.getvalue() == text
