"""HS3: there and back without a change of the likelihood, and documents as ROOT and pyhs3 write them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import infer
from infer.constraints import Normal, Poisson
from infer.errors import WorkspaceError
from infer.io.conversion import convert
from infer.io.hs3 import Dialect, is_hs3, pyhf_of_hs3, read_hs3, write_hs3
from infer.io.pyhf_json import load_document
from infer.likelihoods.histfactory.spec import parse_workspace
from tests.io.broken import valid_workspace

Edit = Callable[[dict[str, Any]], object]


def model_of(document: Mapping[str, Any]) -> tuple[infer.HistFactory, infer.Data]:
    """The likelihood of a pyhf workspace."""
    return infer.HistFactory.of(parse_workspace(document))


def twice_nll(likelihood: infer.Likelihood, data: infer.Data, values: Mapping[str, float]) -> float:
    """Minus twice the log-likelihood at some values, the others at their start values."""
    return -2.0 * float(likelihood.logpdf(jnp.asarray(likelihood.parameters.vector(values)), data))


def assert_same(first: tuple[infer.HistFactory, infer.Data], second: tuple[infer.HistFactory, infer.Data]) -> None:
    """Same parameters, start values, ranges and constraints; -2 ln L to 1e-10 at three points."""
    ours, theirs = first[0].parameters, second[0].parameters
    assert set(ours) == set(theirs)
    assert ours.poi == theirs.poi
    for name, parameter in ours.items():
        other = theirs[name]
        assert (parameter.init, parameter.bounds, parameter.fixed) == (other.init, other.bounds, other.fixed), name
    rng = np.random.default_rng(5)
    for _ in range(3):
        values = {n: p.init + 0.2 * (p.prefit_uncertainty() or 0.5) * rng.normal() for n, p in ours.items()}
        expected = twice_nll(*first, values)
        assert twice_nll(*second, values) == pytest.approx(expected, abs=1e-10, rel=1e-13)


@pytest.mark.parametrize("dialect", ["root", "pyhs3"])
def test_there_and_back(dialect: Dialect) -> None:
    """All seven types of modifiers; the document is plain JSON, and says what its vals are."""
    made = write_hs3(valid_workspace(), dialect=dialect)
    document = json.loads(json.dumps(made.document, allow_nan=False))
    assert is_hs3(document)
    back = read_hs3(document)
    assert_same(model_of(valid_workspace()), back.likelihood())
    assert any("vals of shapesys are" in remark for remark in made.remarks)


def test_lumi_comes_back_as_lumi() -> None:
    """Between, it is a normfactor with a constraint; a workspace for pyhf has the modifier again."""
    document, remarks = read_hs3(write_hs3(valid_workspace()).document).pyhf()
    kinds = {m["name"]: m["type"] for c in document["channels"] for s in c["samples"] for m in s["modifiers"]}
    assert kinds["lumi"] == "lumi"
    assert_same(model_of(valid_workspace()), model_of(document))
    assert remarks == ()


PUBLISHED = ["2018-14_comb", "2018-22_SSd", "2018-31_SRA", "2019-09_onshell", "agc_ttbar", "atlas_tttt"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_likelihoods_there_and_back(likelihoods: Path, name: str) -> None:
    """Up to 249 parameters, with their ranges and held bins."""
    document = load_document(likelihoods / f"{name}.json")
    back = read_hs3(write_hs3(document).document)
    assert_same(model_of(document), back.likelihood())


def test_files_of_hs3_are_read_by_name_of_content(tmp_path: Path) -> None:
    """read_workspace; an analysis is chosen like a measurement."""
    path = tmp_path / "model.json"
    document = write_hs3(valid_workspace()).document
    path.write_text(json.dumps(document), encoding="utf-8")
    assert_same(model_of(valid_workspace()), infer.read_workspace(path))  # type: ignore[arg-type]  # a HistFactory
    (analysis,) = (entry["name"] for entry in document["analyses"])
    infer.read_workspace(path, measurement=analysis)
    with pytest.raises(WorkspaceError, match="there is no entry 'absent' in analyses"):
        infer.read_workspace(path, measurement="absent")


def test_what_is_written_has_the_shape_of_the_standard() -> None:
    """The parts that ROOT and pyhs3 look for, for a model of one sample."""
    workspace = {
        "channels": [
            {
                "name": "SR",
                "samples": [
                    {
                        "name": "sig",
                        "data": [2.0, 4.0],
                        "modifiers": [
                            {"name": "mu", "type": "normfactor", "data": None},
                            {"name": "acc", "type": "normsys", "data": {"lo": 0.9, "hi": 1.2}},
                            {"name": "mc", "type": "staterror", "data": [0.2, 0.4]},
                            {"name": "unc", "type": "shapesys", "data": [1.0, 0.0]},
                        ],
                    }
                ],
            }
        ],
        "observations": [{"name": "SR", "data": [3, 5]}],
        "measurements": [{"name": "meas", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }
    document = write_hs3(workspace).document
    axis = {"name": "obs_x_SR", "min": 0.0, "max": 2.0, "nbins": 2}
    assert document["distributions"] == [
        {
            "name": "model_SR",
            "type": "histfactory_dist",
            "axes": [axis],
            "staterror": {"relThreshold": 0.0, "constraint": "Gauss", "constraint_type": "Gauss"},
            "samples": [
                {
                    "name": "sig",
                    "data": {"contents": [2.0, 4.0], "errors": [0.2, 0.4]},
                    "modifiers": [
                        {"name": "mu", "type": "normfactor", "parameter": "mu"},
                        {
                            "name": "acc",
                            "type": "normsys",
                            "parameter": "acc",
                            "constraint": "Gauss",
                            "data": {"lo": 0.9, "hi": 1.2},
                        },
                        {
                            "name": "mc",
                            "type": "staterror",
                            "parameters": ["gamma_mc_bin_0", "gamma_mc_bin_1"],
                            "constraint": "Gauss",
                        },
                        {
                            "name": "unc",
                            "type": "shapesys",
                            "parameters": ["gamma_unc_bin_0", "gamma_unc_bin_1"],
                            "constraint": "Poisson",
                            "data": {"vals": [0.5, 0.0]},
                        },
                    ],
                }
            ],
        }
    ]
    assert document["data"] == [{"name": "obsData_SR", "type": "binned", "contents": [3.0, 5.0], "axes": [axis]}]
    assert document["likelihoods"] == [{"name": "meas", "distributions": ["model_SR"], "data": ["obsData_SR"]}]
    assert document["analyses"][0]["parameters_of_interest"] == ["mu"]
    points = {entry["name"]: entry for entry in document["parameter_points"][0]["parameters"]}
    assert points["mu"] == {"name": "mu", "value": 1.0}
    assert points["gamma_unc_bin_1"] == {"name": "gamma_unc_bin_1", "value": 1.0, "const": True}


def test_workspaces_are_converted_there_and_back(tmp_path: Path) -> None:
    """By the name .hs3.json on the way out and by content on the way in, with the same likelihood."""
    source = tmp_path / "workspace.json"
    source.write_text(json.dumps(valid_workspace()), encoding="utf-8")
    there = convert(source, tmp_path / "model.hs3.json")
    assert there.formats == ("pyhf", "hs3")
    assert there.faithful
    back = convert(tmp_path / "model.hs3.json", tmp_path / "back.json")
    assert back.formats == ("hs3", "pyhf")
    assert back.faithful
    assert_same(model_of(valid_workspace()), model_of(load_document(tmp_path / "back.json")))


def test_only_what_hs3_can_say_is_written() -> None:
    """One staterror per channel."""
    document = valid_workspace()
    fakes = document["channels"][0]["samples"][2]
    fakes["modifiers"][1]["name"] = "stat_fakes"
    with pytest.raises(WorkspaceError, match=r"channel 'SR' has the staterrors 'stat_SR', 'stat_fakes'"):
        write_hs3(document)


def test_measurements_are_analyses() -> None:
    """Each with its ranges and start values; one with other constraints is left out, and named."""
    document = valid_workspace()
    second = copy.deepcopy(document["measurements"][0]) | {"name": "second"}
    mu = next(p for p in second["config"]["parameters"] if p["name"] == "mu")
    mu |= {"inits": [2.0], "bounds": [[-3.0, 4.0]]}
    document["measurements"].append(second)
    made = write_hs3(document)
    both, remarks = pyhf_of_hs3(made.document)
    assert [m["name"] for m in both["measurements"]] == [m["name"] for m in document["measurements"]]
    workspace = parse_workspace(document)
    for name in ("second", None):
        ours = infer.HistFactory.of(workspace, workspace.measurement(name))
        assert_same(ours, read_hs3(made.document, analysis=name).likelihood())
    assert any("is read" in remark for remark in read_hs3(made.document).remarks)
    assert not any("is read" in remark for remark in remarks)
    lumi = next(p for p in second["config"]["parameters"] if p["name"] == "lumi")
    lumi["sigmas"] = [0.05]
    assert any("'second' has other constraints" in remark for remark in write_hs3(document).remarks)


def root_like() -> dict[str, Any]:
    """A document in the manner of ROOT 6.36: named constraints, global observables, alpha_ and gamma_ names."""
    axis = {"name": "obs_x_SR", "min": 0.0, "max": 2.0, "nbins": 2}
    jes = {
        "name": "JES",
        "type": "histosys",
        "parameter": "alpha_JES",
        "constraint": "alpha_JESConstraint",
        "data": {"lo": {"contents": [45.0, 52.0]}, "hi": {"contents": [56.0, 53.0]}},
    }
    signal = {
        "name": "signal",
        "data": {"contents": [12.0, 11.0]},
        "modifiers": [
            {"name": "Lumi", "type": "normfactor", "parameter": "Lumi", "constraint_name": "lumiConstraint"},
            {"name": "mu", "type": "normfactor", "parameter": "mu"},
        ],
    }
    background = {
        "name": "background",
        "data": {"contents": [50.0, 52.0], "errors": [5.0, 4.0]},
        "modifiers": [
            jes,
            {"name": "staterror", "type": "staterror"},
            {
                "name": "unc",
                "type": "shapesys",
                "parameters": ["gamma_unc_bin_0", "gamma_unc_bin_1"],
                "constraint": "Poisson",
                "data": {"vals": [0.06, 0.2]},
            },
        ],
    }
    return {
        "metadata": {"hs3_version": "0.2", "packages": [{"name": "ROOT", "version": "6.36.00"}]},
        "distributions": [
            {
                "name": "model_SR",
                "type": "histfactory_dist",
                "axes": [axis],
                "default_interpolation": {"type": "add", "in": "poly6", "out": "poly1"},
                "samples": [signal, background],
            },
            {
                "name": "alpha_JESConstraint",
                "type": "gaussian_dist",
                "x": "alpha_JES",
                "mean": "nom_alpha_JES",
                "sigma": 1.0,
            },
            {"name": "lumiConstraint", "type": "gaussian_dist", "x": "Lumi", "mean": "nom_Lumi", "sigma": 0.1},
        ],
        "data": [
            {"name": "obsData_SR", "type": "binned", "contents": [65, 60], "axes": [axis]},
            {"name": "asimovData_SR", "type": "binned", "contents": [62, 63], "axes": [axis]},
        ],
        "likelihoods": [
            {"name": "simPdf_asimovData", "distributions": ["model_SR"], "data": ["asimovData_SR"]},
            {"name": "simPdf_obsData", "distributions": ["model_SR"], "data": ["obsData_SR"]},
        ],
        "domains": [
            {
                "name": "default_domain",
                "type": "product_domain",
                "axes": [
                    {"name": "mu", "min": -2.0, "max": 5.0},
                    {"name": "gamma_unc_bin_0", "min": 0.0, "max": 1.3},
                    {"name": "gamma_unc_bin_1", "min": 0.0, "max": 2.0},
                ],
            }
        ],
        "parameter_points": [
            {
                "name": "default_values",
                "parameters": [
                    {"name": "mu", "value": 1.0},
                    {"name": "Lumi", "value": 1.0},
                    {"name": "alpha_JES", "value": 0.0},
                    {"name": "nom_alpha_JES", "value": 0.3, "const": True},
                    {"name": "nom_Lumi", "value": 1.02, "const": True},
                ],
            }
        ],
        "analyses": [
            {"name": "simPdf_asimovData", "likelihood": "simPdf_asimovData", "parameters_of_interest": ["mu"]},
            {"name": "simPdf_obsData", "likelihood": "simPdf_obsData", "parameters_of_interest": ["mu"]},
        ],
    }


def by_hand(values: Mapping[str, float], vals: tuple[float, float]) -> float:
    """-2 ln L of the document above, written out: code 4p of JES, Poisson staterror and shapesys."""
    a, mu, lumi = values["alpha_JES"], values["mu"], values["Lumi"]
    even = a**2 * (15.0 - 10.0 * a**2 + 3.0 * a**4) / 8.0
    nominal, lo, hi = np.asarray([50.0, 52.0]), np.asarray([45.0, 52.0]), np.asarray([56.0, 53.0])
    template = nominal + 0.5 * (hi - lo) * a + (0.5 * (hi + lo) - nominal) * even
    stat, unc = (np.asarray([values[f"{n}[0]"], values[f"{n}[1]"]]) for n in ("stat_SR", "unc"))
    rate = np.asarray([12.0, 11.0]) * mu * lumi + template * stat * unc
    log = (
        stats.poisson.logpmf([65, 60], rate).sum() + stats.norm.logpdf(0.3, a, 1.0) + stats.norm.logpdf(1.02, lumi, 0.1)
    )
    taus = (np.asarray([100.0, 169.0]), 1.0 / np.square(vals))
    for tau, gamma in zip(taus, (stat, unc), strict=True):
        log += float(np.sum(tau * np.log(tau * gamma) - tau * gamma - special.gammaln(tau + 1.0)))
    return float(-2.0 * log)


VALUES = {
    "mu": 1.3,
    "Lumi": 0.95,
    "alpha_JES": -0.4,
    "stat_SR[0]": 1.05,
    "stat_SR[1]": 0.9,
    "unc[0]": 1.02,
    "unc[1]": 0.8,
}


def test_what_hs3_leaves_open_is_assumed_as_in_root_and_said() -> None:
    """Constraints by name or unmarked, global observables that are constants, observed data before Asimov's (B22)."""
    made = read_hs3(root_like())
    likelihood, data = made.likelihood()
    assert set(likelihood.parameters) == set(VALUES)
    assert likelihood.parameters["Lumi"].constraint == Normal(0.1)
    assert isinstance(likelihood.parameters["stat_SR[0]"].constraint, Poisson)
    assert likelihood.parameters["mu"].bounds == (-2.0, 5.0)
    assert twice_nll(likelihood, data, VALUES) == pytest.approx(by_hand(VALUES, (0.06, 0.2)), abs=1e-9)
    said = " ".join(made.remarks)
    assert "'simPdf_obsData' is read" in said
    assert "relative uncertainties, as the ranges of its parameters say" in said
    assert "shifted histograms, not differences" in said
    assert any("shifted histograms" in remark for remark in likelihood.remarks)
    unmarked = root_like()
    del unmarked["distributions"][0]["samples"][1]["modifiers"][0]["constraint"]
    again = read_hs3(unmarked)
    assert again.likelihood()[0].parameters["alpha_JES"].constraint == Normal(1.0)
    assert any("name no constraint have a unit Gaussian one" in remark for remark in again.remarks)


