"""What the experiments of `refntk spectral` on images share: their options, and the orbits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from refntk.cli import options

if TYPE_CHECKING:
    from refntk.network.network import Network
    from refntk.spectral.study import Study

__all__ = ["Setting", "numbers_of", "open_study", "study_options"]

_NETWORKS = ("mlp-1", "mlp-5", "cnn-fc", "cnn-gap")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def study_options(poses: str) -> Decorator:
    """Give the options of all experiments on images; `poses` is the default of --poses."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            options.threads,
            click.option(
                "--diag-reg", type=click.FloatRange(min=0), default=1e-8, show_default=True,
                metavar="λ", help="Nugget relative to the mean diagonal, in both errors.",
            ),
            click.option(
                "--get", type=options.Word("kernel", "nngp", "ntk"), default="ntk",
                show_default=True, metavar="nngp|ntk", help="Kernel of the networks.",
            ),
            click.option(
                "--seed", type=click.IntRange(min=0), default=124, show_default=True, metavar="S",
                help="Seed of the choice of images.",
            ),
            click.option(
                "--size", type=options.positive, metavar="PX", help="Shrink the images to PX by PX."
            ),
            click.option(
                "--poses", default=poses, show_default=True, metavar="N,…",
                help="Even numbers of poses on an orbit.",
            ),
            click.option(
                "--group", type=options.Word("group", "rotation", "shift-x", "shift-y"),
                default="rotation", show_default=True, metavar="rotation|shift-x|shift-y",
                help="What sweeps the images into orbits.",
            ),
            click.option(
                "-n", "--network", "networks", multiple=True, default=_NETWORKS,
                show_default=" ".join(_NETWORKS), metavar="NETWORK",
                help="A preset or a TOML file; can be given several times.",
            ),
        ):  # fmt: skip
            command = option(command)
        return click.argument("data")(options.pixels(command))

    return decorate


@dataclass(frozen=True)
class Setting:
    """What the experiments on images share, made from their options."""

    study: Study
    nets: dict[str, Network]
    labels: Any
    class_names: list[str]
    poses: list[int]
    record: dict[str, Any]


def open_study(
    command: str, data: str, networks: Sequence[str], group: str, poses: str, size: int | None,
    seed: int, get: str, diag_reg: float, threads: int | None,
    reading: dict[str, Any],
) -> Setting:  # fmt: skip
    """Load the images and the networks that the options of an experiment name."""
    from refntk.data import load_inputs
    from refntk.errors import InputError
    from refntk.network.presets import load_network
    from refntk.spectral.study import Study
    from refntk.symmetry.orbits import CyclicAction

    numbers = numbers_of("--poses", poses)
    for n in numbers:
        CyclicAction(group, n)  # type: ignore[arg-type]  # refuses what is no group
    nets = {name: load_network(name) for name in networks}
    inputs = load_inputs(data, size=size, **reading)
    images = inputs.info1
    if images.labels is None:
        raise InputError(f"{data}: has no labels; the classes of the images are needed")
    names = images.class_names or tuple(str(c) for c in range(int(images.labels.max()) + 1))
    record = {
        "command": f"spectral {command}",
        "images": images.digest,
        "networks": {name: net.hash for name, net in nets.items()},
        "group": group, "poses": numbers, "size": size, "seed": seed, "get": get,
        "diag_reg": diag_reg,
    } | options.changed(reading)  # fmt: skip
    study = Study(inputs.x1, group, get, threads)  # type: ignore[arg-type]
    return Setting(study, nets, images.labels, list(names), numbers, record)


def numbers_of(option: str, text: str) -> list[int]:
    """Read whole numbers with commas between them; an error names the option."""
    from refntk.errors import InputError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option}: expected whole numbers such as 4,8,16, not {text!r}") from None
