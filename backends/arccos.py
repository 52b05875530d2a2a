r"""The two polynomials behind Relu's arc-cosine formula.

With u = 1 - rho in [0, 1] for a correlation rho, theta = arccos rho = 2 arcsin sqrt(u / 2):

.. math::
    \frac{\theta}{2\pi} &= \sqrt{u} \; \mathrm{ANGLE}(u) \\
    \frac{\sin\theta - \theta \cos\theta}{\pi} &= u \sqrt{u} \; \mathrm{SEGMENT}(u)

Both functions are analytic with their nearest singularity at u = 2, so short polynomials do, and
nothing cancels where rho is near 1. They are the minimax polynomials of the relative error on
[0, 1], found by the Remez exchange with 50 digits and then rounded to the type.
"""

from __future__ import annotations

__all__ = ["ANGLE", "SEGMENT"]

ANGLE: dict[int, tuple[float, ...]] = {
    # relative error 2.2e-8 on [0, 1], rounding of the coefficients included
    32: (
        0.22507907450199127,
        0.018756987527012825,
        0.00421234080567956,
        0.0013150646118447185,
        0.00021416335948742926,
        0.0005627451464533806,
        -0.0003398701664991677,
        0.00019948877161368728,
    ),
    # relative error 6.5e-16 on [0, 1]
    64: (
        0.22507907903927665,
        0.01875658991986095,
        0.004220232739341402,
        0.0012560213748944982,
        0.0004274015212666287,
        0.00015729770614437996,
        6.150428036198497e-05,
        2.2008280709536656e-05,
        1.9894726490301097e-05,
        -2.28848226308223e-05,
        5.7768806084754216e-05,
        -8.408397252706287e-05,
        9.44047239370637e-05,
        -7.401602340546488e-05,
        3.970057800243852e-05,
        -1.2932104263436442e-05,
        2.0132264560355956e-06,
    ),
}
"""Coefficients in increasing order, by the number of bits of the floating-point type."""

SEGMENT: dict[int, tuple[float, ...]] = {
    # relative error 4.7e-8 on [0, 1], rounding of the coefficients included
    32: (
        0.3001054525375366,
        0.015004868619143963,
        0.0024176340084522963,
        0.0005244032363407314,
        0.0002429835294606164,
        -6.210563878994435e-05,
        7.665526209166273e-05,
    ),
    # relative error 1.8e-15 on [0, 1]
    64: (
        0.3001054387190359,
        0.015005271935720507,
        0.0024115615778666005,
        0.000558231365841539,
        0.00015542392471837028,
        4.8354806854422506e-05,
        1.6642736975879565e-05,
        4.318808486977832e-06,
        6.181398501870606e-06,
        -7.127759808538437e-06,
        1.1375116307894468e-05,
        -1.0565272698717048e-05,
        6.939767425725101e-06,
        -2.6651785587602187e-06,
        5.042371204515155e-07,
    ),
}
"""Coefficients in increasing order, by the number of bits of the floating-point type."""
