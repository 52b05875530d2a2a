"""What kernels take and give: arrays of any library, grey images, tables, and the result."""

import logging
import subprocess
import sys

import array_api_strict as xp
import numpy as np
import pytest

import refntk
from refntk.errors import InputError, MissingPackageError, NetworkError
from refntk.progress import ProgressBar

NET = refntk.Network([refntk.Conv((3, 3), b_std=0.2), refntk.Relu(), refntk.GlobalAvgPool()])
LITERAL = {"backend": "numpy", "method": "literal"}


@pytest.fixture
def images(rng):
    return rng.random((3, 5, 4, 2))


# ---------------------------------------------------------------------------------------------
# Libraries.


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_kernels_are_of_the_library_of_the_images(images, dtype):
    plain = NET(images, **LITERAL, dtype=dtype)
    for other in (None, images[:2]):
        plain = NET(images, other, **LITERAL, dtype=dtype)
        given = None if other is None else xp.asarray(other)
        strict = NET(xp.asarray(images), given, **LITERAL, dtype=dtype)
        for one, two in zip(plain, strict, strict=True):
            assert type(two) is type(xp.asarray(0))
            np.testing.assert_array_equal(np.from_dlpack(two), one)


@pytest.mark.parametrize("name", ["torch", "jax.numpy"])
def test_kernels_of_torch_and_jax(images, name):
    library = pytest.importorskip(name)
    if name == "jax.numpy":
        import jax

        jax.config.update("jax_enable_x64", True)
    plain = NET(images, **LITERAL)
    given = library.asarray(images)
    found = NET(given, **LITERAL)
    for one, two in zip(plain, found, strict=True):
        assert type(two) is type(given)
        np.testing.assert_array_equal(np.asarray(two), one)
    single = NET(given, **LITERAL, dtype=library.float32).ntk
    assert single.dtype == library.float32


def test_what_comes_back_shares_memory():
    from refntk.evaluation.residence import Residence

    kernel = np.zeros((2, 2))
    given = Residence(xp.asarray(kernel), backend="numpy").give(kernel)
    kernel[0, 1] = 7
    assert given[0, 1] == 7


def test_a_dask_array_is_to_be_computed_first(images):
    dask = pytest.importorskip("dask.array")
    with pytest.raises(InputError, match=r"X2 is a lazy dask array: compute it first, x2.compute"):
        NET(images, dask.from_array(images))


def test_data_of_xarray_and_pandas_are_arrays(images):
    xarray, pandas = pytest.importorskip("xarray"), pytest.importorskip("pandas")
    given = xarray.DataArray(images, dims=("image", "y", "x", "channel"))
    np.testing.assert_array_equal(NET(given, **LITERAL).ntk, NET(images, **LITERAL).ntk)
    table = images.reshape(3, -1)[:, :4]
    frame = pandas.DataFrame(table, columns=list("abcd"))
    np.testing.assert_array_equal(
        refntk.kernel("mlp-1", frame, **LITERAL).ntk, refntk.kernel("mlp-1", table, **LITERAL).ntk
    )
    with pytest.raises(InputError, match="a table of pandas has columns that are no numbers: e, f"):
        refntk.kernel("mlp-1", frame.assign(e=list("xyz"), f="later"), **LITERAL)
    with pytest.raises(InputError, match="image 1 has NaN"):
        refntk.kernel("mlp-1", pandas.DataFrame({"a": [1.0, None, 2.0]}), **LITERAL)


@pytest.mark.parametrize("shape", [(3, 5, 4, 2), (3, 40)])
def test_masked_arrays_are_taken_where_nothing_is_masked(images, shape):
    plain = images.reshape(shape)
    net = NET if len(shape) == 4 else refntk.preset("mlp-1")
    found = refntk.kernel(net, np.ma.masked_array(plain), **LITERAL).ntk
    np.testing.assert_array_equal(found, refntk.kernel(net, plain, **LITERAL).ntk)
    assert not isinstance(found, np.ma.MaskedArray)
    with pytest.raises(InputError, match=r"X1: is a masked array with \d+ masked .*filled\(0\)"):
        refntk.kernel(net, np.ma.masked_greater(plain, 0.9), **LITERAL)


def test_a_learning_curve_as_a_table_of_pandas(monkeypatch):
    curve = refntk.inference.LearningCurve(("one", "two"), (9, 18), 5, np.ones((2, 2, 3)))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)
        with pytest.raises(MissingPackageError, match=r'pip install "refntk\[pandas\]"'):
            curve.to_pandas()
    pytest.importorskip("pandas")
    table = curve.to_pandas()
    assert table.network.tolist() == ["one", "one", "two", "two"]
    assert table.accuracy.tolist() == [1.0] * 4


def test_an_array_that_cannot_be_read_is_named(images):
    class Far:
        """An array whose memory is out of reach."""

        def __array_namespace__(self, api_version=None):
            return xp

        def __dlpack__(self, **options):
            raise BufferError("device is not on the host")

        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(InputError, match="cannot be read from here .*bring them to the host"):
        NET(Far())


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "float32", xp.float32])
def test_a_dtype_may_be_one_of_a_library(images, dtype):
    assert NET(images, dtype=dtype, **LITERAL).ntk.dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", np.int64, object()])
def test_another_dtype_is_refused(images, dtype):
    with pytest.raises(InputError, match="unknown dtype .*; known: float64, float32"):
        NET(images, dtype=dtype)


# ---------------------------------------------------------------------------------------------
# Shapes.


