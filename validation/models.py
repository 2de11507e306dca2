"""The two sides of every comparison, as plain functions of a parameter point given by name.

pyhf is the reference here: normsys with interpolation code4 and histosys with code4p, the choices of ROOT and
TRExFitter, which are also this package's.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyhf

import infer

INTERPOLATION = {"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}}
Point = Mapping[str, float]
LogPdf = Callable[[Point], float]


@dataclass(frozen=True)
class Reference:
    """Pyhf's model of a workspace and its observed data."""

    model: Any
    data: Any

    @property
    def names(self) -> list[str]:
        """Parameter names in pyhf's order."""
        return list(self.model.config.par_names)

    @property
    def initial(self) -> dict[str, float]:
        """Suggested start values by name."""
        return dict(zip(self.names, map(float, self.model.config.suggested_init()), strict=True))

    def vector(self, point: Point) -> np.ndarray:
        """A point in pyhf's order, completed by the start values (constant parameters)."""
        unknown = set(point) - set(self.names)
        if unknown:
            raise KeyError(f"not parameters of this workspace: {sorted(unknown)}")
        completed = self.initial | dict(point)
        return np.array([completed[name] for name in self.names])

    def logpdf(self, point: Point) -> float:
        """Log f(data | point) by pyhf, constraints and constants included."""
        return float(self.model.logpdf(self.vector(point), self.data)[0])

    def rates(self, point: Point) -> np.ndarray:
        """Expected main counts."""
        return np.asarray(self.model.expected_actualdata(self.vector(point)))


def pyhf_reference(path: Path) -> Reference:
    """The workspace file as pyhf reads it."""
    pyhf.set_backend("numpy", precision="64b")
    workspace = pyhf.Workspace(json.loads(path.read_text()))
    model = workspace.model(modifier_settings=INTERPOLATION)
    return Reference(model, workspace.data(model))


def infer_logpdf(path: Path) -> LogPdf:
    """This package's log f(data | point) for the workspace file, constraints and constants included."""
    likelihood, data = infer.read_workspace(path)
    evaluate = jax.jit(lambda theta: likelihood.logpdf(theta, data))
    return lambda point: float(evaluate(likelihood.parameters.vector(point)))
