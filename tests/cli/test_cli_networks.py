"""`refntk networks`."""

import pytest
from click.testing import CliRunner

from refntk.cli import main
from refntk.network import Network, preset, presets


def run(*arguments):
    return CliRunner().invoke(main, ["networks", *arguments])


def test_without_a_name_every_preset_has_a_line():
    result = run()
    assert result.exit_code == 0
    assert result.stderr == ""
    rows = [line.split() for line in result.stdout.splitlines()]
    assert tuple(row[0] for row in rows) == presets()
    layers = dict(zip(presets(), rows, strict=True))["gcnn-convergence"][1:]
    assert layers[:3] == ["Lift", "Relu", "GroupConv"]
    assert layers[-1] == "GroupPool"


@pytest.mark.parametrize("name", presets())
def test_a_preset_is_shown_as_the_file_it_is(name):
    result = run(name)
    assert result.exit_code == 0
    assert result.stdout.startswith("# ")
    assert Network.from_toml_string(result.stdout) == preset(name)


def test_an_unknown_name_is_2_and_names_the_nearest():
    result = run("gcn-paper")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert 'unknown preset "gcn-paper" (did you mean "gcnn-paper"?)' in result.stderr
