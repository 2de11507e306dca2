"""From a file to a measurement: what most users need of infer, in two functions."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np

from infer.certificate import Certificate
from infer.combination import Scheme, combine
from infer.data import Data
from infer.documents import described, fail
from infer.errors import InputError, ParameterError, WorkspaceError
from infer.inference import breakdown
from infer.inference.breakdown import Budget, Groups
from infer.inference.coverage import coverage
from infer.inference.fits import FitResult, Settings, fit, require_poi
from infer.inference.profiles import ONE_SIGMA, Interval, interval, standard_deviations
from infer.inference.pulls import pulls
from infer.io import combination
from infer.io.conversion import is_foreign, read_model
from infer.io.datacards import is_datacard, read_datacard
from infer.io.histfactory_model import histfactory_model
from infer.io.hs3 import is_hs3, read_hs3
from infer.io.measurements import parse_measurements
from infer.io.parametric import parse_parametric
from infer.io.pyhf_json import read_document
from infer.io.simplified import FORMAT, parse_simplified
from infer.likelihood import Likelihood
from infer.likelihoods.histfactory.model import HistFactory, Interpolation
from infer.likelihoods.histfactory.spec import Notice, parse_workspace
from infer.measurement import CoveragePoint, CoverageRecord, Measurement, ParameterEstimate
from infer.statement import Uncertainty
from infer.typing import Key

_NO_BUDGET = (np.nan, np.nan)


def read_workspace(
    path: str | Path,
    *,
    measurement: str | None = None,
    patch: str | None = None,
    interpolation: Interpolation | None = None,
) -> tuple[Likelihood, Data]:
    """Read a likelihood and its data from a file.

    Args:
        path: A pyhf workspace, a datacard of CMS Combine (``.txt``), HistFactory XML (its top-level file), a document
            of HS3, or one of infer's own formats (published measurements, parametric densities, combinations), which
            its key ``format`` names.
        measurement: Name of a measurement of a pyhf workspace, None takes the first; of an analysis of HS3; of a
            partial combination of published measurements, None takes all; or the mass that a datacard is read for.
        patch: ``patchset.json:name``, or the path of a JSON patch; for pyhf workspaces.
        interpolation: Interpolation codes of a pyhf workspace or datacard; None takes the defaults of pyhf or Combine.

    Returns:
        The likelihood, and the observed data.

    Raises:
        WorkspaceError: The file breaks its format; the message names the place and the remedy.
    """
    return _read(Path(path), measurement, patch, interpolation, ())


def read_combination(
    path: str | Path, *, interpolation: Interpolation | None = None
) -> tuple[dict[str, tuple[Likelihood, Data]], Scheme]:
    """Read the components of a combination, and what they share.

    Args:
        path: A document of the format ``infer-combination``, in YAML or JSON.
        interpolation: Interpolation codes of pyhf workspaces for which the document names none; None takes
            pyhf's defaults.

    Returns:
        Likelihood and data of each component by name, and the scheme: what `combine` takes.

    Raises:
        WorkspaceError: The document or a file that it names breaks its format.
    """
    document = read_document(path)
    if document.get("format") != combination.FORMAT:
        got = described(document["format"]) if "format" in document else "none"
        raise fail(str(path), f"format is {got}, expected {combination.FORMAT!r}", "give a combination of files")
    return _components(document, Path(path), interpolation, ())


def _components(
    document: dict[str, object], path: Path, interpolation: Interpolation | None, above: tuple[Path, ...]
) -> tuple[dict[str, tuple[Likelihood, Data]], Scheme]:
    """Components and scheme of a document; ``above`` are the combinations that name it."""
    if path.resolve() in above:
        raise fail(str(path), "this combination names itself as a component", "name other files")
    files, scheme = combination.parse_combination(document, source=str(path), directory=path.parent)
    within = (*above, path.resolve())
    parts = {}
    for name, file in files.items():
        codes = file.interpolation or interpolation
        try:
            parts[name] = _read(file.path, file.measurement, file.patch, codes, within)
        except WorkspaceError as error:
            raise WorkspaceError(f"{path}: component {name!r}: {error}") from error
    return parts, scheme


def _combined(
    document: dict[str, object], path: Path, interpolation: Interpolation | None, above: tuple[Path, ...]
) -> tuple[Likelihood, Data]:
    parts, scheme = _components(document, path, interpolation, above)
    try:
        return combine(parts, scheme)
    except InputError as error:
        raise WorkspaceError(f"{path}: {error}") from error


def _read(
    path: Path,
    measurement: str | None,
    patch: str | None,
    interpolation: Interpolation | None,
    above: tuple[Path, ...],
) -> tuple[Likelihood, Data]:
    if is_datacard(path):
        return _datacard(path, measurement, patch, interpolation)
    if is_foreign(path):
        return _foreign(path, measurement, patch, interpolation)
    document, source = read_document(path, patch), str(path)
    if is_hs3(document):
        return read_hs3(document, analysis=measurement, source=source).likelihood(interpolation=interpolation)
    kind = document.get("format")
    if kind == combination.FORMAT:
        if measurement is not None:
            raise fail(source, "a combination has no measurement of its own", "name it in the entry of a component")
        return _combined(document, path, interpolation, above)
    own = _own(document, path, measurement)
    if own is not None:
        return own
    workspace = parse_workspace(document, source=source)
    return HistFactory.of(workspace, workspace.measurement(measurement), interpolation=interpolation)


def _own(document: dict[str, object], path: Path, measurement: str | None) -> tuple[Likelihood, Data] | None:
    """A document of one of infer's own formats; None for others."""
    kind, source = document.get("format"), str(path)
    if kind == "infer-measurements":
        combined, values, _ = parse_measurements(document, source=source)
        return (combined, values) if measurement is None else combined.subset(values, measurement)
    if kind == "infer-parametric":
        parametric, events, _ = parse_parametric(document, source=source, directory=path.parent)
        return parametric, events
    if kind == FORMAT:
        return parse_simplified(document, source=source)
    return None


