"""Which symmetries a network learns from data: the spectral theory, and its experiments.

A. Perin, S. Deny, "On the Ability of Deep Networks to Learn Symmetries from Data: A Neural Kernel
Theory", arXiv:2412.11521. `theory` has the formulas for two orbits of a cyclic group, `harmonic`
those for any number of orbits of a finite group, by its irreducible representations, `leave_out`
the exact errors of regression that both are compared with. `measures` puts them side by side for
one kernel, `study` runs over images, and `summary` condenses what came out. Orbits and the kernels
between them come from `refntk.symmetry.orbits`.
"""

from __future__ import annotations

from refntk.spectral.harmonic import (
    FiniteGroup,
    Irrep,
    class_pose_errors,
    cyclic,
    dihedral,
    group_average,
    group_spectrum,
    pose_causes,
    pose_errors,
)
from refntk.spectral.leave_out import (
    accuracy_one_against_rest,
    leave_out_errors,
    missing_errors,
    missing_sets_errors,
)
from refntk.spectral.theory import (
    causes,
    circulant_spectrum,
    circularize,
    deinterleave,
    interleave,
    interleaved_row,
    missing_errors_spectral,
    spectral_error,
)

__all__ = [
    "FiniteGroup",
    "Irrep",
    "accuracy_one_against_rest",
    "causes",
    "circulant_spectrum",
    "circularize",
    "class_pose_errors",
    "cyclic",
    "deinterleave",
    "dihedral",
    "group_average",
    "group_spectrum",
    "interleave",
    "interleaved_row",
    "leave_out_errors",
    "missing_errors",
    "missing_errors_spectral",
    "missing_sets_errors",
    "pose_causes",
    "pose_errors",
    "spectral_error",
]
