"""The shipped networks are those of the papers."""

from __future__ import annotations

import numpy as np
import pytest

import refntk
from refntk.errors import NetworkError
from refntk.network import load_network, preset, preset_text, presets
from refntk.network.layers import (
    AvgPool,
    CentreReadout,
    Conv,
    Dense,
    ExpNormalized,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    GroupConv,
    GroupPool,
    Layer,
    Lift,
    Relu,
    Residual,
)

ROOT = 1.4142135623730951  # that of 2
STAGE: list[Layer] = [Conv((3, 3), W_std=ROOT), Relu()]
HALF, TOP = AvgPool((2, 2), strides=(2, 2)), [GlobalAvgPool(), Dense(W_std=ROOT)]
HEAD: list[Layer] = [Dense(), Relu(), Dense()]
HIDDEN: list[Layer] = [Dense(W_std=1.0, b_std=1.0), Relu()]
GCONV, CIRCULAR = GroupConv((3, 3), padding="SAME"), Conv((3, 3), padding="CIRCULAR")

SHANKAR: list[Layer] = [Conv((3, 3)), ExpNormalized()]
PLAIN = [GlobalAvgPool(), Dense()]


def residual(step: int | None) -> Residual:
    """Relu and convolution twice, beside the identity or a convolution with this stride."""
    strides = (step or 1,) * 2
    first, second = (
        Conv((3, 3), strides=along, W_std=ROOT) for along in (strides, (1, 1))
    )
    shortcut = [Conv((1, 1), strides=strides)] if step else []
    return Residual([Relu(), first, Relu(), second], shortcut=shortcut)


def stages(blocks: int, first: int | None) -> list[Layer]:
    """Three stages of residual blocks, and the mean over positions."""
    body = [residual(step if k == 0 else None) for step in (first, 2, 2) for k in range(blocks)]
    return [Conv((3, 3), W_std=ROOT), *body, Relu(), *PLAIN]


EXPECTED: dict[str, list[Layer]] = {
    "gcnn-paper": [
        Lift((3, 3), group="C4", padding="SAME"),
        Relu(),
        *[GCONV, Relu()] * 4,
        GroupPool(),
        *HEAD,
    ],
    "cnn-paper": [*[Conv((3, 3)), Relu()] * 5, GlobalAvgPool(), *HEAD],
    "cnn-paper-sumpool": [*[Conv((3, 3)), Relu()] * 5, GlobalSumPool(), *HEAD],
    "myrtle-5": [*STAGE * 2, HALF, *STAGE, HALF, *STAGE, *TOP],
    "myrtle-7": [*STAGE * 2, HALF, *STAGE * 2, HALF, *STAGE * 2, *TOP],
    "myrtle-10": [*STAGE * 3, HALF, *STAGE * 3, HALF, *STAGE * 3, *TOP],
    "myrtle-5-expnormalized": [*SHANKAR * 2, HALF, *SHANKAR, HALF, *SHANKAR, *PLAIN],
    "myrtle-7-expnormalized": [*SHANKAR * 2, HALF, *SHANKAR * 2, HALF, *SHANKAR * 2, *PLAIN],
    "myrtle-10-expnormalized": [*SHANKAR * 3, HALF, *SHANKAR * 3, HALF, *SHANKAR * 3, *PLAIN],
    "resnet-20": stages(3, None),
    "wide-resnet-28": stages(4, 1),
    "gcnn-convergence": [
        Lift((3, 3), group="C4", padding="SAME"),
        *[Relu(), GCONV] * 4,
        GroupPool(),
    ],
    "mlp-1": [Flatten(), *HIDDEN, Dense()],
    "mlp-5": [Flatten(), *HIDDEN * 5, Dense()],
    "mlp-1-released": [Flatten(), *HIDDEN, Dense(b_std=1.0)],
    "mlp-5-released": [Flatten(), *HIDDEN * 5, Dense(b_std=1.0)],
    "cnn-fc": [CIRCULAR, Relu(), Flatten(), Dense()],
    "cnn-gap": [CIRCULAR, Relu(), GlobalAvgPool(), Dense()],
    "gcnn-c4": [Lift((3, 3), group="C4", padding="CIRCULAR"), Relu(), GroupPool(), Dense()],
    "cnn-3d": [*[Conv((3, 3, 3), padding="VALID"), Relu()] * 5, Flatten(), *HEAD],
    "gcnn-3d": [
        Lift((3, 3, 3), group="O", padding="VALID"),
        Relu(),
        *[GroupConv((3, 3, 3), padding="VALID"), Relu()] * 4,
        CentreReadout(),
        *HEAD,
    ],
    "gcnn-d4": [Lift((3, 3), group="D4", padding="CIRCULAR"), Relu(), GroupPool(), Dense()],
}


def test_all_presets_are_listed() -> None:
    assert presets() == tuple(sorted(EXPECTED))


@pytest.mark.parametrize("name", EXPECTED)
def test_layers(name: str) -> None:
    net = preset(name)
    assert net.name == name
    assert list(net.layers) == EXPECTED[name]
    assert net.signals((*[28] * net.axes, 3))[-1].kind == "vector"
    assert load_network(name) == net


@pytest.mark.parametrize("name", EXPECTED)
def test_files_say_where_the_network_comes_from(name: str) -> None:
    text = preset_text(name)
    assert text.startswith("# ")
    assert "arXiv:" in text.split("name =")[0]


def test_images_before_the_network() -> None:
    images = np.zeros((2, 4, 4, 1))
    message = r"net: expected a Network, .*, not ndarray; the network comes first, and then the"
    with pytest.raises(NetworkError, match=message):
        refntk.kernel(images, preset("cnn-gap"))  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match=r"list of layers, not int$"):
        refntk.kernel(3, images)  # type: ignore[arg-type]


def test_unknown_preset() -> None:
    with pytest.raises(NetworkError, match=r'unknown preset "mlp-2" \(did you mean "mlp-\d"\?\)'):
        preset("mlp-2")


@pytest.mark.parametrize("name", ["mlp-1", "mlp-5"])
def test_the_released_readout_adds_1(name: str, assert_close) -> None:
    images = np.random.default_rng(0).normal(size=(4, 3, 3, 1))
    plain, released = (refntk.kernel(preset(n), images) for n in (name, f"{name}-released"))
    assert_close(released.nngp, plain.nngp + 1, tol=1e-14)
    assert_close(released.ntk, plain.ntk + 1, tol=1e-14)
