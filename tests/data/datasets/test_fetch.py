"""Fetching public data sets, from a server on this machine that can be told to misbehave."""

import gzip
import hashlib
import io
import logging
import os
import re
import struct
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from refntk.cli import main
from refntk.data import load_images
from refntk.data.datasets import catalogue
from refntk.data.datasets import download as download_module
from refntk.data.datasets import fetch as fetch_module
from refntk.data.datasets.catalogue import DATASETS, Dataset, RemoteFile, dataset
from refntk.data.datasets.fetch import cache_folder, fetch
from refntk.errors import DownloadError, InputError, MissingPackageError, RefntkError


@dataclass
class Server:
    """What the server has, how it behaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    """Bytes to send before the connection breaks, for each of the next answers."""
    ranges: bool = True
    status: int | None = None
    url: str = ""
    encoding: str = ""


@pytest.fixture
def server(monkeypatch):
    """Serve files over HTTP from a free port of this machine."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            state.requests.append((self.path, asked))
            if state.status is not None:
                self.send_error(state.status)
                return
            content = state.files[self.path]
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and state.ranges else 0
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content)}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            if state.encoding:
                self.send_header("Content-Encoding", state.encoding)
            self.end_headers()
            stop = start + state.breaks.pop(0) if state.breaks else len(content)
            self.wfile.write(content[start:stop])

        def log_message(self, *args):
            """Keep quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(download_module, "_PAUSE", 0.0)
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def offer(server, monkeypatch):
    """Put a file on the server, and a data set of it into the catalogue; return its content."""

    def offer(name="set.npz", content=None, unpacked=None, inputs=None, bound=None):
        if content is None:
            buffer = io.BytesIO()
            rng = np.random.default_rng(4)
            images = rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
            np.savez(buffer, train_images=images, train_labels=np.arange(20)[:, None] % 3)
            content = buffer.getvalue()
        server.files[f"/{name}"] = content
        digest = hashlib.md5(content).hexdigest()
        size, exact = bound or len(content), bound is None
        file = RemoteFile(name, f"{server.url}/{name}", size, f"md5:{digest}", exact)
        given = inputs or ((f"{name}::train_images", "20 images"),)
        made = Dataset("toy", "a toy", "nobody", "CC0", (file,), given, unpacked)
        monkeypatch.setitem(catalogue.DATASETS, "toy", made)
        return content

    return offer


class Meters:
    """Progress bars that remember what they were told."""

    def __init__(self):
        self.totals, self.done = [], []

    def __call__(self, total):
        self.totals.append(total)
        self.done.append(0)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update(self, amount):
        assert amount > 0
        self.done[-1] += amount


# --- what the catalogue says


def test_checksums_and_addresses_are_well_formed():
    lengths = {"md5": 32, "sha256": 64}
    for known in DATASETS.values():
        for file in known.files:
            algorithm, digest = file.checksum.split(":")
            assert re.fullmatch(f"[0-9a-f]{{{lengths[algorithm]}}}", digest)
            assert file.url.startswith("https://")
            assert file.size > 0
        roots = [known.unpacked] if known.unpacked else [file.name for file in known.files]
        for path, _ in known.inputs:
            assert path.partition("::")[0] in roots


@pytest.mark.parametrize("breaks", [[], [100]])
def test_a_file_whose_length_is_known_to_the_server_alone(offer, server, tmp_path, breaks):
    content = offer(bound=10**6)
    server.breaks = list(breaks)
    fetched = fetch("toy", tmp_path)
    assert (fetched.folder / "set.npz").read_bytes() == content
    assert len(server.requests) == 1 + len(breaks)


def test_a_file_above_its_bound_is_refused(offer, tmp_path):
    offer(bound=1000)
    with pytest.raises(DownloadError, match="sends more than the 1.0 kB"):
        fetch("toy", tmp_path)


def test_the_sizes_of_the_paper_s_data_set():
    (archive,) = dataset("NCT-CRC-HE-100K").files
    assert (archive.name, archive.size) == ("NCT-CRC-HE-100K.zip", 11_690_284_003)
    assert dataset("mnist").size == 9_912_422 + 28_881 + 1_648_877 + 4_542


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match=r'unknown data set "mnits" \(did you mean "mnist"\?\)'):
        dataset("mnits")


# --- what arrives


def test_a_file_arrives_and_is_not_asked_for_again(server, offer, tmp_path):
    content = offer()
    meters = Meters()
    fetched = fetch("toy", tmp_path, meter=meters)
    assert fetched.folder == tmp_path / "toy"
    assert (tmp_path / "toy" / "set.npz").read_bytes() == content
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["set.npz"]
    assert meters.totals == meters.done == [len(content)]
    images = load_images(fetched.inputs[0][0])
    assert images.images.shape == (20, 8, 8, 3)
    assert images.labels.tolist() == [k % 3 for k in range(20)]
    assert fetch("toy", tmp_path) == fetched
    assert server.requests == [("/set.npz", None)]


def test_the_cache_folder_is_the_user_s(offer, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    offer()
    assert cache_folder() == tmp_path / "refntk"
    assert fetch("toy").folder == tmp_path / "refntk" / "toy"


def test_labels_beside_the_images_of_mnist(server, monkeypatch, tmp_path):
    pixels = np.arange(5 * 4 * 4, dtype=np.uint8)
    contents = {
        "a-images-idx3-ubyte.gz": struct.pack(">IIII", 0x803, 5, 4, 4) + pixels.tobytes(),
        "a-labels-idx1-ubyte.gz": struct.pack(">II", 0x801, 5) + bytes([3, 1, 4, 1, 5]),
    }
    files = []
    for name, plain in contents.items():
        packed = gzip.compress(plain)
        server.files[f"/{name}"] = packed
        digest = hashlib.sha256(packed).hexdigest()
        files.append(RemoteFile(name, f"{server.url}/{name}", len(packed), f"sha256:{digest}"))
    made = Dataset("two", "", "", "", tuple(files), (("a-images-idx3-ubyte.gz", ""),))
    monkeypatch.setitem(catalogue.DATASETS, "two", made)
    images = load_images(fetch("two", tmp_path).inputs[0][0])
    assert images.images.shape == (5, 4, 4, 1)
    assert images.labels.tolist() == [3, 1, 4, 1, 5]


@pytest.fixture
def archive():
    """A ZIP file with a folder of images a class, and things that do not belong there."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for index, name in enumerate(["ADI/a.tif", "ADI/b.tif", "TUM/a.tif"]):
            image = io.BytesIO()
            Image.fromarray(np.full((6, 6, 3), 40 * index, np.uint8)).save(image, "tiff")
            opened.writestr(f"TILES/{name}", image.getvalue())
        opened.writestr("__MACOSX/TILES/ADI/._a.tif", b"junk")
        opened.writestr("TILES/../../escaped.txt", b"out")
    return buffer.getvalue()


