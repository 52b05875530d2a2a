"""Where results go: nothing that is not refntk's is touched."""

import os
import stat
import threading

import pytest

from refntk.errors import StoreError
from refntk.output import (
    Output,
    create_new,
    create_whole,
    distinct,
    open_ours,
    publish,
    remove_ours,
)

OURS = b"ours "


def ours(head):
    return head.startswith(OURS)


@pytest.fixture
def other(tmp_path):
    """Somebody's file, elsewhere."""
    path = tmp_path / "elsewhere" / "precious"
    path.parent.mkdir()
    path.write_bytes(b"precious")
    return path


def write(path, overwrite=False, content=b"result"):
    with Output(path, overwrite=overwrite).writing() as stream:
        stream.write(content)


def test_a_result_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "k"
    with Output(path, overwrite=False).writing() as stream:
        stream.write(b"result")
        assert not path.exists()
    assert path.read_bytes() == b"result"
    assert os.listdir(tmp_path) == ["k"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask()


def umask():
    current = os.umask(0)
    os.umask(current)
    return current


def test_nothing_is_left_of_a_failure(tmp_path):
    def fail():
        with Output(tmp_path / "k", overwrite=False).writing() as stream:
            stream.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert os.listdir(tmp_path) == []


def test_what_exists_is_replaced_only_where_allowed(tmp_path):
    path = tmp_path / "k"
    path.write_bytes(b"old")
    with pytest.raises(StoreError, match="k: exists already; choose another name or allow it"):
        write(path)
    assert path.read_bytes() == b"old"
    write(path, overwrite=True)
    assert path.read_bytes() == b"result"


@pytest.mark.parametrize("how", ["file", "link", "dangling link", "folder"])
def test_what_appears_meanwhile_is_left_alone(tmp_path, other, how):
    path = tmp_path / "k"
    output = Output(path, overwrite=False)

    def run():
        with output.writing() as stream:
            stream.write(b"result")
            if how == "file":
                path.write_bytes(b"new")
            elif how == "folder":
                path.mkdir()
            else:
                path.symlink_to(other if how == "link" else tmp_path / "nothing")

    with pytest.raises(StoreError, match=r"appeared while .*; the result is .*\.k\.partial-\w+:"):
        run()
    assert os.path.lexists(path)
    assert other.read_bytes() == b"precious"
    (kept,) = tmp_path.glob(".k.partial-*")
    assert kept.read_bytes() == b"result"


def test_a_link_is_written_through(tmp_path, other):
    path = tmp_path / "k"
    path.symlink_to(other)
    with pytest.raises(StoreError, match="exists already"):
        write(path)
    write(path, overwrite=True)
    assert path.is_symlink()
    assert other.read_bytes() == b"result"
    assert os.listdir(other.parent) == ["precious"]


def test_a_dangling_link_is_written_through(tmp_path, other):
    path = tmp_path / "k"
    path.symlink_to(other.with_name("new"))
    write(path)
    assert other.with_name("new").read_bytes() == b"result"
    path.unlink()
    path.symlink_to(tmp_path / "missing" / "new")
    with pytest.raises(StoreError, match="a link to .*: the folder .*missing does not exist"):
        write(path)


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(StoreError, match="circle|Too many levels"):
        write(tmp_path / "a")


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_file_is_refused(tmp_path, overwrite):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="is a pipe or a device, not a regular file"):
        write(tmp_path / "pipe", overwrite)
    with pytest.raises(StoreError, match="is a pipe or a device, not a regular file"):
        write("/dev/null", overwrite)
    with pytest.raises(StoreError, match="is a folder; give the name of a file"):
        write(tmp_path, overwrite)
    with pytest.raises(StoreError, match="the folder .*no does not exist; create it"):
        write(tmp_path / "no" / "k", overwrite)
    with pytest.raises(StoreError, match="not usable as an output"):
        write(tmp_path / ("n" * 300), overwrite)


@pytest.mark.parametrize("name", ["precious", "link", "hard", "./../elsewhere/precious", "key"])
def test_an_input_is_never_an_output(tmp_path, other, name):
    (other.parent / "link").symlink_to(other)
    os.link(other, other.parent / "hard")
    given = f"{other}::images" if name == "key" else other.parent / name
    with pytest.raises(StoreError, match="is the input .* nothing is written over what is read"):
        Output(other, overwrite=True, inputs=[given, "sample:digits"])


