"""What a likelihood contains, and what of it deserves a second look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from infer.data import Data
from infer.hygiene.findings import Finding, Findings, Thresholds
from infer.hygiene.fits import Direction, directions, fit_findings, parameter_findings
from infer.hygiene.names import name_findings
from infer.hygiene.templates import template_findings
from infer.inference.fits import FitResult, Settings, fit
from infer.likelihood import Likelihood, check_data
from infer.likelihoods.histfactory.records import Workspace
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
        findings: What deserves a second look.
        fitted: Best fit, None if none was asked for.
    """

    kind: str
    poi: str | None
    parameters: Parameters
    n_main: int
    remarks: tuple[str, ...]
    findings: Findings
    fitted: FitResult | None = None

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Combinations of parameters that are measured least, the least one first; none without a fit."""
        return () if self.fitted is None else directions(self.fitted)

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer inspect --json``."""
        return {
            "kind": self.kind,
            "poi": self.poi,
            "n_main": self.n_main,
            "parameters": {name: _declaration(p) for name, p in self.parameters.items()},
            "remarks": list(self.remarks),
            **self.findings.to_json_dict(),
            "directions": [direction.to_json_dict() for direction in self.directions],
            "status": None if self.fitted is None else self.fitted.certificate.to_json_dict(),
        }

    def table(self, *, parameters: bool = True) -> str:
        """The record as plain text, with or without a line for every parameter."""
        n = len(self.parameters)
        fixed = int(np.sum(self.parameters.fixed))
        constrained = len(self.parameters.constrained)
        width = max(len(name) for name in self.parameters)
        free = f"{n - constrained} free, {fixed} fixed"
        lines = [f"  {name:<{width}}  {_line(p)}" for name, p in self.parameters.items()]
        return "\n".join(
            [
                f"{self.kind} with {self.n_main} main data and {n} parameters: {constrained} constrained, {free}.",
                f"Parameter of interest: {self.poi or 'none declared'}",
                "",
                *([*lines, *(f"Note: {remark}" for remark in self.remarks), ""] if parameters else []),
                self.findings.table(),
            ]
        )


def inspect_likelihood(
    likelihood: Likelihood,
    data: Data,
    *,
    settings: Settings | None = None,
    workspace: Workspace | None = None,
    fitting: bool = True,
    fitted: FitResult | None = None,
    thresholds: Thresholds | None = None,
) -> Inspection:
    """Look into a likelihood.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        settings: Start values, bounds and fixed parameters of the fit.
        workspace: What a HistFactory likelihood was built from, for a look at its templates.
        fitting: Whether to fit the data, and to look at what comes out.
        fitted: The best fit, if there is one already, which is looked at instead.
        thresholds: Where findings begin; the default ones have their reasons.

    Raises:
        InputError: The data or the settings do not fit the likelihood.
    """
    check_data(likelihood, data)
    settings, thresholds = settings or Settings(), thresholds or Thresholds()
    parameters = settings.applied(likelihood.parameters)
    n_main = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(data.main))
    found, examined = parameter_findings(likelihood, parameters, thresholds), ["parameters"]
    if workspace is not None:
        found, examined = _merged(_of_workspace(workspace, thresholds), found), ["templates", *examined]
    if fitted is None and fitting:
        fitted = fit(likelihood, data, settings=settings)
    if fitted is not None:
        found, examined = [*found, *fit_findings(fitted, data, thresholds)], [*examined, "fit"]
    findings = Findings.of(found, thresholds, examined)
    return Inspection(
        type(likelihood).__name__, parameters.poi, parameters, n_main, likelihood.remarks, findings, fitted
    )


def _of_workspace(workspace: Workspace, thresholds: Thresholds) -> list[Finding]:
    return [*template_findings(workspace, thresholds), *name_findings(workspace, thresholds)]


def _merged(first: list[Finding], second: list[Finding]) -> list[Finding]:
    """Both, without what the second says again of the same parameters."""
    said = {(f.kind, f.parameters) for f in first if f.channel is None}
    return [*first, *(f for f in second if (f.kind, f.parameters) not in said)]


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
