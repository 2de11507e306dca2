"""The parser of workspaces: what it returns, what it lets pass with a notice, and pyhf's rules."""

from __future__ import annotations

import ast
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infer import documents
from infer.errors import InputError, WorkspaceError
from infer.likelihoods.histfactory import checks, records, settings, spec
from infer.likelihoods.histfactory.checks import ParameterSet, parameter_sets
from infer.likelihoods.histfactory.spec import (
    HistoSys,
    Lumi,
    Modifier,
    NormFactor,
    NormSys,
    ShapeFactor,
    ShapeSys,
    StatError,
    Workspace,
    parse_workspace,
)
from tests.io.broken import (
    CONFIG,
    FAKES,
    LUMI,
    MU,
    SIGNAL,
    TTBAR,
    add,
    cut,
    edited,
    put,
    valid_workspace,
)

PUBLISHED = {  # channels, bins, parameters and codes of notices, counted by pyhf
    "2018-05_ewk": (17, 17, 130, []),
    "2018-14_comb": (3, 3, 5, ["unused-parameter-setting"]),
    "2018-22_SSd": (24, 24, 3, ["unused-parameter-setting"]),
    "2018-31_SRA": (3, 9, 67, []),
    "2019-09_onshell": (23, 23, 116, []),
    "agc_ttbar": (2, 22, 34, []),
    "atlas_tttt": (5, 31, 249, []),
    "ttbar_ljets_xsec": (3, 37, 132, []),
}
DATA: dict[str, Any] = {  # of each modifier type, for a sample of two bins
    "histosys": {"lo_data": [9, 9], "hi_data": [11, 11]},
    "lumi": None,
    "normfactor": None,
    "normsys": {"lo": 0.9, "hi": 1.1},
    "shapefactor": None,
    "shapesys": [1.0, 1.0],
    "staterror": [1.0, 1.0],
}
LUMI_CONFIG = {"name": "lumi", "auxdata": [1], "sigmas": [0.1], "inits": [1], "bounds": [[0, 2]]}
HELD = "held at 1 in bins %s, where the rate or the uncertainty is not above 0"
LARGE = """
import time
from infer.likelihoods.histfactory.spec import parse_workspace
from tests.io.broken import valid_workspace
document = valid_workspace()
samples = document["channels"][0]["samples"]
shape = samples[1]["modifiers"][1]
for index in range(1_000):
    shapes = [shape | {"name": f"shape{number}"} for number in range(10)]
    samples.append({"name": f"background{index}", "data": [5, 4, 2], "modifiers": shapes})
seconds = []
for _ in range(3):
    start = time.perf_counter()
    parse_workspace(document)
    seconds.append(time.perf_counter() - start)
print(min(seconds))
"""
PYHF = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    """The small valid workspace, parsed."""
    return parse_workspace(valid_workspace(), source="ws.json")


def _modifier(workspace: Workspace, channel: int, sample: int, index: int) -> Modifier:
    return workspace.channels[channel].samples[sample].modifiers[index]


def _codes(document: dict[str, Any]) -> list[tuple[str, str]]:
    notices = parse_workspace(document, source="ws.json").notices
    return [(notice.code, notice.message) for notice in notices]


def _small(*channels: list[list[dict[str, Any]]], data: Any = (10.0, 10.0)) -> dict[str, Any]:
    """A workspace with channels A, B, ... of samples s, t, ..., which have the modifiers given."""
    names = "ABC"[: len(channels)]
    return {
        "channels": [
            {
                "name": name,
                "samples": [
                    {"name": sample, "data": list(data), "modifiers": modifiers}
                    for sample, modifiers in zip("stu", samples, strict=False)
                ],
            }
            for name, samples in zip(names, channels, strict=True)
        ],
        "observations": [{"name": name, "data": [10] * len(data)} for name in names],
        "measurements": [{"name": "m", "config": {"poi": "", "parameters": []}}],
        "version": "1.0.0",
    }


def _sets(document: dict[str, Any]) -> dict[str, ParameterSet]:
    return parameter_sets(parse_workspace(document).channels, "ws.json")[0]


