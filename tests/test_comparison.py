"""A combination beside its components: values, compatibility and its p-value, and a published combination."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from infer.api import measure, read_combination, read_workspace
from infer.combination import Parts, Scheme, Tie, combine, separated
from infer.comparison import compare
from infer.constraints import MultivariateNormal
from infer.errors import ParameterError
from infer.inference.compatibility import compatibility
from infer.inference.fits import Settings, fit
from infer.likelihoods.gaussian import Measured, Source, combine_measurements
from infer.numerics.blue import blue
from infer.parameters import Parameter

WORKSPACES = Path(__file__).parents[1] / "workspaces"
XSEC = WORKSPACES / "ttbar_xsec.yaml"


def parts(*values: float, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Parts:
    """Measurements of `m` with a statistical uncertainty of 1 and a common systematic one of 0.5."""
    return {
        f"e{i}": combine_measurements(
            [Measured("x", value, 1.0, "m", {"scale": 0.5})],
            observables=[Parameter("m", 1.0, bounds)],
            sources={"scale": Source()},
            poi="m",
        )
        for i, value in enumerate(values)
    }


SCHEME = Scheme(shared=("scale",), poi="m")


@pytest.mark.parametrize("values", [(1.0, 4.0), pytest.param((1.0, 2.0, 6.0), marks=pytest.mark.slow)])
def test_compatibility_is_the_chi2_of_the_average(values: tuple[float, ...]) -> None:
    """The common shift drops out of differences, so that chi2 is that of values with uncertainties of 1."""
    result = compare(parts(*values), SCHEME)
    agreement = result.compatibility
    assert agreement is not None
    chi2 = float(np.sum((np.asarray(values) - np.mean(values)) ** 2))
    assert agreement.observed == pytest.approx(chi2, abs=1e-6)
    assert agreement.n_dof == len(values) - 1
    assert agreement.p == pytest.approx(stats.chi2.sf(chi2, len(values) - 1), rel=1e-5)
    assert list(agreement.values.values()) == pytest.approx(list(values), abs=1e-6)
    assert result.measurement.value == pytest.approx(np.mean(values), abs=1e-6)
    assert result.measurement.total.up == pytest.approx(np.hypot(1.0 / np.sqrt(len(values)), 0.5), rel=1e-4)
    assert [m.value for m in result.components.values()] == pytest.approx(list(values), abs=1e-6)
    assert all(m.total.up == pytest.approx(np.hypot(1.0, 0.5), rel=1e-4) for m in result.components.values())


def test_record() -> None:
    """The combination's own schema, with components and compatibility beside it; lines for people."""
    result = compare(parts(1.0, 4.0), SCHEME)
    record = json.loads(json.dumps(result.to_json_dict(), allow_nan=False))
    assert set(record) >= {"poi", "value", "total", "fit", "components", "compatibility"}
    assert set(record["compatibility"]) == {
        *("values", "uncertainties", "delta_twice_nll", "n_dof", "p", "log_p", "certificate"),
    }
    assert record["compatibility"]["uncertainties"] == pytest.approx({"e0.m": 1.118034, "e1.m": 1.118034}, rel=1e-5)
    assert str(result).count("\n") == 3
    assert "chi2 = 4.5 with 1 degree of freedom, p = 0.0339" in str(result)
    assert "Error budget" in result.table()


def test_components_without_the_parameter_of_interest() -> None:
    """A measurement of a nuisance parameter alone takes part, but is nothing to compare with."""
    control = combine_measurements(
        [Measured("y", 0.3, 0.4, "alpha")], observables=[Parameter("alpha", 0.0)], sources={}, poi="alpha"
    )
    result = compare({**parts(1.0), "control": control}, replace(SCHEME, shared=()))
    assert list(result.components) == ["e0"]
    assert result.compatibility is None
    assert result.to_json_dict()["compatibility"] is None


@pytest.mark.slow
def test_settings_reach_the_components_that_have_the_parameter() -> None:
    """A parameter that is held is held everywhere; one of another component is no error."""
    result = compare(
        parts(1.0, 4.0), replace(SCHEME, shared=(), by_name=False), settings=Settings(fixed={"e0.scale": 2.0})
    )
    assert result.components["e0"].value == pytest.approx(0.0, abs=1e-6)
    assert result.components["e1"].value == pytest.approx(4.0, abs=1e-6)
    with pytest.raises(ParameterError, match="'m' is fixed"):
        compare(parts(1.0, 4.0), replace(SCHEME, fix={"m": 2.0}))