def _datacard(
    path: Path, measurement: str | None, patch: str | None, interpolation: Interpolation | None
) -> tuple[Likelihood, Data]:
    """A datacard; the measurement is the mass that it is read for."""
    if patch is not None:
        raise fail(str(path), "a datacard has no patches", "leave them out")
    try:
        mass = None if measurement is None else float(measurement)
    except ValueError:
        problem = f"a datacard has no measurement {measurement!r}"
        raise fail(str(path), problem, "leave it out, or give the mass that $MASS stands for") from None
    return read_datacard(path, mass=mass).likelihood(interpolation=interpolation)


def _foreign(
    path: Path, measurement: str | None, patch: str | None, interpolation: Interpolation | None
) -> tuple[Likelihood, Data]:
    """A model that came as something else than a pyhf workspace; what was assumed on the way is among its remarks."""
    model = read_model(path, patch=patch)
    workspace = parse_workspace(model.workspace, source=str(path))
    said = tuple(Notice("conversion", remark) for remark in model.remarks)
    workspace = replace(workspace, notices=(*said, *workspace.notices))
    chosen = workspace.measurement(measurement)
    return histfactory_model(workspace, chosen, stat=model.stat, interpolation=interpolation)


def measure(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None = None,
    definition: str = "observables",
    groups: Groups | None = None,
    method: str = "profile",
    cl: float = ONE_SIGMA,
    settings: Settings | None = None,
    verify: bool = False,
    key: Key | None = None,
    n_toys: int = 1000,
    n_coverage: int | None = None,
) -> Measurement:
    """Measure one parameter: best fit, interval, error budget and certificate.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        poi: Parameter of interest; None takes the one that the likelihood declares.
        definition: What the parts of the uncertainty mean: ``observables``, ``conditional``,
            ``shifted`` or ``bootstrap`` (see `infer.inference.breakdown`).
        groups: Groups of systematic uncertainties, each with names or regular expressions of
            parameters; the others keep the group that they declare.
        method: Interval: ``profile`` or ``hessian``.
        cl: Confidence level of all uncertainties.
        settings: Start values, bounds, fixed parameters and solver.
        verify: Repeat the fit with MIGRAD and compare.
        key: Random key of the toys; ``bootstrap`` and ``n_coverage`` need one.
        n_toys: Toys per source; ``bootstrap`` uses it.
        n_coverage: Test on so many toys, drawn at the best fit, whether the interval covers; None does not.

    Returns:
        The measurement; ``str()`` of it is the one line.

    Raises:
        ParameterError: A name, definition, method or level is unknown or impossible.
        DataError: The data do not fit the likelihood.
    """
    began = time.perf_counter()
    settings = settings or Settings()
    _check_definition(definition, key, n_coverage)
    fitted = fit(likelihood, data, poi=poi, settings=settings, verify=verify)
    name = require_poi(fitted)
    setting = breakdown.prepare(likelihood, fitted, name, groups)
    if not fitted.certificate.trustworthy:
        return _measurement(fitted, data, name, None, None, definition, method, cl, {}, began)
    ends = interval(likelihood, data, poi=name, cl=cl, method=method, fitted=fitted, settings=settings)
    budget = _budget(setting, data, definition, settings, key, n_toys)
    toys = {}
    if key is not None and definition == "bootstrap":
        toys["toys"] = f"{n_toys} per source, key {jax.random.key_data(key).tolist()}"
    measured = _measurement(fitted, data, name, ends, budget, definition, method, cl, toys, began)
    if key is None or n_coverage is None:
        return measured
    return _with_coverage(measured, likelihood, data, name, settings, key, n_coverage, began)


