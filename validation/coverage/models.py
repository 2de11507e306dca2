"""Models whose coverage has a closed form, as likelihoods of the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from infer.data import Data
from infer.io.measurements import parse_measurements
from infer.likelihood import Likelihood
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.spec import parse_workspace

Model = Callable[..., tuple[Likelihood, Data]]


def counting(*, background: float, signal: float = 1.0, upper: float = 200.0) -> tuple[Likelihood, Data]:
    """n ~ Poisson(mu signal + background), the background known, mu between 0 and ``upper``."""
    return _one_bin(signal, background, [], upper)


def on_off(*, background: float, tau: float, signal: float = 1.0, upper: float = 200.0) -> tuple[Likelihood, Data]:
    """n_on ~ Poisson(mu signal + b) and n_off ~ Poisson(tau b): a shapesys of relative size 1 / sqrt(tau b)."""
    size = float(np.sqrt(background / tau))
    return _one_bin(signal, background, [{"name": "b", "type": "shapesys", "data": [size]}], upper)


def gaussian(*, correlation: float, sigma: float = 1.0) -> tuple[Likelihood, Data]:
    """Three measurements of one number, with statistical errors and one source that is partly correlated."""
    names = ("A", "B", "C")
    document = {
        "format": "infer-measurements",
        "version": 1,
        "title": "Three correlated measurements",
        "poi": "x",
        "observables": [{"name": "x", "init": 0.0}],
        "measurements": [
            {"name": name, "observable": "x", "value": value, "stat": stat * sigma, "syst": {"scale": syst * sigma}}
            for name, value, stat, syst in zip(names, (0.3, -0.2, 0.1), (1.0, 1.4, 0.8), (0.6, 0.9, 1.2), strict=True)
        ],
        "sources": {"scale": {"correlation": correlation}},
    }
    combined, data, _ = parse_measurements(document, source="gaussian")
    return combined, data


def _one_bin(
    signal: float, background: float, modifiers: list[dict[str, Any]], upper: float
) -> tuple[Likelihood, Data]:
    strength = {"name": "mu", "type": "normfactor", "data": None}
    samples = [
        {"name": "signal", "data": [signal], "modifiers": [strength]},
        {"name": "background", "data": [background], "modifiers": modifiers},
    ]
    config = {"poi": "mu", "parameters": [{"name": "mu", "inits": [1.0], "bounds": [[0.0, upper]]}]}
    document = {
        "version": "1.0.0",
        "channels": [{"name": "on", "samples": samples}],
        "observations": [{"name": "on", "data": [float(round(signal + background))]}],
        "measurements": [{"name": "counting", "config": config}],
    }
    workspace = parse_workspace(document, source="counting")
    return HistFactory.of(workspace, workspace.measurement(None))


MODELS: dict[str, Model] = {"counting": counting, "on-off": on_off, "gaussian": gaussian}
"""Measured by toys."""

SUMMED = {"garwood": "Poisson mean", "clopper-pearson": "binomial probability"}
"""Intervals with closed-form ends, whose coverage is summed; with what they are intervals of."""
