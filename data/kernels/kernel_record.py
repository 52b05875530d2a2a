"""What a journal says about its kernel, and how that differs from what is asked for now."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from refntk.data.images.imageset import InputInfo
from refntk.data.kernels.kernel_format import KernelDescription

__all__ = ["KernelRecord", "differences", "share_text"]

_SHOWN = 3


@dataclass(frozen=True, eq=False)
class KernelRecord:
    """A description with what only the run that began it knows.

    Parameters
    ----------
    description : KernelDescription
    refntk_version : str
        The version that began to compute.
    created : str
        When: ISO 8601, UTC.
    run : str
        32 hexadecimal digits, drawn at random: no tile of another run is ever taken for one of it.
    share : (int, int), optional
        I and N of a run that computes the I-th of N shares of the tiles only.
    """

    description: KernelDescription
    refntk_version: str
    created: str
    run: str
    share: tuple[int, int] | None = None

    def to_bytes(self) -> bytes:
        """Write the record as JSON."""
        fields = {
            field.name: getattr(self.description, field.name)
            for field in dataclasses.fields(self.description)
        }
        fields["x1"], fields["x2"] = (
            None if info is None else _input_fields(info)
            for info in (self.description.x1, self.description.x2)
        )
        fields["preprocessing"] = dict(self.description.preprocessing)
        about: dict[str, Any] = {
            "refntk_version": self.refntk_version, "created": self.created, "run": self.run
        }  # fmt: skip
        if self.share is not None:
            about["share"] = self.share
        return json.dumps(about | {"description": fields}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> KernelRecord:
        """Read a record.

        Parameters
        ----------
        data : bytes
            What `to_bytes` returned.

        Returns
        -------
        KernelRecord

        Raises
        ------
        LookupError, TypeError, ValueError
            It is something else.
        """
        about = json.loads(data)
        fields = about.pop("description")
        fields["kernels"] = tuple(fields["kernels"])
        if "share" in about:
            first, second = about["share"]
            about["share"] = int(first), int(second)
        for name in ("x1", "x2"):
            fields[name] = None if fields[name] is None else _input(fields[name])
        return cls(description=KernelDescription(**fields), **about)


def _input_fields(info: InputInfo) -> dict[str, Any]:
    """Write what is known about a set of images in types that JSON has."""
    return {
        "source": info.source,
        "shape": list(info.shape),
        "dtype": info.dtype,
        "indices": info.indices.tolist(),
        "sha256": [digest.decode() for digest in info.sha256.tolist()],
        "labels": None if info.labels is None else info.labels.tolist(),
        "class_names": info.class_names,
        "names": info.names,
    }


def _input(fields: dict[str, Any]) -> InputInfo:
    """Read back what `_input_fields` returned."""
    labels = fields["labels"]
    texts = {
        name: None if fields[name] is None else tuple(fields[name])
        for name in ("class_names", "names")
    }
    return InputInfo(
        source=fields["source"],
        shape=tuple(fields["shape"]),
        dtype=fields["dtype"],
        indices=np.array(fields["indices"], np.int64),
        sha256=np.array(fields["sha256"], "S64"),
        labels=None if labels is None else np.array(labels, np.int64),
        class_names=texts["class_names"],
        names=texts["names"],
    )


def differences(there: KernelDescription, here: KernelDescription) -> list[str]:
    """Name everything in which two descriptions would give another kernel file.

    Parameters
    ----------
    there, here : KernelDescription
        What was begun, and what is asked for.

    Returns
    -------
    list of str
        One text for each difference, such as ``"dtype: float64 there, float32 here"``; empty where
        tiles of one are tiles of the other. The name of the network, where the images came from
        and what they are called do not count.
    """
    found = []
    if there.network_hash != here.network_hash:
        found.append(f"network: {_network(there)} there, {_network(here)} here")
    for name in ("kernels", "dtype", "backend", "method", "tile"):
        old, new = getattr(there, name), getattr(here, name)
        if old != new:
            old, new = (" and ".join(x) if name == "kernels" else x for x in (old, new))
            found.append(f"{name}: {old} there, {new} here")
    found += _images("X1", there.x1, here.x1)
    if (there.x2 is None) != (here.x2 is None):
        old, new = ("X1 again" if about.x2 is None else "given" for about in (there, here))
        found.append(f"X2: {old} there, {new} here")
    elif there.x2 is not None and here.x2 is not None:
        found += _images("X2", there.x2, here.x2)
    return found + _preparation(there.preprocessing, here.preprocessing)


def share_text(share: tuple[int, int] | None) -> str:
    """Write a share as a person does.

    Parameters
    ----------
    share : (int, int) or None
        Number and count, or everything.

    Returns
    -------
    str

    Examples
    --------
    >>> share_text((3, 64)), share_text(None)
    ('3/64', 'all')
    """
    return "all" if share is None else f"{share[0]}/{share[1]}"


def _network(about: KernelDescription) -> str:
    """Name and hash of a network, as far as they are known."""
    name = tomllib.loads(about.network).get("name")
    return f"{'' if name is None else f'{name}, '}SHA-256 {about.network_hash[:12]}"


def _images(which: str, there: InputInfo, here: InputInfo) -> list[str]:
    """Differences of two sets of images."""
    if there.count != here.count:
        return [f"{which}: {there.count} images there, {here.count} here"]
    for name in ("shape", "dtype"):
        old, new = getattr(there, name), getattr(here, name)
        if old != new:
            return [f"{which}: images of {name} {old} there, {new} here"]
    other = np.flatnonzero(there.sha256 != here.sha256)
    if len(other):
        numbers = ", ".join(map(str, other[:_SHOWN])) + (", ..." if len(other) > _SHOWN else "")
        return [f"{which}: {len(other)} of {there.count} images are others (number {numbers})"]
    old, new = ("no labels" if x.labels is None else "labels" for x in (there, here))
    if old != new:
        return [f"{which}: {old} there, {new} here"]
    first, second = ([] if x.labels is None else x.labels.tolist() for x in (there, here))
    if first != second or there.class_names != here.class_names:
        return [f"{which}: the labels are others"]
    return []


def _preparation(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Differences of what was done to the images."""
    return [
        f"{step}: {there.get(step)} there, {here.get(step)} here"
        for step in dict.fromkeys([*there, *here])
        if there.get(step) != here.get(step)
    ]
