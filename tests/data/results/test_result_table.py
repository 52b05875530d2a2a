"""Tables of results that grow row by row."""

import csv

import pytest

from refntk.data.results.result_table import Table, read_table
from refntk.errors import StoreError

SETTINGS = {"seed": 3, "networks": ["a", "b"]}
ROWS = [{"name": "a, b", "n": 1, "error": 0.1}, {"name": 'c"d', "n": -2, "error": float("inf")}]


def write(path, rows=ROWS, settings=SETTINGS, **options):
    with Table(path, settings, **options) as table:
        before = list(table.rows)
        for row in rows:
            table.append(row)
    return before


def test_what_is_written_is_read(tmp_path, rng):
    rows = [{"name": f"r{k}", "n": k, "error": float(v)} for k, v in enumerate(rng.normal(size=9))]
    write(tmp_path / "a.csv", rows)
    assert read_table(tmp_path / "a.csv") == (SETTINGS, rows)
    write(tmp_path / "b.csv")
    assert read_table(tmp_path / "b.csv") == (SETTINGS, ROWS)


def test_it_is_ordinary_csv_below_one_line_of_comment(tmp_path):
    write(tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        assert file.readline().startswith("#")
        assert list(csv.DictReader(file)) == [{k: str(v) for k, v in r.items()} for r in ROWS]


def test_it_goes_on_after_every_torn_end(tmp_path):
    path = tmp_path / "a.csv"
    write(path)
    whole = path.read_bytes()
    head = whole.index(b"\n") + 1
    for cut in range(head, len(whole) + 1):
        path.write_bytes(whole[:cut])
        before = write(path, [], resume=True)
        write(path, ROWS[len(before) :], resume=True)
        assert path.read_bytes() == whole
    path.unlink()
    assert write(path, resume=True) == []


def test_what_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    write(path)
    with pytest.raises(StoreError, match="a.csv: exists; use --resume to go on"):
        write(path)
    with pytest.raises(StoreError, match="made with seed = 3, not 4: repeat that command"):
        write(path, settings=SETTINGS | {"seed": 4}, resume=True)
    with pytest.raises(StoreError, match="made with networks = .'a', 'b'., not None"):
        write(path, settings={"seed": 3}, resume=True)
    assert read_table(path)[1] == ROWS
    write(path, ROWS[:1], overwrite=True)
    assert read_table(path)[1] == ROWS[:1]
    with pytest.raises(StoreError, match="nothing.csv: cannot be read: No such file"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(StoreError, match="the folder .*no does not exist; create it"):
        write(tmp_path / "no" / "a.csv")
    for content in (b"", b"a,b\n1,2\n", b"# refntk-table/1 {oops\n", b"\xff\n"):
        (tmp_path / "bad.csv").write_bytes(content)
        with pytest.raises(StoreError, match="bad.csv: is not a table of refntk"):
            write(tmp_path / "bad.csv", resume=True)
    (tmp_path / "bad.csv").write_text("# refntk-table/1 {}\na,b\n1\n")
    with pytest.raises(StoreError, match="line 3 has 1 cells, not 2"):
        read_table(tmp_path / "bad.csv")


def test_a_second_writer_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    with Table(path, SETTINGS) as table:
        table.append(ROWS[0])
        with pytest.raises(StoreError, match=r"a.csv: is being written by process \d+ on "):
            Table(path, SETTINGS, resume=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
    assert write(path, ROWS[1:], resume=True) == ROWS[:1]


def test_a_full_disk_is_told_and_keeps_the_rows_before(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    with Table(path, SETTINGS) as table:
        table.append(ROWS[0])

        def full(_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(StoreError, match="No space left on device; the rows before"):
                table.append(ROWS[1])
        assert table.rows == ROWS[:1]
    assert read_table(path)[1][0] == ROWS[0]