def test_channels_are_sorted_as_in_pyhf(workspace: Workspace) -> None:
    """Bins are ordered by channel name, whatever the order in the document."""
    assert [channel.name for channel in workspace.channels] == ["CR", "SR"]
    assert [channel.n_bins for channel in workspace.channels] == [2, 3]
    assert list(workspace.observations) == ["CR", "SR"]
    assert [sample.name for sample in workspace.channels[1].samples] == ["signal", "ttbar", "fakes"]


def test_arrays_are_float64_and_read_only(workspace: Workspace) -> None:
    """Numbers of the document arrive unchanged, and nobody can change them afterwards."""
    nominal = workspace.channels[1].samples[1].nominal
    observed = workspace.observations["SR"]
    np.testing.assert_array_equal(nominal, [50.0, 40.0, 20.0])
    np.testing.assert_array_equal(observed, [60.0, 52.0, 27.0])
    assert nominal.dtype == observed.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        nominal[0] = 1.0


def test_each_modifier_type_has_its_record(workspace: Workspace) -> None:
    """All seven types come out with the document's values."""
    assert _modifier(workspace, 1, 0, 0) == NormFactor("mu")
    assert _modifier(workspace, 1, 0, 1) == Lumi("lumi")
    assert _modifier(workspace, 1, 0, 2) == NormSys("jes", lo=0.9, hi=1.1)
    assert _modifier(workspace, 0, 1, 0) == ShapeFactor("qcd_shape")
    shape, stat, fake = (_modifier(workspace, 1, *at) for at in [(1, 1), (1, 2), (2, 0)])
    assert isinstance(shape, HistoSys)
    np.testing.assert_array_equal(shape.lo, [48, 39, 19])
    np.testing.assert_array_equal(shape.hi, [52, 41, 21])
    assert isinstance(stat, StatError)
    np.testing.assert_array_equal(stat.uncertainty, [2.0, 1.5, 1.0])
    assert isinstance(fake, ShapeSys)
    np.testing.assert_array_equal(fake.uncertainty, [1.0, 1.0, 0.5])


def test_measurement_settings(workspace: Workspace) -> None:
    """Settings arrive as tuples of floats, and None where the document says nothing."""
    measurement = workspace.measurement()
    assert (measurement.name, measurement.poi) == ("search", "mu")
    mu, lumi = measurement.parameters["mu"], measurement.parameters["lumi"]
    assert (mu.inits, mu.bounds, mu.fixed) == ((1.0,), ((0.0, 10.0),), False)
    assert (mu.auxdata, mu.sigmas, mu.factors) == (None, None, None)
    assert (lumi.auxdata, lumi.sigmas, lumi.fixed) == ((1.0,), (0.02,), None)


def test_measurement_by_name() -> None:
    """None means the first measurement; an unknown name is answered with the names there are."""
    second = {"name": "background", "config": {"poi": "tt", "parameters": [LUMI_CONFIG]}}
    workspace = parse_workspace(edited(add("measurements", second)))
    assert workspace.measurement(None).name == "search"
    assert workspace.measurement("background").poi == "tt"
    with pytest.raises(WorkspaceError, match=r"no measurement 'b'; choose one of 'search', 'backg"):
        workspace.measurement("b")


def test_poi_may_be_absent() -> None:
    """The empty string is the schema's way to say that there is no parameter of interest."""
    workspace = parse_workspace(edited(put(*CONFIG, "poi", "")))
    assert workspace.measurement().poi is None


def test_the_document_is_left_alone() -> None:
    """Parsing neither changes the document nor keeps any of it."""
    document = valid_workspace()
    workspace = parse_workspace(document)
    assert document == valid_workspace()
    document["channels"][0]["samples"][0]["data"][0] = -1
    assert workspace.channels[1].samples[0].nominal[0] == 5.0


def test_documents_of_python_are_accepted() -> None:
    """Tuples and numpy scalars are as good as what the JSON decoder makes."""
    document = edited(put(*TTBAR, "data", tuple(np.array([50.0, 40.0, 20.0]))))
    assert parse_workspace(document).channels[1].samples[1].nominal.tolist() == [50.0, 40.0, 20.0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1.0001e15, 10**400])
