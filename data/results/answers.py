"""Predictions and tables on disk: CSV, JSON and HDF5, each file complete or absent."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refntk.data.images.imageset import InputInfo
from refntk.errors import InputError
from refntk.inference.classify import Classification
from refntk.output import Output

__all__ = ["ANSWERS", "check_path", "write_predictions", "write_table"]

ANSWERS = (".csv", ".json", ".h5")
"""Endings of files of predictions."""


def check_path(
    path: str | Path,
    endings: Sequence[str],
    *,
    overwrite: bool = True,
    inputs: Iterable[str | Path] = (),
) -> Output:
    """Make sure that a file can be written; for before a long computation.

    Parameters
    ----------
    path : str or path
    endings : sequence of str
        Those that are known.
    overwrite : bool
        Whether an existing file may be replaced.
    inputs : iterable of str or path
        Files that are read, which it must not be.

    Returns
    -------
    refntk.output.Output

    Raises
    ------
    InputError
        Another ending, or as `refntk.output.Output` says.
    """
    path = Path(path)
    if path.suffix.lower() not in endings:
        given = f"the ending {path.suffix!r}" if path.suffix else "no ending"
        raise InputError(f"{path}: has {given}; expected one of {', '.join(endings)}")
    return Output(path, overwrite=overwrite, inputs=inputs, error=InputError)


def write_table(
    path: str | Path,
    header: Sequence[str],
    rows: Iterable[Sequence[str | int | float | None]],
    *,
    overwrite: bool = True,
) -> None:
    """Write a table as CSV; numbers with all their digits.

    Parameters
    ----------
    path : str or path
    header : sequence of str
    rows : iterable of sequences
        None becomes an empty cell.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        As `check_path`, or the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with check_path(path, (".csv",), overwrite=overwrite).writing() as stream:
        stream.write(text.getvalue().encode())


def write_predictions(
    path: str | Path,
    answers: Classification,
    images: InputInfo,
    about: Mapping[str, Any],
    *,
    overwrite: bool = True,
) -> None:
    """Write predictions as CSV, JSON or HDF5, by the ending of the path.

    CSV has a row for each image: its place in the source, its name where it has one, its digest,
    its class where it is known, the predicted class, and the score of each class. JSON and HDF5
    have the same, and also the confusion table, the accuracy and how it was computed.

    Parameters
    ----------
    path : str or path
        Ends in one of `ANSWERS`; not the file that the images are from.
    answers : Classification
    images : InputInfo
        The images that were classified.
    about : mapping
        How: network, kernel, regularisation and the like, of types that JSON has.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        As `check_path`, or the file cannot be written.
    """
    output = check_path(path, ANSWERS, overwrite=overwrite, inputs=[images.source])
    ending = output.path.suffix.lower()
    if ending == ".csv":
        write_table(path, *_rows(answers, images), overwrite=overwrite)
        return
    if ending == ".json":
        content = (json.dumps(_document(answers, images, about), indent=1) + "\n").encode()
    else:
        content = _hdf5(answers, images, about)
    with output.writing() as stream:
        stream.write(content)


def _rows(
    answers: Classification, images: InputInfo
) -> tuple[list[str], list[list[str | int | float | None]]]:
    names = answers.class_names
    header = ["index", "name", "sha256", "label", "predicted", *(f"score {n}" for n in names)]
    rows: list[list[str | int | float | None]] = [
        [
            int(images.indices[k]),
            None if images.names is None else images.names[k],
            images.sha256[k].decode(),
            None if answers.labels is None else names[answers.labels[k]],
            names[answers.predicted[k]],
            *answers.scores[k].tolist(),
        ]
        for k in range(len(answers.scores))
    ]
    return header, rows


def _document(
    answers: Classification, images: InputInfo, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything, of the types that JSON has."""
    names = answers.class_names
    confusion = answers.confusion
    return {
        **about,
        "accuracy": answers.accuracy,
        "class_names": list(names),
        "confusion": None if confusion is None else confusion.tolist(),
        "images": [
            {
                "index": int(images.indices[k]),
                "name": None if images.names is None else images.names[k],
                "sha256": images.sha256[k].decode(),
                "label": None if answers.labels is None else names[answers.labels[k]],
                "predicted": names[answers.predicted[k]],
                "scores": answers.scores[k].tolist(),
            }
            for k in range(len(answers.scores))
        ],
    }


def _hdf5(answers: Classification, images: InputInfo, about: Mapping[str, Any]) -> bytes:
    """Write the file into memory: HDF5 does not survive a full disk."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["format"] = "refntk-predictions/1"
        file.attrs["about"] = json.dumps(dict(about))
        file["scores"] = answers.scores
        file["predicted"] = answers.predicted
        file["class_names"] = np.array([name.encode() for name in answers.class_names])
        file["indices"] = images.indices
        file["sha256"] = images.sha256
        if images.names is not None:
            file["names"] = np.array([name.encode() for name in images.names])
        if answers.labels is not None:
            file.attrs["accuracy"] = answers.accuracy
            file["labels"] = answers.labels
            file["confusion"] = answers.confusion
    return buffer.getvalue()