def test_grey_images_need_no_axis_of_channels(images):
    grey = images[..., 0]
    for one, two in zip(NET(grey, **LITERAL), NET(grey[..., None], **LITERAL), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_single_colour_image_is_not_taken_for_grey_ones(rng):
    with pytest.raises(InputError, match=r"shape \(8, 8, 3\) is taken as .*images\[\.\.\., None\]"):
        NET(rng.random((8, 8, 3)), **LITERAL)


def test_tables_are_for_networks_of_vectors(rng, assert_close):
    table, other = rng.normal(size=(4, 6)), rng.normal(size=(2, 6))
    begins = refntk.Network([refntk.Flatten(), refntk.Dense(b_std=0.5)])
    for net in (begins, [refntk.Dense(b_std=0.5)]):
        for second in (None, other):
            k = refntk.kernel(net, table, second)
            right = table @ (table if second is None else second).T / 6 + 0.25
            assert_close(k.nngp, right)
            assert_close(k.ntk, right)


def test_tables_where_images_are_meant(rng, images):
    with pytest.raises(InputError, match=r"X1: a table of shape \(4, 6\) is for .*with Conv; imag"):
        NET(rng.random((4, 6)))
    with pytest.raises(InputError, match="X2: is a table where X1 is images: both must be alike"):
        refntk.kernel("mlp-1", images, rng.random((4, 6)))


# ---------------------------------------------------------------------------------------------
# Diagonals and progress.


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_diagonal_is_that_of_the_matrix(images, dtype):
    whole = NET(images, dtype=dtype)
    alone = NET(images, dtype=dtype, diagonal=True)
    cross = NET(images, images[::-1].copy(), dtype=dtype)
    pairs = NET(images, images[::-1].copy(), dtype=dtype, diagonal=True)
    for matrix, diagonal in ((whole, alone), (cross, pairs)):
        for one, two in zip(matrix, diagonal, strict=True):
            np.testing.assert_array_equal(np.diagonal(one), two)


def test_a_diagonal_needs_as_many_images(images):
    with pytest.raises(InputError, match="diagonal: X1 has 3 images and X2 2; expected as many"):
        NET(images, images[:2], diagonal=True)


def test_progress_is_a_bar_or_a_function(images, monkeypatch, capsys):
    done = []
    NET(images, **LITERAL, progress=lambda pairs, total: done.append((pairs, total)))
    assert done[-1] == (9, 9)  # the literal route does a tile whole
    amounts = []
    monkeypatch.setattr(ProgressBar, "update", lambda self, amount: amounts.append(amount))
    NET(images, **LITERAL, progress=True)
    assert sum(amounts) == 9
    assert capsys.readouterr().err == ""  # no terminal


# ---------------------------------------------------------------------------------------------
# The result.


def test_a_kernel_unpacks_and_is_an_array_where_it_is_one(images):
    k = NET(images, **LITERAL)
    nngp, ntk = k
    assert nngp is k.nngp
    assert ntk is k.ntk
    with pytest.raises(InputError, match='two kernels, NNGP and NTK: take one.*get="ntk"'):
        np.asarray(k)
    one = NET(images, get="ntk", **LITERAL)
    np.testing.assert_array_equal(np.asarray(one), ntk)
    assert one.kernels.keys() == {"ntk"}


def test_a_kernel_shows_itself_in_a_notebook(images):
    text = NET(np.concatenate([images] * 3), **LITERAL, dtype="float32")._repr_html_()
    assert "NNGP, 9 × 9, float32, its corner" in text
    assert "NTK, 9 × 9" in text
    assert text.count("<td>") == 2 * 36
    assert NET(images, diagonal=True, **LITERAL)._repr_html_().count("<td>") == 6


def test_a_dataset_of_xarray(images, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingPackageError, match=r'needs xarray; install it with pip install "re'):
        NET(images, **LITERAL).to_xarray()


def test_a_dataset_has_labels():
    pytest.importorskip("xarray")
    tiles = refntk.data.load_images("sample:histology", limit=9)
    dataset = refntk.kernel("mlp-1", tiles, get="ntk").to_xarray()
    assert dataset.ntk.dims == ("image", "other")
    assert dataset.image_label.values.tolist() == tiles.labels.tolist()


# ---------------------------------------------------------------------------------------------
# Networks.


def test_a_network_is_called_sliced_and_added_to(images, assert_close):
    body, head = NET[:2], [refntk.GlobalAvgPool(), refntk.Dense()]
    assert (len(NET), NET[-1], NET[0].b_std) == (3, refntk.GlobalAvgPool(), 0.2)
    assert body + [refntk.GlobalAvgPool()] == NET
    longer = body + head
    assert longer.layers == (*body.layers, *head)
    assert_close(longer(images, get="ntk", **LITERAL).ntk,
                 refntk.kernel(longer, images, **LITERAL).ntk, 0)  # fmt: skip
    conv = refntk.Network([refntk.Conv((3, 3))])
    assert conv + NET == conv + list(NET.layers)


def test_what_makes_no_network(images):
    with pytest.raises(NetworkError, match="list of at least one layer"):
        NET[3:]
    with pytest.raises(NetworkError, match="layer 3 \\(Conv\\)"):
        NET + [refntk.Conv((3, 3))]
    with pytest.raises(IndexError):
        NET[3]
    with pytest.raises(TypeError):
        NET + 3


# ---------------------------------------------------------------------------------------------
# Modules.


@pytest.mark.parametrize("name", ["inference", "data", "oracle", "spectral", "plot", "testing"])
def test_modules_are_there_without_an_import(name):
    code = f"import refntk, sys; assert 'refntk.{name}' not in sys.modules; print(refntk.{name})"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"<module 'refntk.{name}'")
    assert name in dir(refntk)


def test_importing_refntk_imports_nothing_heavy():
    code = "import sys, refntk; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"numpy", "numba", "scipy", "h5py", "click"} & set(done.stdout.split())
    assert logging.getLogger("refntk").handlers == []