def test_impossible_numbers_are_refused_everywhere(value: float) -> None:
    """Numbers that are not finite or beyond 1e15 are named with their place, also in memory."""
    paths = [
        ("sample 'ttbar': data[1]", (*TTBAR, "data", 1)),
        ("(normsys): lo", (*SIGNAL, "modifiers", 2, "data", "lo")),
        ("(histosys): hi_data[2]", (*TTBAR, "modifiers", 1, "data", "hi_data", 2)),
        ("(staterror): data[0]", (*TTBAR, "modifiers", 2, "data", 0)),
        ("(shapesys): data[0]", (*FAKES, "modifiers", 0, "data", 0)),
        ("observation 'SR': data[0]", ("observations", 0, "data", 0)),
        ("parameter 'lumi': sigmas[0]", (*LUMI, "sigmas", 0)),
        ("parameter 'mu': bounds[0][1]", (*MU, "bounds", 0, 1)),
    ]
    for place, path in paths:
        with pytest.raises(WorkspaceError) as caught:
            parse_workspace(edited(put(*path, value)))
        assert f"{place} is " in str(caught.value)


def test_a_negative_bin_of_one_sample_is_noticed() -> None:
    """Generator weights make single bins negative; that is said, not refused."""
    fakes = "channel 'SR', sample 'fakes'"
    assert _codes(edited(put(*FAKES, "data", [4.0, -0.1, -0.2]))) == [
        (
            "negative-rate",
            f"ws.json: {fakes}: negative nominal rate in bins 1, 2",
        ),
        (
            "shapesys-frozen",
            f"ws.json: {fakes}, modifier 'fake_rate' (shapesys): {HELD % '1, 2'}",
        ),
    ]


def test_an_empty_bin_is_noticed() -> None:
    """A bin without events in any sample may observe nothing; a histosys may still fill it."""
    empty = [put(*path, "data", 2, 0.0) for path in (SIGNAL, TTBAR, FAKES)]
    frozen = [("empty-bin", "ws.json: channel 'SR': the nominal rates add up to 0 in bin 2")]
    assert frozen[0] in _codes(edited(*empty))
    nothing = [put(*TTBAR, "modifiers", 1, "data", key, 2, 0.0) for key in ("lo_data", "hi_data")]
    assert frozen[0] in _codes(edited(*empty, *nothing, put("observations", 0, "data", 2, 0)))
    with pytest.raises(WorkspaceError, match="events are observed in bin 2"):
        parse_workspace(edited(*empty, *nothing))


def test_frozen_statistical_uncertainties_are_noticed() -> None:
    """A gamma without a rate or an uncertainty is held; the notice names channel and bins."""
    rates = [put(*path, "data", 0, 0.0) for path in (TTBAR, FAKES)]
    errors = [
        put(*TTBAR, "modifiers", 2, "data", 2, 0.0),
        put(*FAKES, "modifiers", 1, "data", 2, 0.0),
    ]
    document = edited(*rates, *errors)
    expected = (
        "staterror-frozen",
        f"ws.json: channel 'SR', modifier 'stat_SR' (staterror): {HELD % '0, 2'}",
    )
    assert expected in _codes(document)
    assert _sets(document)["stat_SR"] == ParameterSet("staterror", 3, (0, 2))


def test_one_of_two_samples_keeps_a_gamma_alive() -> None:
    """A staterror belongs to the sum of its samples: one empty sample freezes nothing."""
    document = edited(put(*FAKES, "data", 0, 0.0), put(*FAKES, "modifiers", 1, "data", 0, 0.0))
    assert [code for code, _ in _codes(document)] == ["shapesys-frozen"]


def test_settings_without_a_parameter_are_noticed() -> None:
    """A setting that does nothing is either a leftover or a misspelt name."""
    unused = {"name": "jet_scale", "fixed": True}
    assert _codes(edited(add(*CONFIG, "parameters", unused))) == [
        (
            "unused-parameter-setting",
            "ws.json: measurement 'search': settings for 'jet_scale', which no modifier uses",
        )
    ]


