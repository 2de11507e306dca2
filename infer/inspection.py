"""What a likelihood contains, before anything is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from infer.data import Data
from infer.inference.fits import Settings
from infer.likelihood import Likelihood, check_data
from infer.parameters import Parameter, Parameters


@dataclass(frozen=True, eq=False)
class Inspection:
    """Contents of a likelihood and its data.

    Attributes:
        kind: Class of the likelihood.
        poi: Parameter of interest, None if none is declared.
        parameters: Declarations.
        n_main: Number of main data.
        remarks: What the reader of the file found worth saying.
    """

    kind: str
    poi: str | None
    parameters: Parameters
    n_main: int
    remarks: tuple[str, ...]

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer inspect --json``."""
        return {
            "kind": self.kind,
            "poi": self.poi,
            "n_main": self.n_main,
            "parameters": {name: _declaration(p) for name, p in self.parameters.items()},
            "remarks": list(self.remarks),
        }

    def table(self) -> str:
        """The record as plain text."""
        n = len(self.parameters)
        fixed = int(np.sum(self.parameters.fixed))
        constrained = len(self.parameters.constrained)
        width = max(len(name) for name in self.parameters)
        free = f"{n - constrained} free, {fixed} fixed"
        return "\n".join(
            [
                f"{self.kind} with {self.n_main} main data and {n} parameters: {constrained} constrained, {free}.",
                f"Parameter of interest: {self.poi or 'none declared'}",
                "",
                *(f"  {name:<{width}}  {_line(p)}" for name, p in self.parameters.items()),
                *(f"Note: {remark}" for remark in self.remarks),
            ]
        )


def inspect_likelihood(likelihood: Likelihood, data: Data, settings: Settings | None = None) -> Inspection:
    """Look into a likelihood.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        settings: Start values, bounds and fixed parameters that would be used in a fit.

    Raises:
        InputError: The data or the settings do not fit the likelihood.
    """
    check_data(likelihood, data)
    parameters = (settings or Settings()).applied(likelihood.parameters)
    n_main = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(data.main))
    return Inspection(type(likelihood).__name__, parameters.poi, parameters, n_main, likelihood.remarks)


def _declaration(parameter: Parameter) -> dict[str, Any]:
    constraint = parameter.constraint
    return {
        "init": parameter.init,
        "bounds": [b if np.isfinite(b) else None for b in parameter.bounds],
        "fixed": parameter.fixed,
        "constraint": None if constraint is None else type(constraint).__name__,
        "prefit_uncertainty": parameter.prefit_uncertainty(),
        "group": parameter.group,
        "unit": parameter.unit,
    }


def _line(parameter: Parameter) -> str:
    low, high = parameter.bounds
    if parameter.fixed:
        return f"fixed at {parameter.init:g}"
    if parameter.constraint is None:
        return f"free in [{low:g}, {high:g}], starts at {parameter.init:g}"
    width = parameter.prefit_uncertainty()
    return f"{type(parameter.constraint).__name__} constraint of width {width:.4g}, group {parameter.group}"
