"""What goes wrong around a command: the result is right, or one line says what happened."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

pytestmark = pytest.mark.slow

START = """
import sys, time
from refntk.cli import main
from refntk.evaluation.evaluate import Job

block = Job.block

def slowly(self, *words):
    time.sleep(0.05)
    return block(self, *words)

Job.block = slowly
"""


def program(*words, before=""):
    code = START + before + "\nmain()"
    return [sys.executable, "-P", "-c", code, *map(str, words)]


def finish(*words, before="", **options):
    return subprocess.run(
        program(*words, before=before), capture_output=True, text=True, timeout=300, **options
    )


def one_line(done, status):
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    return done.stderr


class Place:
    """A computation of 55 tiles, what it gives, and the folder that it writes to."""

    def __init__(self, home):
        self.images = home / "x.npy"
        np.save(self.images, np.random.default_rng(7).uniform(size=(20, 4, 4, 1)))
        self.folder = home / "out"
        self.folder.mkdir()
        self.out = self.folder / "k.h5"
        self.part = self.folder / "k.h5.part"
        self.reference = home / "reference.h5"
        assert finish(*self.words(self.reference)).returncode == 0

    def words(self, out=None, *options):
        source = ("compute", "cnn-gap", self.images, "-o", out or self.out)
        return (*source, "--tile", "2", "--threads", "1", "-q", *options)

    def start(self, *options, **keywords):
        """Begin, and come back when some tiles are done."""
        keywords = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True} | keywords
        process = subprocess.Popen(program(*self.words(None, *options)), **keywords)
        deadline, begun = time.monotonic() + 120, None
        while time.monotonic() < deadline and process.poll() is None:
            size = self.part.stat().st_size if self.part.exists() else None
            if begun is not None and size is not None and size > begun:
                return process
            begun = begun or size
            time.sleep(0.01)
        raise AssertionError(process.communicate())

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())

    def is_right(self):
        with h5py.File(self.out) as found, h5py.File(self.reference) as wanted:
            return all(
                found[name][...].tobytes() == wanted[name][...].tobytes()
                for name in ("nngp", "ntk")
            )

    def continues(self):
        done = finish(*self.words(None, "--resume"))
        assert done.returncode == 0, done.stderr
        assert self.names() == ["k.h5"]
        return self.is_right()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_signals_keep_what_is_done(place, number, times):
    process = place.start()
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.02)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error.startswith("Error: interrupted; ")
    assert "Traceback" not in error
    assert place.names() == ["k.h5.part"]
    assert place.continues()


def test_stopped_and_continued(place):
    process = place.start()
    for _ in range(5):
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.02)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0
    assert place.is_right()


def test_nobody_reads_what_it_prints(place):
    process = place.start()
    process.stdout.close()
    process.wait(timeout=60)
    process.stderr.close()
    assert place.is_right()
    assert place.names() == ["k.h5"]


def test_two_writers(place):
    first = place.start()
    first.send_signal(signal.SIGSTOP)  # it does not end before the others have tried
    for options in ((), ("--resume",), ("--overwrite",), ("--overwrite", "--resume")):
        message = one_line(finish(*place.words(None, *options)), 2)
        assert f"is being written by process {first.pid} on " in message
    first.send_signal(signal.SIGCONT)
    assert first.communicate(timeout=60)[1] == ""
    assert place.is_right()


def test_many_begin_at_once(place):
    crowd = [
        subprocess.Popen(
            program(*place.words(None, "--resume")), stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    ends = [(process.communicate(timeout=300)[1], process.returncode) for process in crowd]
    assert 0 in [status for _, status in ends]
    for error, status in ends:
        assert status == 0 or ("is being written by" in error and status == 2)
    assert place.names() == ["k.h5"]
    assert place.is_right()


def test_the_folder_is_removed(place):
    process = place.start()
    shutil.rmtree(place.folder)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2, error
    assert error.startswith(f"Error: {place.out}: writing failed (No such file or directory)")
    assert error.count("\n") == 1


def test_the_folder_is_renamed_and_another_takes_its_place(place):
    process = place.start()
    place.folder.rename(place.folder.with_name("moved"))
    place.folder.mkdir()
    place.out.write_bytes(b"precious")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2, error
    assert error.count("\n") == 1
    assert place.out.read_bytes() == b"precious"


@pytest.mark.parametrize("how", ["replaced", "written over", "removed"])
def test_the_images_change_meanwhile(place, how):
    """They were read at the beginning, and what is continued must be of the same ones."""
    content = place.images.read_bytes()
    process = place.start()
    if how == "removed":
        place.images.unlink()
    else:
        images = np.load(place.images)[::-1].copy()
        if how == "replaced":
            place.images.unlink()
        np.save(place.images, images)
    assert process.communicate(timeout=60)[1] == ""
    assert place.is_right()
    if how != "removed":
        message = one_line(finish(*place.words(None, "--resume")), 2)
        assert "20 of 20 images are others" in message
    place.images.write_bytes(content)
    assert place.continues()


def test_the_output_appears_meanwhile(place):
    process = place.start()
    place.out.write_bytes(b"precious")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "appeared while" in error
    assert place.out.read_bytes() == b"precious"
    place.out.unlink()
    assert place.continues() or place.names()


@pytest.mark.parametrize("spare", [0, 1, 2, 3, 5, 8, 13, 40])
def test_descriptors_are_exhausted(place, spare):
    limit = (
        "import os, resource\n"
        "from refntk.data.kernels import store, kernel_writer\n"
        "init = kernel_writer.KernelWriter.__init__\n"
        "def few(self, *a, **k):\n"
        f"    top = os.open('/', os.O_RDONLY); os.close(top)\n"
        f"    resource.setrlimit(resource.RLIMIT_NOFILE, (top + {spare},) * 2)\n"
        "    init(self, *a, **k)\n"
        "kernel_writer.KernelWriter.__init__ = few\n"
    )
    done = finish(*place.words(), before=limit)
    if done.returncode:
        message = one_line(done, 2)
        assert "Too many open files" in message
        assert set(place.names()) <= {"k.h5.part"}
    assert place.continues()


@pytest.mark.parametrize("kilobytes", [60, 100, 200])
def test_a_file_system_that_is_full(place, kilobytes):
    """A real one where mounting is allowed."""
    size = f"size={kilobytes}k"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place.folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed; test_cli_resume has a limit on the size of a file")
    try:
        # The room that is checked beforehand is taken by somebody else later.
        room = "import shutil\nshutil.disk_usage = lambda p: shutil._ntuple_diskusage(9e9, 0, 9e9)"
        with open(place.folder / "other", "wb") as other:
            other.truncate(0)
            other.write(bytes(1024 * (kilobytes - 32)))
        done = finish(*place.words(), before=room)
        message = one_line(done, 2)
        assert "No space left on device" in message
        assert set(place.names()) <= {"other", "k.h5.part"}
        (place.folder / "other").unlink()
        subprocess.run(["mount", "-o", "remount,size=4m", str(place.folder)], check=True)
        assert place.continues()
    finally:
        subprocess.run(["umount", str(place.folder)], check=True)


@pytest.mark.parametrize("device", ["/dev/full"])
@pytest.mark.parametrize("words", [("info",), ("check",), ("networks",), ("env",)])
def test_output_that_cannot_be_printed(place, device, words):
    command = (*words, place.reference) if words[0] in ("info", "check") else words
    with open(device, "w") as full:
        done = subprocess.run(
            program(*command), stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "fault of refntk" not in done.stderr
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_lock_of_many_brackets(place):
    lock = place.folder / "k.h5.lock"
    lock.write_text("[" * 100_000)
    message = one_line(finish(*place.words()), 2)
    assert "k.h5.lock: is in the way, refntk did not write it" in message
    assert lock.read_text() == "[" * 100_000
