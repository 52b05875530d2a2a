"""Networks in the words of neural-tangents, against its numbers, and what is refused."""

import inspect
import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import refntk
from refntk import stax
from refntk.errors import InputError, NetworkError
from refntk.network import layers as own

HERE = Path(__file__).resolve().parent
SCRIPTS = runpy.run_path(str(HERE / "scripts.py"))
# Made by `python scripts.py neural_tangents neural_tangents.json` with neural-tangents 0.6.5.
THEIRS = json.loads((HERE / "neural_tangents.json").read_text(encoding="utf-8"))

AGREEMENT = 1e-10
DIAGONAL = 1e-8
"""Neural-tangents takes the root of 1 - c² of a correlation c, of which an image with itself leaves
some times 1e-9 where it is rounding: so much is wrong in its NTK behind a Relu."""

NAN_ON_THE_DIAGONAL = {"half of a power, ntk with itself"}
"""There rounding makes its root NaN."""

TABLE = SCRIPTS["TABLES"][0]
IMAGES = SCRIPTS["IMAGES"][0]


def test_kernels_of_scripts_are_those_of_neural_tangents(assert_close):
    names = []
    for name, ours in SCRIPTS["kernels"](stax, backend="numpy"):
        theirs = np.array(THEIRS["kernels"][name])
        if name.endswith("itself"):
            if name not in NAN_ON_THE_DIAGONAL:
                assert_close(np.diagonal(ours), np.diagonal(theirs), tol=DIAGONAL)
            np.fill_diagonal(theirs, np.diagonal(ours))
        assert_close(ours, theirs, tol=AGREEMENT)
        names.append(name)
    assert names == list(THEIRS["kernels"])


def test_a_script_runs_on_the_fast_backend(assert_close):
    network = SCRIPTS["convolutional"](stax)["pooled"]
    for word in ("nngp", "ntk"):
        ours = network.kernel_fn(*SCRIPTS["IMAGES"], word)
        assert_close(ours, THEIRS["kernels"][f"pooled, {word}"], tol=AGREEMENT)


def test_predictions_of_scripts_are_those_of_neural_tangents(assert_close):
    names = []
    for name, ours in SCRIPTS["predictions"](refntk, stax, backend="numpy"):
        # Means and covariances pass through 0, beside targets and variances of some tenths.
        assert_close(1 + ours, 1 + np.array(THEIRS["predictions"][name]), tol=AGREEMENT)
        names.append(name)
    assert names == list(THEIRS["predictions"])


def small(**more):
    return stax.serial(stax.Dense(4, **more), stax.Relu(), stax.Dense(1, **more))


def test_kernels_come_as_asked_for():
    kernel_fn = small()[2]
    both = kernel_fn(TABLE, None, ("ntk", "nngp"), backend="numpy")
    assert both._fields == ("ntk", "nngp")
    whole = kernel_fn(TABLE, backend="numpy")
    assert isinstance(whole, refntk.Kernel)
    one = kernel_fn(TABLE, get="ntk", backend="numpy")
    for found in (both.ntk, whole.ntk):
        np.testing.assert_array_equal(found, one)
    assert kernel_fn(TABLE, get=("ntk",), backend="numpy").ntk.shape == (4, 4)
    assert kernel_fn(TABLE, get="ntk", dtype="float32", backend="numpy").dtype == np.float32


def test_integers_are_taken_as_they_are():
    kernel_fn = small()[2]
    whole = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(
        kernel_fn(whole, get="nngp", backend="numpy"),
        kernel_fn(whole.astype(float), get="nngp", backend="numpy"),
    )


def test_signatures_are_those_of_neural_tangents():
    shown = {name: str(inspect.signature(getattr(stax, name))) for name in ("ABRelu", "Dropout")}
    assert shown == {"ABRelu": "(a, b, **_)", "Dropout": "(rate, mode='train', **_)"}


@pytest.mark.parametrize("width", [1, 512])
def test_widths_change_nothing_in_the_ntk_parametrisation(width):
    kernel_fn = stax.serial(stax.Dense(width), stax.Relu(), stax.Dense(3)).kernel_fn
    np.testing.assert_array_equal(
        kernel_fn(TABLE, get="ntk", backend="numpy"), small()[2](TABLE, get="ntk", backend="numpy")
    )


def test_the_network_is_said_in_our_own_words():
    part = stax.serial(
        stax.Conv(8, (3, 3), (2, 2), "SAME", 1.5, 0.1), stax.Relu(), stax.Dense(2), stax.Flatten(),
        stax.Dense(1),
    )  # fmt: skip
    assert part.network((6, 6, 2)) == refntk.Network([
        own.Conv((3, 3), strides=(2, 2), padding="SAME", W_std=1.5, b_std=0.1), own.Relu(),
        own.Conv((1, 1), bias=False), own.Flatten(), own.Dense(bias=False),
    ])  # fmt: skip


def test_channels_are_concatenated_by_their_numbers():
    part = stax.serial(
        stax.Dense(30), stax.FanOut(2), stax.parallel(stax.Identity(), stax.Dense(10)),
        stax.FanInConcat(), stax.Dense(1),
    )  # fmt: skip
    assert part.network((5,)).layers[2].shares == (30.0, 10.0)


