"""The exceptions are what callers expect, and their wording helps."""

from __future__ import annotations

import pickle

import pytest

from refntk import errors
from refntk.errors import NetworkError, RefntkError, nearest, unknown


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("NetworkError", ValueError),
        ("NotPositiveDefiniteError", ValueError),
        ("ShapeError", ValueError),
        ("ConvergenceError", ArithmeticError),
        ("InputError", ValueError),
        ("MethodError", ValueError),
        ("UnknownBackendError", ValueError),
        ("MissingBackendError", ImportError),
        ("StoreError", OSError),
        ("DownloadError", OSError),
        ("ClusterError", RuntimeError),
    ],
)
def test_every_error_has_the_base_class_and_a_builtin_one(
    name: str, builtin: type[Exception]
) -> None:
    error = getattr(errors, name)("what is wrong")
    assert isinstance(error, RefntkError)
    assert isinstance(error, builtin)
    assert str(error) == "what is wrong"


def test_a_network_error_survives_a_process_border() -> None:
    error = pickle.loads(pickle.dumps(NetworkError("wrong", layer=3, key="padding")))
    assert (str(error), error.layer, error.key) == ("wrong", 3, "padding")


def test_an_error_about_eigenvalues_survives_a_process_border() -> None:
    error = errors.NotPositiveDefiniteError(
        "wrong", smallest_eigenvalue=-1.0, condition=2.0, diag_reg=0.5
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.smallest_eigenvalue, copy.condition, copy.diag_reg) == (
        "wrong", -1.0, 2.0, 0.5,
    )  # fmt: skip


def test_nearest_ignores_case_and_keeps_quiet_about_strangers() -> None:
    assert nearest("same", ["SAME", "VALID"]) == ' (did you mean "SAME"?)'
    assert nearest("Convv", ["Conv", "Dense"]) == ' (did you mean "Conv"?)'
    assert nearest("zebra", ["Conv", "Dense"]) == ""


def test_unknown_names_stay_on_one_line() -> None:
    assert unknown("layer", "Rellu", ["Relu", "Dense"]) == (
        'unknown layer "Rellu" (did you mean "Relu"?); known: Relu, Dense'
    )
    assert unknown("group", 7, ["C2"]) == "unknown group 7; known: C2"
    assert "\n" not in unknown("key", "a\nb", ["C2"])