def test_vals_of_shapesys_are_what_the_ranges_or_the_reader_say() -> None:
    """Absolute if one exceeds 1 or a range ends at 1 + 5 vals / contents; ROOT's old counts are not guessed."""
    document = root_like()
    modifier = document["distributions"][0]["samples"][1]["modifiers"][2]
    modifier["data"]["vals"] = [3.0, 10.4]
    made = read_hs3(document)
    assert any("absolute uncertainties, as the ranges" in remark for remark in made.remarks)
    assert twice_nll(*made.likelihood(), VALUES) == pytest.approx(by_hand(VALUES, (0.06, 0.2)), abs=1e-9)
    document["domains"][0]["axes"] = document["domains"][0]["axes"][:1]
    with pytest.raises(WorkspaceError, match=r"its vals go up to 10.4, .* ROOT 6.28 wrote counts"):
        read_hs3(document)
    counted = copy.deepcopy(document)
    counted["distributions"][0]["samples"][1]["modifiers"][2]["data"]["vals"] = [1.0 / 0.06**2, 25.0]
    counts = read_hs3(counted, shapesys="counts").likelihood()
    assert twice_nll(*counts, VALUES) == pytest.approx(by_hand(VALUES, (0.06, 0.2)), abs=1e-9)
    document["metadata"]["packages"] = [{"name": "pyhs3", "version": "0.5"}]
    assert any("absolute uncertainties, since one exceeds 1" in remark for remark in read_hs3(document).remarks)
    modifier["data"]["vals"] = [0.5, 0.4]
    assert any("relative uncertainties, as ROOT writes" in remark for remark in read_hs3(document).remarks)
    absolute = read_hs3(document, shapesys="absolute").likelihood()
    assert twice_nll(*absolute, VALUES) == pytest.approx(by_hand(VALUES, (0.5 / 50.0, 0.4 / 52.0)), abs=1e-8)


