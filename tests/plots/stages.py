"""Yields of given channels, for figures that look at nothing else."""

from __future__ import annotations

import numpy as np

from infer.certificate import Certificate
from infer.inference.fits import FitResult
from infer.inference.yields import ChannelYields, StageYields, Sums, Yields
from infer.parameters import Parameter, Parameters


def drawn(prefit: tuple[ChannelYields, ...], postfit: tuple[ChannelYields, ...]) -> Yields:
    """A record with these channels; its sums and covariances are empty."""
    nothing, parameters = np.zeros((0, 0)), Parameters([Parameter("mu", 1.0)])
    sums = Sums((), np.zeros(0), nothing, 0.0)
    fit = FitResult(
        parameters=parameters,
        values=np.ones(1),
        uncertainties=np.ones(1),
        covariance=np.eye(1),
        hessian=np.eye(1),
        gradient=np.zeros(1),
        inactive=np.ones(1, dtype=bool),
        twice_nll=0.0,
        poi="mu",
        certificate=Certificate(True, "", 0.0, 0.0, True),
        engine="newton",
        n_steps=1,
        seconds=0.0,
    )
    stages = [
        StageYields(name, channels, (), sums, nothing)
        for name, channels in (("pre-fit", prefit), ("post-fit", postfit))
    ]
    return Yields(*stages, fit, (), 0.0)