def test_an_archive_becomes_a_folder(server, offer, archive, tmp_path):
    offer("tiles.zip", archive, "TILES", (("TILES", "3 tiles"),))
    meters = Meters()
    fetched = fetch("toy", tmp_path, meter=meters)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == [
        "toy", "toy/TILES", "toy/TILES/ADI", "toy/TILES/ADI/a.tif", "toy/TILES/ADI/b.tif",
        "toy/TILES/TUM", "toy/TILES/TUM/a.tif",
    ]  # fmt: skip
    assert meters.totals == meters.done
    assert meters.totals[0] == len(archive)
    images = load_images(fetched.inputs[0][0])
    assert images.images[:, 0, 0, 0].tolist() == [0, 40, 80]
    assert images.class_names == ("ADI", "TUM")
    assert fetch("toy", tmp_path) == fetched
    assert len(server.requests) == 1


def test_unpacking_that_was_interrupted_starts_again(offer, archive, tmp_path, monkeypatch):
    offer("tiles.zip", archive, "TILES", (("TILES", "3 tiles"),))

    def interrupt(self, member, path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extract", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch("toy", tmp_path)
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["tiles.zip"]
    assert len(load_images(fetch("toy", tmp_path).inputs[0][0]).images) == 3


# --- connections that break


@pytest.mark.parametrize("breaks", [[100], [100, 0], [1, 1, 1]])
def test_a_broken_connection_is_continued_in_the_same_call(server, offer, tmp_path, breaks):
    content = offer()
    server.breaks = list(breaks)
    if 0 in breaks:  # a connection that brings nothing ends the call, and the next one continues
        with pytest.raises(DownloadError, match=r"127.0.0.1:\d+ cannot be reached; 100 bytes are"):
            fetch("toy", tmp_path)
    meters = Meters()
    fetch("toy", tmp_path, meter=meters)
    assert (tmp_path / "toy" / "set.npz").read_bytes() == content
    assert meters.done == [len(content)]
    starts = np.cumsum([n for n in breaks if n])
    assert [asked for _, asked in server.requests if asked][-1] == f"bytes={starts[-1]}-"


def test_a_connection_that_breaks_every_time_keeps_what_came(server, offer, tmp_path):
    content = offer()
    server.breaks = [10, 20, 30, 40]
    with pytest.raises(DownloadError, match="broke 4 times; 100 bytes are kept, check the network"):
        fetch("toy", tmp_path)
    part = tmp_path / "toy" / "set.npz.part"
    assert part.read_bytes() == content[:100]
    assert [path.name for path in part.parent.iterdir()] == [part.name]
    fetch("toy", tmp_path)
    assert server.requests[-1] == ("/set.npz", "bytes=100-")
    assert (tmp_path / "toy" / "set.npz").read_bytes() == content


def test_a_server_that_cannot_continue_begins_again(server, offer, tmp_path):
    content = offer()
    server.ranges = False
    server.breaks = [100]
    meters = Meters()
    fetch("toy", tmp_path, meter=meters)
    assert [asked for _, asked in server.requests] == [None, "bytes=100-"]
    assert (tmp_path / "toy" / "set.npz").read_bytes() == content
    assert meters.done == [len(content)]


def test_a_partial_file_that_is_too_long_begins_again(server, offer, tmp_path):
    content = offer()
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "set.npz.part").write_bytes(content + b"more")
    fetch("toy", tmp_path)
    assert [asked for _, asked in server.requests] == [f"bytes={len(content) + 4}-", None]
    assert (tmp_path / "toy" / "set.npz").read_bytes() == content