def test_named_constraints_of_bins_and_products_are_read() -> None:
    """A list of constraints, null where a bin has none; Poisson means as products; a channel within a product."""
    document = root_like()
    modifier = document["distributions"][0]["samples"][1]["modifiers"][2]
    modifier.pop("constraint")
    modifier["constraints"] = ["c0", None]
    document["functions"] = [{"name": "mean0", "type": "product", "factors": ["gamma_unc_bin_0", 40.0]}]
    document["distributions"] += [
        {"name": "c0", "type": "poisson_dist", "x": 38.0, "mean": "mean0"},
        {"name": "all", "type": "product_dist", "factors": ["model_SR", "muConstraint"]},
        {"name": "muConstraint", "type": "gaussian_dist", "x": 1.5, "mean": "mu", "sigma": 0.5},
    ]
    document["likelihoods"][1]["distributions"] = ["all"]
    likelihood, data = read_hs3(document).likelihood()
    p = likelihood.parameters
    assert p["unc[0]"].constraint == Poisson(40.0)
    assert p["unc[1]"].fixed
    assert p["mu"].constraint == Normal(0.5)
    aux = dict(zip(p.constrained, np.asarray(data.aux).tolist(), strict=True))
    assert (aux["unc[0]"], aux["mu"]) == (38.0, 1.5)


