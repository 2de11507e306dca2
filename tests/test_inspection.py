"""Inspection: each kind of finding has a workspace that has it; the clean one has none."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from infer.errors import WorkspaceError
from infer.hygiene.findings import KINDS, SEVERITIES, Finding, Findings, Thresholds
from infer.hygiene.fits import directions
from infer.hygiene.names import name_findings
from infer.hygiene.templates import shape_test, template_findings
from infer.inference.fits import Settings, fit
from infer.inspection import Inspection, inspect_likelihood
from infer.io.pyhf_json import load_document
from infer.likelihoods.histfactory.spec import parse_workspace
from tests.hygiene.problems import (
    MU,
    NOMINAL,
    Document,
    built,
    clean,
    counting,
    modifier,
    norm,
    sample_of,
    shape,
    tilted,
    with_modifier,
    workspace,
)
from tests.io.broken import at, edited, put

Edit = Callable[[], Document]


def found_in(document: Document, thresholds: Thresholds | None = None) -> list[Finding]:
    """Findings in templates and names."""
    parsed, t = parse_workspace(document), thresholds or Thresholds()
    return [*template_findings(parsed, t), *name_findings(parsed, t)]


def inspected(document: Document, **options: Any) -> Inspection:
    """An inspection of a document."""
    return inspect_likelihood(*built(document), workspace=parse_workspace(document), **options)


def changed(*path_and_value: Any) -> Document:
    """`clean` with another value at a path below its background."""
    document = clean()
    put(*path_and_value)(sample_of(document))
    return document


def channels(signs: list[float]) -> Document:
    """Channels of one bin with a norm of a sign each."""
    samples = {
        f"R{i}": {"background": ([100.0], [norm("jes", 1.0 - 0.05 * sign, 1.0 + 0.05 * sign)])}
        for i, sign in enumerate(signs)
    }
    return workspace({**samples, "SR": {"signal": ([10.0], [MU]), "other": ([50.0], [])}})


def negative_yield() -> Document:
    """A third sample with a negative bin."""
    document = clean()
    fakes = {"name": "fakes", "data": [1.0, -0.2, 1.0, 1.0, 1.0, 1.0], "modifiers": []}
    document["channels"][0]["samples"].append(fakes)
    return document


def bins_of(content: float, observed: float) -> Document:
    """A clean channel beside one whose second bin has so much content."""
    document = clean()
    document["channels"].append({"name": "T", "samples": [{"name": "b", "data": [50.0, content], "modifiers": []}]})
    document["observations"].append({"name": "T", "data": [50.0, observed]})
    return document


WIGGLE = [0.02, -0.02, 0.02, -0.02, 0.02, -0.02]
SMALL = [0.01, -0.01, 0.01, -0.01, 0.01, -0.01]

TEMPLATES: dict[str, tuple[str, Edit]] = {
    "same-side": ("medium", lambda: with_modifier(norm("jes", 1.02, 1.03))),
    "one-sided": ("medium", lambda: with_modifier(shape("jes", [0.0] * 6, [0.03] * 6))),
    "asymmetric": ("low", lambda: with_modifier(norm("jes", 0.99, 1.08))),
    "normsys-product": ("low", lambda: with_modifier(norm("jes", 0.6, 1.4))),
    "huge": ("high", lambda: with_modifier(norm("jes", 1.0 / 1.7, 1.7))),
    "data-constrained": ("low", lambda: with_modifier(norm("jes", 1.0 / 1.49, 1.49))),
    "interchanged": ("medium", lambda: with_modifier(norm("jes", 0.95, 1.05), shape("jes", [0.04] * 6, [-0.04] * 6))),
    "other-sign": ("low", lambda: channels([1.0, 1.0, 1.0, -1.0])),
    "no-effect": ("low", lambda: with_modifier(norm("jes", 1.0, 1.0), tilted("jes"))),
    "sign-flips": ("low", lambda: with_modifier(shape("jes", [-x for x in WIGGLE], WIGGLE))),
    "noise-dominated": (
        "low",
        lambda: with_modifier(shape("jes", [-x for x in SMALL], SMALL)),
    ),
    "negative-yield": ("medium", negative_yield),
    "negative-variation": ("medium", lambda: with_modifier(shape("jes", [0.02] * 6, [*[-0.02] * 5, -1.1]))),
    "empty-bin": ("medium", lambda: bins_of(0.0, 0.0)),
    "few-events": ("low", lambda: bins_of(0.5, 1.0)),
    "unlikely-data": ("high", lambda: bins_of(0.5, 9.0)),
    "large-staterror": ("low", lambda: changed("modifiers", 2, "data", 5, 20.0)),
    "simulation-limited": ("medium", lambda: changed("modifiers", 2, "data", 0, 11.0)),
    "twin": ("medium", lambda: with_modifier(tilted("same", -1.0))),
    "similar-names": ("medium", lambda: with_modifier(norm("XSec", 0.97, 1.03))),
    "unused-setting": ("low", lambda: {**clean(), **_settings({"name": "absent", "fixed": True})}),
    "without-effect": ("medium", lambda: with_modifier(norm("jes", 1.0, 1.0))),
    "frozen": ("low", lambda: changed("modifiers", 2, "data", 0, 0.0)),
    "notice": ("medium", lambda: {**clean(), **_settings({"name": "mu", "fixed": True})}),
}


def _settings(*entries: Document) -> Document:
    config = {"poi": "mu", "parameters": list(entries)}
    return {"measurements": [{"name": "m", "config": config}]}


DECLARATIONS: dict[str, tuple[str, Edit]] = {
    "held-by-constraint": ("low", lambda: {**clean(), **_settings({"name": "xsec", "fixed": True})}),
    "start-at-bound": ("low", lambda: {**clean(), **_settings({"name": "mu", "bounds": [[1.0, 10.0]]})}),
    "narrow-bounds": ("medium", lambda: {**clean(), **_settings({"name": "xsec", "bounds": [[-1.0, 5.0]]})}),
}


def two_scales(slope: float) -> Document:
    """Two free factors on templates that differ by a slope."""
    b = modifier("b", "normfactor")
    return workspace({"SR": {"signal": ([100.0, 100.0], [MU]), "background": ([100.0, 100.0 + slope], [b])}})


FITS: dict[str, tuple[str, Edit]] = {
    "not-trustworthy": ("high", lambda: two_scales(0.0)),
    "weak-direction": ("medium", lambda: two_scales(5.0)),
    "correlated": ("medium", lambda: two_scales(5.0)),
    "over-constrained": ("medium", lambda: counting([norm("jes", 0.8, 1.25)], 10_000.0, events=10_000.0)),
    "expanded": ("medium", lambda: counting([norm("jes", 1.2, 1.2)], 101.0)),
    "pulled": ("medium", lambda: counting([norm("jes", 0.9, 1.1)], 190.0)),
    "at-bound": ("low", lambda: _below()),
}


def _below() -> Document:
    document = counting([norm("jes", 0.95, 1.05)], 100.0)
    document["observations"][1]["data"] = [40.0]
    return document


def test_every_kind_is_tried() -> None:
    """The tables above have all kinds."""
    assert set(TEMPLATES) | set(DECLARATIONS) | set(FITS) == set(KINDS)


def test_the_clean_workspace_has_no_findings() -> None:
    """Neither in templates, nor in declarations, nor after the fit."""
    record = inspected(clean())
    assert record.findings.table() == "No findings (looked at templates, parameters, fit)."


@pytest.mark.parametrize("kind", TEMPLATES)
def test_findings_in_templates(kind: str) -> None:
    """Each flaw is found once, with its severity, its place and a sentence of one line."""
    severity, document = TEMPLATES[kind]
    found = [f for f in found_in(document()) if f.kind == kind]
    assert [f.severity for f in found] == [severity]
    assert found[0].sentence.isprintable()
    if kind not in {"notice", "frozen", "unused-setting", "similar-names", "without-effect", "twin"}:
        assert found[0].channel in {"SR", "T", "R3"}
        assert found[0].value is not None


@pytest.mark.parametrize("kind", DECLARATIONS)
def test_findings_in_declarations(kind: str) -> None:
    """Start values, bounds and fixed parameters."""
    severity, document = DECLARATIONS[kind]
    (found,) = inspected(document(), fitting=False).findings.of_kind(kind)
    assert found.severity == severity


@pytest.mark.parametrize("kind", FITS)
def test_findings_after_a_fit(kind: str) -> None:
    """Each flaw is found after the fit, and is not seen without it."""
    severity, document = FITS[kind]
    (found,) = inspected(document()).findings.of_kind(kind)
    assert found.severity == severity
    assert inspected(document(), fitting=False).findings.of_kind(kind) == ()


def test_settings_of_the_fit_are_inspected() -> None:
    """A bound that the user sets is judged as a declared one is."""
    narrow = Settings(bounds={"xsec": (-1.0, 5.0)})
    assert len(inspected(clean(), settings=narrow, fitting=False).findings.of_kind("narrow-bounds")) == 1


def test_thresholds_move_findings() -> None:
    """What a threshold allows is not found; a stricter one finds more."""
    document = with_modifier(norm("jes", 0.99, 1.08))
    assert [f.kind for f in found_in(document, replace(Thresholds(), asymmetry=10.0))] == []
    strict = found_in(clean(), replace(Thresholds(), beyond_statistics=0.4))
    assert {f.kind for f in strict} == {"data-constrained"}


def test_twins_are_named_together_however_their_sides_are_called() -> None:
    """Three names with one effect, one of them upside down, are one finding; a normsys equals a flat histosys."""
    found = found_in(with_modifier(tilted("a"), tilted("b", -1.0)))
    (twins,) = [f for f in found if f.kind == "twin"]
    assert set(twins.parameters) == {"slope", "a", "b"}
    flat = found_in(with_modifier(shape("flat", [-0.05] * 6, [0.05] * 6)))
    (twins,) = [f for f in flat if f.kind == "twin"]
    assert set(twins.parameters) == {"xsec", "flat"}
    assert twins.severity == "low" or twins.value == 1.0


def test_twins_differ_by_any_bin() -> None:
    """One bin of one in a thousand makes two parameters."""
    other = tilted("a")
    other["data"]["hi_data"][3] += 0.12
    assert [f for f in found_in(with_modifier(other)) if f.kind == "twin"] == []


def test_shapes_of_noise_are_told_from_shapes() -> None:
    """The p-values of fluctuations are uniform; a slope has none; one sample's own events are far too close.

    1000 pairs of Poisson samples in 10 bins of 400 events: the Kolmogorov-Smirnov distance of the p-values from a
    uniform distribution is above 0.062 with a probability of 0.1 %.
    """
    rng = np.random.default_rng(5)
    truth = np.full(10, 400.0)
    nominal, varied = (rng.poisson(truth, size=(1000, 10)).astype(float) for _ in range(2))
    tests = [shape_test(n, v, np.sqrt(n)) for n, v in zip(nominal, varied, strict=True)]
    p = np.sort([test[1] for test in tests if test is not None])
    assert p.size == 1000
    assert np.max(np.abs(p - (np.arange(1000) + 0.5) / 1000)) < 0.062
    sloped = shape_test(truth, truth * np.linspace(0.8, 1.2, 10), np.sqrt(truth))
    same_events = shape_test(truth, truth * np.linspace(0.999, 1.001, 10), np.sqrt(truth))
    assert sloped is not None
    assert sloped[1] < 1e-3
    assert same_events is not None
    assert same_events[1] > 0.999


def test_directions_of_two_free_factors() -> None:
    """The least eigenvalue is one minus the size of the correlation, and both factors have a half of the direction."""
    likelihood, data = built(two_scales(5.0))
    fitted = fit(likelihood, data)
    least, other = directions(fitted)
    rho = fitted.correlation[0, 1]
    assert least.eigenvalue == pytest.approx(1.0 - abs(rho), rel=1e-6)
    assert other.eigenvalue == pytest.approx(1.0 + abs(rho), rel=1e-6)
    assert [abs(x) for x in least.content.values()] == pytest.approx([0.5**0.5] * 2, rel=1e-6)


def test_what_constraints_limit_is_no_weak_direction() -> None:
    """A cross section that a luminosity limits: the data know their product far better, and nothing is degenerate.

    With the scale mu of n events and a luminosity of relative width l, n l^2 >> 1, and units of the profiled
    uncertainty of mu and of l, the Hessian is [[a, a], [a, a + 1]] with a = n l^2 + 1: its smaller eigenvalue goes to
    1/2.
    """
    document = workspace({"SR": {"signal": ([1e6], [MU, norm("lumi_", 0.98, 1.02)]), "b": ([1.0], [])}})
    (least, _) = directions(fit(*built(document)))
    assert least.eigenvalue == pytest.approx(0.5, abs=0.01)
    assert inspected(document).findings.of_kind("weak-direction") == ()


def test_findings_are_ranked_and_grouped() -> None:
    """Severe ones first, the worst first within a kind; the table names each group once."""
    document = with_modifier(norm("a", 0.4, 2.5), norm("b", 1.02, 1.03), norm("c", 1.04, 1.05), norm("d", 1.0, 1.0))
    record = Findings.of(found_in(document), Thresholds(), ["templates"])
    assert [SEVERITIES.index(f.severity) for f in record] == sorted(SEVERITIES.index(f.severity) for f in record)
    assert [f.parameters for f in record.of_kind("same-side")] == [("c",), ("b",)]
    table = record.table()
    assert table.count("[medium] same-side (2)") == 1
    assert table.index("[high]") < table.index("[medium]") < table.index("[low]")


def test_many_findings_are_summed_up() -> None:
    """Three sentences, and the names of the others with how often they come."""
    document = with_modifier(*(norm(f"n{i}", 1.02 + i / 1000, 1.03 + i / 1000) for i in range(20)))
    record = Findings.of(found_in(document), Thresholds(), ["templates"])
    (line,) = [line for line in record.table().splitlines() if "more:" in line]
    assert "and 17 more: " in line
    assert "other names" in line


def test_json_is_plain() -> None:
    """The record is JSON without NaN, with the numbers of every finding."""
    record = inspected(clean(), thresholds=Thresholds(beyond_statistics=0.55)).to_json_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    (found,) = record["findings"]
    assert (found["kind"], found["parameters"], found["sample"]) == ("data-constrained", ["xsec"], "background")
    assert found["bins"] == [2]
    assert set(record["kinds"]["data-constrained"]) == {"title", "advice"}
    assert record["thresholds"]["huge"] == 0.5
    assert record["status"]["converged"]


def test_likelihoods_without_templates() -> None:
    """Published measurements have parameters and a fit to look at."""
    likelihood, data = built(clean())
    record = inspect_likelihood(likelihood, data)
    assert record.findings.examined == ("parameters", "fit")
    assert len(record.findings) == 0
    again = inspect_likelihood(likelihood, data, fitted=record.fitted, fitting=False)
    assert again.fitted is record.fitted
    assert again.findings.examined == ("parameters", "fit")


# ------------------------------------------------------------------------------------------------- of other tools


JES = ("channels", 0, "samples", 0, "modifiers", 2, "data")


@pytest.mark.parametrize("value", [0.0, -0.1])
def test_factors_that_are_not_positive_are_refused(value: float) -> None:
    """A normsys with lo = 0 has no power; the sentence names channel, sample, modifier and value (B12)."""
    with pytest.raises(WorkspaceError) as error:
        parse_workspace(edited(put(*JES, "lo", value)))
    for part in ("channel 'SR'", "sample 'signal'", "modifier 'jes' (normsys)", f"lo is {value:g}"):
        assert part in str(error.value)


def test_negative_and_missing_yields_have_their_place() -> None:
    """Negative totals are refused with their bin, a negative bin of one sample is found; nothing becomes NaN (B12)."""
    with pytest.raises(WorkspaceError, match="channel 'SR': the nominal rates of bin 1 add up to -47"):
        parse_workspace(edited(put("channels", 0, "samples", 1, "data", 1, -60.0)))
    (found,) = [f for f in found_in(negative_yield()) if f.kind == "negative-yield"]
    assert (found.channel, found.sample, found.bins) == ("SR", "fakes", (1,))
    likelihood, _ = built(negative_yield())
    assert np.all(np.isfinite(likelihood.expected_main(jnp.asarray(likelihood.parameters.init))))


def test_variations_of_zero_give_finite_fits() -> None:
    """A histosys whose down side is zero everywhere is huge, and neither rates nor fit have a NaN (B12)."""
    document = counting([shape("all", [-1.0], [1.0], [100.0])], 90.0)
    assert "huge" in {f.kind for f in found_in(document)}
    result = fit(*built(document))
    assert result.certificate.converged
    assert np.all(np.isfinite(result.values))


def test_uncertainty_of_a_negative_bin_is_kept_or_said() -> None:
    """A negative bin in a positive total keeps its staterror; in one that is not, it is frozen and said (B13)."""
    document = negative_yield()
    sample_of(document, sample=2)["modifiers"].append(modifier("stat_SR", "staterror", [0.3] * 6))
    likelihood, _ = built(document)
    assert not likelihood.parameters["stat_SR[1]"].fixed
    before = clean()
    parameters = built(before)[0].parameters
    assert likelihood.parameters["stat_SR[1]"].prefit_uncertainty() != parameters["stat_SR[1]"].prefit_uncertainty()
    alone = negative_yield()
    sample_of(alone, sample=2)["modifiers"].append(modifier("stat_fakes", "staterror", [0.3] * 6))
    (found,) = [f for f in found_in(alone) if f.kind == "frozen"]
    assert "stat_fakes" in found.sentence
    assert "bin 1" in found.sentence
    assert built(alone)[0].parameters["stat_fakes[1]"].fixed


@pytest.mark.parametrize("kind", ["normsys", "histosys", "normfactor", "staterror"])
def test_two_modifiers_of_one_name_on_a_sample_are_refused(kind: str) -> None:
    """Of one type and name, none is dropped in silence, whether they agree or not (B14)."""
    data = {
        "normsys": {"lo": 0.9, "hi": 1.1},
        "histosys": {"lo_data": NOMINAL, "hi_data": NOMINAL},
        "normfactor": None,
        "staterror": [1.0] * 6,
    }[kind]
    twice = [modifier("twice", kind, copy.deepcopy(data)) for _ in range(2)]
    with pytest.raises(WorkspaceError, match=rf"'background', modifier 'twice' \({kind}\): it stands twice"):
        parse_workspace(with_modifier(*twice))


# ------------------------------------------------------------------------------------------------ published files


@pytest.mark.slow
def test_regions_merged_in_a_publication_are_noticed(likelihoods: Path) -> None:
    """ATLAS-SUSY-2018-05 has SRLow2 beside SRLow_2, and thousands of shifts that go the same way up and down."""
    found = found_in(load_document(likelihoods / "2018-05_ewk.json"))
    (regions,) = [f for f in found if f.kind == "similar-names" and "channels" in f.sentence]
    assert set(regions.parameters) == {"SRLow2_cuts", "SRLow_2_cuts"}
    assert sum(f.kind == "same-side" for f in found) > 1000


@pytest.mark.slow
def test_a_publication_after_its_fit(likelihoods: Path) -> None:
    """ATLAS tttt: systematics without effect, and of every finding a record in JSON."""
    document = load_document(likelihoods / "atlas_tttt.json")
    record = inspected(document)
    assert len(record.findings.of_kind("without-effect")) == 47
    assert record.fitted is not None
    assert record.fitted.certificate.trustworthy
    json.dumps(record.to_json_dict(), allow_nan=False)


def test_paths_of_this_file() -> None:
    """The path to the factors of 'jes' leads there."""
    assert at(edited(), JES) == {"lo": 0.9, "hi": 1.1}
