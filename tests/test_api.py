"""From a file to a measurement: what is read, what the one line says, and what the record holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyhf
import pytest
from iminuit import Minuit

from infer import (
    Interpolation,
    Likelihood,
    Measurement,
    ParameterError,
    Settings,
    WorkspaceError,
    measure,
    read_workspace,
)
from infer.data import Data
from infer.inference.breakdown import DEFINITIONS
from infer.io.pyhf_json import digest
from infer.likelihoods.gaussian import GaussianMeasurements
from infer.likelihoods.histfactory.model import HistFactory
from tests.io.broken import CONFIG, add, edited, put, valid_workspace

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # raised inside pyhf

WORKSPACES = Path(__file__).parents[1] / "workspaces"
Built = tuple[Likelihood, Data]


def write(path: Path, document: Any) -> Path:
    """A JSON file."""
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    """A file with the small valid workspace, which has two measurements."""
    document = valid_workspace()
    document["measurements"].append({**document["measurements"][0], "name": "other"})
    document["measurements"][1] = json.loads(json.dumps(document["measurements"][1]))
    document["measurements"][1]["config"]["poi"] = "tt"
    return write(tmp_path / "ws.json", document)


@pytest.fixture(scope="module")
def search() -> Built:
    """The search workspace."""
    return read_workspace(WORKSPACES / "search.json")


@pytest.fixture(scope="module")
def measured(search: Built) -> Measurement:
    """Its measurement, with the defaults."""
    return measure(*search)


# -------------------------------------------------------------------------------------------------- reading


def test_pyhf_workspaces_are_read(valid: Path) -> None:
    """A document without a format is a pyhf workspace; its first measurement is taken unless one is named."""
    likelihood, data = read_workspace(valid)
    assert isinstance(likelihood, HistFactory)
    assert likelihood.parameters.poi == "mu"
    assert data.main.shape == (5,)
    assert read_workspace(str(valid), measurement="other")[0].parameters.poi == "tt"


def test_unknown_measurement_is_refused(valid: Path) -> None:
    """The message names the measurements that there are."""
    with pytest.raises(WorkspaceError, match=r"'nothing'.*'search'.*'other'"):
        read_workspace(valid, measurement="nothing")


def test_published_measurements_are_read() -> None:
    """The format of published measurements gives a Gaussian likelihood."""
    likelihood, data = read_workspace(WORKSPACES / "higgs_mass.json")
    assert isinstance(likelihood, GaussianMeasurements)
    assert data.main.size > 0


def test_patches_are_applied(valid: Path, tmp_path: Path) -> None:
    """A JSON patch, or one patch of a patchset by name, changes the workspace before it is read."""
    operations = [{"op": "replace", "path": "/channels/0/samples/0/data", "value": [50.0, 1.0, 3.0]}]
    plain = read_workspace(valid)[0]
    assert isinstance(plain, HistFactory)
    patchset = {
        "metadata": {
            "references": {},
            "description": "",
            "digests": {"sha256": digest(json.loads(valid.read_text(encoding="utf-8")))},
            "labels": ["mass"],
        },
        "patches": [{"metadata": {"name": "m_100", "values": [100]}, "patch": operations}],
        "version": "1.0.0",
    }
    file, named = write(tmp_path / "patch.json", operations), write(tmp_path / "set.json", patchset)
    for patch in (str(file), f"{named}:m_100"):
        patched = read_workspace(valid, patch=patch)[0]
        assert isinstance(patched, HistFactory)
        np.testing.assert_allclose(patched.grids.nominal[2:, 0], [50.0, 1.0, 3.0])
        np.testing.assert_allclose(plain.grids.nominal[2:, 0], [5.0, 10.0, 3.0])
    with pytest.raises(WorkspaceError, match="m_100"):
        read_workspace(valid, patch=f"{named}:m_200")


def test_interpolation_codes_are_a_choice(valid: Path) -> None:
    """The codes reach the model; pyhf's are the default."""
    chosen = Interpolation("code1", "code0")
    likelihood = read_workspace(valid, interpolation=chosen)[0]
    default = read_workspace(valid)[0]
    assert isinstance(likelihood, HistFactory)
    assert isinstance(default, HistFactory)
    assert likelihood.interpolation == chosen
    assert default.interpolation == Interpolation("code4", "code4p")


