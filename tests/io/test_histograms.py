"""Workspaces from histograms in memory and in ROOT files: exact, readable by pyhf, and refused where they cannot be."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import boost_histogram as bh
import hist
import jax.numpy as jnp
import numpy as np
import pyhf
import pytest
import uproot

import infer
from infer.io.histograms import from_histograms, workspace_from_histograms
from infer.io.templates import template
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.spec import parse_workspace

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # raised inside pyhf

EDGES = (0.0, 1.0, 2.0, 4.0)
ALL_SEVEN = {"normfactor", "lumi", "normsys", "histosys", "shapesys", "staterror", "shapefactor"}


def weighted(contents: list[float], variances: list[float], edges: tuple[float, ...] = EDGES) -> hist.Hist:
    """A histogram with weight storage and empty flow bins."""
    made = hist.Hist(hist.axis.Variable(list(edges)), storage=hist.storage.Weight())
    made.view().value[...] = contents
    made.view().variance[...] = variances
    return made


def counted(contents: list[int], edges: tuple[float, ...] = EDGES) -> bh.Histogram:
    """A boost histogram of counts."""
    made = bh.Histogram(bh.axis.Variable(list(edges)), storage=bh.storage.Double())
    made.view()[...] = contents
    return made


def channels() -> dict[str, Any]:
    """Two channels with all seven modifiers; histograms of two libraries, and plain numbers."""
    mu, lumi = {"name": "mu", "type": "normfactor"}, {"name": "lumi", "type": "lumi"}
    return {
        "SR": {
            "data": counted([60, 52, 27]),
            "samples": {
                "signal": {
                    "nominal": weighted([5.0, 10.0, 3.0], [0.2, 0.3, 0.1]),
                    "modifiers": [mu, lumi, {"name": "jes", "type": "normsys", "lo": 0.9, "hi": 1.1}],
                },
                "ttbar": {
                    "nominal": weighted([50.0, 40.0, 20.0], [4.0, 2.25, 1.0]),
                    "modifiers": [
                        {
                            "name": "jes",
                            "type": "histosys",
                            "lo": weighted([48.0, 39.0, 19.0], [1.0, 1.0, 1.0]),
                            "hi": weighted([52.0, 41.0, 21.5], [1.0, 1.0, 1.0]),
                        },
                        {"name": "stat_SR", "type": "staterror"},
                    ],
                },
                "fakes": {
                    "nominal": {"values": [4.0, 3.0, 2.0], "variances": [0.25, 0.25, 0.16], "edges": list(EDGES)},
                    "modifiers": [
                        {"name": "fake_rate", "type": "shapesys", "uncertainty": [1.0, 1.0, 0.5]},
                        {"name": "stat_SR", "type": "staterror"},
                    ],
                },
            },
        },
        "CR": {
            "data": [128, 103],
            "samples": {
                "ttbar": {
                    "nominal": ([100.0, 80.0], [9.0, 9.0]),
                    "modifiers": [{"name": "cr_stat", "type": "shapesys", "from_variances": True}],
                },
                "qcd": {"nominal": [30.0, 20.0], "modifiers": [{"name": "qcd_shape", "type": "shapefactor"}]},
            },
        },
    }


SETTINGS = {"lumi": {"auxdata": 1.0, "sigmas": 0.02}, "mu": {"bounds": (-5.0, 10.0)}}


def pyhf_values(likelihood: infer.Likelihood, model: Any, theta: np.ndarray) -> list[float]:
    """The vector in pyhf's order."""
    by_name = dict(zip(likelihood.parameters.names, theta.tolist(), strict=True))
    return [by_name[name] for name in model.config.par_names]


