"""One image left out of the training of an ensemble."""

import numpy as np
import pytest

import refntk
from refntk.errors import InputError, NotPositiveDefiniteError
from refntk.inference import GradientFlow, KernelRegression, class_targets, left_out

LABELS = np.array([0, 1, 2, 1, 0, 2, 2])


@pytest.fixture
def kernels():
    images = np.random.default_rng(4).normal(size=(7, 3, 3, 1))
    k = refntk.kernel(refntk.preset("mlp-1"), images)
    return k.nngp, k.ntk


@pytest.mark.parametrize("diag_reg", [0.0, 1e-3])
def test_it_follows_the_flow_of_all_others(kernels, assert_close, diag_reg):
    nngp, ntk = kernels
    scores = left_out(nngp, ntk, LABELS, classes=3, image=2, diag_reg=diag_reg)
    rest = [0, 1, 3, 4, 5, 6]
    y = class_targets(LABELS[rest], 3)
    flow = GradientFlow(diag_reg=diag_reg).fit(ntk[np.ix_(rest, rest)], y, nngp[np.ix_(rest, rest)])
    some = scores.times[::50]
    assert_close(scores.mean[::50], flow.mean(some, ntk[[2]][:, rest])[:, 0])
    covariance = flow.covariance(some, ntk[[2]][:, rest], nngp[[2]][:, rest], nngp[[2]][:, [2]])
    assert_close(scores.variance[::50], covariance[:, 0, 0], 1e-9)
    # It begins with the prior and ends with what is learned in infinite time.
    end = KernelRegression(diag_reg).fit(ntk[np.ix_(rest, rest)], y).predict(ntk[[2]][:, rest])
    assert_close(scores.mean[-1], end[0], 1e-3, floor=1.0)
    assert np.abs(scores.mean[0]).max() < 0.05
    assert scores.variance[0] == pytest.approx(nngp[2, 2], rel=0.05)


@pytest.mark.parametrize("loss", ["sum", "mean"])
def test_the_latest_time_is_allowed_and_late(kernels, assert_close, loss):
    ntk, y = kernels[1], class_targets(LABELS, 3)
    flow = GradientFlow(loss=loss, learning_rate=0.1).fit(ntk, y)
    assert_close(flow.mean(flow.latest()), y, 1e-3, floor=1.0)
    features = np.random.default_rng(1).normal(size=(7, 2))
    singular = GradientFlow(loss=loss, learning_rate=0.1).fit(features @ features.T, y)
    late = singular.latest()
    assert np.isfinite(singular.mean(late)).all()
    with pytest.raises(NotPositiveDefiniteError, match="will do"):
        singular.mean(2 * late)


def test_what_does_not_fit(kernels):
    nngp, ntk = kernels
    with pytest.raises(InputError, match="image 7: there are 7, from 0 to 6"):
        left_out(nngp, ntk, LABELS, classes=3, image=7)
    with pytest.raises(InputError, match="do not fit 6 labels"):
        left_out(nngp, ntk, LABELS[1:], classes=3, image=0)
    with pytest.raises(InputError, match="labels: all 6 images are of class 1"):
        left_out(nngp, ntk, [0, 1, 1, 1, 1, 1, 1], classes=2, image=0)
    with pytest.raises(InputError, match="GradientFlow: call fit before"):
        GradientFlow().latest()