def test_a_partial_file_that_is_complete_asks_for_nothing(server, offer, tmp_path):
    content = offer()
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "set.npz.part").write_bytes(content)
    fetch("toy", tmp_path)
    assert server.requests == []
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["set.npz"]


# --- what is refused


def test_a_wrong_checksum_is_refused_and_removed(server, offer, tmp_path):
    content = offer()
    server.files["/set.npz"] = content[:-1] + b"?"
    with pytest.raises(DownloadError, match="does not have the checksum md5:") as caught:
        fetch("toy", tmp_path)
    assert "do not use it" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "toy").iterdir()) == []


def test_a_file_that_was_changed_on_disk_is_fetched_again(server, offer, tmp_path):
    content = offer()
    path = tmp_path / "toy" / "set.npz"
    path.parent.mkdir()
    path.write_bytes(content[1:])
    fetch("toy", tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("status", [404, 503])
def test_an_answer_that_is_not_the_file(server, offer, tmp_path, status):
    offer()
    server.status = status
    with pytest.raises(DownloadError, match=rf"127.0.0.1:\d+ answers {status} .*; try again later"):
        fetch("toy", tmp_path)
    assert len(server.requests) == 1


def test_a_server_that_is_gone(offer, server, monkeypatch, tmp_path):
    offer()
    gone = RemoteFile("set.npz", "http://127.0.0.1:9/set.npz", 5, "md5:" + 32 * "0")
    made = Dataset("toy", "", "", "", (gone,), ())
    monkeypatch.setitem(catalogue.DATASETS, "toy", made)
    with pytest.raises(DownloadError, match="set.npz: 127.0.0.1:9 cannot be reached; check"):
        fetch("toy", tmp_path)


def test_a_server_that_says_nothing(server, offer, tmp_path, monkeypatch):
    offer()
    import requests

    def silent(*args, **kwargs):
        raise requests.exceptions.ReadTimeout

    monkeypatch.setattr(requests, "get", silent)
    with pytest.raises(DownloadError, match="does not answer; check the network and repeat"):
        fetch("toy", tmp_path)


def test_two_downloads_at_once(offer, tmp_path):
    import fcntl

    offer()
    (tmp_path / "toy").mkdir()
    with (tmp_path / "toy" / "set.npz.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match=r"set.npz.part: another process is writing to it"):
            fetch("toy", tmp_path)


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    server, offer, archive, tmp_path, monkeypatch
):
    offer("tiles.zip", archive, "TILES", (("TILES", "3 tiles"),))
    room = SimpleNamespace(free=len(archive) + 1)
    monkeypatch.setattr(fetch_module.shutil, "disk_usage", lambda path: room)
    with pytest.raises(DownloadError, match="toy: needs .*, archive and images, at least, and"):
        fetch("toy", tmp_path)
    assert server.requests == []


def test_a_folder_that_cannot_be_made(offer, tmp_path):
    offer()
    (tmp_path / "toy").write_bytes(b"a file")
    with pytest.raises(DownloadError, match=r"set.npz: cannot be written \(File exists\)"):
        fetch("toy", tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK no archive", "cannot be unpacked (File is not a zip file)"),
        (None, "holds no folder OTHER"),
    ],
)
def test_an_archive_that_is_no_good(offer, archive, tmp_path, content, words):
    offer("tiles.zip", content or archive, "TILES" if content else "OTHER", (("TILES", ""),))
    with pytest.raises(DownloadError, match=re.escape(words)):
        fetch("toy", tmp_path)
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["tiles.zip"]