@pytest.mark.parametrize("name", ["", "nothing.json", "."])
def test_what_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    """A missing file or a folder is an input error, not a traceback."""
    with pytest.raises(WorkspaceError):
        read_workspace(tmp_path / name)


# ------------------------------------------------------------------------------------------------ one line


@pytest.fixture(scope="module")
def pyhf_minuit() -> Iterator[tuple[float, float, float, float]]:
    """Best fit, MINOS ends and 2NLL of the search workspace, from pyhf's likelihood and MINUIT alone."""
    backend = pyhf.get_backend()
    pyhf.set_backend("numpy", precision="64b")
    spec = pyhf.Workspace(json.loads((WORKSPACES / "search.json").read_text(encoding="utf-8")))
    model = spec.model(modifier_settings={"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}})
    data = spec.data(model)
    minuit = Minuit(
        lambda x: -float(model.logpdf(x, data)[0]), model.config.suggested_init(), name=model.config.par_names
    )
    minuit.errordef, minuit.limits, minuit.strategy = Minuit.LIKELIHOOD, model.config.suggested_bounds(), 2
    minuit.fixed = model.config.suggested_fixed()
    minuit.migrad()
    minuit.minos("mu")
    assert minuit.valid
    error = minuit.merrors["mu"]
    yield minuit.values["mu"], -error.lower, error.upper, 2.0 * float(minuit.fval or np.nan)
    pyhf.set_backend(*backend)


def test_search_equals_pyhf_with_minuit(measured: Measurement, pyhf_minuit: tuple[float, float, float, float]) -> None:
    """Value, both sides of the total and 2NLL are those of an independent likelihood and minimiser."""
    value, down, up, twice_nll = pyhf_minuit
    assert measured.value == pytest.approx(value, abs=2e-3 * up)
    assert measured.total.down == pytest.approx(down, rel=5e-3)
    assert measured.total.up == pytest.approx(up, rel=5e-3)
    assert measured.twice_nll == pytest.approx(twice_nll, abs=1e-4)


def test_search_in_one_line(measured: Measurement) -> None:
    """The line gives mu, stat and syst with two digits at most, as in an abstract."""
    side = r"(± 0\.\d\d?|\+0\.\d\d? −0\.\d\d?)"
    assert re.fullmatch(rf"mu = 1\.\d\d? {side} \(stat\) {side} \(syst\)", str(measured))


def test_measurement_in_one_line() -> None:
    """The cross-section workspace: a few per cent, mostly systematic."""
    found = measure(*read_workspace(WORKSPACES / "measurement.json"))
    assert found.poi == "mu_ttbar"
    assert found.value == pytest.approx(1.04, abs=0.01)
    assert found.total.up == pytest.approx(0.04, rel=0.15)
    assert str(found).startswith("mu_ttbar = 1.0")
    assert found.syst.up is not None
    assert found.stat.up is not None
    assert found.syst.up > found.stat.up


def test_mass_in_one_line() -> None:
    """The combination of published masses has a unit and a symbol, and equals the fit of its own likelihood."""
    found = measure(*read_workspace(WORKSPACES / "higgs_mass.json"))
    assert found.unit == "GeV"
    assert str(found).endswith(" GeV")
    assert found.value == pytest.approx(125.1, abs=0.2)
    assert "GeV" in found.to_latex()


def test_parts_are_shares_of_the_printed_total(measured: Measurement) -> None:
    """On each side, stat and the groups add up in quadrature to the end of the interval that is printed."""
    for side in ("down", "up"):
        parts = [getattr(measured.stat, side), *(getattr(part, side) for part in measured.groups.values())]
        assert np.sqrt(np.sum(np.square(parts))) == pytest.approx(getattr(measured.total, side), rel=1e-9)
        assert np.hypot(getattr(measured.stat, side), getattr(measured.syst, side)) == pytest.approx(
            getattr(measured.total, side), rel=1e-9
        )
    assert "mc_stat" in measured.groups


def test_certificate_and_parameters(measured: Measurement, search: Built) -> None:
    """The record holds the certificate with the sandwich ratio, and pull and constraint of every nuisance."""
    assert measured.certificate.trustworthy
    assert measured.certificate.sandwich_ratio is not None
    assert set(measured.parameters) == set(search[0].parameters)
    jes = measured.parameters["jes"]
    assert jes.pull == pytest.approx(jes.value)
    assert jes.constraint == jes.uncertainty
    assert measured.parameters["mu"].pull is None
    assert set(measured.provenance) >= {"infer", "jax"}


def test_pulls_of_counted_parameters() -> None:
    """A shapesys parameter is measured by a count tau of mean tau gamma: its pull is (gamma - 1) sqrt(tau)."""
    likelihood, data = read_workspace(WORKSPACES / "measurement.json")
    found = measure(likelihood, data)
    names = [n for n in likelihood.parameters if type(likelihood.parameters[n].constraint).__name__ == "Poisson"]
    assert names
    for name in names:
        before = likelihood.parameters[name].prefit_uncertainty()
        assert before is not None
        estimate = found.parameters[name]
        assert estimate.pull == pytest.approx((estimate.value - 1.0) / before, abs=1e-9)


# ------------------------------------------------------------------------------------------------- choices


@pytest.mark.parametrize("definition", [d for d in DEFINITIONS if d != "bootstrap"])
def test_definitions_are_selectable(search: Built, measured: Measurement, definition: str) -> None:
    """Every definition is named in the record, and all share value and total."""
    found = measure(*search, definition=definition)
    assert found.definition == definition
    assert found.value == pytest.approx(measured.value, abs=1e-9)
    assert found.total.up == pytest.approx(measured.total.up)
    assert list(found.groups) == list(measured.groups)
    assert found.stat.up is not None
    assert found.stat.up > 0.0


def test_bootstrap_needs_a_key(search: Built) -> None:
    """Toys are never drawn from a hidden key; the message shows how to pass one."""
    with pytest.raises(ParameterError, match=r"key=jax\.random\.key\(1\)"):
        measure(*search, definition="bootstrap")


@pytest.mark.slow
def test_bootstrap_with_a_key(search: Built) -> None:
    """The same key gives the same budget."""
    first, second = (measure(*search, definition="bootstrap", key=jax.random.key(5), n_toys=8) for _ in range(2))
    assert first.definition == "bootstrap"
    assert first.stat == second.stat
    assert first.groups == second.groups


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"definition": "frozen"}, "definition must be one of observables, conditional, shifted, bootstrap"),
        ({"method": "minos"}, "method must be 'profile' or 'hessian'"),
        ({"cl": 95.0}, r"write 95 % as 0\.95"),
        ({"poi": "muu"}, "unknown parameter 'muu'; did you mean 'mu'"),
        ({"groups": {"x": "nothing"}}, "group 'x': 'nothing' matches none"),
        ({"settings": Settings(fixed={"mu": 1.0})}, "'mu' is fixed"),
    ],
    ids=["definition", "method", "cl", "poi", "groups", "fixed poi"],
)
def test_impossible_choices_are_refused(search: Built, choices: dict[str, Any], message: str) -> None:
    """A choice that does not exist is met with those that do."""
    with pytest.raises(ParameterError, match=message):
        measure(*search, **choices)


