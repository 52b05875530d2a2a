"""Square images brought to hexagons: where pixels go, and that the file says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from refntk.cli import main
from refntk.data import load_inputs
from refntk.data.images.hexagons import to_hexagons
from refntk.data.kernels.store import open_kernel
from refntk.errors import InputError
from refntk.evaluation.evaluate import kernel
from refntk.network import Network
from refntk.network.layers import GroupPool, Lift, Relu

NETWORK = Network(
    [Lift((3, 3), group="C6", lattice="hexagonal"), Relu(), GroupPool()], name="hexagons"
)


@pytest.mark.parametrize("side", [3, 4, 9, 28])
def test_linear_images_are_read_at_the_places_of_the_lattice(side: int) -> None:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    found = to_hexagons(np.stack([y, x, np.ones_like(x)], axis=-1)[None])[0]
    radius = (side - 1) // 2
    step = (side - 1) / (2 * radius)
    seen = 0
    for q in range(-radius, radius + 1):
        for r in range(-radius, radius + 1):
            inside = abs(q + r) <= radius
            right = np.array([r * 3**0.5 / 2 * step, (q + r / 2) * step, 1.0]) * inside
            np.testing.assert_allclose(found[q + radius, r + radius], right, atol=1e-12)
            seen += inside
    assert seen == 3 * radius**2 + 3 * radius + 1


def test_a_sixth_of_a_turn_of_the_body_is_one_of_the_array() -> None:
    def wave(turn: float) -> np.ndarray:
        y, x = np.mgrid[:61, :61] / 20 - 1.5
        c, s = np.cos(turn), np.sin(turn)
        return np.sin(x * c + y * s + 0.3)[None, ..., None]

    images = to_hexagons(np.concatenate([wave(0), wave(np.pi / 3)]))
    k = kernel(NETWORK, images[:, 20:41, 20:41]).ntk  # the middle, which is a hexagon of its own
    assert abs(k[0, 0] - k[1, 1]) < 1e-3 * k[0, 0]
    assert abs(k[0, 0] - k[0, 1]) < 1e-3 * k[0, 0]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 4, 5, 1), "expected square images"),
        ((1, 2, 2, 1), "2 x 2 pixels are too small"),
        ((1, 3, 3, 3, 1), "expected square images"),
    ],
)
def test_what_has_no_hexagon_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"^--lattice hexagonal: .*{message}"):
        to_hexagons(np.ones(shape))


def test_the_file_says_that_images_were_resampled(tmp_path: Path) -> None:
    net, data, out = (str(tmp_path / name) for name in ("net.toml", "x.npy", "k.h5"))
    Path(net).write_text(NETWORK.to_toml())
    x = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 1)).astype(np.uint8)
    np.save(data, x)
    words = ["compute", net, data, "-o", out, "-q", "--lattice", "hexagonal", "--standardize"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    with open_kernel(out) as file:
        assert file.attributes["preprocessing"]["lattice"] == "hexagonal"
        inputs = load_inputs(data, standardize=True, lattice="hexagonal")
        np.testing.assert_array_equal(file.ntk[...], kernel(NETWORK, inputs.x1).ntk)
    assert "hexagonal" in CliRunner().invoke(main, ["info", out]).output.split("[[layer]]")[0]
    checked = CliRunner().invoke(main, ["check", out])
    assert checked.exit_code == 0, checked.output
    assert "computed again" in checked.output


def test_a_network_of_squares_does_not_get_hexagons(tmp_path: Path) -> None:
    words = ["compute", "mlp-1", "sample:digits", "-o", str(tmp_path / "k.h5")]
    result = CliRunner().invoke(main, [*words, "--lattice", "hexagonal"])
    assert result.exit_code == 2
    assert "mlp-1 would take the array for a square image" in result.output
    assert 'its Lift needs lattice = "hexagonal"' in result.output
    assert not (tmp_path / "k.h5").exists()
    with pytest.raises(InputError, match='unknown lattice "cubic"'):
        load_inputs("sample:digits", limit=2, lattice="cubic")
