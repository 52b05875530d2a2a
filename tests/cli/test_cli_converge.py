"""`refntk converge` and its file."""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import refntk
from refntk.cli import main
from refntk.data.results.convergence_file import ConvergenceFile
from refntk.finite import sampling as finite_sampling
from refntk.finite.sampling import Sampler

SAMPLE = finite_sampling.sample

NETWORK = """
[[layer]]
type = "Lift"
filter_shape = [3, 3]
group = "C4"
W_std = {w_std}
[[layer]]
type = "Relu"
[[layer]]
type = "GroupPool"
[[layer]]
type = "Dense"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a network and images, which is the current one; draws in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        finite_sampling, "sample", lambda sampler, tasks, processes: SAMPLE(sampler, tasks)
    )
    tmp_path.joinpath("net.toml").write_text(NETWORK.format(w_std=1.0))
    tmp_path.joinpath("wild.toml").write_text(NETWORK.format(w_std=1e30))
    np.save("x.npy", np.random.default_rng(5).random((2, 4, 4, 3)))
    np.save("y.npy", np.random.default_rng(6).random((2, 4, 4, 3)))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, ["converge", *map(str, arguments)])


def draw(*more, network="net.toml", x="x.npy"):
    return run(network, x, "-o", "c.h5", "--threads", 1, *more)


def contents(path="c.h5"):
    with h5py.File(path, "r") as file:
        found = {}

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                found[name] = item[()]

        file.visititems(visit)
        return found, dict(file.attrs)


def test_the_table_and_the_file(folder, assert_close):
    result = draw("--widths", "8,2,8", "--draws", 5, "--seed", 3)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["2", "5", "nngp"], ["2", "5", "ntk"], ["8", "5", "nngp"], ["8", "5", "ntk"],
    ]  # fmt: skip
    assert lines[-1] == "c.h5: nngp and ntk of 10 draws at 2 widths, 2 images, float64"
    found, attributes = contents()
    net, x = refntk.Network.from_toml("net.toml"), np.load("x.npy")
    exact = refntk.kernel(net, x)
    assert_close(found["exact/ntk"], exact.ntk)
    assert_close(found["exact/nngp"], exact.nngp)
    drawn = Sampler(net, x, seed=3).draw(8, 4)
    assert_close(found["widths/8/ntk"][4], drawn.ntk[np.triu_indices(2)])
    assert_close(found["widths/8/nngp"][4], drawn.nngp[np.triu_indices(2)])
    assert found["widths/2/state"].tolist() == [1] * 5
    assert attributes["format"] == b"refntk-convergence/1"
    assert attributes["network_hash"].decode() == net.hash
    assert attributes["seed"] == 3
    assert [path.name for path in folder.iterdir() if "partial" in path.name] == []


def test_resuming_adds_widths_and_draws(folder):
    assert draw("--widths", "2,4,8", "--draws", 6).exit_code == 0
    whole = contents()[0]
    assert draw("--widths", "2,8", "--draws", 3, "--overwrite").exit_code == 0
    result = draw("--widths", "2,4", "--draws", 6, "--resume")
    assert result.exit_code == 0
    part = contents()[0]
    for name in ("nngp", "ntk", "state"):
        np.testing.assert_array_equal(part[f"widths/2/{name}"], whole[f"widths/2/{name}"])
        np.testing.assert_array_equal(part[f"widths/4/{name}"], whole[f"widths/4/{name}"])
        np.testing.assert_array_equal(part[f"widths/8/{name}"], whole[f"widths/8/{name}"][:3])
    # What is there is not drawn again, and fewer draws take nothing away.
    before = result.stdout
    assert draw("--widths", "2", "--draws", 2, "--resume").stdout == before


def test_processes_give_the_same(folder, monkeypatch, assert_close):
    assert draw("--widths", "2,4", "--draws", 3).exit_code == 0
    alone, asked = contents()[0], []

    def sample(sampler, tasks, processes):
        asked.append(processes)
        return SAMPLE(sampler, tasks, processes)

    monkeypatch.setattr(finite_sampling, "sample", sample)
    result = run("net.toml", "x.npy", "-o", "d.h5", "--threads", 2, "--widths", "2,4", "--draws", 3)
    assert (result.exit_code, asked) == (0, [2])
    assert_close(contents("d.h5")[0]["widths/4/ntk"], alone["widths/4/ntk"])


def test_an_interrupt_keeps_what_is_done(folder, monkeypatch):
    add, done = ConvergenceFile.add, []

    def interrupted(self, drawn):
        add(self, drawn)
        done.append(drawn[:2])
        if len(done) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(ConvergenceFile, "add", interrupted)
    result = draw("--widths", "2,4", "--draws", 4)
    assert result.exit_code == 130
    assert result.stderr == (
        "Error: interrupted; 3 draws are missing, the others are in c.h5. To continue: refntk "
        "converge net.toml x.npy -o c.h5 --threads 1 --widths 2,4 --draws 4 --resume\n"
    )
    assert done == [(2, 0), (4, 0), (2, 1), (4, 1), (2, 2)]
    states = {width: contents()[0][f"widths/{width}/state"].tolist() for width in (2, 4)}
    assert states == {2: [1, 1, 1, 0], 4: [1, 1, 0, 0]}
    monkeypatch.setattr(ConvergenceFile, "add", add)
    continued = draw("--widths", "2,4", "--draws", 4, "--resume")
    assert continued.exit_code == 0
    assert continued.stdout == draw("--widths", "2,4", "--draws", 4, "--overwrite").stdout


def _alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_real_interrupt_ends_the_worker_processes(folder):
    program = [sys.executable, "-P", "-c", "from refntk.cli import main; main()", "converge"]
    arguments = ["net.toml", "x.npy", "-o", "c.h5", "--widths", "2", "--draws", "1000000"]
    process = subprocess.Popen(
        [*program, *arguments, "--threads", "2"], stderr=subprocess.PIPE, start_new_session=True
    )
    while not folder.joinpath("c.h5").exists():  # the exact kernels are there
        time.sleep(0.1)
    time.sleep(2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert message.decode().startswith("Error: interrupted; ")
    assert message.count(b"\n") == 1
    for _ in range(100):  # Python's own helper of the workers ends a moment after its parent
        if not _alive(process.pid):
            break
        time.sleep(0.1)
    assert not _alive(process.pid)
    # On a busy machine the workers may not have got anywhere: what is said must be what is kept.
    kept = np.count_nonzero(contents()[0]["widths/2/state"])
    assert f"interrupted; {10**6 - kept} draws are missing" in message.decode()


def test_an_interrupted_replacement_goes_on(folder, monkeypatch):
    add, done = ConvergenceFile.add, []

    def interrupted(self, drawn):
        add(self, drawn)
        done.append(drawn[:2])
        if len(done) == 2:
            raise KeyboardInterrupt

    draw("--widths", "2", "--draws", 4, x="y.npy")
    monkeypatch.setattr(ConvergenceFile, "add", interrupted)
    line = draw("--widths", "2", "--draws", 4, "--overwrite").stderr
    assert line.endswith("--widths 2 --draws 4 --overwrite --resume\n")
    assert draw("--widths", "2", "--draws", 4, "--overwrite", "--resume").exit_code == 0
    assert done == [(2, 0), (2, 1), (2, 2), (2, 3)]


def test_the_picture(folder):
    result = draw("--widths", "2,4", "--draws", 4, "--plot", "c.svg")
    assert result.exit_code == 0
    svg = folder.joinpath("c.svg").read_text()
    assert "net.toml" in svg
    assert "relative deviation" in svg


def test_without_matplotlib_nothing_is_drawn_at_all(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = draw("--widths", "2", "--draws", 4, "--plot", "c.svg")
    assert result.exit_code == 2
    assert 'install it with pip install "refntk[plot]"' in result.stderr
    assert not folder.joinpath("c.h5").exists()


def test_draws_that_overflow_are_reported(folder):
    more = ["--widths", "2,4", "--draws", 3, "--dtype", "float32"]
    result = draw(*more, network="wild.toml")
    assert result.exit_code == 0
    assert [line[:25] for line in result.stderr.splitlines()] == [
        f"Warning: width {width}: 3 draws" for width in (2, 4)
    ]
    assert "3 draws overflowed and are left out" in result.stderr
    # In double precision nothing overflows.
    fine = draw(*more[:-1], "float64", "--overwrite", network="wild.toml")
    assert (fine.exit_code, fine.stderr) == (0, "")


def test_only_the_draws_that_overflow_are_left_out(folder, monkeypatch):
    drawn = Sampler.draw

    def some_overflow(self, width, number):
        return drawn(self, width, number)._replace(finite=not (width == 2 and number < 2))

    monkeypatch.setattr(Sampler, "draw", some_overflow)
    result = draw("--widths", "2,4", "--draws", 5)
    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: width 2: 2 draws overflowed and are left out, which biases the means; use "
        "smaller W_std, smaller pixels or float64\n"
    )
    assert result.stdout.splitlines()[1].split()[:2] == ["2", "3"]
    assert contents()[0]["widths/2/state"].tolist() == [2, 2, 1, 1, 1]
    # They count as done: resuming does not draw them again.
    assert draw("--widths", "2,4", "--draws", 5, "--resume").stdout == result.stdout


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "c.h5: exists already; add to it with --resume, replace it with --overwrite"),
        (["--resume", "--seed", "1"], "holds draws of another experiment, the seed differs"),
        (["--resume", "--dtype", "float32"], "holds draws of another experiment, the dtype"),
        (["--resume", "--size", "2"], "another experiment, the preparation of the images"),
        (["--widths", "2,x"], "'2,x': expected positive whole numbers such as 4,8,16"),
        (["--widths", "0"], "expected positive whole numbers"),
        (["--draws", "1"], "--draws"),
        (["--draws", "1000000000000", "--resume"], "c.h5: needs 96.0 TB of memory"),
        (["-o", "none/c.h5"], "none/c.h5: the folder none does not exist; create it"),
        (["-o", "."], "is a folder; give the name of a file"),
        (["--plot", "c.jpg", "--overwrite"], "a picture has the ending '.jpg'"),
    ],
)
def test_wrong_use_is_2_and_one_line(folder, more, words):
    assert draw("--widths", "2", "--draws", 2).exit_code == 0
    before = folder.joinpath("c.h5").read_bytes()
    result = draw("--widths", "2", "--draws", 2, *more)
    assert result.exit_code == 2
    assert words in result.stderr
    assert (result.stderr.count("\n"), result.stdout) == (1, "")
    assert folder.joinpath("c.h5").read_bytes() == before


def test_other_experiments_are_not_mixed(folder):
    draw("--widths", "2", "--draws", 2)
    assert "the images differs" in draw("--resume", x="y.npy").stderr
    assert "the network differs" in draw("--resume", network="wild.toml").stderr


def test_a_file_of_another_kind(folder):
    folder.joinpath("c.h5").write_bytes(b"no HDF5")
    assert "is damaged or no file of `refntk converge`" in draw("--resume").stderr
    with h5py.File("c.h5", "w") as file:
        file.attrs["format"] = np.bytes_("refntk-convergence/9")
    result = draw("--resume")
    assert result.exit_code == 2
    assert "has format 'refntk-convergence/9', expected 'refntk-convergence/1'" in result.stderr


@pytest.mark.parametrize("damage", ["short", "nan", "missing", "state"])
def test_a_damaged_file(folder, damage):
    draw("--widths", "2", "--draws", 3)
    with h5py.File("c.h5", "r+") as file:
        group = file["widths/2"]
        if damage == "nan":
            group["ntk"][1, 0] = np.nan
        elif damage == "state":
            group["state"][0] = 7
        else:
            short = group["nngp"][:2]
            del group["nngp"]
            if damage == "short":
                group["nngp"] = short
    result = draw("--resume")
    assert result.exit_code == 2
    assert "c.h5: is damaged or no file of `refntk converge`" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_network_that_does_not_end_in_a_readout(folder):
    folder.joinpath("open.toml").write_text('[[layer]]\ntype = "Conv"\nfilter_shape = [3, 3]\n')
    result = draw(network="open.toml")
    assert result.exit_code == 2
    assert "the network ends without a readout" in result.stderr
    assert not folder.joinpath("c.h5").exists()


def test_a_full_disk_leaves_the_older_file(folder, monkeypatch):
    draw("--widths", "2", "--draws", 3)
    before = folder.joinpath("c.h5").read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    result = draw("--widths", "2,4", "--draws", 3, "--resume")
    assert result.exit_code == 2
    assert "c.h5: cannot be written (No space left on device)" in result.stderr
    assert folder.joinpath("c.h5").read_bytes() == before
    assert [path.name for path in folder.iterdir() if "partial" in path.name] == []


def test_draws_are_saved_now_and_then(folder, monkeypatch):
    monkeypatch.setattr("refntk.data.results.convergence_file._SECONDS_BETWEEN_SAVES", 0.0)
    saves, save = [], ConvergenceFile.save
    monkeypatch.setattr(ConvergenceFile, "save", lambda self: saves.append(save(self)))
    draw("--widths", "2", "--draws", 3)
    assert len(saves) == 5  # the exact kernels, each draw, the end


def test_the_help_teaches():
    result = run("-h")
    assert result.exit_code == 0
    for words in ("--widths N,N,...", "--draws D", "standard errors", "Examples:"):
        assert words in result.stdout