def test_rows_of_parts_between_a_fork_and_its_joint_are_branches():
    rows = stax.serial(
        stax.Dense(3), stax.FanOut(2), stax.parallel(stax.Relu(), stax.Erf()),
        stax.parallel(stax.Dense(3), stax.Dense(3)), stax.FanInSum(),
    )  # fmt: skip
    nested = stax.serial(
        stax.Dense(3), stax.FanOut(2),
        stax.parallel(
            stax.serial(stax.Relu(), stax.Dense(3)), stax.serial(stax.Erf(), stax.Dense(3))
        ),
        stax.FanInSum(),
    )  # fmt: skip
    assert rows.network((5,)) == nested.network((5,))


def test_elementwise_functions_need_no_degree(assert_close):
    def network(activation):
        return stax.serial(stax.Dense(5), activation, stax.Dense(1)).kernel_fn

    series = network(stax.ElementwiseNumerical(np.sin, deg=25, df=np.cos))
    assert_close(
        series(TABLE, get="ntk", backend="numpy"),
        network(stax.Sin())(TABLE, get="ntk", backend="numpy"),
        tol=1e-11,
    )


def test_the_note_on_widths_is_given_once(caplog, monkeypatch, capsys):
    import refntk.stax.layers as module
    from refntk.progress import say_once

    say_once.cache_clear()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with caplog.at_level("INFO", logger="refntk"):
        small()
        small()
    assert module.say_once is say_once
    (record,) = caplog.records
    assert record.name == "refntk"
    assert record.message.startswith("networks are infinitely wide: the widths of a stax network")
    assert capsys.readouterr().err.count("infinitely wide") == 1


def test_no_note_where_widths_count(caplog):
    from refntk.progress import say_once

    say_once.cache_clear()
    with caplog.at_level("INFO", logger="refntk"):
        small(parameterization="standard")
    assert not caplog.records


def test_parameters_cannot_be_drawn():
    init_fn, apply_fn, _ = small()
    for function in (init_fn, apply_fn):
        with pytest.raises(NetworkError, match=r"FiniteNetwork draws networks of finite width"):
            function(None, (-1, 5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stax.serial(own.Relu()), "serial: expected parts such as Dense(1), not Relu()"),
        (lambda: stax.serial(stax.FanOut(2), stax.Relu()), "FanOut(n), parallel(...) and FanInSum"),
        (lambda: stax.serial(stax.FanInSum()), "come in a row"),
        (
            lambda: stax.serial(stax.FanOut(2), stax.parallel(stax.Relu()), stax.FanInSum()),
            "FanOut(2) in front of 1 parallel parts",
        ),
        (lambda: stax.FanOut(1), "FanOut: expected a whole number from 2 on, not 1"),
        (lambda: stax.parallel(), "parallel: expected parts such as Identity(), not ()"),
        (lambda: stax.FanInConcat(1), "FanInConcat: axis 1 is not that of the channels"),
        (
            lambda: stax.serial(stax.Dense(1), stax.Dense(1, parameterization="standard")),
            "layers in the ntk and in the standard parametrisation: say the same in all",
        ),
        (lambda: stax.Dense(3, parameterization="mup"), 'unknown parameterization "mup"'),
        (lambda: stax.Dense(3.5), "width: expected a number of channels"),
        (lambda: stax.Dense(3, channel_axis=1), "Dense: channel_axis=1: only -1 is here"),
        (lambda: stax.Dense(3, s=(2, 2)), "Dense: s=(2, 2): only (1, 1) is here"),
        (lambda: stax.Dense(3, w_std=2.0), 'Dense: unknown argument "w_std"'),
        (lambda: stax.Conv(3, (3.0, 3)), "filter_shape: expected"),
        (
            lambda: stax.Conv(3, (3, 3), dimension_numbers=("NCHW", "OIHW", "NCHW")),
            "Conv: dimension_numbers ('NCHW', 'OIHW', 'NCHW'): expected channels last",
        ),
        (lambda: stax.LayerNorm(axis=1), "LayerNorm: axis 1: expected the channels"),
        (lambda: stax.Monomial(-1), "Monomial: degree -1: expected a whole number"),
        (lambda: stax.Gelu(approximate=True), "Gelu: approximate=True is another function"),
        (lambda: stax.Relu(1), "Relu: takes 0 arguments, not 1"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(NetworkError, match=re.escape(message)):
        make()


def test_inputs_and_options_that_are_not_here_are_refused():
    kernel_fn = small()[2]
    with pytest.raises(InputError, match=r'kernel_fn: unknown option "mask_constant"'):
        kernel_fn(TABLE, None, "ntk", mask_constant=0.0)
    with pytest.raises(InputError, match=r"X1: expected a table \(N, F\) or positions"):
        kernel_fn(TABLE[0], None, "ntk")
    with pytest.raises(NetworkError, match="layer 0 .Conv.: the network ends on a grid"):
        stax.serial(stax.Conv(3, (3, 3))).kernel_fn(IMAGES, None, "ntk")


def test_layers_that_have_no_kernel_are_answered_with_the_reason():
    with pytest.raises(AttributeError, match=r"refntk.stax: there is no exact kernel of MaxPool"):
        stax.MaxPool  # noqa: B018
    with pytest.raises(AttributeError, match="its weights are features themselves"):
        stax.GlobalSelfAttention  # noqa: B018