def test_a_fixed_parameter_of_interest_is_noticed() -> None:
    """Legal, but the fit will not measure it."""
    message = "ws.json: measurement 'search': the parameter of interest 'mu' is fixed"
    assert _codes(edited(put(*MU, "fixed", True))) == [("poi-fixed", message)]


def test_negative_uncertainty_of_a_negative_rate_loses_its_sign() -> None:
    """Conversion from XML multiplies relative uncertainties by the rate, whose sign they carry."""
    document = edited(
        put(*FAKES, "data", 1, -0.1),
        put(*FAKES, "modifiers", 0, "data", 1, -0.05),
        put(*FAKES, "modifiers", 1, "data", 1, -0.02),
    )
    fakes = parse_workspace(document).channels[1].samples[2]
    shape, stat = fakes.modifiers
    assert isinstance(shape, ShapeSys)
    assert isinstance(stat, StatError)
    assert (shape.uncertainty[1], stat.uncertainty[1]) == (0.05, 0.02)


def test_lumi_may_leave_out_start_and_bounds() -> None:
    """Its auxdata a stand for the start value, and the bounds are (0, 10 a)."""
    minimal = {"name": "lumi", "auxdata": [2.0], "sigmas": [0.1]}
    parse_workspace(edited(put(*LUMI, minimal)))
    parse_workspace(edited(put(*LUMI, minimal | {"inits": [20.0]})))
    with pytest.raises(WorkspaceError, match=r"20.1, outside the default bounds \[0, 20\]"):
        parse_workspace(edited(put(*LUMI, minimal | {"inits": [20.1]})))


def test_lumi_is_asked_for_only_where_it_is_used() -> None:
    """A workspace without lumi modifiers needs no declaration, and a normsys may be called lumi."""
    parse_workspace(edited(cut(*LUMI), cut(*SIGNAL, "modifiers", 1)))
    normsys = {"name": "lumi", "type": "normsys", "data": {"lo": 0.98, "hi": 1.02}}
    parse_workspace(edited(cut(*LUMI), put(*SIGNAL, "modifiers", 1, normsys)))


def test_staterror_of_two_channels_has_all_their_bins() -> None:
    """As in pyhf, the components of both channels follow one another, in the channels' order."""
    stat = {"name": "st", "type": "staterror", "data": [1.0, 0.0]}
    assert _sets(_small([[stat]], [[stat]])) == {"st": ParameterSet("staterror", 4, (1, 3))}


@PYHF
@pytest.mark.parametrize(("first", "second"), list(itertools.product(DATA, DATA)))
@pytest.mark.parametrize("where", ["sample", "channel"])
def test_names_are_shared_as_in_pyhf(first: str, second: str, where: str) -> None:
    """Two modifiers of one name on two samples or in two channels are accepted as pyhf does."""
    pyhf = pytest.importorskip("pyhf")
    one, two = ({"name": "lumi", "type": kind, "data": DATA[kind]} for kind in (first, second))
    document = _small([[one], [two]]) if where == "sample" else _small([[one]], [[two]])
    if "lumi" in (first, second):
        document["measurements"][0]["config"]["parameters"] = [LUMI_CONFIG]
    try:
        model = pyhf.Workspace(document).model(poi_name=None)
    except (pyhf.exceptions.InvalidModel, pyhf.exceptions.InvalidNameReuse):
        with pytest.raises(WorkspaceError):
            parse_workspace(document)
    else:
        (found,) = _sets(document).values()
        assert found.size == model.config.npars


@PYHF
@pytest.mark.parametrize("kind", ["staterror", "shapesys"])
@pytest.mark.parametrize("seed", range(5))
def test_bins_are_frozen_as_in_pyhf(kind: str, seed: int) -> None:
    """For random rates and uncertainties, many zero or negative, the same components are held."""
    pyhf = pytest.importorskip("pyhf")
    rng = np.random.default_rng(seed)
    filler = {"name": "k", "type": "normfactor", "data": None}
    samples = []
    for name in "st":
        nominal = rng.choice([-1.0, 0.0, 2.0, 5.0], size=12).tolist()
        data = rng.choice([0.0, 0.0, 0.5, 1.0], size=12).tolist()
        names = {"staterror": "x", "shapesys": f"x_{name}"}
        modifiers = [{"name": names[kind], "type": kind, "data": data}]
        samples.append({"name": name, "data": nominal, "modifiers": modifiers})
    samples.append({"name": "u", "data": [9.0] * 12, "modifiers": [filler]})
    document = _small([[]], data=[1.0] * 12)
    document["channels"][0]["samples"] = samples
    config = pyhf.Workspace(document).model(poi_name=None).config
    for name, found in _sets(document).items():
        fixed = config.suggested_fixed()[config.par_slice(name)]
        assert found.frozen == tuple(index for index, held in enumerate(fixed) if held)


