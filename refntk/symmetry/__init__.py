"""How symmetric predictors are, and what symmetry does to data: orbits, flows, augmentation."""

from refntk.symmetry.measures import (
    Action,
    Predictor,
    SymmetryError,
    cyclic_action,
    error_floor,
    group_action,
    norms,
    point_action,
    predict,
    root_mean_square,
    symmetry_error,
    turn_features,
)

__all__ = [
    "Action",
    "Predictor",
    "SymmetryError",
    "cyclic_action",
    "error_floor",
    "group_action",
    "norms",
    "point_action",
    "predict",
    "root_mean_square",
    "symmetry_error",
    "turn_features",
]
