"""`refntk compute`: what it writes, and what it refuses."""

import gzip
import struct
import sys

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import refntk
from refntk.cli import main
from refntk.data.kernels.store import open_kernel
from refntk.evaluation.evaluate import Job
from refntk.network import preset

NETWORK = """
[[layer]]
type = "{lift}"
filter_shape = {filter_shape}
{group}
padding = "{padding}"

[[layer]]
type = "{second}"

[[layer]]
type = "GroupPool"
{more}
"""


def run(*arguments):
    return CliRunner().invoke(main, ["compute", *map(str, arguments)])


def attributes(path):
    """What the file says about its kernels."""
    with open_kernel(path) as kernel:
        return kernel.attributes


@pytest.fixture
def images():
    """Five images of 6 x 6 pixels and two channels, between 0 and 1."""
    return np.random.default_rng(11).uniform(size=(5, 6, 6, 2))


@pytest.fixture
def x1(tmp_path, images):
    """The same in a file."""
    np.save(tmp_path / "x1.npy", images)
    return tmp_path / "x1.npy"


@pytest.fixture
def out(tmp_path):
    """Where the kernels go: a folder of its own, so that what is left behind is seen."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "k.h5"


@pytest.fixture
def network(tmp_path):
    """Write a small network, by default a good one, and return its path."""

    def network(**words):
        defaults = {
            "lift": "Lift",
            "filter_shape": "[3, 3]",
            "group": 'group = "C4"',
            "padding": "SAME",
            "second": "Relu",
            "more": "",
        }
        path = tmp_path / "net.toml"
        path.write_text(NETWORK.format(**(defaults | words)))
        return path

    return network


# --- what it writes


def test_both_kernels_of_one_set(x1, images, out):
    result = run("gcnn-paper", x1, "-o", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{out}: nngp (5, 5) float64, ntk (5, 5) float64\n"
    assert [path.name for path in out.parent.iterdir()] == ["k.h5"]
    expected = refntk.kernel(preset("gcnn-paper"), images)
    with h5py.File(out) as file:
        assert np.array_equal(file["nngp"], expected.nngp)
        assert np.array_equal(file["ntk"], expected.ntk)
        assert np.array_equal(file["ntk"], np.transpose(file["ntk"]))
        assert file["tiles"][...].all()
    about = attributes(out)
    assert about["format"] == "refntk-kernel/1"
    assert about["network_hash"] == preset("gcnn-paper").hash
    assert about["network"] == preset("gcnn-paper").to_toml()
    assert about["dtype"] == "float64"
    assert about["backend"] == "numba"
    assert about["method"] == "slices"
    assert about["symmetric"]


def test_one_kernel_of_two_sets_by_tiles(tmp_path, x1, images, out):
    other = np.random.default_rng(12).uniform(size=(3, 6, 6, 2)).astype(np.float32)
    np.save(tmp_path / "x2.npy", other)
    arguments = ("--get", "nngp", "--dtype", "float32", "--tile", "2", "--threads", "1")
    result = run("cnn-gap", x1, tmp_path / "x2.npy", "-o", out, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{out}: nngp (5, 3) float32\n"
    expected = refntk.kernel(preset("cnn-gap"), images, other, get=("nngp",), dtype="float32")
    with h5py.File(out) as file:
        assert "ntk" not in file
        assert np.array_equal(file["nngp"], expected.nngp)
        assert file["nngp"].chunks == (2, 2)
        assert file["tiles"].shape == (3, 2)
    assert attributes(out)["tile"] == 2
    assert not attributes(out)["symmetric"]


def test_get_twice_in_any_order_is_both(x1, out):
    result = run("cnn-gap", x1, "-o", out, "--get", "ntk", "--get", "nngp", "--get", "ntk")
    assert result.exit_code == 0
    assert result.stdout == f"{out}: nngp (5, 5) float64, ntk (5, 5) float64\n"


@pytest.mark.parametrize(
    ("backend", "method"), [("numba", "slices"), ("numpy", "literal"), ("numpy", "auto")]
)
def test_backend_and_method_are_recorded_and_do_not_matter(
    x1, images, out, backend, method, assert_close
):
    result = run("gcnn-convergence", x1, "-o", out, "--backend", backend, "--method", method)
    assert (result.exit_code, result.stderr) == (0, "")
    expected = refntk.kernel(preset("gcnn-convergence"), images)
    about = attributes(out)
    assert about["backend"] == backend
    assert about["method"] == ("literal" if method == "auto" else method)
    with h5py.File(out) as file:
        assert_close(file["ntk"][...], expected.ntk)


def test_labels_limit_and_seed_of_the_sample(out):
    result = run("mlp-1", "sample:histology", "-o", out, "--limit", "18", "--seed", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    with h5py.File(out) as file:
        labels, indices = file["x1/labels"][...], file["x1/indices"][...]
    assert np.array_equal(np.bincount(labels), np.full(9, 2))
    assert len(set(indices)) == 18
    prepared = attributes(out)["preprocessing"]
    assert (prepared["limit"], prepared["seed"]) == (18, 3)
    assert prepared["scaling"] == {"x1": "divided by 255"}


def test_size_and_standardize(tmp_path, out, assert_close):
    rng = np.random.default_rng(5)
    first, second = rng.integers(0, 256, size=(2, 4, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", first)
    np.save(tmp_path / "b.npy", second)
    arguments = ("--size", "4", "--standardize")
    result = run("cnn-gap", tmp_path / "a.npy", tmp_path / "b.npy", "-o", out, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    small = [x.reshape(4, 4, 2, 4, 2, 3).mean(axis=(2, 4)) / 255 for x in (first, second)]
    mean, std = small[0].mean(axis=(0, 1, 2)), small[0].std(axis=(0, 1, 2))
    expected = refntk.kernel(preset("cnn-gap"), *((x - mean) / std for x in small))
    with h5py.File(out) as file:
        assert_close(file["ntk"][...], expected.ntk)
    statistics = attributes(out)["preprocessing"]["standardize"]
    assert_close(np.array(statistics["mean"]), mean)
    assert_close(np.array(statistics["std"]), std)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_constant_images_are_valid(tmp_path, out, value):
    np.save(tmp_path / "x.npy", np.full((3, 6, 6, 1), value))
    result = run("gcnn-paper", tmp_path / "x.npy", "-o", out)
    assert (result.exit_code, result.stderr) == (0, "")
    with h5py.File(out) as file:
        assert np.isfinite(file["ntk"]).all()
        assert np.isfinite(file["nngp"]).all()


def test_a_network_of_ones_own(x1, images, out, network):
    path = network()
    assert run(path, x1, "-o", out).exit_code == 0
    with h5py.File(out) as file:
        expected = refntk.kernel(refntk.Network.from_toml(path), images)
        assert np.array_equal(file["ntk"], expected.ntk)


def test_overwrite_replaces_the_file(x1, out):
    out.write_bytes(b"what was there")
    assert run("cnn-gap", x1, "-o", out, "--overwrite").exit_code == 0
    with h5py.File(out) as file:
        assert file["ntk"].shape == (5, 5)
    assert [path.name for path in out.parent.iterdir()] == ["k.h5"]


def test_quiet_keeps_the_line_on_stdout(x1, out):
    result = run("cnn-gap", x1, "-o", out, "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{out}: ")


# --- what it refuses


def refused(result, out, *words):
    """Check that a run ended with status 2, one line with these words, and nothing written."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr
    assert list(out.parent.iterdir()) == []


