"""Nominal, augmented and equivariant training of perceptrons on whose layers a group acts.

O. Nordenfors, F. Ohlsson, A. Flinth, "Optimization dynamics of equivariant and augmented neural
networks", arXiv:2303.13458. `representations` has groups and actions, `projection` the projection
on equivariant layers; `nonlinearities` what stands between and behind the layers; `network`
gradients and Hessian-vector products; `theorems` the statements as checks; `counterexamples` points
that are stable for one risk and not for another; `stability` the curvature beside E; `experiments`,
`data` and `study` the experiments: networks, what they are trained on, and their training.
"""

from __future__ import annotations

from refntk.dynamics.network import (
    EquivariantMlp,
    Weights,
    add,
    augmented_gradient,
    augmented_hessian,
    distance,
    flatten,
    inner,
    scale,
    unflatten,
)
from refntk.dynamics.projection import Projection, mean_over_group
from refntk.dynamics.representations import (
    PermutationGroup,
    Representation,
    image_group,
    symmetric_group,
)

__all__ = [
    "EquivariantMlp",
    "PermutationGroup",
    "Projection",
    "Representation",
    "Weights",
    "add",
    "augmented_gradient",
    "augmented_hessian",
    "distance",
    "flatten",
    "image_group",
    "inner",
    "mean_over_group",
    "scale",
    "symmetric_group",
    "unflatten",
]
