"""The exceptions of refntk, and the wording they share.

Every error a user can cause is a `RefntkError`. Its message is one line: the offending thing, what
was expected, the remedy. Each subclass also derives from the built-in exception that a caller would
expect.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

__all__ = [
    "ClusterError",
    "ConvergenceError",
    "DeviceError",
    "DownloadError",
    "InputError",
    "InputWarning",
    "MethodError",
    "MissingBackendError",
    "MissingPackageError",
    "NetworkError",
    "NotPositiveDefiniteError",
    "RefntkError",
    "RefntkWarning",
    "ShapeError",
    "StoreError",
    "SymmetryWarning",
    "UnknownBackendError",
    "missing_package",
    "nearest",
    "printable",
    "size_text",
    "unknown",
]


class RefntkError(Exception):
    """Base class of every error that refntk raises on purpose."""


class RefntkWarning(UserWarning):
    """Something was read or computed as well as it could be, and may not be what was meant.

    The base class of refntk's warnings; ``warnings.simplefilter("error", refntk.RefntkWarning)``
    turns all of them into errors. By itself it says that machine code cannot be kept on disk.
    """


class InputWarning(RefntkWarning):
    """Images or labels may not be what was meant.

    Entries of a folder are passed over, labels are left out, axes look like another order, or
    floating-point pixels are far above 1.
    """


class SymmetryWarning(RefntkWarning):
    """A network has layers on a group and is not equivariant, on images of this shape."""


class NetworkError(RefntkError, ValueError):
    """The description of a network is wrong: its layers, their order, or its TOML file.

    Parameters
    ----------
    message : str
        One line.
    layer : int, optional
        Index of the offending layer, counted from 0, where one is to blame.
    key : str, optional
        The offending argument of that layer, or key of the TOML file.

    Attributes
    ----------
    layer : int or None
    key : str or None
        As above; a reader of TOML finds the line to report from them.
    """

    def __init__(self, message: str, *, layer: int | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.layer = layer
        self.key = key


class ShapeError(RefntkError, ValueError):
    """A well-formed network meets an input shape that it cannot take."""


class InputError(RefntkError, ValueError):
    """Images, labels or the files that hold them are unusable."""


class NotPositiveDefiniteError(RefntkError, ValueError):
    """A kernel matrix is not positive definite to the precision of the arithmetic.

    Parameters
    ----------
    message : str
        One line.
    smallest_eigenvalue : float
        Of the matrix that could not be used.
    condition : float
        Its largest over its smallest eigenvalue, in absolute value.
    diag_reg : float
        Regularisation relative to the mean diagonal that will do.

    Attributes
    ----------
    smallest_eigenvalue, condition, diag_reg : float
        As above.
    """

    def __init__(
        self,
        message: str,
        smallest_eigenvalue: float = float("nan"),
        condition: float = float("nan"),
        diag_reg: float = float("nan"),
    ) -> None:
        # All of them are arguments of the exception, so that it crosses a process border.
        super().__init__(message, smallest_eigenvalue, condition, diag_reg)
        self.smallest_eigenvalue = smallest_eigenvalue
        self.condition = condition
        self.diag_reg = diag_reg

    def __str__(self) -> str:
        return str(self.args[0])


class ConvergenceError(RefntkError, ArithmeticError):
    """An iteration ended before it was as exact as it was asked to be."""


class MethodError(RefntkError, ValueError):
    """A method was forced that does not apply to the network or to the input."""


class UnknownBackendError(RefntkError, ValueError):
    """No backend has this name."""


class MissingBackendError(RefntkError, ImportError):
    """A backend exists but the package it needs is not installed."""


class DeviceError(RefntkError, RuntimeError):
    """A graphics processor runs out of memory, or fails."""


class MissingPackageError(RefntkError, ImportError):
    """What was asked for needs a package that refntk does without otherwise."""


class DownloadError(RefntkError, OSError):
    """A public data set cannot be fetched or unpacked."""


class ClusterError(RefntkError, RuntimeError):
    """Workers on other machines, or their scheduler, cannot be reached or fail."""


class StoreError(RefntkError, OSError):
    """A kernel file cannot be written, read or understood."""


def missing_package(need: str, extra: str) -> MissingPackageError:
    """Word the error about an optional package that is not installed.

    Parameters
    ----------
    need : str
        Who needs what, such as ``"pictures need matplotlib"``.
    extra : str
        The extra of refntk that installs it.

    Returns
    -------
    MissingPackageError
        To be raised by the caller, from the ImportError.

    Examples
    --------
    >>> str(missing_package("pictures need matplotlib", "plot"))
    'pictures need matplotlib; install it with pip install "refntk[plot]"'
    """
    return MissingPackageError(f'{need}; install it with pip install "refntk[{extra}]"')


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggest the known name that a misspelt one was meant to be.

    Parameters
    ----------
    word : str
        The name that was given.
    known : iterable of str
        The names that exist. Upper and lower case count as equal.

    Returns
    -------
    str
        ``' (did you mean "X"?)'``, with its leading blank, or ``''`` where nothing is close.

    Examples
    --------
    >>> nearest("same", ["SAME", "VALID"])
    ' (did you mean "SAME"?)'
    >>> nearest("padding", ["SAME", "VALID"])
    ''
    """
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f' (did you mean "{by_lower[close[0]]}"?)' if close else ""


def printable(text: str) -> str:
    r"""Escape what a terminal would obey; for texts that come from files.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        Control characters but the end of a line, marks that turn the direction of writing, and
        halves of characters, each as Python escapes it.

    Examples
    --------
    >>> print(printable("tiles" + chr(27) + "[2J"))
    tiles\x1b[2J
    """
    return "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1]
        for character in text
    )


def size_text(nbytes: int) -> str:
    """Write a number of bytes for a person, such as ``"1.5 MB"`` (powers of 1000).

    Parameters
    ----------
    nbytes : int
        Number of bytes.

    Returns
    -------
    str
        The number with its unit.
    """
    if nbytes < 1000:
        return f"{nbytes} bytes"
    size = float(nbytes)
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.3g} PB"


def unknown(what: str, word: object, known: Iterable[str]) -> str:
    """Word the message about a name that does not exist.

    Parameters
    ----------
    what : str
        What is named, such as ``"padding"``.
    word : object
        What was given in place of a known name.
    known : iterable of str
        The names that exist.

    Returns
    -------
    str
        One line with the given word, the nearest known name if there is one, and all known names.

    Examples
    --------
    >>> unknown("padding", "same", ["SAME", "VALID"])
    'unknown padding "same" (did you mean "SAME"?); known: SAME, VALID'
    """
    names = list(known)
    hint = nearest(word, names) if isinstance(word, str) else ""
    given = f'"{word}"' if isinstance(word, str) and word.isprintable() else reprlib.repr(word)
    return f"unknown {what} {given}{hint}; known: {', '.join(names)}"
