"""Ensembles of finite width, trained with augmentation, against the equivariant kernel."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from refntk import (
    Dense,
    GroupPool,
    InputError,
    Lift,
    MethodError,
    Network,
    Relu,
    kernel,
    preset,
)
from refntk.cli import main
from refntk.data.results.result_table import read_table
from refntk.finite.bridge import Bridge, slopes, summarize, two_classes
from refntk.inference import GradientFlow

NET = Network([Lift((3, 3), group="C4"), Relu(), GroupPool(), Dense()])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).normal(size=(5, 4, 4, 2))


@pytest.fixture(scope="module")
def bridge(images):
    return Bridge(NET, images[:3], [1.0, -1.0, 1.0], images[3:], scaled_times=(1, 4), rate=0.125)


def test_the_reference_is_the_flow_up_to_the_step(bridge, images):
    """The explicit step is of first order: a tenth of it, a tenth of the difference."""
    gram = kernel(NET, images).ntk
    flow = GradientFlow(loss="mean").fit(gram[:3, :3], [1.0, -1.0, 1.0])
    unit = 3 / flow.eigenvalues[-1]
    fine = Bridge(NET, images[:3], [1.0, -1.0, 1.0], images[3:], scaled_times=(1, 4), rate=0.0125)
    assert fine.steps == (80, 320)
    assert fine.deviation(flow.mean(fine.times * unit, gram[:, :3])).max() < 0.01
    assert np.allclose(fine.discretisation, bridge.discretisation / 10, rtol=0.1)
    assert [row["steps"] for row in bridge.step_rows()] == [8, 32]


def test_wide_networks_come_near(bridge, rng):
    """Pairs cancel the function at the start; what remains falls with the width."""
    near = [
        np.mean([bridge.deviation(bridge.train(width, d) / 2 + bridge.train(width, d, -1) / 2)
                 for d in range(4)], axis=0)
        for width in (4, 100)
    ]  # fmt: skip
    assert (near[1] < 0.5 * near[0]).all()  # 25^-1/2 is 0.2
    assert (near[1] < 0.2).all()
    single = bridge.deviation(bridge.train(100, 0))
    assert single[0] > 2 * near[1][0]


def test_the_noise_is_that_of_single_networks(bridge):
    """Root mean square over draws of a wide network, against the theory, to sampling error."""
    found = [np.square(bridge.deviation(bridge.train(32, d, sign)))
             for d in range(16) for sign in (1, -1)]  # fmt: skip
    # A sum of few squares, 16 independent draws: a standard error of some 25 %.
    assert np.allclose(np.sqrt(np.mean(found, axis=0)), bridge.noise, rtol=0.5)


def exact_rows(bridge, width, offsets):
    """Members whose predictions are off the reference by known numbers."""
    return [
        {"width": width, "draw": d, "sign": sign, "time": t}
        | {f"p{k}": value for k, value in enumerate(bridge.reference[t] * (1 + offset + sign * 3))}
        for d, offset in enumerate(offsets)
        for sign in (1, -1)
        for t in range(2)
    ]


def test_summary_of_known_deviations(bridge):
    """Pairs off by 0.1 ± 0.2: chance is the spread over the root of the members."""
    rows = exact_rows(bridge, 8, [0.3, -0.1, 0.3, -0.1])
    rows += exact_rows(bridge, 16, [0.05] * 4)
    summary = summarize(bridge, rows[:-1])  # the last pair is not complete
    assert [(row["width"], row["members"]) for row in summary[:3]] == [(8, 1), (8, 2), (8, 4)]
    four = summary[2]
    assert four["single"] == pytest.approx(3.1, rel=1e-12)
    assert four["pairs"] == pytest.approx(0.1, rel=1e-12)
    assert four["chance"] == pytest.approx(np.sqrt(0.16 / 3) / 2, rel=1e-12)
    assert four["bias"] == 0.0  # 0.1² is less than 0.04 / 3
    assert four["noise"] == pytest.approx(bridge.noise[0] / 2)
    last = [row for row in summary if row["width"] == 16][-1]
    assert (last["members"], last["bias"]) == (3, pytest.approx(0.05))
    fits = slopes(summarize(bridge, rows))
    assert fits[0]["width in pairs"] == pytest.approx(-1.0)
    assert np.isnan(fits[0]["width in bias"])


def test_members_go_on_where_they_were(bridge):
    whole = list(bridge.members([2, 3], 2))
    assert len(whole) == 2 * 2 * 2 * 2
    assert [row["width"] for row in whole[:8]] == [2] * 4 + [3] * 4
    assert list(bridge.members([2, 3], 2, whole[:5])) == whole[5:]
    assert list(bridge.members([2], 2, whole)) == []


@pytest.mark.parametrize(
    ("net", "options", "error", "message"),
    [
        (preset("gcnn-convergence"), {}, MethodError, "expected a network that ends with a Dense"),
        (preset("mlp-1"), {}, MethodError, "no equivariant counterpart"),
        (NET, {"rate": 2.0}, InputError, "rate: expected a number between 0 and 2, not 2"),
        (NET, {"scaled_times": (2, 1)}, InputError, "times: expected ascending numbers"),
        (NET, {"targets": [1.0]}, InputError, r"targets: expected 3 numbers, not shape \(1,\)"),
    ],
)
def test_bad_input(net, options, error, message, images):
    arguments = {"targets": [1.0, -1.0, 1.0], "test": images[3:]} | options
    with pytest.raises(error, match=message):
        Bridge(net, images[:3], **arguments)


def test_two_classes():
    labels = np.array([2, 0, 1, 2, 0, 1, 2, 0])
    train, test, targets = two_classes(labels, None, 4, 2, 0)
    assert set(labels[[*train, *test]]) == {0, 2}
    assert len(set(train) | set(test)) == 6
    assert np.array_equal(targets, np.where(labels[train] == 0, 1.0, -1.0))
    for classes in ("0", "0,3", "a,b", "1,1"):
        with pytest.raises(InputError, match=f"classes {classes}: expected two of 0, 1, 2"):
            two_classes(labels, classes, 4, 2, 0)
    with pytest.raises(InputError, match="need 9 images, but the two classes have 5"):
        two_classes(labels, "0,1", 5, 4, 0)


def test_command(tmp_path):
    data, network = tmp_path / "small.npz", tmp_path / "net.toml"
    rng = np.random.default_rng(0)
    np.savez(data, images=rng.normal(size=(8, 4, 4, 1)) / 4, labels=np.repeat([0, 1], 4))
    network.write_text(NET.to_toml())
    table, picture = tmp_path / "b.csv", tmp_path / "b.svg"

    def run(*more):
        arguments = ["bridge", network, f"{data}::images", "--train", 4, "--test", 2,
                     "--times", "1,2", "-o", table, *more]  # fmt: skip
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    result = run("--widths", "2,4", "--draws", 2)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{table}: 16 rows" in result.stdout
    whole = table.read_bytes()
    table.write_bytes(whole[: 2 * len(whole) // 3])
    result = run("--widths", "2,4", "--draws", 2, "--resume", "--plot", picture)
    assert result.exit_code == 0
    assert table.read_bytes() == whole
    assert picture.stat().st_size > 1000
    assert run("--widths", "8", "--draws", 2, "--resume").exit_code == 0
    assert len(read_table(table)[1]) == 24
    result = run("--widths", "0,2")
    assert result.exit_code == 2
    assert "expected positive whole numbers such as 8,16" in result.stderr