def test_constants_stay_and_data_in_line_are_constraints() -> None:
    """A constant factor is held; a Gaussian paired with a number measures its parameter."""
    document = root_like()
    document["parameter_points"][0]["parameters"][1] = {"name": "Lumi", "value": 1.0, "const": True}
    document["distributions"].append(
        {"name": "extra", "type": "gaussian_dist", "x": "seen", "mean": "mu", "sigma": 0.4}
    )
    document["likelihoods"][1] = {
        "name": "simPdf_obsData",
        "distributions": ["model_SR", "extra"],
        "data": ["obsData_SR", 0.9],
    }
    likelihood, data = read_hs3(document).likelihood()
    assert likelihood.parameters["Lumi"].fixed
    aux = dict(zip(likelihood.parameters.constrained, np.asarray(data.aux).tolist(), strict=True))
    assert aux["mu"] == 0.9


def test_interpolation_is_read() -> None:
    """Structured, by channel; as pyhs3 names it; as ROOT's integers; two codes of one type are refused."""
    document = root_like()
    jes = document["distributions"][0]["samples"][1]["modifiers"][0]
    jes["interpolation"] = {"type": "add", "in": "poly2", "out": "poly1"}
    assert read_hs3(document).interpolation.histosys == "code2"
    jes["interpolation"] = 0
    assert read_hs3(document).interpolation.histosys == "code0"
    del jes["interpolation"]
    jes["data"]["interpolation"] = "code4p"
    assert read_hs3(document).interpolation.histosys == "code4p"
    other = copy.deepcopy(jes) | {"name": "JER", "parameter": "alpha_JER", "interpolation": 0}
    other.pop("constraint")
    document["distributions"][0]["samples"][1]["modifiers"].append(other)
    with pytest.raises(WorkspaceError, match="type histosys have the interpolation codes 'code0', 'code4p'"):
        read_hs3(document)