@PYHF
def test_default_bounds_are_those_of_pyhf() -> None:
    """A start value at either default bound is accepted, one beyond is not."""
    pyhf = pytest.importorskip("pyhf")
    document = valid_workspace()
    config = pyhf.Workspace(document).model().config
    for name in ("tt", "jes", "stat_SR", "fake_rate", "qcd_shape"):
        part = config.par_slice(name)
        lower, upper = zip(*config.suggested_bounds()[part], strict=True)
        beyond = [value + 0.1 for value in upper]
        below = [value - 0.1 for value in lower]
        for inits, allowed in [(lower, True), (upper, True), (beyond, False), (below, False)]:
            setting = {"name": name, "inits": list(inits)}
            tried = edited(add(*CONFIG, "parameters", setting))
            if allowed:
                parse_workspace(tried)
            else:
                with pytest.raises(WorkspaceError, match="outside the default bounds"):
                    parse_workspace(tried)


@PYHF
def test_settings_are_allowed_as_in_pyhf() -> None:
    """Each constraint setting is accepted for exactly the parameters for which pyhf accepts it."""
    pyhf = pytest.importorskip("pyhf")
    config = pyhf.Workspace(valid_workspace()).model().config
    for name, field in itertools.product(
        ("tt", "jes", "stat_SR", "fake_rate", "qcd_shape", "lumi"),
        ("auxdata", "sigmas", "factors"),
    ):
        part = config.par_slice(name)
        setting = {"name": name, field: [1.0] * (part.stop - part.start)}
        lumi = put(*LUMI, LUMI_CONFIG | setting)
        document = edited(lumi if name == "lumi" else add(*CONFIG, "parameters", setting))
        try:
            pyhf.Workspace(document).model()
        except pyhf.exceptions.InvalidModel:
            with pytest.raises(WorkspaceError, match=f"has no {field}"):
                parse_workspace(document)
        else:
            parse_workspace(document)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_likelihoods_are_accepted(name: str, likelihoods: Path) -> None:
    """Each has the channels, bins and parameters that pyhf counts, and the expected notices."""
    document = json.loads((likelihoods / f"{name}.json").read_text())
    workspace = parse_workspace(document, source=name)
    sets, _ = parameter_sets(workspace.channels, name)
    bins = [channel.n_bins for channel in workspace.channels]
    found = (len(bins), sum(bins), sum(one.size for one in sets.values()))
    assert (*found, [notice.code for notice in workspace.notices]) == PUBLISHED[name]
    assert workspace.measurement().poi in sets


def test_a_large_workspace_is_parsed_quickly() -> None:
    """Ten thousand modifiers take about 0.1 s; 1 s is allowed, in a process without type checks."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", LARGE]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert float(run.stdout) < 1.0


def test_reading_needs_numpy_only() -> None:
    """The reader stays quick to start: nothing heavier than numpy is imported by its modules."""
    allowed = {"__future__", "collections", "dataclasses", "difflib", "infer", "numpy", "reprlib"}
    for module in (checks, documents, records, settings, spec):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            tops = {name.partition(".")[0] for name in names}
            assert tops <= allowed | {"types", "typing"}


@pytest.mark.parametrize("document", [None, [], "workspace", 3, {}, {"channels": []}, {1: 2}])
def test_what_is_no_workspace_is_refused(document: object) -> None:
    """Anything may be handed in, and the answer is always the same kind of error."""
    with pytest.raises(InputError, match=r"^workspace: the document "):
        parse_workspace(document)