def pixel(value):
    """Images of which number 3 has one bad pixel."""
    x = np.ones((5, 6, 6, 2))
    x[3, 1, 2, 0] = value
    return x


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (pixel(np.nan), ("bad.npy", "image 3", "NaN or infinite")),
        (pixel(-np.inf), ("bad.npy", "image 3", "NaN or infinite")),
        (np.ones((0, 6, 6, 2)), ("bad.npy", "empty")),
        (np.ones((5, 0, 6, 2)), ("bad.npy", "empty")),
        (np.ones((5, 6)), ("bad.npy", "2 axes", "(N, H, W, C)")),
        (np.ones((1, 5, 6, 6, 2)), ("bad.npy", "volumes (N, D, H, W, C)", "three sides")),
        (np.ones((5, 6, 6, 2), dtype=complex), ("bad.npy", "complex128")),
    ],
    ids=["nan", "inf", "no image", "no pixel", "2 axes", "5 axes", "complex"],
)
def test_bad_images(tmp_path, out, array, words):
    np.save(tmp_path / "bad.npy", array)
    refused(run("gcnn-paper", tmp_path / "bad.npy", "-o", out), out, *words)


@pytest.mark.parametrize("shape", [(5, 6, 6, 3), (5, 7, 7, 2)], ids=["channels", "size"])
@pytest.mark.parametrize("standardize", [(), ("--standardize",)], ids=["as is", "standardized"])
def test_sets_that_do_not_fit(tmp_path, x1, out, shape, standardize):
    np.save(tmp_path / "x2.npy", np.ones(shape))
    result = run("gcnn-paper", x1, tmp_path / "x2.npy", "-o", out, *standardize)
    refused(result, out, "X1", "X2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"padding": "VALID", "filter_shape": "[7, 7]"}, ("layer 0 (Lift)", "7", "6")),
        ({"lift": "GroupConv", "group": ""}, ("layer 0 (GroupConv)", "Lift")),
        ({"more": '[[layer]]\ntype = "GroupPool"'}, ("net.toml, line ", "layer 3 (GroupPool)")),
        ({"second": "Rleu"}, ("net.toml, line ", 'did you mean "Relu"?')),
        ({"padding": "same"}, ("net.toml, line ", 'did you mean "SAME"?')),
        ({"group": 'gruop = "C4"'}, ("net.toml, line ", 'did you mean "group"?')),
        ({"group": 'group = "C3"'}, ("net.toml, line ", "C3")),
        ({"group": "group = C4"}, ("net.toml, line ", "TOML")),
    ],
    ids=[
        "VALID eats the image",
        "no Lift",
        "layer after the readout",
        "unknown layer",
        "unknown padding",
        "unknown key",
        "unknown group",
        "TOML",
    ],
)
def test_bad_networks(x1, out, network, words, message):
    refused(run(network(**words), x1, "-o", out), out, *message)


