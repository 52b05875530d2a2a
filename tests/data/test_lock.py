"""The lock: one process at a time, and what is left of one that died."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys

import pytest

from refntk.data.lock import Holder, Lock
from refntk.errors import StoreError

HOLD = """
import sys, time
from pathlib import Path
from refntk.data.lock import Lock
lock = Lock(Path(sys.argv[1]), Path("k.h5"))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "k.h5.lock"


@pytest.fixture
def other(path):
    """A process that holds the lock until the test ends it."""
    command = [sys.executable, "-P", "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def no_locks(monkeypatch):
    """A file system that has no locks."""

    def refuse(fd, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def gone():
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def sign(path, **changes):
    """Leave a lock file behind."""
    text = {"host": socket.gethostname(), "pid": os.getpid(), "since": "2020-02-02T02:02:02+00:00"}
    path.write_text(json.dumps(text | changes))


def test_it_says_who_holds_it_and_goes_away(path):
    lock = Lock(path, path)
    text = json.loads(path.read_text())
    assert (text["host"], text["pid"]) == (socket.gethostname(), os.getpid())
    assert lock.stale is None
    lock.release()
    lock.release()
    assert not path.exists()


def test_a_second_one_in_the_same_process_is_refused(path):
    lock = Lock(path, path)
    with pytest.raises(StoreError, match=f"is being written by process {os.getpid()} on "):
        Lock(path, path)
    lock.release()
    Lock(path, path).release()


def test_another_process_is_named(path, other):
    message = rf"k\.h5: is being written by process {other.pid} on {socket.gethostname()} since 20"
    with pytest.raises(StoreError, match=message):
        Lock(path, path.with_name("k.h5"))
    assert json.loads(path.read_text())["pid"] == other.pid


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "a"}', "\0" * 100])
def test_a_holder_whose_text_is_not_there_yet(path, other, text):
    path.write_text(text)
    with pytest.raises(StoreError, match="is being written by another process; wait for it"):
        Lock(path, path)


def test_the_lock_of_a_killed_process_is_recognised(path, other):
    other.kill()
    other.wait()
    lock = Lock(path, path)
    assert lock.stale is not None
    assert lock.stale.pid == other.pid
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lock.release()


def test_a_process_number_that_was_used_again_does_not_matter(path):
    sign(path)
    lock = Lock(path, path)
    assert str(lock.stale).endswith(" since 2020-02-02T02:02:02+00:00")
    lock.release()


def test_without_locks_the_text_decides(path, no_locks):
    sign(path)
    with pytest.raises(StoreError, match="is being written by process"):
        Lock(path, path)
    sign(path, pid=gone())
    lock = Lock(path, path)
    assert lock.stale is not None
    lock.release()
    Lock(path, path).release()


def test_without_locks_another_machine_is_believed(path, no_locks):
    sign(path, host="elsewhere", pid=gone())
    with pytest.raises(StoreError, match="on elsewhere since 2020"):
        Lock(path, path)


@pytest.mark.parametrize(
    ("pid", "alive"),
    [(os.getpid(), True), (1, True), (2**62, True)],
    ids=["own", "first", "any"],
)
def test_who_is_alive(pid, alive):
    assert Holder(socket.gethostname(), pid, "").alive is alive


def test_a_lock_that_is_removed_meanwhile_is_taken_anew(path, monkeypatch):
    first = Lock(path, path)
    flock = fcntl.flock

    def release_first(fd, operation):
        monkeypatch.setattr(fcntl, "flock", flock)
        first.release()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", release_first)
    second = Lock(path, path)
    assert json.loads(path.read_text())["pid"] == os.getpid()
    with pytest.raises(StoreError, match="is being written"):
        Lock(path, path)
    second.release()


def test_a_failing_lock_is_an_error(path, monkeypatch):
    def fail(fd, operation):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(StoreError, match=r"cannot be written \(Input/output error\)"):
        Lock(path, path)


@pytest.mark.parametrize("folder", ["/proc", "gone"])
def test_a_folder_where_no_file_can_be_is_an_error(tmp_path, folder):
    """It was tried for ever: that there is no such file was taken for a lock that is just gone."""
    place = tmp_path / folder / "k.h5.lock"
    with pytest.raises(StoreError, match=r"k\.h5\.lock: cannot be written \(No such file"):
        Lock(place, place)
