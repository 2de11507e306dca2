"""The format "infer-measurements": what it means, what it refuses, and a workspace in it."""

from __future__ import annotations

import copy
import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from infer.constraints import MultivariateNormal, Normal
from infer.data import Data
from infer.errors import WorkspaceError
from infer.io import measurements
from infer.io.measurements import parse_measurements
from infer.io.pyhf_json import load_document
from infer.likelihood import check_data
from infer.likelihoods.gaussian import GaussianMeasurements
from infer.numerics.blue import Blue, blue

Document = dict[str, Any]
WORKSPACES = Path(__file__).parent.parent.parent / "workspaces"

EXAMPLE: Document = {
    "format": "infer-measurements",
    "version": 1,
    "title": "Two masses and a width",
    "reference": "nowhere",
    "notes": ["made up"],
    "poi": "m",
    "observables": [
        {"name": "m", "unit": "GeV", "latex": "m_X"},
        {"name": "width", "init": 2.5, "bounds": [0.0, None]},
    ],
    "measurements": [
        {
            "name": "A",
            "observable": "m",
            "value": 91.3,
            "stat": 0.4,
            "syst": {"scale": 0.2, "model": -0.1},
        },
        {
            "name": "B",
            "observable": "m",
            "value": 90.7,
            "stat": 0.3,
            "syst": {"scale": 0.3},
            "reference": "here",
        },
        {
            "name": "edge",
            "observable": {"m": 1, "width": 0.5},
            "value": 92.0,
            "stat": 1,
            "syst": {"model": 0.2},
        },
    ],
    "sources": {
        "scale": {"correlation": 0.5, "group": "detector", "notes": ["a guess"]},
        "model": {
            "correlation": [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]],
            "parameter": "alpha_model",
            "bounds": [-5.0, 5.0],
        },
    },
    "stat_correlation": [[1.0, 0.1, 0.0], [0.1, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "combinations": {"direct": ["A", "B"]},
}


def parse(document: Document) -> tuple[GaussianMeasurements, Data, str]:
    """Parse under the name "doc"."""
    return parse_measurements(document, source="doc")


def minimal(**changes: object) -> Document:
    """One measurement without systematic uncertainties, with top-level keys changed."""
    document: Document = {
        "format": "infer-measurements",
        "version": 1,
        "poi": "m",
        "observables": [{"name": "m"}],
        "measurements": [{"name": "A", "observable": "m", "value": 91.3, "stat": 0.4}],
    }
    return document | changes


@pytest.mark.slow
def test_example() -> None:
    """Every field arrives where it belongs."""
    likelihood, data, poi = parse(EXAMPLE)
    assert poi == likelihood.parameters.poi == "m"
    assert likelihood.parameters.names == ("m", "width", "scale[A]", "scale[B]", "alpha_model")
    assert likelihood.names == ("A", "B", "edge")
    assert likelihood.combinations == {"direct": ("A", "B")}
    mass, width = likelihood.parameters["m"], likelihood.parameters["width"]
    assert (mass.init, mass.unit, mass.latex, mass.bounds) == (
        91.0,
        "GeV",
        "m_X",
        (-np.inf, np.inf),
    )
    assert (width.init, width.bounds) == (2.5, (0.0, np.inf))
    model = likelihood.parameters["alpha_model"]
    assert (model.group, model.bounds, model.constraint) == ("model", (-5.0, 5.0), Normal(1.0))
    assert {likelihood.parameters[f"scale[{n}]"].group for n in "AB"} == {"detector"}
    assert isinstance(likelihood.parameters["scale[A]"].constraint, MultivariateNormal)
    expected = [[1.0, 0.0, 0.2, 0.0, -0.1], [1.0, 0.0, 0.0, 0.3, 0.0], [1.0, 0.5, 0.0, 0.0, 0.2]]
    np.testing.assert_array_equal(likelihood.jacobian, expected)
    covariance = [[0.16, 0.012, 0.0], [0.012, 0.09, 0.0], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(likelihood.covariance, covariance, rtol=1e-14)
    np.testing.assert_array_equal(data.main, [91.3, 90.7, 92.0])
    np.testing.assert_array_equal(data.aux, [0.0, 0.0, 0.0])
    check_data(likelihood, data)


def test_documented_example() -> None:
    """The example in the module's docstring is a document."""
    example = (measurements.__doc__ or "").split("::\n")[1].split("\n\n``format``")[0]
    text = example.replace("\n    ", "\n")
    likelihood, _, _ = parse(json.loads(text))
    assert likelihood.names == ("A", "B")


@pytest.mark.slow
def test_minimal_document() -> None:
    """No systematic uncertainties: the statistical one alone."""
    likelihood, data, _ = parse(minimal())
    assert likelihood.parameters.names == ("m",)
    assert float(likelihood.curvature(jnp.array([91.3]), data).hessian[0, 0]) == pytest.approx(0.4**-2)


def test_start_value_is_the_mean_within_the_bounds() -> None:
    """Without init; with bounds that exclude the mean, the nearer bound."""
    bounded = minimal(observables=[{"name": "m", "bounds": [None, 91.0]}])
    assert parse(bounded)[0].parameters["m"].init == 91.0
    assert parse(minimal())[0].parameters["m"].init == 91.3


def test_document_is_not_changed() -> None:
    """The caller's document is read only."""
    before = copy.deepcopy(EXAMPLE)
    parse(EXAMPLE)
    assert before == EXAMPLE


# -- broken documents --------------------------------------------------------------------------


def put(*path_and_value: object) -> Callable[[Document], None]:
    """Set the entry at a path."""
    *path, last, value = path_and_value

    def change(document: Any) -> None:
        for key in path:
            document = document[key]
        document[last] = value

    return change


def drop(*path: object) -> Callable[[Document], None]:
    """Remove the entry at a path."""

    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


FIRST = ("measurements", 0)
SCALE = ("sources", "scale")
BROKEN: dict[str, tuple[Callable[[Document], None], str]] = {
    "another format": (
        put("format", "pyhf"),
        "doc: format is 'pyhf', expected 'infer-measurements'; read it with",
    ),
    "another version": (put("version", 2), "doc: version is 2, expected 1; convert the document"),
    "version as text": (put("version", "1"), "doc: version is the string '1', expected a number"),
    "no poi": (drop("poi"), "doc: the document lacks the key 'poi'; add"),
    "misspelt key": (
        put("combination", {}),
        "unknown key 'combination'; did you mean 'combinations'",
    ),
    "unknown poi": (put("poi", "mm"), "got 'mm'; did you mean 'm'?"),
    "notes as text": (
        put("notes", "made up"),
        "doc: notes is the string 'made up', expected a list",
    ),
    "no measurements": (put("measurements", []), "doc: measurements is an empty list"),
    "measurements as object": (
        put("measurements", {}),
        "doc: measurements is an object, expected a list",
    ),
    "measurement without stat": (drop(*FIRST, "stat"), "measurements[0] lacks the key 'stat'"),
    "measurement without name": (
        put(*FIRST, "name", ""),
        "measurements[0].name is an empty string",
    ),
    "name twice": (put(*FIRST, "name", "B"), "doc: the measurement 'B' stands twice; rename"),
    "value as text": (
        put(*FIRST, "value", "91.3"),
        "measurement 'A': value is the string '91.3', expected a number",
    ),
    "value is nan": (
        put(*FIRST, "value", float("nan")),
        "measurement 'A': value is the number nan",
    ),
    "stat is zero": (
        put(*FIRST, "stat", 0),
        "measurement 'A': stat is 0, expected a positive number",
    ),
    "stat is negative": (
        put(*FIRST, "stat", -0.4),
        "measurement 'A': stat is -0.4, expected a positive number",
    ),
    "asymmetric stat": (
        put(*FIRST, "stat", [0.3, 0.5]),
        "stat is a list of 2, expected one number; a Gaussian",
    ),
    "asymmetric shift": (
        put(*FIRST, "syst", "scale", [0.3, 0.5]),
        "syst 'scale' is a list of 2, expected one number",
    ),
    "shift is null": (
        put(*FIRST, "syst", "scale", None),
        "measurement 'A': syst 'scale' is null, expected a number",
    ),
    "syst as number": (
        put(*FIRST, "syst", 0.3),
        "measurement 'A': syst is the number 0.3, expected an object",
    ),
    "misspelt source": (put(*FIRST, "syst", "scael", 0.3), "got 'scael'; did you mean 'scale'?"),
    "misspelt observable": (
        put(*FIRST, "observable", "M"),
        "to refer to a declared observable, got 'M'",
    ),
    "no coefficient": (
        put(*FIRST, "observable", {"m": 0.0}),
        "observable has no coefficient other than zero",
    ),
    "observable twice": (
        put("observables", 1, "name", "m"),
        "doc: the observable 'm' stands twice",
    ),
    "observable not measured": (
        put("observables", 1, {"name": "width"}),
        "observable 'width': it has no init, and no measurement measures it alone; add init",
    ),
    "undetermined observable": (
        put(
            "observables",
            [{"name": "m"}, {"name": "width", "init": 1.0}, {"name": "x", "init": 1.0}],
        ),
        "doc: expected a measurement of 'x', got none; add one, or remove the observable.",
    ),
    "one bound": (
        put("observables", 0, "bounds", [0.0]),
        "observable 'm': bounds has 1 entries, expected 2",
    ),
    "bounds reversed": (
        put("observables", 0, "bounds", [5, 1]),
        "observable 'm': the lower bound is 5 and the upper",
    ),
    "init outside": (put("observables", 1, "init", -1.0), "within its bounds (0, inf), got -1"),
    "sources as list": (put("sources", []), "doc: sources is an empty list, expected an object"),
    "source without correlation": (
        drop(*SCALE, "correlation"),
        "source 'scale': its entry lacks the key 'correlation'",
    ),
    "source as number": (
        put("sources", "scale", 0.5),
        "source 'scale': its entry is the number 0.5, expected an object",
    ),
    "idle source": (
        put("sources", "idle", {"correlation": 1.0}),
        "expected the source 'idle' to move a measurement",
    ),
    "correlation beyond one": (
        put(*SCALE, "correlation", 1.5),
        "the source 'scale' to lie within [-1, 1], got 1.5",
    ),
    "correlation as text": (
        put(*SCALE, "correlation", "full"),
        "source 'scale': correlation is the string 'full'",
    ),
    "impossible correlations": (
        put("sources", "scale", {"correlation": [[1, 0.9, 0], [0.8, 1, 0], [0, 0, 1]]}),
        "expected a symmetric correlation of the source 'scale'",
    ),
    "matrix too small": (
        put(*SCALE, "correlation", [[1.0]]),
        "source 'scale': correlation has 1 rows, expected 3",
    ),
    "matrix row too short": (
        put(*SCALE, "correlation", [[1, 0, 0], [0, 1], [0, 0, 1]]),
        "source 'scale': correlation[1] has 2 entries, expected 3 (the measurements)",
    ),
    "reserved group": (
        put(*SCALE, "group", "stat"),
        "expected the source 'scale' in a group of its own",
    ),
    "parameter twice": (
        put("sources", "model", "parameter", "m"),
        "expected different parameter names, got 'm' twice; rename",
    ),
    "source bounds without zero": (
        put("sources", "model", "bounds", [1, 5]),
        "within its bounds (1, 5), got 0",
    ),
    "statistically identical": (
        put("stat_correlation", [[1, 1, 0], [1, 1, 0], [0, 0, 1]]),
        "doc: expected a positive definite covariance of the statistical uncertainties",
    ),
    "stat correlation as number": (
        put("stat_correlation", 0.5),
        "doc: stat_correlation is the number 0.5",
    ),
    "unknown member": (
        put("combinations", "direct", ["A", "b"]),
        "combination 'direct' to name measurements, got 'b'",
    ),
    "empty combination": (
        put("combinations", "direct", []),
        "doc: combination 'direct' is an empty list",
    ),
    "combination as text": (
        put("combinations", "direct", "A"),
        "combination 'direct' is the string 'A', expected a list",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_document(case: str) -> None:
    """One sentence on one line that names the document, the place and the remedy."""
    document = copy.deepcopy(EXAMPLE)
    change, message = BROKEN[case]
    change(document)
    with pytest.raises(WorkspaceError, match=re.escape(message)) as caught:
        parse(document)
    said = str(caught.value)
    assert said.startswith("doc: ")
    assert "\n" not in said
    assert re.search(r"[;:] \w", said.removeprefix("doc: "))


# -- the workspace of the Higgs boson mass -----------------------------------------------------


def best(likelihood: GaussianMeasurements, data: Data) -> tuple[Blue, float, float]:
    """BLUE of one observable, with its statistical and systematic uncertainty."""
    parts = likelihood.covariances()
    result = blue(np.asarray(data.main), sum(parts.values()))
    stat = float(result.contribution(parts["stat"])[0, 0])
    return result, np.sqrt(stat), np.sqrt(float(result.covariance[0, 0]) - stat)


@pytest.fixture(scope="module")
def higgs() -> tuple[GaussianMeasurements, Data]:
    """The workspace as it stands in the repository."""
    path = WORKSPACES / "higgs_mass.json"
    likelihood, data, poi = parse_measurements(load_document(path), source=path.name)
    assert poi == "m_H"
    return likelihood, data


def test_higgs_workspace_is_what_its_script_writes() -> None:
    """Nobody edited the file by hand."""
    script = runpy.run_path(str(WORKSPACES / "make_higgs_mass.py"))
    assert load_document(WORKSPACES / "higgs_mass.json") == script["document"]()


def test_higgs_inputs_are_the_published_ones(higgs: tuple[GaussianMeasurements, Data]) -> None:
    """Values, statistical and total systematic uncertainties of arXiv:1503.07589, in GeV."""
    likelihood, data = higgs
    parts = likelihood.covariances()
    stat = parts.pop("stat")
    assert likelihood.names == ("ATLAS γγ", "CMS γγ", "ATLAS 4ℓ", "CMS 4ℓ")
    np.testing.assert_array_equal(data.main, [126.02, 124.70, 124.51, 125.59])
    np.testing.assert_allclose(np.sqrt(np.diagonal(stat)), [0.43, 0.31, 0.52, 0.42], rtol=1e-14)
    syst = np.sqrt(np.diagonal(sum(parts.values())))
    np.testing.assert_allclose(syst, [0.27, 0.15, 0.04, 0.17], atol=2e-6)


@pytest.mark.slow
def test_higgs_combination(higgs: tuple[GaussianMeasurements, Data]) -> None:
    """Beside the published 125.09 ± 0.21 ± 0.11 with weights 0.19, 0.40, 0.18, 0.23."""
    likelihood, data = higgs
    result, stat, syst = best(likelihood, data)
    np.testing.assert_allclose(likelihood.weights(), [[0.19, 0.40, 0.18, 0.23]], atol=0.005)
    np.testing.assert_allclose(likelihood.weights(), result.weights, atol=1e-12)
    assert result.estimates[0] == pytest.approx(125.09, abs=0.04)
    assert stat == pytest.approx(0.21, abs=0.015)
    assert syst == pytest.approx(0.11, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "stat", "syst"),
    [
        ("gamma gamma", 125.116, 0.252, 0.134),
        ("four leptons", 125.126, 0.328, 0.098),
        ("ATLAS", 125.285, 0.336, 0.142),
        ("CMS", 125.021, 0.250, 0.126),
    ],
)
def test_higgs_partial_combinations(
    higgs: tuple[GaussianMeasurements, Data], name: str, value: float, stat: float, syst: float
) -> None:
    """The numbers that the study of the Higgs boson mass quotes."""
    likelihood, data = higgs
    result, got_stat, got_syst = best(*likelihood.subset(data, name))
    assert [result.estimates[0], got_stat, got_syst] == pytest.approx([value, stat, syst], abs=6e-4)