def test_bounds_are_noticed() -> None:
    """At a bound the difference in 2NLL does not follow chi2."""
    result = compare(parts(-1.0, 4.0, bounds=(0.0, 9.0)), SCHEME)
    assert result.compatibility is not None
    assert any("e0.m ended at a bound" in notice for notice in result.compatibility.certificate.notices)
    assert "ended at a bound" in result.table()


def test_fits_without_a_certificate_compare_to_nothing() -> None:
    """No difference and no p-value, and why."""
    built = parts(1.0, 4.0)
    joint = fit(*combine(built, SCHEME))
    apart, data, names = separated(built, SCHEME, "m")
    separate = fit(apart, data)
    bad = replace(joint, certificate=replace(joint.certificate, converged=False, message="lost"))
    for one, other in ((bad, separate), (joint, replace(separate, certificate=bad.certificate))):
        result = compatibility(one, other, names)
        assert (result.observed, result.p, result.log_p) == (None, None, None)
        assert "lost" in str(result)
    deeper = compatibility(joint, replace(separate, twice_nll=joint.twice_nll + 1.0), names)
    assert deeper.observed is None
    assert "lies below" in str(deeper)
    with pytest.raises(ParameterError, match="two or more components with 'm', got 1"):
        compatibility(joint, separate, names[:1])


# --------------------------------------------------------------------------------- a published combination


def test_script_makes_the_committed_files() -> None:
    """Running the script again gives the committed files byte for byte."""
    module = runpy.run_path(str(WORKSPACES / "make_ttbar_xsec.py"))
    assert module["scheme"]() == XSEC.read_text(encoding="utf-8")
    for column, experiment in enumerate(module["VALUES"]):
        text = json.dumps(module["component"](experiment, column), indent=2, ensure_ascii=False) + "\n"
        assert text == (WORKSPACES / f"ttbar_xsec_{experiment.lower()}.json").read_text(encoding="utf-8")


def test_top_pair_cross_section_as_published() -> None:
    """241.5 ± 1.4 (stat) ± 5.7 (syst) ± 6.2 (lumi) pb, ATLAS-CONF-2014-054; and BLUE of the same table."""
    likelihood, data = read_workspace(XSEC)
    result = measure(likelihood, data)
    luminosity, stat, total = (u.up for u in (result.groups["luminosity"], result.stat, result.total))
    assert stat is not None
    assert luminosity is not None
    assert total is not None
    syst = np.sqrt(total**2 - stat**2 - luminosity**2)
    assert [round(x, 1) for x in (result.value, stat, syst, luminosity)] == [241.5, 1.4, 5.7, 6.2]

    module = runpy.run_path(str(WORKSPACES / "make_ttbar_xsec.py"))
    values, covariance = np.array(list(module["VALUES"].values())), np.diag([1.7**2, 2.6**2])
    for first, second, rho in module["TABLE"].values():
        off = rho * first * second
        covariance += np.array([[first**2, off], [off, second**2]])
    solved = blue(values, covariance)
    assert result.value == pytest.approx(float(solved.estimates[0]), abs=1e-5)
    assert result.value == pytest.approx(241.46454311755085, abs=1e-5)  # of another program, see the script
    assert total == pytest.approx(float(np.sqrt(solved.covariance[0, 0])), rel=1e-5)
    assert isinstance(likelihood.parameters["ATLAS.Scale"].constraint, MultivariateNormal)


def test_components_have_the_published_uncertainties() -> None:
    """242.4 ± 10.2 pb of ATLAS, arXiv:1406.5375, and 239 ± 13 pb of CMS, arXiv:1312.7582: 2, 11 and 6 in quadrature.

    That of ATLAS has 4.2 pb for the beam energy, which are not in the table; tables are rounded to 0.1 pb.
    """
    built, _ = read_combination(XSEC)
    atlas, cms = (fit(*built[name]).uncertainty("sigma_ttbar") for name in ("ATLAS", "CMS"))
    assert atlas is not None
    assert np.hypot(atlas, 4.2) == pytest.approx(10.3, abs=0.1)
    assert cms == pytest.approx(13.0, abs=0.7)


def test_ties_of_components() -> None:
    """A correlation scheme by ties gives the number that sharing by name gives."""
    built = parts(1.0, 4.0)
    tied = Scheme(correlate=(Tie(("e0.scale", "e1.scale"), "energy"),), poi="m")
    assert fit(*combine(built, tied)).uncertainty("m") == pytest.approx(fit(*combine(built, SCHEME)).uncertainty("m"))
