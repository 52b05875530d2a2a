"""Draws of networks of finite width: seeds, processes, overflow, and the limit they tend to."""

import multiprocessing

import numpy as np
import pytest

import refntk
from refntk.errors import InputError, NetworkError, RefntkError
from refntk.finite.sampling import RunningMean, Sampler, estimate, sample
from refntk.network import Network
from refntk.network.layers import Conv, Dense, Flatten, GlobalAvgPool, GroupPool, Lift, Relu

SMALL = Network([Lift((3, 3), group="C4"), Relu(), GroupPool(), Dense(W_std=1.2, b_std=0.3)])


def images(count=2, side=4):
    return np.random.default_rng(7).normal(size=(count, side, side, 3))


def test_the_running_mean(rng, assert_close):
    values = 5 + rng.normal(size=(40, 2, 3))
    running = RunningMean((2, 3))
    assert np.isnan(running.mean).all()
    for number, value in enumerate(values):
        running.add(value)
        assert running.count == number + 1
        assert np.isnan(running.error).all() == (number == 0)
    assert_close(running.mean, values.mean(axis=0))
    assert_close(running.error, values.std(axis=0, ddof=1) / np.sqrt(40))


def test_an_estimate_averages_its_draws(assert_close):
    sampler = Sampler(SMALL, images(), seed=3)
    draws = [sampler.draw(5, index) for index in range(12)]
    result = estimate(SMALL, images(), width=5, draws=12, seed=3)
    for name in ("nngp", "ntk"):
        values = np.stack([getattr(draw, name) for draw in draws])
        assert_close(getattr(result, name), values.mean(axis=0))
        error = values.std(axis=0, ddof=1) / np.sqrt(12)
        assert_close(getattr(result, f"{name}_error"), error)
    assert (result.draws, result.overflowed) == (12, ())


def test_a_draw_depends_on_seed_width_and_number_alone():
    tasks = [(width, index) for width in (2, 5) for index in range(3)]
    sampler = Sampler(SMALL, images(), seed=1)
    forth = {draw[:2]: draw for draw in sample(sampler, tasks)}
    back = {draw[:2]: draw for draw in sample(sampler, reversed(tasks))}
    assert list(forth) == tasks
    for task in tasks:
        np.testing.assert_array_equal(forth[task].ntk, back[task].ntk)
    kernels = [draw.nngp[0, 0] for draw in forth.values()]
    kernels += [draw.nngp[0, 0] for draw in sample(Sampler(SMALL, images(), seed=2), tasks)]
    assert len(set(kernels)) == 2 * len(tasks)


def test_worker_processes_give_the_same_draws(assert_close):
    tasks = [(width, index) for index in range(5) for width in (1, 3)]
    sampler = Sampler(SMALL, images())
    alone = list(sample(sampler, tasks))
    shared = list(sample(sampler, tasks, processes=2))
    assert [draw[:2] for draw in shared] == tasks
    for one, other in zip(shared, alone, strict=True):
        assert_close(one.nngp, other.nngp)
        assert_close(one.ntk, other.ntk)
        assert one.finite
    assert not multiprocessing.active_children()


def test_leaving_early_ends_the_worker_processes():
    draws = sample(Sampler(SMALL, images()), ((2, index) for index in range(10**6)), processes=2)
    assert next(draws)[:2] == (2, 0)
    assert len(multiprocessing.active_children()) == 2
    draws.close()
    assert not multiprocessing.active_children()


def test_a_killed_worker_process_is_an_error():
    draws = sample(Sampler(SMALL, images()), ((2, index) for index in range(10**6)), processes=2)
    next(draws)
    multiprocessing.active_children()[0].kill()
    with pytest.raises(RefntkError, match="a worker process was killed.*use fewer processes"):
        list(draws)
    assert not multiprocessing.active_children()


def test_draws_that_overflow_are_reported_and_left_out():
    # One pixel, one channel: the first feature is 1e308 times a normal number.
    small = Conv((1, 1), W_std=1e-150)
    net = Network([Conv((1, 1), W_std=1e150), Relu(), small, small, GlobalAvgPool()])
    x = np.full((1, 1, 1, 1), 1e158)
    result = estimate(net, x, width=1, draws=200)
    draws = list(sample(Sampler(net, x), ((1, index) for index in range(200))))
    left_out = tuple(draw.number for draw in draws if not draw.finite)
    assert result.overflowed == left_out
    assert result.draws == 200 - len(left_out)
    assert 0 < len(left_out) < 40
    # Relu turns an overflow to minus infinity into an output of zero: it is seen all the same.
    hidden = [draw for draw in draws if not draw.finite and draw.nngp[0, 0] == 0]
    assert hidden