def test_all_that_has_no_counterpart_is_named() -> None:
    """A custom modifier, an unknown distribution, and a threshold, in one sentence."""
    document = root_like()
    document["distributions"][0]["samples"][0]["modifiers"].append({"name": "spline", "type": "custom"})
    document["distributions"][0]["staterror"] = {"relThreshold": 0.05}
    document["distributions"].append({"name": "peak", "type": "crystalball_dist"})
    document["likelihoods"][1]["distributions"].append("peak")
    document["likelihoods"][1]["data"].append("events")
    with pytest.raises(WorkspaceError) as caught:
        read_hs3(document)
    message = str(caught.value)
    for part in (
        "modifier 'spline' of type 'custom'",
        "relThreshold",
        "distribution 'peak' of type 'crystalball_dist'",
    ):
        assert part in message
    assert "\n" not in message


def at(document: dict[str, Any], *path: Any) -> Any:
    """Something deep in a document."""
    found: Any = document
    for key in path:
        found = found[key]
    return found


MODEL = ("distributions", 0)
BACKGROUND = (*MODEL, "samples", 1)
JES = (*BACKGROUND, "modifiers", 0)
UNC = (*BACKGROUND, "modifiers", 2)
BROKEN: dict[str, tuple[Edit, str]] = {
    "no version": (lambda d: d["metadata"].clear(), r"metadata has no hs3_version"),
    "likelihood": (lambda d: at(d, "analyses", 1).update(likelihood="absent"), r"no entry 'absent' in likelihoods"),
    "analyses": (lambda d: at(d, "analyses", 0).update(name="other"), r"there are the analyses 'other', 'simPdf_obs"),
    "distribution": (lambda d: at(d, "likelihoods", 1).update(distributions=["x"]), r"no distribution 'x'"),
    "pairs": (lambda d: at(d, "likelihoods", 1).update(data=[]), r"data of the likelihood is an empty list"),
    "lengths": (lambda d: at(d, "likelihoods", 1)["data"].append("x"), r"1 distributions and 2 data"),
    "data": (lambda d: at(d, "likelihoods", 1).update(data=["x"]), r"there are no data 'x'"),
    "unbinned": (lambda d: at(d, "data", 0).update(type="unbinned"), r"data 'obsData_SR' are the string 'unbinned'"),
    "contents": (lambda d: at(d, "data", 0).update(contents=[1]), r"contents has 1 entries, expected 2"),
    "twice": (lambda d: d["data"].append(at(d, "data", 0)), r"the entry of data 'obsData_SR' stands twice"),
    "domain": (lambda d: at(d, "analyses", 1).update(domains=["x"]), r"there is no domain the string 'x'"),
    "samples": (lambda d: at(d, *MODEL).pop("samples"), r"channel 'SR': samples is null"),
    "errors": (lambda d: at(d, *BACKGROUND)["data"].pop("errors"), r"modifier 'staterror': the sample has no errors"),
    "modifier": (lambda d: at(d, *JES).pop("type"), r"the modifier lacks the key 'type'"),
    "shift": (lambda d: at(d, *JES)["data"].pop("lo"), r"modifier 'JES': data lacks the key 'lo'"),
    "shift bins": (lambda d: at(d, *JES, "data", "lo").update(contents=[1.0]), r"lo.contents has 1 entries"),
    "constraint": (lambda d: at(d, *JES).update(constraint="x"), r"there is no distribution 'x'"),
    "constraint type": (lambda d: at(d, *JES).update(constraint="Poisson"), r"modifier 'JES': its constraint is 'Poi"),
    "lognormal": (lambda d: at(d, "distributions", 1).update(type="lognormal_dist"), r"its type is 'lognormal_dist'"),
    "sigma": (lambda d: at(d, "distributions", 1).update(sigma=0.0), r"alpha_JESConstraint': its sigma is 0"),
    "free sigma": (lambda d: at(d, "distributions", 1).update(sigma="s"), r"no Gaussian of one parameter with a const"),
    "free mean": (lambda d: at(d, "distributions", 1).update(mean="mu"), r"no Gaussian of one parameter with a const"),
    "lacks": (lambda d: at(d, "distributions", 1).pop("sigma"), r"alpha_JESConstraint': it lacks 'sigma'"),
    "vals": (lambda d: at(d, *UNC)["data"].update(vals=[1.0]), r"data.vals has 1 entries, expected 2"),
    "interpolation": (lambda d: at(d, *MODEL).update(default_interpolation={"type": [], "in": {}}), r"interpolation "),
    "negative": (lambda d: at(d, *UNC)["data"].update(vals=[-0.1, 0.1]), r"one of its vals is negative"),
    "parameters": (lambda d: at(d, *UNC).update(parameters=["g"]), r"it has 1 parameters for 2 bins"),
    "value": (lambda d: at(d, "parameter_points", 0, "parameters", 0).update(value="one"), r"value is the string"),
    "const": (lambda d: at(d, "parameter_points", 0, "parameters", 0).update(const=1), r"const is the number 1"),
    "two constraints": (
        lambda d: (
            at(d, "likelihoods", 1).update(aux_distributions=["lumiConstraint", "other"])
            or d["distributions"].append(
                {"name": "other", "type": "gaussian_dist", "x": "Lumi", "mean": 1.0, "sigma": 0.2}
            )
        ),
        r"the parameter 'Lumi' has two different constraints",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_documents_end_in_one_sentence(name: str) -> None:
    """What is wrong, where, and what to do."""
    edit, says = BROKEN[name]
    document = root_like()
    edit(document)
    with pytest.raises(WorkspaceError, match=says) as caught:
        read_hs3(document).likelihood()
    assert "\n" not in str(caught.value)


def test_constraints_without_a_place_in_a_workspace_are_refused() -> None:
    """All of them named: a measured factor, and counts instead of Gaussians."""
    with pytest.raises(WorkspaceError, match=r"'Lumi' with Normal.* 'stat_SR\[0\]' with Poisson"):
        read_hs3(root_like()).pyhf()
