"""The words that options accept are those that the library knows."""

import click
import pytest

from refntk import backends
from refntk.cli.look.compute import compute
from refntk.evaluation import evaluate
from refntk.plan import reduction


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("get", evaluate.KERNELS),
        ("dtype", evaluate.DTYPES),
        ("backend", backends.available_backends()),
        ("method", ("auto", *reduction.METHODS)),
    ],
)
def test_choices_of_compute(option, words):
    (found,) = (param for param in compute.params if param.name == option)
    assert tuple(found.type.choices) == words
    assert found.default is None or found.default in words or found.multiple


def test_a_wrong_word_is_answered_with_the_nearest():
    (option,) = (param for param in compute.params if param.name == "dtype")
    with pytest.raises(click.BadParameter, match=r'unknown dtype "float46" \(did you mean'):
        option.type.convert("float46", option, None)
