"""The format infer-parametric: what it reads, and one sentence for each way to break it."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from infer.constraints import LogNormal, Normal, Poisson
from infer.errors import WorkspaceError
from infer.io.parametric import parse_parametric
from infer.likelihoods.parametric import Binned, Unbinned, room_for
from infer.numerics.densities import Bernstein, CrystalBall, Exponential, Gaussian
from infer.numerics.resonances import BreitWigner, RadiatedBreitWigner, Voigt

WORKSPACES = Path(__file__).parents[2] / "workspaces"
Document = dict[str, Any]
EVENTS = "run, mass\n1, 90.5\n1, 91.5\n\n2, 75\n3, 130\n"

VALID: Document = {
    "format": "infer-parametric",
    "version": 1,
    "title": "A peak on a falling spectrum",
    "reference": "nowhere",
    "notes": ["invented"],
    "poi": "m",
    "data": {"file": "events.csv", "column": "mass"},
    "range": [60, 120],
    "panels": 32,
    "parameters": [
        {"name": "m", "init": 91, "bounds": [80, 100], "unit": "GeV", "latex": "m"},
        {"name": "s", "init": 30, "bounds": [0, None]},
        {"name": "b", "init": 10, "bounds": [0, None]},
        {"name": "c", "init": -0.03, "fixed": True},
        {"name": "scale", "init": 0, "constraint": {"normal": 1}, "group": "muons"},
        {"name": "sigma", "init": 1.5, "bounds": [0.1, 9], "constraint": {"lognormal": 1.1}},
        {"name": "efficiency", "init": 1, "bounds": [0, 3], "constraint": {"poisson": 50}},
    ],
    "components": [
        {
            "name": "signal",
            "yield": {"base": 0, "shift": {"s": 1}, "scale": {"efficiency": 0.1}},
            "density": "gaussian",
            "arguments": {"mean": {"base": "m", "scale": {"scale": 0.002}}, "sigma": "sigma"},
        },
        {"name": "background", "yield": "b", "density": "exponential", "arguments": {"slope": "c"}},
    ],
}


def parse(folder: Path, document: Document, events: str = EVENTS) -> tuple[Unbinned | Binned, Any, str]:
    """The document, read beside its events."""
    (folder / "events.csv").write_text(events, encoding="utf-8")
    return parse_parametric(document, source="peak.json", directory=folder)


def changed(edit: Callable[[Document], object]) -> Document:
    """A copy of the valid document with one change."""
    document = copy.deepcopy(VALID)
    edit(document)
    return document


@pytest.mark.slow
def test_a_document_becomes_a_likelihood(tmp_path: Path) -> None:
    """Parameters, constraints, data and densities are those of the document."""
    likelihood, data, poi = parse(tmp_path, VALID)
    assert isinstance(likelihood, Unbinned)
    assert poi == likelihood.parameters.poi == "m"
    assert likelihood.parameters.names == ("m", "s", "b", "c", "scale", "sigma", "efficiency")
    assert [likelihood.parameters[n].constraint for n in likelihood.parameters.constrained] == [
        Normal(1.0),
        LogNormal(1.1),
        Poisson(50.0),
    ]
    assert likelihood.parameters["c"].fixed
    assert likelihood.parameters["s"].bounds == (0.0, np.inf)
    assert likelihood.parameters["scale"].group == "muons"
    np.testing.assert_array_equal(data.aux, [0.0, 1.5, 50.0])
    assert likelihood.capacity == room_for(43.0)
    assert likelihood.edges.shape == (33,)
    values = np.asarray(data.main.values)[np.asarray(data.main.weights) == 1.0]
    np.testing.assert_array_equal(values, [90.5, 91.5, 75.0])  # 130 is outside the range
    theta = jnp.asarray(likelihood.parameters.vector({"scale": 2.0, "efficiency": 1.5}))
    np.testing.assert_allclose(likelihood.mixture.totals(theta), [30.0 * 1.15, 10.0])
    peak = likelihood.mixture.components[0]
    np.testing.assert_allclose(peak.arguments(theta), [34.5, 91.0 * 1.004, 1.5])


@pytest.mark.parametrize("bins", [6, [60, 70, 80, 90, 100, 110, 120]], ids=["number", "edges"])
def test_bins_make_it_binned(tmp_path: Path, bins: object) -> None:
    """A number of equal bins, or the same edges."""
    likelihood, data, _ = parse(tmp_path, VALID | {"bins": bins})
    assert isinstance(likelihood, Binned)
    np.testing.assert_array_equal(data.main, [0.0, 1.0, 0.0, 2.0, 0.0, 0.0])
    np.testing.assert_allclose(likelihood.edges, np.linspace(60.0, 120.0, 7))


RESONANCE = {"mass": "m", "width": 2.5, "resolution": "sigma"}
BALL = {"mean": "m", "sigma": "sigma", "alpha_low": 1.5, "n_low": 3, "alpha_high": 2, "n_high": 3}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "density"),
    [
        ("gaussian", {"mean": "m", "sigma": "sigma"}, Gaussian),
        ("exponential", {"slope": {"base": "c", "shift": {"m": 0, "sigma": 0}}}, Exponential),
        ("bernstein", {"coefficients": [1, "m", "sigma"]}, Bernstein),
        ("crystal_ball", BALL, CrystalBall),
        ("voigt", RESONANCE, Voigt),
        ("breit_wigner", RESONANCE, BreitWigner),
        ("breit_wigner", RESONANCE | {"tilt": {"base": 0.5, "shift": {"scale": 1}}}, BreitWigner),
        ("radiated_breit_wigner", RESONANCE | {"radiation": 0.0582}, RadiatedBreitWigner),
    ],
)
def test_every_density_can_be_named(tmp_path: Path, name: str, arguments: Document, density: type) -> None:
    """Each gives a finite probability of the events."""

    def edit(document: Document) -> None:
        document["components"][0].update(density=name, arguments=arguments)
        document["components"][0]["yield"]["shift"] |= {"scale": 0, "m": 0, "sigma": 0}

    likelihood, data, _ = parse(tmp_path, changed(edit))
    assert likelihood.mixture.components[0].density is density
    assert np.isfinite(likelihood.logpdf(jnp.asarray(likelihood.parameters.init), data))


def at(*path: str | int, **changes: object) -> Callable[[Document], None]:
    """An edit of the object at a path of the document."""

    def edit(document: Document) -> None:
        target: Any = document
        for key in path:
            target = target[key]
        target.update(changes)

    return edit


def without(*path: str | int) -> Callable[[Document], None]:
    """An edit that removes what is at a path."""

    def edit(document: Document) -> None:
        target: Any = document
        for key in path[:-1]:
            target = target[key]
        del target[path[-1]]

    return edit


SIGNAL, MEAN = ("components", 0), ("components", 0, "arguments", "mean")
BROKEN: dict[str, tuple[Callable[[Document], object], tuple[str, ...]]] = {
    "other-format": (at(format="infer-measurements"), ("format is", "expected 'infer-parametric'")),
    "other-version": (at(version=2), ("version is the number 2", "expected 1")),
    "key-missing": (without("range"), ("lacks the key 'range'",)),
    "key-misspelt": (at(pannels=3), ("unknown key 'pannels'", "'panels'")),
    "title-not-text": (at(title=3), ("title is the number 3",)),
    "notes-not-list": (at(notes="x"), ("notes is the string", "list")),
    "range-reversed": (at(range=[120, 60]), ("range is from 120 to 60", "swap")),
    "range-too-long": (at(range=[1, 2, 3]), ("range has 3 entries",)),
    "panels-fraction": (at(panels=2.5), ("panels is the number 2.5", "whole number from 1 to 4096")),
    "bins-zero": (at(bins=0), ("bins is the number 0",)),
    "bins-not-covering": (at(bins=[60, 90, 110]), ("bins does not increase from 60 to 120",)),
    "bins-unordered": (at(bins=[60, 90, 80, 120]), ("bins does not increase",)),
    "poi-unknown": (at(poi="mass"), ("poi is 'mass', which is no parameter", "'m', 's'")),
    "no-parameters": (at(parameters=[]), ("parameters is an empty list",)),
    "parameter-twice": (at("parameters", 1, name="m"), ("the parameter 'm' stands twice",)),
    "parameter-idle": (
        lambda d: d["parameters"].append({"name": "x", "init": 0}),
        ("no component depends on the parameter 'x'",),
    ),
    "init-outside": (at("parameters", 0, init=50), ("parameter 'm'", "within its bounds", "50")),
    "init-not-number": (at("parameters", 0, init="91"), ("parameter 'm': init is the string",)),
    "bounds-three": (at("parameters", 0, bounds=[1, 2, 3]), ("bounds has 3 entries, expected 2",)),
    "bounds-reversed": (at("parameters", 0, bounds=[100, 80]), ("lower bound must lie below",)),
    "constraint-unknown": (at("parameters", 4, constraint={"gauss": 1}), ("unknown key 'gauss'", "'normal'")),
    "constraint-empty": (at("parameters", 4, constraint={}), ("constraint has 0 keys",)),
    "constraint-negative": (at("parameters", 4, constraint={"normal": -1}), ("parameter 'scale'", "positive")),
    "fixed-not-boolean": (at("parameters", 3, fixed=1), ("fixed is the number 1", "true or false")),
    "density-unknown": (at(*SIGNAL, density="gauss"), ("component 'signal'", "density is 'gauss'", "'gaussian'")),
    "component-twice": (at("components", 1, name="signal"), ("the component 'signal' stands twice",)),
    "argument-missing": (without(*MEAN), ("component 'signal'", "lacks the key 'mean'")),
    "argument-unknown": (at(*SIGNAL, "arguments", width=1), ("unknown key 'width'", "'mean', 'sigma'")),
    "argument-list": (at(*SIGNAL, "arguments", sigma=[1]), ("arguments.sigma is a list of 1, expected a number",)),
    "name-unknown": (at(*SIGNAL, "arguments", sigma="sgma"), ("arguments.sigma names 'sgma'", "no parameter")),
    "shift-unknown": (at(*MEAN, shift={"jes": 1}), ("arguments.mean.shift names 'jes'",)),
    "scale-not-number": (at(*MEAN, scale={"scale": "big"}), ("arguments.mean.scale.scale is the string",)),
    "scale-not-object": (at(*MEAN, scale=0.1), ("arguments.mean.scale is the number 0.1, expected an object",)),
    "base-missing": (at(*SIGNAL, **{"yield": {"shift": {"s": 1}}}), ("yield lacks the key 'base'",)),
    "yield-missing": (without(*SIGNAL, "yield"), ("components[0] lacks the key 'yield'",)),
    "coefficients-free": (
        at("components", 1, density="bernstein", arguments={"coefficients": ["b", "c"]}),
        ("coefficients has no plain number", "make one coefficient the number 1"),
    ),
    "radiation-free": (
        at(*SIGNAL, density="radiated_breit_wigner", arguments=RESONANCE | {"radiation": "scale"}),
        ("arguments.radiation is the string 'scale'",),
    ),
    "radiation-negative": (
        at(*SIGNAL, density="radiated_breit_wigner", arguments=RESONANCE | {"radiation": -0.1}),
        ("arguments.radiation is -0.1", "between 0 and 1"),
    ),
    "peak-too-narrow": (
        at(*SIGNAL, density="voigt", arguments={"mass": "m", "width": 1e-3, "resolution": 1e-3}),
        ("'signal' integrates to", "more panels"),
    ),
    "file-missing": (at("data", file="other.csv"), ("other.csv", "cannot be read", "relative to the document")),
    "column-missing": (at("data", column="m"), ("events.csv has no column 'm'", "'run', 'mass'")),
    "nothing-in-range": (at(range=[200, 220]), ("none of the 4 events",)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_document_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    """The sentence names the document, the place and the remedy, on one line."""
    edit, words = BROKEN[name]
    document = changed(edit)
    if name in {"argument-missing", "radiation-free", "radiation-negative", "peak-too-narrow", "shift-unknown"}:
        document["components"][0]["yield"]["shift"] |= {"scale": 0, "sigma": 0, "m": 0}
    with pytest.raises(WorkspaceError) as caught:
        parse(tmp_path, document)
    message = str(caught.value)
    assert message.startswith("peak.json: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ("", "no column 'mass'"),
        ("run,mass\n", "none of the 0 events"),
        ("run,mass\n1,90\n2,\n", "events.csv, line 3: '' is not a finite number"),
        ("run,mass\n1,90\n2\n", "line 3"),
        ("run,mass\n1,nan\n", "line 2: 'nan' is not a finite number"),
        ("run,mass\n1,ninety\n", "'ninety'"),
    ],
    ids=["empty", "header-only", "empty-cell", "short-row", "nan", "word"],
)
def test_a_broken_data_file_is_refused(tmp_path: Path, events: str, words: str) -> None:
    """With the line where the fault is."""
    with pytest.raises(WorkspaceError, match=words):
        parse(tmp_path, VALID, events)


def test_a_binary_data_file_is_refused(tmp_path: Path) -> None:
    """Bytes that are no text."""
    (tmp_path / "events.csv").write_bytes(b"\xff\xfe\x00mass")
    with pytest.raises(WorkspaceError, match="not a CSV file"):
        parse_parametric(VALID, source="peak.json", directory=tmp_path)


@pytest.mark.slow
def test_the_script_makes_the_committed_files_and_they_are_read() -> None:
    """workspaces/make_parametric.py gives peak.json and peak.csv byte for byte."""
    spec = importlib.util.spec_from_file_location("make_parametric", WORKSPACES / "make_parametric.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    files = script.files()
    assert sorted(files) == ["peak.csv", "peak.json"]
    for name, content in files.items():
        assert (WORKSPACES / name).read_bytes() == content.encode(), name
    document = json.loads(files["peak.json"])
    likelihood, data, poi = parse_parametric(document, source="peak.json", directory=WORKSPACES)
    assert (len(likelihood.parameters), poi) == (7, "m")
    assert float(jnp.sum(data.main.weights)) == 3897.0