def test_an_unknown_network_names_the_nearest(x1, out):
    result = run("gcnn-papr", x1, "-o", out)
    refused(result, out, "'gcnn-papr'", 'did you mean "gcnn-paper"?')


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--get", "nkt"), ('unknown kernel "nkt"', 'did you mean "ntk"?')),
        (("--dtype", "float23"), ('unknown dtype "float23"', '"float32"?')),
        (("--backend", "numby"), ('unknown backend "numby"', "numpy")),
        (("--method", "slice"), ('unknown method "slice"', 'did you mean "slices"?')),
        (("--standardise",), ("'--standardise'", "--standardize")),
        (("--limit", "0"), ("'--limit'", "0")),
        (("--size", "-3"), ("'--size'", "-3")),
        (("--tile", "0"), ("'--tile'", "0")),
        (("--threads", "0"), ("'--threads'", "0")),
        (("--threads", "many"), ("'--threads'", "many")),
        (("--seed", "-1"), ("'--seed'", "-1")),
        (("--size", "7"), ("size 7", "6 x 6")),
        (("--method", "slices", "--backend", "numpy"), ("the backend numpy has no method slices",)),
    ],
    ids=" ".join,
)
def test_bad_options(x1, out, arguments, words):
    refused(run("gcnn-paper", x1, "-o", out, *arguments), out, *words)


def test_a_forced_method_that_does_not_apply(x1, out, network):
    result = run(network(filter_shape="[1, 3]"), x1, "-o", out, "--method", "slices")
    refused(result, out, "slices does not apply", "layer 0 (Lift)", "use the method literal")