def test_a_picture_in_a_folder_that_is_read_is_no_output(tmp_path):
    picture = tmp_path / "tiles" / "a" / "x.png"
    picture.parent.mkdir(parents=True)
    picture.touch()
    with pytest.raises(StoreError, match="nothing is written over what is read"):
        distinct(picture, [tmp_path / "tiles"])
    with pytest.raises(StoreError, match="is the input"):
        distinct(picture, [tmp_path / "tiles" / "*" / "*"])
    distinct(tmp_path / "tiles" / "k.h5", [tmp_path / "tiles"])
    distinct(tmp_path / "tiles" / "a" / "new.png", [tmp_path / "tiles"])


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "pipe", "folder", "empty"])
def test_names_beside_an_output_that_somebody_else_has(tmp_path, other, kind):
    path = tmp_path / "k.part"
    match kind:
        case "file":
            path.write_bytes(b"not " + OURS)
        case "empty":
            path.touch()
        case "link":
            other.write_bytes(OURS)
            path.symlink_to(other)
        case "dangling":
            path.symlink_to(tmp_path / "nothing")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    before = os.lstat(path)
    for action in (remove_ours, open_ours):
        with pytest.raises(StoreError, match=r"k\.part: is in the way, refntk did not write it"):
            action(path, ours)
    for create in (create_new, lambda path: create_whole(path, OURS)):
        with pytest.raises(FileExistsError):
            create(path)
    assert os.lstat(path) == before
    assert not (tmp_path / "nothing").exists()


def test_our_own_is_opened_and_removed(tmp_path):
    path = tmp_path / "k.part"
    remove_ours(path, ours)
    os.close(create_whole(path, OURS + b"content"))
    assert path.read_bytes() == OURS + b"content"
    os.close(open_ours(path, ours))
    remove_ours(path, ours)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("missing", ["renameat2", "hard links, too"])
def test_file_systems_that_cannot_rename_without_replacing(tmp_path, monkeypatch, missing):
    class Without:
        pass

    def refuse(*arguments, **keywords):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("ctypes.CDLL", lambda *arguments, **keywords: Without())
    if missing != "renameat2":
        monkeypatch.setattr("os.link", refuse)
    for name in ("new", "other"):
        (tmp_path / name).write_bytes(name.encode())
    with pytest.raises(FileExistsError):
        publish(tmp_path / "new", tmp_path / "other", overwrite=False)
    assert (tmp_path / "other").read_bytes() == b"other"
    publish(tmp_path / "new", tmp_path / "free", overwrite=False)
    assert sorted(os.listdir(tmp_path)) == ["free", "other"]


def test_file_systems_without_nameless_files(tmp_path, monkeypatch):
    plain = os.open

    def without(path, flags, *arguments, **keywords):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported")
        return plain(path, flags, *arguments, **keywords)

    monkeypatch.setattr("os.open", without)
    os.close(create_whole(tmp_path / "k", OURS))
    assert (tmp_path / "k").read_bytes() == OURS
    with pytest.raises(FileExistsError):
        create_whole(tmp_path / "k", OURS)
    assert os.listdir(tmp_path) == ["k"]


def test_one_of_many_writers_gets_the_name(tmp_path):
    path = tmp_path / "k"
    outputs = [Output(path, overwrite=False) for _ in range(8)]
    refused = []

    def run(number):
        try:
            with outputs[number].writing() as stream:
                stream.write(bytes([number]) * 1000)
        except StoreError:
            refused.append(number)

    threads = [threading.Thread(target=run, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert len(list(tmp_path.glob(".k.partial-*"))) == 7
    assert len(set(path.read_bytes())) == 1


def test_a_link_to_what_is_no_file(tmp_path):
    read, write_end = os.pipe()
    try:
        (tmp_path / "out").symlink_to(f"/proc/self/fd/{write_end}")
        with pytest.raises(StoreError, match="is a pipe or a device, not a regular file"):
            Output(tmp_path / "out", overwrite=True)
    finally:
        os.close(read)
        os.close(write_end)


def test_a_zero_byte_in_a_name(tmp_path):
    with pytest.raises(StoreError, match="holds a zero byte, which no name of a file has"):
        Output(f"{tmp_path}/a\0b", overwrite=True)


def test_a_name_that_leaves_no_room_for_those_beside_it(tmp_path):
    with pytest.raises(StoreError, match="the name is too long: .* one of at most 237 bytes"):
        Output(tmp_path / ("k" * 238), overwrite=False)
    write(tmp_path / ("k" * 237))
    assert os.listdir(tmp_path) == ["k" * 237]