def test_confidence_level_scales_all_parts(search: Built, measured: Measurement) -> None:
    """At 95 % the interval is about twice as wide, its parts with it, and the line says the level."""
    wide = measure(*search, cl=0.95, method="hessian")
    narrow = measure(*search, method="hessian")
    assert wide.total.up is not None
    assert narrow.total.up is not None
    assert wide.total.up == pytest.approx(1.959964 * narrow.total.up, rel=1e-5)
    assert wide.stat.up == pytest.approx(1.959964 * (narrow.stat.up or 0.0), rel=1e-5)
    assert "95 % CL" in str(wide)
    assert wide.interval == "hessian"
    assert measured.interval == "profile"


def test_groups_are_the_users(search: Built, measured: Measurement) -> None:
    """Groups by name and pattern; what they do not claim stays as it was."""
    found = measure(*search, groups={"jets": ["jes", "jer"], "theory": ".*_(theory|shape|norm)"})
    assert {"jets", "theory", "mc_stat"} <= set(found.groups)
    assert "jes" not in found.groups
    expected = np.hypot(measured.groups["jes"].up or 0.0, measured.groups["jer"].up or 0.0)
    assert found.groups["jets"].up == pytest.approx(expected, rel=1e-6)


def test_second_engine_vouches(search: Built) -> None:
    """``verify`` repeats the fit with MIGRAD, and the certificate says so."""
    certificate = measure(*search, verify=True).certificate
    assert certificate.verified_by == "MIGRAD"
    assert certificate.trustworthy