def _with_coverage(
    measured: Measurement,
    likelihood: Likelihood,
    data: Data,
    name: str,
    settings: Settings,
    key: Key,
    n: int,
    began: float,
) -> Measurement:
    """The measurement with a coverage test of its own interval at its own best fit."""
    tested = coverage(
        likelihood, data, key=key, n_toys=n, poi=name, methods=[measured.interval], cl=measured.cl, settings=settings
    )
    points = tuple(
        CoveragePoint(r.truth, r.n, r.n_failed, r.covered, r.coverage, r.clopper_pearson) for r in tested.results
    )
    return replace(
        measured,
        coverage=CoverageRecord(measured.interval, measured.cl, points),
        provenance={**measured.provenance, "coverage": f"{n} toys, key {jax.random.key_data(key).tolist()}"},
        seconds=time.perf_counter() - began,
    )


def _check_definition(definition: str, key: Key | None, n_coverage: int | None) -> None:
    if definition not in breakdown.DEFINITIONS:
        known = ", ".join(breakdown.DEFINITIONS)
        raise ParameterError(f"definition must be one of {known}, got {definition!r}.")
    if (definition == "bootstrap" or n_coverage is not None) != (key is not None):
        raise ParameterError(
            "the bootstrap and the coverage test, and nothing else, draw toys with a random key: pass "
            "key=jax.random.key(1) together with definition='bootstrap' or n_coverage=1000, "
            f"got definition {definition!r}."
        )


def _budget(
    setting: breakdown.Setting,
    data: Data,
    definition: str,
    settings: Settings,
    key: Key | None,
    n_toys: int,
) -> Budget | None:
    """The error budget; None where the Hessian gives the parameter no uncertainty."""
    if setting.fitted.uncertainty(setting.name) is None:
        return None
    if definition == "observables":
        return breakdown.from_observables(setting)
    if definition == "conditional":
        return breakdown.from_conditional(setting)
    if definition == "shifted" or key is None:  # a bootstrap without a key was refused before the fit
        return breakdown.from_shifts(setting, data, settings)
    return breakdown.from_bootstrap(setting, key, n_toys, settings)


def _measurement(
    fitted: FitResult,
    data: Data,
    name: str,
    ends: Interval | None,
    budget: Budget | None,
    definition: str,
    method: str,
    cl: float,
    toys: dict[str, str],
    began: float,
) -> Measurement:
    parameter = fitted.parameters[name]
    total = (None, None) if ends is None else (ends.down, ends.up)
    scale = _scales(budget, total, cl)
    return Measurement(
        poi=name,
        value=fitted.value(name),
        total=Uncertainty(*total),
        stat=_scaled(None if budget is None else budget.stat, scale),
        syst=_scaled(None if budget is None else budget.syst, scale),
        groups={g: _scaled(part, scale) for g, part in (budget.groups if budget else {}).items()},
        definition=definition,
        interval=method,
        cl=cl,
        one_sided=fitted.at_bound(name),
        unit=parameter.unit,
        latex=parameter.latex,
        twice_nll=fitted.twice_nll,
        certificate=_certificate(fitted, ends, budget),
        parameters=_estimates(fitted, data),
        provenance={"infer": version("infer-hep"), "jax": jax.__version__, **toys},
        seconds=time.perf_counter() - began,
    )


def _scales(
    budget: Budget | None, total: tuple[float | None, float | None], cl: float
) -> tuple[float | None, float | None]:
    """Factors from the budget's parts to what is quoted.

    Parts of the covariance are shares of the total that is printed; shifts and toys stand for
    themselves, at the confidence level asked for.
    """
    if budget is None:
        return None, None
    if budget.definition in ("observables", "conditional"):
        down, up = (None if t is None else t / s for t, s in zip(total, budget.total, strict=True))
        return down, up
    level = standard_deviations(cl)
    return level, level


def _scaled(part: tuple[float, float] | None, scale: tuple[float | None, float | None]) -> Uncertainty:
    down, up = part or _NO_BUDGET
    return Uncertainty(None if scale[0] is None else down * scale[0], None if scale[1] is None else up * scale[1])


def _certificate(fitted: FitResult, ends: Interval | None, budget: Budget | None) -> Certificate:
    """The fit's certificate with what the interval and the budget add to it."""
    notices = list(fitted.certificate.notices)
    if ends is not None:
        notices += ends.remarks
        if budget is None:
            notices.append(f"the Hessian gives {ends.name} no uncertainty, so that there is no error budget")
        elif ends.one_sided:
            notices.append(f"the error budget is that of a fit in which {ends.name} may pass its bound")
    if budget is not None and budget.n_failed:
        notices.append(f"{budget.n_failed} refits of the error budget failed and are left out")
    ratio = None if budget is None else budget.sandwich_ratio
    return replace(fitted.certificate, sandwich_ratio=ratio, notices=tuple(notices))


def _estimates(fitted: FitResult, data: Data) -> dict[str, ParameterEstimate]:
    """Every parameter with its pull and constraint."""
    return {n: ParameterEstimate(p.value, p.uncertainty, p.pull, p.constraint) for n, p in pulls(fitted, data).items()}
