"""The picture of trained ensembles against the kernel."""

import numpy as np

from refntk.plot import plot_bridge, save_figure

SUMMARY = [
    {
        "width": width, "time": time, "members": members, "single": 1 / members,
        "noise": 1 / members, "pairs": 1 / width / members, "chance": 0.5 / width, "bias": 0.0,
    }
    for time in (1.0, 6.0) for width in (8, 16) for members in (1, 2, 4)
]  # fmt: skip


def test_a_column_for_each_time_on_one_scale(tmp_path):
    figure = plot_bridge(SUMMARY, "four images")
    above, below = np.reshape(figure.axes, (2, 2))
    for upper, lower in zip(above, below, strict=True):
        single, _, pairs = upper.lines
        assert list(single.get_xdata()) == [1, 2, 4]
        np.testing.assert_array_equal(pairs.get_ydata(), [1 / 16, 1 / 32, 1 / 64])
        measured, chance, falling = lower.lines
        np.testing.assert_array_equal(measured.get_ydata(), [1 / 32, 1 / 64])
        np.testing.assert_array_equal(chance.get_ydata(), [1 / 16, 1 / 32])
        np.testing.assert_allclose(falling.get_ydata(), [1 / 32, 1 / 64])
    for row in (above, below):
        assert len({axes.get_ylim() for axes in row}) == 1
    assert figure.get_suptitle() == "four images"
    save_figure(figure, tmp_path / "bridge.svg")