# -------------------------------------------------------------------------------------------- special cases


def test_round_trip(measured: Measurement) -> None:
    """A measurement written as JSON and read back is the same."""
    again = Measurement.from_json(measured.to_json())
    assert again == measured
    assert str(again) == str(measured)


def test_parameter_of_interest_at_its_bound(tmp_path: Path) -> None:
    """A deficit: zero, one-sided, and the lower side has no length (B07)."""
    document = edited(put("observations", 0, "data", [53, 30, 15]))
    found = measure(*read_workspace(write(tmp_path / "ws.json", document)))
    assert found.one_sided
    assert found.value == 0.0
    assert found.total.down == 0.0
    assert re.fullmatch(r"mu = 0 \+[\d.]+ \(one-sided: the best fit is at its lower bound\)", str(found))
    assert Measurement.from_json(found.to_json()) == found


def flat_workspace() -> dict[str, Any]:
    """Two factors on one sample: only their product is measured."""
    document = valid_workspace()
    document["channels"] = [
        {
            "name": "A",
            "samples": [
                {
                    "name": "s",
                    "data": [10.0],
                    "modifiers": [{"name": n, "type": "normfactor", "data": None} for n in ("mu", "k")],
                }
            ],
        }
    ]
    document["observations"] = [{"name": "A", "data": [20.0]}]
    document["measurements"] = [{"name": "m", "config": {"poi": "mu", "parameters": []}}]
    return document


def test_no_number_without_a_certificate(tmp_path: Path) -> None:
    """Where only a product of factors is measured there is no minimum to quote: a question mark and a reason (B08)."""
    found = measure(*read_workspace(write(tmp_path / "ws.json", flat_workspace())))
    assert not found.certificate.trustworthy
    assert str(found).startswith("mu = ? (")
    assert found.total.down is None
    assert found.total.up is None
    assert Measurement.from_json(found.to_json()).certificate == found.certificate


def test_likelihood_without_parameter_of_interest(tmp_path: Path) -> None:
    """Without a declared parameter of interest one must be named."""
    likelihood, data = read_workspace(write(tmp_path / "ws.json", edited(put(*CONFIG, "poi", ""))))
    with pytest.raises(ParameterError, match="no parameter of interest"):
        measure(likelihood, data)
    assert measure(likelihood, data, poi="tt").poi == "tt"


def test_remarks_of_the_workspace_are_noticed(tmp_path: Path) -> None:
    """What the reader found worth saying stands in the certificate."""
    document = edited(add(*CONFIG, "parameters", {"name": "unused", "inits": [1.0]}))
    found = measure(*read_workspace(write(tmp_path / "ws.json", document)))
    assert any("unused" in notice for notice in found.certificate.notices)
    assert replace(found.certificate, notices=()).trustworthy
