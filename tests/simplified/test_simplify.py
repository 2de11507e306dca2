"""Simplified likelihoods: exact where they must be, closed forms, and the same to pyhf."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyhf
import pytest

import infer
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.simplified.expansion import expand
from infer.simplified.forms import covariance_form, linear_form
from infer.simplified.simplify import simplify
from tests.io.broken import valid_workspace

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # raised inside pyhf

WORKSPACES = Path(__file__).parents[2] / "workspaces"
SIGNAL, BACKGROUND = [5.0, 8.0, 4.0], [50.0, 40.0, 30.0]


def histosys(name: str, nominal: list[float], shift: list[float]) -> dict[str, Any]:
    """A straight line."""
    lo, hi = (np.asarray(nominal) + sign * np.asarray(shift) for sign in (-1.0, 1.0))
    return {"name": name, "type": "histosys", "data": {"lo_data": lo.tolist(), "hi_data": hi.tolist()}}


def linear_workspace(*, signal_moves: bool) -> dict[str, Any]:
    """Rates that are linear in normal nuisance parameters; on request, the signal moves with one of them."""
    mu = {"name": "mu", "type": "normfactor", "data": None}
    moved = [histosys("jes", SIGNAL, [0.4, 0.5, 0.1])] if signal_moves else []
    background = [histosys("jes", BACKGROUND, [3.0, -2.0, 1.0]), histosys("top", BACKGROUND, [1.0, 2.0, 2.5])]
    samples = [
        {"name": "signal", "data": SIGNAL, "modifiers": [mu, *moved]},
        {"name": "background", "data": BACKGROUND, "modifiers": background},
    ]
    setting = {"name": "mu", "inits": [1.0], "bounds": [[-5.0, 10.0]]}
    return {
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": [60.0, 43.0, 37.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [setting]}}],
        "version": "1.0.0",
    }


def controlled_workspace(contamination: float) -> dict[str, Any]:
    """One signal bin, and one control bin that alone measures the background's free normalisation."""
    mu, norm = ({"name": name, "type": "normfactor", "data": None} for name in ("mu", "norm"))
    control = [{"name": "background", "data": [200.0], "modifiers": [norm]}]
    if contamination:
        control.append({"name": "signal", "data": [contamination], "modifiers": [mu]})
    region = [
        {"name": "signal", "data": [20.0], "modifiers": [mu]},
        {"name": "background", "data": [30.0], "modifiers": [norm]},
    ]
    return {
        "channels": [{"name": "CR", "samples": control}, {"name": "SR", "samples": region}],
        "observations": [{"name": "CR", "data": [230.0]}, {"name": "SR", "data": [44.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def built(document: dict[str, Any]) -> tuple[HistFactory, infer.Data]:
    """Model and data."""
    return HistFactory.of(parse_workspace(document))


@pytest.mark.parametrize("at", ["best-fit", pytest.param("background", marks=pytest.mark.slow)])
def test_the_covariance_form_of_a_linear_likelihood_is_exact(at: str) -> None:
    """Nuisance parameters on straight lines, with normal constraints: the profile is the same to 1e-8."""
    result = simplify(*built(linear_workspace(signal_moves=False)), at=at, points=7, limits=at == "background")
    assert result.trustworthy
    np.testing.assert_allclose(result.difference.delta, 0.0, atol=1e-8)
    assert result.difference.simplified.value == pytest.approx(result.difference.full.value, abs=1e-5)  # of the fits
    limits = (result.difference.full.limit, result.difference.simplified.limit)
    assert (None in limits) == (at == "best-fit")
    if limits[0] is not None:
        assert limits[1] == pytest.approx(limits[0], rel=1e-5)
    shifts = np.asarray([[3.0, -2.0, 1.0], [1.0, 2.0, 2.5]])
    np.testing.assert_allclose(result.contents.covariance, shifts.T @ shifts, rtol=1e-9)
    np.testing.assert_allclose(result.contents.background, BACKGROUND, rtol=1e-9)
    np.testing.assert_allclose(result.contents.signal, SIGNAL, rtol=1e-9)


@pytest.mark.parametrize("form", ["covariance", "linear"])
def test_the_signal_moves_too(form: str) -> None:
    """Both forms are exact where signal and background move on straight lines."""
    likelihood, data = built(linear_workspace(signal_moves=True))
    result = simplify(likelihood, data, form=form, points=7, limits=False)
    np.testing.assert_allclose(result.difference.delta, 0.0, atol=1e-8)
    if form == "covariance":  # of the background alone
        shifts = np.asarray([[3.0, -2.0, 1.0], [1.0, 2.0, 2.5]])
        np.testing.assert_allclose(result.contents.covariance, shifts.T @ shifts, rtol=1e-8)


def test_a_control_region_becomes_a_variance() -> None:
    """V = b^2 / n_c times the square of the normalisation, at the fit that the control region alone makes."""
    likelihood, data = built(controlled_workspace(0.0))
    form = covariance_form(likelihood, data, expand(likelihood, data), ["SR"])
    norm = 230.0 / 200.0  # both bins are saturated, so that the control region alone fixes the normalisation
    np.testing.assert_allclose(form.covariance, [[(30.0 * norm) ** 2 / 230.0]], rtol=1e-6)
    np.testing.assert_allclose(form.background, [30.0 * norm], rtol=1e-6)
    assert form.absorbed == ("CR",)


def test_signal_in_the_control_region_lowers_the_signal() -> None:
    """s' = s - b s_c / c: more signal there means less background here."""
    likelihood, data = built(controlled_workspace(10.0))
    form = covariance_form(likelihood, data, expand(likelihood, data), ["SR"])
    np.testing.assert_allclose(form.signal, [20.0 - 30.0 * 10.0 / 200.0], rtol=1e-6)


def test_channels_with_a_percent_of_the_information_are_kept() -> None:
    """By default; the shares add up to one."""
    expansion = expand(*built(controlled_workspace(0.5)))
    assert sum(expansion.information().values()) == pytest.approx(1.0)
    assert expansion.informative() == ("SR",)


@pytest.mark.parametrize("form", [pytest.param("covariance", marks=pytest.mark.slow), "linear"])
def test_the_best_fit_is_that_of_the_full_likelihood(form: str) -> None:
    """All seven modifiers: expanded at the best fit, both have the same stationary point."""
    document = valid_workspace()
    if form == "covariance":  # what only the control region could measure, and it is kept
        document["channels"][1]["samples"].pop()
        for sample in (*document["channels"][0]["samples"], *document["channels"][1]["samples"]):
            sample["modifiers"] = [m for m in sample["modifiers"] if m["name"] != "tt"]
    likelihood, data = built(document)
    expansion = expand(likelihood, data)
    if form == "linear":
        made = linear_form(likelihood, data, expansion)
    else:
        made = covariance_form(likelihood, data, expansion, expansion.channels)
    simple, its_data = built(made.document)
    best = infer.fit(simple, its_data)
    assert best.certificate.trustworthy
    assert best.value("mu") == pytest.approx(expansion.poi_value, abs=2e-5)
    ours, full = best.uncertainty("mu"), expansion.fitted.uncertainty("mu")
    assert ours is not None
    assert full is not None
    assert ours == pytest.approx(full, rel=0.05)


def test_pyhf_reads_it() -> None:
    """Schema, and the negative log-likelihood to 1e-10 at five points, with pyhf's own interpolation codes."""
    likelihood, its_data = built(linear_workspace(signal_moves=False))
    document = linear_form(likelihood, its_data, expand(likelihood, its_data)).document
    simple, data = built(document)
    workspace = pyhf.Workspace(document)
    model = workspace.model()  # histosys code0, where infer takes code4p: no difference on straight lines
    generator = np.random.default_rng(3)
    for _ in range(5):
        theta = generator.uniform(0.2, 1.0, len(simple.parameters))
        by_name = dict(zip(simple.parameters.names, theta.tolist(), strict=True))
        theirs = float(np.ravel(model.logpdf([by_name[n] for n in model.config.par_names], workspace.data(model)))[0])
        assert float(simple.logpdf(jnp.asarray(theta), data)) == pytest.approx(theirs, rel=0.0, abs=1e-10)


def test_combinations_are_likelihoods_of_counts_too() -> None:
    """Channels carry the name of their component."""
    one, data = built(linear_workspace(signal_moves=False))
    both = infer.Product(a=one, b=one)
    doubled = both.data(a=data, b=data)
    form = covariance_form(both, doubled, expand(both, doubled, poi="mu"))
    assert set(form.channels) == {"a/SR", "b/SR"}
    assert form.covariance.shape == (6, 6)


def test_what_cannot_be_simplified_is_said() -> None:
    """One sentence each."""
    likelihood, data = built(controlled_workspace(0.0))
    with pytest.raises(infer.ParameterError, match="'norm' moves bins that are kept"):
        simplify(likelihood, data, keep=["CR", "SR"])
    with pytest.raises(infer.ParameterError, match="no channel is called 'SRx'"):
        simplify(likelihood, data, keep=["SRx"])
    with pytest.raises(infer.ParameterError, match="form must be one of"):
        simplify(likelihood, data, form="cubic")
    with pytest.raises(infer.ParameterError, match="at must be one of"):
        simplify(likelihood, data, at="asimov")
    with pytest.raises(infer.ParameterError, match="leave keep out"):
        simplify(likelihood, data, form="linear", keep=["SR"])
    with pytest.raises(infer.ParameterError, match="two points or more"):
        simplify(likelihood, data, points=1)
    with pytest.raises(infer.ParameterError, match="'mu' is fixed"):
        simplify(likelihood, data, settings=infer.Settings(fixed={"mu": 1.0}))
    with pytest.raises(infer.ParameterError, match="cannot say it is blinded"):
        simplify(infer.blind(likelihood, phrase="secret", widths={"mu": 1.0}), data)
    masses = infer.read_workspace(WORKSPACES / "higgs_mass.json")
    with pytest.raises(infer.ParameterError, match="needs counts in bins"):
        simplify(*masses)
    constrained = copy.deepcopy(linear_workspace(signal_moves=False))
    constrained["measurements"][0]["config"]["poi"] = "jes"
    with pytest.raises(infer.ParameterError, match="has a constraint and is no factor"):
        simplify(*built(constrained), form="linear")


def test_tables_have_a_line_for_each_bin() -> None:
    """CSV, with names that hold a comma in quotes."""
    document = linear_workspace(signal_moves=False)
    document["channels"][0]["name"] = document["observations"][0]["name"] = "SR, low"
    result = simplify(*built(document), points=2, limits=False)
    lines = result.yields_csv().splitlines()
    assert lines[0] == "channel,bin,observed,background,uncertainty,postfit,signal"
    assert lines[1].startswith('"SR, low",0,60,50,')
    assert len(result.covariance_csv().splitlines()) == 4
    json.dumps(result.to_json_dict(), allow_nan=False)


@pytest.mark.slow
def test_a_published_search(likelihoods: Path) -> None:
    """Of 116 parameters at most 25 are left, with the 20 signal bins, and the profile stays where it was."""
    likelihood, data = infer.read_workspace(likelihoods / "2019-09_onshell.json")
    result = simplify(likelihood, data, points=5, limits=False)
    assert result.trustworthy
    assert len(result.contents.channels) == 20
    assert result.difference.simplified.n_parameters <= 25
    assert len(result.contents.absorbed) == 3
    assert result.difference.largest is not None
    assert abs(result.difference.largest) < 0.05  # 0.012
