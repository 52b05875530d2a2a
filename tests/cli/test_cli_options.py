"""The words that options accept are those that the library knows."""

import re
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refntk import backends
from refntk.cli import options
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


def test_the_page_of_the_file_has_these_methods():
    page = (Path(__file__).parents[2] / "docs" / "file-format.md").read_text("utf-8")
    (row,) = re.findall(r"^\| `method` .*", page, re.MULTILINE)
    assert tuple(re.findall(r"`(\w+)`", row)) == ("method", *reduction.METHODS)


def test_a_wrong_word_is_answered_with_the_nearest():
    (option,) = (param for param in compute.params if param.name == "dtype")
    with pytest.raises(click.BadParameter, match=r'unknown dtype "float46" \(did you mean'):
        option.type.convert("float46", option, None)


@given(st.lists(st.integers(1, 10**9), min_size=1))
def test_numbers_with_commas_between_them(numbers):
    for between in (",", ", "):
        read = options.Numbers(int, "4,8").convert(between.join(map(str, numbers)), None, None)
        assert read == tuple(numbers)


@pytest.mark.parametrize(
    "text", ["", ",", "4,", "4,x", "0", "-1", "1e3", "inf", "9" * 30, "9" * 5000]
)
def test_what_are_no_positive_whole_numbers(text):
    with pytest.raises(click.BadParameter, match="expected positive whole numbers such as 4,8"):
        options.Numbers(int, "4,8").convert(text, None, None)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "1,,2"])
def test_what_are_no_positive_numbers(text):
    with pytest.raises(click.BadParameter, match=r"expected positive numbers such as 0\.5,1"):
        options.Numbers(float, "0.5,1").convert(text, None, None)
    assert options.Numbers(float, "0.5,1").convert("1e3,.5", None, None) == (1000.0, 0.5)