def test_b23_all_seven_modifiers_from_histograms_and_pyhf_agrees() -> None:
    """B23: every modifier comes from histograms; pyhf reads the document, with its NLL to 1e-10 at ten points."""
    made = workspace_from_histograms(channels(), poi="mu", parameters=SETTINGS)
    kinds = {m["type"] for c in made.document["channels"] for s in c["samples"] for m in s["modifiers"]}
    assert kinds == ALL_SEVEN
    assert made.remarks == ()
    likelihood, data = from_histograms(channels(), poi="mu", parameters=SETTINGS)
    workspace = pyhf.Workspace(made.document)
    codes = {"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}}
    model = workspace.model(modifier_settings=codes)
    observed = workspace.data(model)
    generator = np.random.default_rng(1)
    init = np.asarray(likelihood.parameters.init)
    for _ in range(10):
        theta = init + 0.3 * generator.uniform(-1.0, 1.0, init.size)
        ours = -2.0 * float(likelihood.logpdf(jnp.asarray(theta), data))
        theirs = -2.0 * float(np.ravel(model.logpdf(pyhf_values(likelihood, model, theta), observed))[0])
        assert ours == pytest.approx(theirs, rel=0.0, abs=1e-10)


def test_staterror_is_the_root_of_the_variances() -> None:
    """Bin by bin, in absolute terms, as pyhf writes it."""
    document = workspace_from_histograms(channels(), poi="mu", parameters=SETTINGS).document
    ttbar = document["channels"][0]["samples"][1]
    assert ttbar["modifiers"][1]["data"] == [2.0, 1.5, 1.0]
    assert document["channels"][1]["samples"][0]["modifiers"][0]["data"] == [3.0, 3.0]


def test_a_fit_from_histograms_is_the_fit_of_the_document() -> None:
    """One likelihood, two ways to it."""
    likelihood, data = from_histograms(channels(), poi="mu", parameters=SETTINGS)
    document = workspace_from_histograms(channels(), poi="mu", parameters=SETTINGS).document
    again, same = HistFactory.of(parse_workspace(document))
    one, other = infer.fit(likelihood, data), infer.fit(again, same)
    assert one.certificate.trustworthy
    assert one.twice_nll == other.twice_nll


def test_root_files(tmp_path: Path) -> None:
    """Written by uproot and read back by name: the same numbers, variances and edges."""
    path = tmp_path / "templates.root"
    nominal = weighted([50.0, 40.0, 20.0], [4.0, 2.25, 1.0])
    with uproot.recreate(path) as file:
        file["SR/ttbar"] = nominal
        file["SR/data"] = counted([60, 52, 27])
    read = template(f"{path}:SR/ttbar", "here")
    assert read.values.tolist() == [50.0, 40.0, 20.0]
    assert read.variances is not None
    assert read.variances.tolist() == [4.0, 2.25, 1.0]
    assert read.edges == (((0.0, 1.0), (1.0, 2.0), (2.0, 4.0)),)
    stored = channels()
    stored["SR"]["samples"]["ttbar"]["nominal"] = f"{path}:SR/ttbar"
    stored["SR"]["data"] = f"{path}:SR/data"
    there = workspace_from_histograms(stored, poi="mu", parameters=SETTINGS)
    assert there.document == workspace_from_histograms(channels(), poi="mu", parameters=SETTINGS).document


def test_root_files_that_are_none(tmp_path: Path) -> None:
    """A missing file, another kind of file, a missing name: one sentence each."""
    (tmp_path / "text.root").write_text("no histogram", encoding="utf-8")
    with uproot.recreate(tmp_path / "some.root") as file:
        file["ttbar"] = counted([1, 2, 3])
        file["tree"] = {"x": np.arange(3.0)}
    for text, says in (
        ("absent.root:ttbar", "cannot be read"),
        ("text.root:ttbar", "cannot be read"),
        ("some.root:tt", "it has"),
        ("some.root:tree", "give a TH1 or TH2"),
    ):
        with pytest.raises(infer.InputError, match=says) as caught:
            template(f"{tmp_path}/{text}", "channel 'SR'")
        assert "\n" not in str(caught.value)
    with pytest.raises(infer.WorkspaceError, match="names no histogram"):
        template("ttbar", "channel 'SR'")


def test_flow_bins_are_left_out_with_a_remark() -> None:
    """The remark reaches the certificate of a fit."""
    nominal = weighted([50.0, 40.0, 20.0], [4.0, 2.25, 1.0])
    nominal.fill([100.0, -3.0], weight=[2.0, 1.5])
    given = channels()
    given["SR"]["samples"]["ttbar"]["nominal"] = nominal
    likelihood, data = from_histograms(given, poi="mu", parameters=SETTINGS)
    assert any("3.5 events in underflow and overflow" in r for r in infer.fit(likelihood, data).certificate.notices)
    assert template(nominal, "here").values.tolist() == [50.0, 40.0, 20.0]


def test_two_axes_are_flattened_with_the_last_fastest() -> None:
    """Bin (i, j) is i n_y + j, and a remark says so."""
    flat = hist.Hist(hist.axis.Regular(2, 0, 1), hist.axis.StrCategory(["a", "b", "c"]), storage=hist.storage.Weight())
    flat.view().value[...] = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    read = template(flat, "here")
    assert read.values.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert read.edges == (((0.0, 0.5), (0.5, 1.0)), ("a", "b", "c"))
    assert "the last axis fastest" in read.remarks[0]


def test_a_scaled_histogram_without_squared_weights_is_remarked() -> None:
    """ROOT's default variance is the content, which is wrong after scaling."""

    class Scaled:
        kind = "COUNT"
        axes = (((0.0, 1.0), (1.0, 2.0)),)

        def values(self) -> Any:
            return np.array([1.5, 2.5])

        def variances(self) -> Any:
            return np.array([1.5, 2.5])

    assert "sums of squared weights" in template(Scaled(), "here").remarks[0]


def _edit(*path: Any) -> Any:
    *parents, last, value = path

    def edit(given: Any) -> None:
        for step in parents:
            given = given[step]
        given[last] = value

    return edit


_TTBAR = ("SR", "samples", "ttbar")
BAD = {
    "edges": (
        _edit(*_TTBAR, "nominal", weighted([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], (0.0, 1.0, 2.0, 5.0))),
        "sample 'ttbar': its bins are not those of sample 'signal': bin 2 is \\[2, 5\\] against \\[2, 4\\]",
    ),
    "bins": (_edit(*_TTBAR, "nominal", [1.0, 2.0]), "sample 'ttbar': it has 2 bins, sample 'signal' has 3"),
    "data-bins": (_edit("SR", "data", [1, 2]), "channel 'SR', data: it has 2 bins"),
    "nan": (_edit(*_TTBAR, "nominal", [1.0, np.nan, 2.0]), "sample 'ttbar': the contents: bin 1 holds nan"),
    "text": (_edit(*_TTBAR, "nominal", ["a", "b", "c"]), "no table of numbers"),
    "number": (_edit(*_TTBAR, "nominal", 3.0), "the number 3 is no histogram"),
    "negative-data": (_edit("SR", "data", [1, -2, 3]), "a negative count"),
    "no-variances": (
        _edit(*_TTBAR, "nominal", [50.0, 40.0, 20.0]),
        "sample 'ttbar', modifier 'stat_SR' \\(staterror\\): the nominal histogram keeps no variances",
    ),
    "negative-variance": (
        _edit(*_TTBAR, "nominal", ([1.0, 1.0, 1.0], [1.0, -1.0, 1.0])),
        "the variance of bin 1 is -1",
    ),
    "type": (_edit(*_TTBAR, "modifiers", [{"name": "a", "type": "overallsys"}]), "the seven types are"),
    "foreign-field": (
        _edit(*_TTBAR, "modifiers", [{"name": "a", "type": "normfactor", "lo": 1.0}]),
        "unknown key 'lo'",
    ),
    "one-sided": (_edit(*_TTBAR, "modifiers", [{"name": "a", "type": "histosys", "hi": [1, 2, 3]}]), "it lacks 'lo'"),
    "shapesys": (_edit(*_TTBAR, "modifiers", [{"name": "a", "type": "shapesys"}]), "one source of uncertainties"),
    "histosys-edges": (
        _edit(*_TTBAR, "modifiers", 0, "hi", weighted([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], (0.0, 1.0, 3.0, 4.0))),
        "modifier 'jes' \\(histosys\\), hi: its bins are not those",
    ),
    "no-data": (lambda given: given["SR"].pop("data"), "channel 'SR': the channel lacks the key 'data'"),
    "edge-count": (_edit(*_TTBAR, "nominal", {"values": [1, 2, 3], "edges": [0, 1, 2]}), "3 edges for 3 bins"),
    "keys": (_edit(*_TTBAR, "nominal", {"contents": [1, 2, 3]}), "has the keys"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_histograms_are_refused_in_one_sentence(name: str) -> None:
    """With channel, sample and modifier."""
    given = copy.deepcopy(channels())
    edit, says = BAD[name]
    edit(given)
    with pytest.raises(infer.WorkspaceError, match=says) as caught:
        from_histograms(given, poi="mu", parameters=SETTINGS)
    assert "\n" not in str(caught.value)


def test_means_are_no_counts() -> None:
    """A profile histogram is refused."""
    profile = hist.Hist(hist.axis.Regular(3, 0, 1), storage=hist.storage.Mean())
    with pytest.raises(infer.WorkspaceError, match="holds means"):
        template(profile, "here")


def test_no_channels() -> None:
    """Nothing to do is said, too."""
    with pytest.raises(infer.WorkspaceError, match="there are no channels"):
        workspace_from_histograms({}, poi=None)


def _as_histograms(workspace: dict[str, Any]) -> dict[str, Any]:
    """The channels of a workspace as weighted histograms and declarations."""

    def declared(modifier: dict[str, Any]) -> dict[str, Any]:
        name, kind, content = modifier["name"], modifier["type"], modifier["data"]
        extra: dict[str, Any] = {}
        if kind == "normsys":
            extra = dict(content)
        elif kind == "histosys":
            extra = {"lo": content["lo_data"], "hi": content["hi_data"]}
        elif kind == "shapesys":
            extra = {"uncertainty": content}
        return {"name": name, "type": kind, **extra}

    def sample(entry: dict[str, Any]) -> dict[str, Any]:
        width = next((m["data"] for m in entry["modifiers"] if m["type"] == "staterror"), [0.0] * len(entry["data"]))
        edges = tuple(float(edge) for edge in range(len(width) + 1))
        nominal = weighted(entry["data"], [w**2 for w in width], edges)
        return {"nominal": nominal, "modifiers": [declared(m) for m in entry["modifiers"]]}

    observed = {entry["name"]: entry["data"] for entry in workspace["observations"]}
    return {
        channel["name"]: {
            "data": observed[channel["name"]],
            "samples": {entry["name"]: sample(entry) for entry in channel["samples"]},
        }
        for channel in workspace["channels"]
    }


@pytest.mark.parametrize("name", ["agc_ttbar", "ttbar_ljets_xsec"])
def test_published_workspaces_come_back(likelihoods: Path, name: str) -> None:
    """Taken apart into histograms and declarations, and built again: the same rates, variations and data."""
    workspace = json.loads((likelihoods / f"{name}.json").read_text(encoding="utf-8"))
    config = workspace["measurements"][0]["config"]
    settings = {p["name"]: {k: v for k, v in p.items() if k != "name"} for p in config["parameters"]}
    made = workspace_from_histograms(_as_histograms(workspace), poi=config["poi"], parameters=settings).document
    pairs = zip(made["channels"], workspace["channels"], strict=True)
    for ours, theirs in ((o, t) for c, d in pairs for o, t in zip(c["samples"], d["samples"], strict=True)):
        assert ours["data"] == theirs["data"]
        for one, other in zip(ours["modifiers"], theirs["modifiers"], strict=True):
            assert (one["name"], one["type"]) == (other["name"], other["type"])
            if one["type"] == "staterror":
                np.testing.assert_allclose(one["data"], other["data"], rtol=1e-12)
            else:
                assert one["data"] == other["data"]