@pytest.mark.parametrize(
    ("backend", "package", "extra"), [("cupy", "cupy", "refntk[gpu]"), ("numba", "numba", "refntk")]
)
def test_a_backend_that_is_not_installed(monkeypatch, x1, out, backend, package, extra):
    for name in [name for name in sys.modules if name.startswith(f"refntk.backends.{backend}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    result = run("gcnn-paper", x1, "-o", out, "--backend", backend)
    refused(result, out, f"the backend {backend}", "install", extra)


def test_device_memory_for_a_backend_without_a_device(x1, out):
    result = run("gcnn-paper", x1, "-o", out, "--device-memory", "5")
    refused(result, out, "device_memory", "the backend numba takes none")


def test_an_input_that_is_not_there(tmp_path, out):
    result = run("gcnn-paper", tmp_path / "nothing.npy", "-o", out)
    refused(result, out, "nothing.npy")


def test_an_unknown_sample_names_the_nearest(out):
    refused(run("gcnn-paper", "sample:histolgy", "-o", out), out, '"histology"')


def test_a_truncated_array(tmp_path, x1, out):
    (tmp_path / "half.npy").write_bytes(x1.read_bytes()[:700])
    refused(run("gcnn-paper", tmp_path / "half.npy", "-o", out), out, "half.npy")


def test_pickled_objects_are_not_loaded(tmp_path, out):
    np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    refused(run("gcnn-paper", tmp_path / "objects.npy", "-o", out), out, "objects.npy", "pickled")


def test_a_header_that_claims_too_much(tmp_path, out):
    with gzip.open(tmp_path / "big-idx3-ubyte.gz", "wb") as file:
        file.write(struct.pack(">IIII", 0x803, 2**31 - 1, 28, 28) + bytes(28 * 28))
    refused(run("mlp-1", tmp_path / "big-idx3-ubyte.gz", "-o", out), out, "big-idx3-ubyte.gz")


def test_an_output_that_exists(x1, out):
    out.write_bytes(b"what was there")
    result = run("gcnn-paper", x1, "-o", out)
    assert result.exit_code == 2
    assert str(out) in result.stderr
    assert "--overwrite" in result.stderr
    assert out.read_bytes() == b"what was there"
    assert [path.name for path in out.parent.iterdir()] == ["k.h5"]


def test_an_output_without_its_folder(x1, out):
    result = run("gcnn-paper", x1, "-o", out.parent / "missing" / "k.h5")
    refused(result, out, "missing", "does not exist")


def test_an_output_that_is_a_folder(x1, out):
    result = run("gcnn-paper", x1, "-o", out.parent, "--overwrite")
    refused(result, out, str(out.parent), "is a folder")


def denied(*arguments):
    raise PermissionError(13, "Permission denied")


def test_an_output_folder_that_is_not_writable(monkeypatch, x1, out):
    monkeypatch.setattr("os.open", denied)
    refused(run("gcnn-paper", x1, "-o", out), out, str(out), "Permission denied")


def test_a_full_disk(monkeypatch, x1, out):
    from refntk.data.disk import DiskFile

    def sync(self):
        self.error = OSError(28, "No space left on device")

    monkeypatch.setattr(DiskFile, "sync", sync)
    result = run("gcnn-paper", x1, "-o", out)
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {out}: writing failed (No space left on device); 1 tile is kept in {out}.part: "
        "free some space or mend the disk, and continue with --resume\n"
    )
    assert [path.name for path in out.parent.iterdir()] == ["k.h5.part"]


def test_the_output_is_checked_before_anything_is_computed(monkeypatch, x1, out):
    monkeypatch.setattr(Job, "block", denied)
    refused(run("gcnn-paper", x1, "-o", out.parent / "missing" / "k.h5"), out, "does not exist")


# --- how it can end otherwise


def interrupted(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("existing", [None, b"what was there"])
def test_interrupted_is_130_with_the_command_and_nothing_left(monkeypatch, x1, out, existing):
    if existing is not None:
        out.write_bytes(existing)
    monkeypatch.setattr(Job, "block", interrupted)
    result = run("gcnn-paper", x1, "-o", out, "--overwrite")
    assert result.exit_code == 130
    assert result.stdout == ""
    assert result.stderr == (
        "Error: interrupted; nothing was kept. To start again: "
        f"refntk compute gcnn-paper {x1} -o {out} --overwrite\n"
    )
    assert [path.read_bytes() for path in out.parent.iterdir()] == [existing] * bool(existing)


def test_a_fault_is_1_and_leaves_nothing(monkeypatch, x1, out):
    monkeypatch.setattr(Job, "block", denied)
    result = run("gcnn-paper", x1, "-o", out)
    assert result.exit_code == 1
    assert "unexpected PermissionError" in result.stderr
    assert list(out.parent.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path, out):
    result = run("gcnn-paper", tmp_path / "nothing.npy", "-o", out, "--debug")
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback (most recent call last):")


def test_help_teaches_by_example():
    result = run("-h")
    assert result.exit_code == 0
    assert "refntk compute gcnn-paper sample:histology -o histology.h5" in result.stdout
