"""Everything that a report is made of, from a likelihood and its data."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from infer.api import measure
from infer.blinding import require_true_values
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.breakdown import Groups
from infer.inference.fits import FitResult, Settings, fit
from infer.inference.goodness import goodness
from infer.inference.hypotheses import significance
from infer.inference.impacts import impacts
from infer.inference.limits import upper_limit
from infer.inference.profiles import ONE_SIGMA, interval, scan
from infer.inference.yields import Yields, counted, yields
from infer.inspection import inspect_likelihood
from infer.likelihood import Likelihood
from infer.likelihoods.gaussian import GaussianMeasurements
from infer.likelihoods.gaussian.summary import MeasuredValue, measured_values
from infer.likelihoods.histfactory.records import Workspace
from infer.likelihoods.parametric.spectrum import spectra
from infer.measurement import CoverageRecord, Measurement
from infer.report.record import Report

_UNTRUSTED = "the fit is not trustworthy, so that nothing can be read off it"
_NOT_ASKED = {
    "coverage": "no coverage test was given; infer coverage makes one, and --coverage FILE puts it here",
    "hypotheses": "neither was asked for; --limit and --significance do",
}


@dataclass(frozen=True)
class Questions:
    """What a report is to answer beside the measurement.

    Attributes:
        limit: Confidence level of an upper limit by CLs; None for none.
        significance: Whether the significance of a discovery is wanted.
        coverage: Coverage tests made before, to be shown.
        workspace: What a HistFactory likelihood was built from, for a look at its templates.
        title: Heading; None takes one from the parameter of interest.
        provenance: Where the input comes from, as text by key; versions and the date are added.
        source: What messages call the input, such as its path; the report shows its last part only.
    """

    limit: float | None = None
    significance: bool = False
    coverage: tuple[CoverageRecord, ...] = ()
    workspace: Workspace | None = None
    title: str | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


def build_report(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None = None,
    definition: str = "observables",
    groups: Groups | None = None,
    settings: Settings | None = None,
    verify: bool = False,
    questions: Questions | None = None,
    ready: Callable[..., None] | None = None,
) -> Report:
    """Measure, and ask everything that belongs into a report; what does not apply is left out with a reason.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        poi: Parameter of interest; None takes the one that the likelihood declares.
        definition: Of the error budget, as in `measure`; the bootstrap, which draws toys, is not among them.
        groups: Groups of systematic uncertainties, as in `measure`.
        settings: Start values, bounds, fixed parameters and solver.
        verify: Repeat the fit with MIGRAD and compare.
        questions: What else is wanted; None for nothing.
        ready: Called with fields of the report, by name, as soon as they are known: those that an `Artist` draws.

    Raises:
        ParameterError: A name, the definition or a level is unknown or impossible.
        DataError: The data do not fit the likelihood.
    """
    began = time.perf_counter()
    asked, settings = questions or Questions(), settings or Settings()
    if definition == "bootstrap":
        raise ParameterError("a report draws no toys: definition must be observables, conditional or shifted.")
    require_true_values(likelihood, "a report")
    measured = measure(
        likelihood, data, poi=poi, definition=definition, groups=groups, settings=settings, verify=verify
    )
    best = fit(likelihood, data, poi=measured.poi, settings=settings)
    fields = _Gathering(likelihood, data, settings, measured, best, ready or _nobody).fields(asked)
    coverage = asked.coverage or ((measured.coverage,) if measured.coverage else ())
    left_out = fields.pop("left_out")
    if not coverage:
        left_out["coverage"] = _NOT_ASKED["coverage"]
    return Report(
        title=asked.title or f"Measurement of {measured.poi}",
        measurement=measured,
        fit=best,
        inspection=inspect_likelihood(
            likelihood,
            data,
            settings=settings,
            workspace=asked.workspace,
            fitting=False,
            fitted=best if measured.certificate.trustworthy else None,
        ),
        coverage=coverage,
        left_out=left_out,
        source=asked.source,
        provenance={**asked.provenance, **_surroundings()},
        seconds=time.perf_counter() - began,
        **fields,
    )


@dataclass(frozen=True, eq=False)
class _Gathering:
    """The fit that everything is read off."""

    likelihood: Likelihood
    data: Data
    settings: Settings
    measured: Measurement
    best: FitResult
    ready: Callable[..., None]

    def fields(self, asked: Questions) -> dict[str, Any]:
        """Fields of the `Report`, and the sections that are left out."""
        left_out: dict[str, str] = {}
        found: dict[str, Any] = {"left_out": left_out, "yields": self._yields()}
        if not self.measured.certificate.trustworthy:
            _note_inputs(left_out, found)
            untrusted = ("budget", "profile", "impacts", "correlations", "goodness")
            return found | {"left_out": left_out | dict.fromkeys(untrusted, _UNTRUSTED) | _unasked(asked, failed=True)}
        inputs = self._inputs()
        _note_inputs(left_out, found | inputs)
        self.ready(measurement=self.measured, measured=inputs["measured"], combinations=inputs["combinations"])
        self.ready(yields=found["yields"], spectra=inputs["spectra"])
        if self.measured.stat.size is None:
            left_out["budget"] = f"the Hessian gives {self.measured.poi} no uncertainty to split"
        profile = self._profile()
        self.ready(**profile)
        ranking = self._ranking(left_out)
        self.ready(**ranking)
        left_out.update(_unasked(asked, failed=False))
        return found | inputs | profile | ranking | self._tested(left_out) | self._hypotheses(asked)

    def _profile(self) -> dict[str, Any]:
        poi, best, settings = self.measured.poi, self.best, self.settings
        ends = [
            interval(self.likelihood, self.data, poi=poi, cl=cl, fitted=best, settings=settings)
            for cl in (ONE_SIGMA, 0.95)
        ]
        scanned = scan(self.likelihood, self.data, poi=poi, fitted=best, settings=settings)
        return {"scan": scanned, "intervals": tuple(ends)}

    def _ranking(self, left_out: dict[str, str]) -> dict[str, Any]:
        """Impacts of all nuisance parameters."""
        nuisances = [n for n, p in self.best.parameters.items() if not p.fixed and n != self.measured.poi]
        if not nuisances:
            left_out["impacts"] = left_out["correlations"] = "there is no nuisance parameter"
            return {}
        ranked = impacts(self.likelihood, self.data, poi=self.measured.poi, fitted=self.best, settings=self.settings)
        return {"impacts": ranked}

    def _tested(self, left_out: dict[str, str]) -> dict[str, Any]:
        """Goodness of fit, where the likelihood has a saturated model."""
        try:
            return {"goodness": goodness(self.likelihood, self.data, settings=self.settings)}
        except ParameterError as refused:
            left_out["goodness"] = str(refused).rstrip(".")
            return {}

    def _yields(self) -> Yields | None:
        if not counted(self.likelihood, self.data):
            return None
        poi, settings = self.measured.poi, self.settings
        return yields(self.likelihood, self.data, poi=poi, settings=settings, fitted=self.best)

    def _inputs(self) -> dict[str, Any]:
        """What went in that is neither channel nor sample: densities and published measurements."""
        values, covariance = self.best.values, self.best.covariance
        return {
            "spectra": spectra(self.likelihood, self.data.main, values=values, covariance=covariance),
            "measured": self._published(),
            "combinations": self._partial(),
        }

    def _published(self) -> tuple[MeasuredValue, ...]:
        if not isinstance(self.likelihood, GaussianMeasurements):
            return ()
        if self.measured.poi not in self.likelihood.observables:
            return ()
        return measured_values(self.likelihood, self.data, observable=self.measured.poi)

    def _partial(self) -> dict[str, Measurement]:
        """The measurement from each named part of published measurements."""
        if not isinstance(self.likelihood, GaussianMeasurements) or not self._published():
            return {}
        names: Sequence[str] = tuple(self.likelihood.combinations)
        poi = self.measured.poi
        return {name: measure(*self.likelihood.subset(self.data, name), poi=poi) for name in names}

    def _hypotheses(self, asked: Questions) -> dict[str, Any]:
        poi, settings = self.measured.poi, self.settings
        found: dict[str, Any] = {}
        if asked.limit is not None:
            found["limit"] = upper_limit(self.likelihood, self.data, poi=poi, cl=asked.limit, settings=settings)
        if asked.significance:
            found["significance"] = significance(self.likelihood, self.data, poi=poi, settings=settings)
        return found


def _note_inputs(left_out: dict[str, str], found: Mapping[str, Any]) -> None:
    """Say where there is nothing to show beside the model."""
    if found["yields"] is None and not found.get("measured") and not found.get("spectra"):
        left_out["channels"] = "the likelihood counts no events"


def _nobody(**part: Any) -> None:
    """Nobody waits for the fields."""


def _unasked(asked: Questions, *, failed: bool) -> dict[str, str]:
    """Why there is no section on hypotheses."""
    wanted = asked.limit is not None or asked.significance
    if wanted and not failed:
        return {}
    return {"hypotheses": _UNTRUSTED if wanted else _NOT_ASKED["hypotheses"]}


def _surroundings() -> dict[str, str]:
    """Versions and the date; nothing of the machine."""
    names = ("infer-hep", "jax", "numpy", "scipy", "iminuit", "pyhf")
    found = {"Python": platform.python_version()} | {name: version(name) for name in names}
    return {"date": _today(), "versions": ", ".join(f"{name} {number}" for name, number in found.items())}


def _today() -> str:
    """The date in UTC, or that of the variable SOURCE_DATE_EPOCH, which makes reports reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = float(epoch) if epoch.isdigit() else time.time()
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).strftime("%Y-%m-%d")
