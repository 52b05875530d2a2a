"""Predictions and tables on disk: CSV, JSON and HDF5, each file complete or absent."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refntk.data.images.imageset import InputInfo
from refntk.data.limits import one_line
from refntk.errors import InputError
from refntk.inference.classify import Classification

__all__ = ["ANSWERS", "check_path", "write_predictions", "write_table"]

ANSWERS = (".csv", ".json", ".h5")
"""Endings of files of predictions."""


def check_path(path: str | Path, endings: Sequence[str]) -> Path:
    """Make sure that a file can be written; for before a long computation.

    Parameters
    ----------
    path : str or path
    endings : sequence of str
        Those that are known.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        Another ending; the folder does not exist; the path is a folder.
    """
    path = Path(path)
    if path.suffix.lower() not in endings:
        given = f"the ending {path.suffix!r}" if path.suffix else "no ending"
        raise InputError(f"{path}: has {given}; expected one of {', '.join(endings)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    return path


def write_table(
    path: str | Path, header: Sequence[str], rows: Iterable[Sequence[str | int | float | None]]
) -> None:
    """Write a table as CSV; numbers with all their digits.

    Parameters
    ----------
    path : str or path
        Replaced if it exists.
    header : sequence of str
    rows : iterable of sequences
        None becomes an empty cell.

    Raises
    ------
    InputError
        As `check_path`, or the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    _write(check_path(path, (".csv",)), lambda part: part.write_text(text.getvalue(), "utf-8"))


def write_predictions(
    path: str | Path, answers: Classification, images: InputInfo, about: Mapping[str, Any]
) -> None:
    """Write predictions as CSV, JSON or HDF5, by the ending of the path.

    CSV has a row for each image: its place in the source, its name where it has one, its digest,
    its class where it is known, the predicted class, and the score of each class. JSON and HDF5
    have the same, and also the confusion table, the accuracy and how it was computed.

    Parameters
    ----------
    path : str or path
        Ends in one of `ANSWERS`; replaced if it exists.
    answers : Classification
    images : InputInfo
        The images that were classified.
    about : mapping
        How: network, kernel, regularisation and the like, of types that JSON has.

    Raises
    ------
    InputError
        As `check_path`, or the file cannot be written.
    """
    path = check_path(path, ANSWERS)
    if path.suffix.lower() == ".csv":
        write_table(path, *_rows(answers, images))
    elif path.suffix.lower() == ".json":
        text = json.dumps(_document(answers, images, about), indent=1) + "\n"
        _write(path, lambda part: part.write_text(text, "utf-8"))
    else:
        _write(path, lambda part: _write_hdf5(part, answers, images, about))


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


def _write_hdf5(
    path: Path, answers: Classification, images: InputInfo, about: Mapping[str, Any]
) -> None:
    import h5py

    with h5py.File(path, "x") as file:
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


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """Write under another name, then rename."""
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    try:
        write(partial)
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({one_line(error)})") from error
    finally:
        partial.unlink(missing_ok=True)
