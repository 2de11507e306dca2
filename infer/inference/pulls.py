"""Pulls and constraints: what a fit did to what auxiliary data say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infer.constraints import Poisson
from infer.data import Data
from infer.inference.fits import FitResult


@dataclass(frozen=True)
class Pull:
    """One parameter after a fit.

    Attributes:
        value: Best fit.
        uncertainty: Standard deviation, None where the fit gives none.
        pull: (Best fit - auxiliary datum) / standard deviation before the fit; None without a constraint.
        constraint: Standard deviation after the fit over that before; None likewise.
    """

    value: float
    uncertainty: float | None
    pull: float | None
    constraint: float | None


def pulls(fitted: FitResult, data: Data) -> dict[str, Pull]:
    """Every parameter with its pull and constraint, by name."""
    aux = dict(zip(fitted.parameters.constrained, np.asarray(data.aux).tolist(), strict=True))
    return {name: _pull(fitted, name, aux.get(name)) for name in fitted.parameters}


def _pull(fitted: FitResult, name: str, datum: float | None) -> Pull:
    parameter = fitted.parameters[name]
    value, sigma, before = fitted.value(name), fitted.uncertainty(name), parameter.prefit_uncertainty()
    if datum is None or not before:
        return Pull(value, sigma, None, None)
    scale = parameter.constraint.scale if isinstance(parameter.constraint, Poisson) else 1.0
    return Pull(value, sigma, (value - datum / scale) / before, None if sigma is None else sigma / before)