def test_without_pooch(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(MissingPackageError, match=r'pip install "refntk\[fetch\]"'):
        fetch("mnist", tmp_path)


def test_pooch_speaks_as_before_afterwards(offer, tmp_path):
    import pooch

    offer()
    before = pooch.get_logger().level
    fetch("toy", tmp_path)
    assert pooch.get_logger().level == before != logging.ERROR


# --- the command


def run(*arguments):
    return CliRunner().invoke(main, ["data", "fetch", *map(str, arguments)])


def test_the_command_prints_what_compute_takes(offer, tmp_path):
    offer()
    result = run("toy", "--folder", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    path = f"{tmp_path}/toy/set.npz::train_images"
    assert result.stdout.splitlines()[:2] == [f"toy: {tmp_path}/toy", f"{path}  20 images"]
    (following,) = [line for line in result.stdout.splitlines() if line.startswith("next: refntk")]
    words = following.removeprefix("next: refntk ").split()
    words[-1] = str(tmp_path / words[-1])
    done = CliRunner().invoke(main, [*words, "--limit", "3"])
    assert (done.exit_code, done.stderr) == (0, "")


def test_the_folder_can_be_set_for_good(offer, tmp_path, monkeypatch):
    offer()
    monkeypatch.setenv("REFNTK_DATA", str(tmp_path))
    assert run("toy").stdout.startswith(f"toy: {tmp_path}/toy\n")


def test_without_a_name_it_lists_what_there_is():
    result = run()
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(DATASETS)
    assert "11.7 GB" in result.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [("mnits", 'did you mean "mnist"?'), ("toy", "answers 404")],
)
def test_a_failure_is_2_and_one_line(server, offer, tmp_path, name, words):
    offer()
    server.status = 404
    result = run(name, "--folder", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_interrupt_says_how_to_continue(server, offer, tmp_path, monkeypatch):
    content = offer()
    server.breaks = [50]
    tell = download_module._Resuming._tell

    def interrupt(self, size):
        tell(self, size)
        if size:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(download_module._Resuming, "_tell", interrupt)
        result = run("toy", "--folder", tmp_path)
    assert result.exit_code == 130
    again = f"refntk data fetch toy --folder {tmp_path}"
    assert result.stderr == f"Error: interrupted; what has come in is kept. To continue: {again}\n"
    assert (tmp_path / "toy" / "set.npz.part").read_bytes() == content[:50]
    assert run("toy", "--folder", tmp_path).exit_code == 0
    assert server.requests[-1] == ("/set.npz", "bytes=50-")


def test_an_answer_that_is_longer_than_the_file_is_stopped(offer, server, tmp_path):
    content = offer()
    server.files["/set.npz"] = content + bytes(50_000_000)
    with pytest.raises(DownloadError, match=r"sends more than the .* of this file, and what came"):
        fetch("toy", tmp_path)
    assert all(path.stat().st_size == 0 for path in tmp_path.rglob("*") if path.is_file())


def test_an_encoding_that_was_not_asked_for_is_not_unpacked(offer, server, tmp_path):
    """A few bytes may unpack to any number of them, so that sizes would say nothing."""
    content = gzip.compress(bytes(1000))
    offer("set.gz", content)
    server.encoding = "gzip"
    fetch("toy", tmp_path)
    assert (tmp_path / "toy" / "set.gz").read_bytes() == content


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_what_has_the_name_of_a_partial_file_is_left_alone(offer, server, tmp_path, kind):
    offer()
    part, victim = tmp_path / "toy" / "set.npz.part", tmp_path / "precious"
    part.parent.mkdir()
    if kind == "link":
        victim.write_bytes(b"precious")
    if kind in ("link", "dangling"):
        part.symlink_to(victim)
    else:
        (os.mkfifo if kind == "pipe" else os.mkdir)(part)
    before = part.lstat()
    with pytest.raises(RefntkError, match=r"set\.npz\.part: is in the way, refntk did"):
        fetch("toy", tmp_path)
    assert part.lstat().st_mtime_ns == before.st_mtime_ns
    assert os.listdir(part.parent) == ["set.npz.part"]
    assert not victim.exists() or victim.read_bytes() == b"precious"
    assert server.requests == []