def test_where_every_draw_overflows_there_is_no_mean():
    net = Network([Conv((1, 1), W_std=1e150), Conv((1, 1), W_std=1e150), GlobalAvgPool()])
    result = estimate(net, np.full((1, 1, 1, 1), 1e150), width=2, draws=3)
    assert (result.draws, result.overflowed) == (0, (0, 1, 2))
    assert np.isnan(result.nngp).all()
    assert np.isnan(result.ntk_error).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"width": 0}, "width: expected a positive whole number, not 0"),
        ({"draws": 0}, "draws: expected a positive whole number, not 0"),
        ({"seed": -1}, "seed: expected a whole number that is not negative, not -1"),
        ({"dtype": "float16"}, 'unknown dtype "float16"'),
        ({"images": np.ones((4, 3))}, r"X: expected images of shape \(N, H, W, C\)"),
    ],
)
def test_wrong_arguments(arguments, words):
    arguments = {"images": images(), "width": 2, "draws": 2} | arguments
    with pytest.raises(InputError, match=words):
        estimate(SMALL, **arguments)


def test_a_network_without_a_readout():
    with pytest.raises(NetworkError, match="without a readout"):
        Sampler(Network([Conv((3, 3))]), images())


# With one hidden layer the means over draws are exact at every width: only chance is left.
ONE_HIDDEN = {
    "group": SMALL,
    "dihedral, circular": Network(
        [Lift((3, 3), group="D4", padding="CIRCULAR", b_std=0.5), Relu(), GroupPool(), Dense()]
    ),
    "positions as channels": Network(
        [
            Conv((3, 2), strides=(2, 1), padding="VALID", W_std=1.5),
            Relu(),
            Flatten(),
            Dense(b_std=0.5),
        ]
    ),
    "mean of positions": Network([Conv((3, 3), b_std=0.5), Relu(), GlobalAvgPool(), Dense()]),
    "perceptron": Network([Flatten(), Dense(W_std=1.4, b_std=0.1), Relu(), Dense()]),
}


@pytest.mark.parametrize("net", ONE_HIDDEN.values(), ids=ONE_HIDDEN)
def test_means_agree_with_the_exact_kernels(net):
    x = images()
    exact = refntk.kernel(net, x)
    result = estimate(net, x, width=16, draws=400)
    for name in ("nngp", "ntk"):
        wanted, error = getattr(exact, name), getattr(result, f"{name}_error")
        assert np.abs((getattr(result, name) - wanted) / error).max() < 3
        assert error.max() < 0.05 * wanted.max()  # an error of a few hundredths would be noticed


def test_means_do_not_agree_with_a_tangent_kernel_that_starts_from_the_images():
    """Theta^0 = K^0 gives Theta^1 = 2 K^1, as a published implementation has it."""
    x = np.abs(images())
    right = refntk.kernel(SMALL, x).ntk
    # A linear layer of 1x1 filters leaves the NNGP as it is and gives the NTK that of the images.
    doubled = refntk.kernel(Network([Conv((1, 1)), *SMALL.layers]), x).ntk
    result = estimate(SMALL, x, width=16, draws=400)
    assert np.abs((result.ntk - right) / result.ntk_error).max() < 3
    assert np.abs((result.ntk - doubled) / result.ntk_error).min() > 10


@pytest.mark.slow
def test_a_deep_network_tends_to_the_exact_kernels():
    net, x = refntk.preset("gcnn-convergence"), images(side=5)
    exact = refntk.kernel(net, x)
    result = estimate(net, x, width=192, draws=300, dtype="float32", processes=2)
    for name in ("nngp", "ntk"):
        wanted, error = getattr(exact, name), getattr(result, f"{name}_error")
        assert np.abs((getattr(result, name) - wanted) / error).max() < 3
        assert error.max() < 0.03 * wanted.max()
