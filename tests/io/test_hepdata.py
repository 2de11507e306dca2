"""Submissions to HEPData: valid by HEPData's own validator, and the numbers are those of the records."""

from __future__ import annotations

import dataclasses
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import infer
from infer.inference.yields import Yields
from infer.io.hepdata import (
    About,
    Column,
    Resource,
    Table,
    plain,
    tables_of,
    validate,
    with_uncertainty,
    write_submission,
)
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.measurement import Uncertainty
from tests.io.broken import valid_workspace

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema:DeprecationWarning")  # of the validator

ABOUT = About(
    "A test.", location="Table 1", cmenergies=(13000.0,), reactions=("P P --> TOP TOPBAR X",), phrases=("top",)
)
COVERAGE = {
    "poi": "mu",
    "results": [
        {
            "method": "profile",
            "cl": 0.6827,
            "points": [{"truth": 1.0, "n": 100, "n_failed": 1, "coverage": 0.68, "clopper_pearson": [0.62, 0.73]}],
        }
    ],
}
LIMIT = {
    "poi": "mu",
    "cl": 0.95,
    "statistic": "q_mu_tilde",
    "reference": "asymptotic",
    "observed": 2.5,
    "expected": [1.0, 1.3, 1.8, 2.4, None],
}


@dataclasses.dataclass(frozen=True)
class Records:
    """What is published of the small workspace."""

    measurement: infer.Measurement
    fit: infer.FitResult
    yields: Yields


@pytest.fixture(scope="module")
def records() -> Records:
    """Of the workspace with all seven modifiers."""
    likelihood, data = HistFactory.of(parse_workspace(valid_workspace()))
    best = infer.fit(likelihood, data)
    return Records(infer.measure(likelihood, data), best, infer.yields(likelihood, data, fitted=best))


def all_tables(records: Records) -> list[Table]:
    """Every table there is."""
    return tables_of(records.measurement, records.fit, unit="pb", yields=records.yields, coverage=COVERAGE, limit=LIMIT)


def written(folder: Path, records: Records) -> tuple[Path, Path]:
    """The submission with all tables and one resource."""
    resource = folder / "workspace.json"
    resource.write_text("{}", encoding="utf-8")
    about = Resource(resource, "The likelihood", "HistFactory")
    made = write_submission(folder / "out", all_tables(records), about=ABOUT, resources=[about])
    assert made.validated
    return made.folder, made.archive


def load(path: Path) -> list[Any]:
    """All documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the validator leaves files open
def test_hepdata_itself_finds_it_valid(records: Records, tmp_path: Path) -> None:
    """Folder and archive, by hepdata-validator with the schemas that it brings along."""
    from hepdata_validator.full_submission_validator import FullSubmissionValidator

    target, archive = written(tmp_path, records)
    assert validate(target)
    for where in ({"directory": str(target)}, {"archive": str(archive)}):
        validator = FullSubmissionValidator(autoload_remote_schemas=False)
        assert validator.validate(**where), validator.get_messages()
    with tarfile.open(archive) as packed:
        assert set(packed.getnames()) == {path.name for path in target.iterdir()}


def test_the_submission_says_what_it_is_told(records: Records, tmp_path: Path) -> None:
    """Comment, resources, and keywords and location of every table."""
    target, _ = written(tmp_path, records)
    head, *tables = load(target / "submission.yaml")
    assert head["comment"] == "A test."
    assert head["additional_resources"] == [
        {"location": "workspace.json", "description": "The likelihood", "type": "HistFactory"}
    ]
    named = {"Result", "Error budget", "Fitted parameters", "Covariance of parameters", "Correlation of parameters"}
    assert named | {"Yields CR", "Yields SR", "Covariance of yields", "Coverage", "Upper limits"} == {
        table["name"] for table in tables
    }
    for table in tables:
        assert table["location"] == "Table 1"
        assert {"name": "cmenergies", "values": [13000.0]} in table["keywords"]


def test_the_result_is_value_stat_and_syst(records: Records, tmp_path: Path) -> None:
    """With the sides of the interval, its unit and its definition."""
    target, _ = written(tmp_path, records)
    (document,) = load(target / "result.yaml")
    column, total = document["dependent_variables"]
    m = records.measurement
    assert column["header"] == {"name": "mu", "units": "pb"}
    (entry,) = column["values"]
    assert entry["value"] == m.value
    errors = {error["label"]: error["asymerror"] for error in entry["errors"]}
    assert errors["stat"] == {"minus": -m.stat.down, "plus": m.stat.up}
    assert errors["syst"] == {"minus": -m.syst.down, "plus": m.syst.up}
    assert total["values"][0]["errors"][0]["asymerror"]["plus"] == m.total.up
    assert {"name": "Definition", "value": "observables"} in column["qualifiers"]


def test_matrices_keep_all_digits(records: Records, tmp_path: Path) -> None:
    """The covariance is the fit's, bit for bit, over the parameters that moved."""
    target, _ = written(tmp_path, records)
    (document,) = load(target / "covariance_of_parameters.yaml")
    moved = records.fit.inactive
    values = [entry["value"] for entry in document["dependent_variables"][0]["values"]]
    size = int(np.sum(moved))
    np.testing.assert_array_equal(np.reshape(values, (size, size)), records.fit.covariance[np.ix_(moved, moved)])


def test_yields_are_those_of_the_fit(records: Records, tmp_path: Path) -> None:
    """Totals after the fit with their uncertainty, in the order of the bins."""
    target, _ = written(tmp_path, records)
    (document,) = load(target / "yields_sr.yaml")
    columns = {column["header"]["name"]: column["values"] for column in document["dependent_variables"]}
    after = next(c for c in records.yields.postfit.channels if c.name == "SR")
    assert [entry["value"] for entry in columns["Expected, post-fit"]] == after.total.tolist()
    sigmas = [entry["errors"][0]["symerror"] for entry in columns["Expected, post-fit"]]
    assert sigmas == after.total_uncertainty.tolist()
    assert [entry["value"] for entry in columns["Observed"]] == [60.0, 52.0, 27.0]


def test_coverage_and_limits_are_those_of_the_records(records: Records, tmp_path: Path) -> None:
    """A limit that was not found is a missing value."""
    target, _ = written(tmp_path, records)
    (coverage,) = load(target / "coverage.yaml")
    entry = coverage["dependent_variables"][0]["values"][0]
    assert entry["value"] == 0.68
    assert entry["errors"][0]["asymerror"] == pytest.approx({"minus": -0.06, "plus": 0.05})
    (limit,) = load(target / "upper_limits.yaml")
    assert [e["value"] for e in limit["dependent_variables"][0]["values"]] == [2.5, 1.0, 1.3, 1.8, 2.4, "-"]


def test_a_submission_is_replaced_as_a_whole(records: Records, tmp_path: Path) -> None:
    """No table of the last one is left; a folder that is no submission is left alone."""
    target, _ = written(tmp_path, records)
    few = tables_of(records.measurement, records.fit, correlated=["mu", "jes"])
    write_submission(tmp_path / "out", few, about=ABOUT)
    assert {path.name for path in target.iterdir()} == {
        "submission.yaml", "result.yaml", "error_budget.yaml", "fitted_parameters.yaml",
        "covariance_of_parameters.yaml", "correlation_of_parameters.yaml",
    }  # fmt: skip
    (document,) = load(target / "correlation_of_parameters.yaml")
    assert len(document["dependent_variables"][0]["values"]) == 4
    foreign = tmp_path / "foreign" / "submission"
    foreign.mkdir(parents=True)
    (foreign / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(infer.InputError, match=r"holds no submission\.yaml"):
        write_submission(tmp_path / "foreign", few, about=ABOUT)
    assert (foreign / "notes.txt").is_file()


def test_missing_sides_and_zeros() -> None:
    """A side that does not exist is an empty string; nothing is written where both are zero."""
    assert with_uncertainty(1.0, {"total": Uncertainty(None, 0.5)}) == {
        "value": 1.0,
        "errors": [{"asymerror": {"minus": "", "plus": 0.5}, "label": "total"}],
    }
    assert with_uncertainty(1.0, {"fit": Uncertainty(0.0, 0.0), "other": Uncertainty(None, None)}) == {"value": 1.0}
    assert with_uncertainty(1.0, {"fit": Uncertainty(0.2, 0.2)})["errors"] == [{"symerror": 0.2, "label": "fit"}]


def test_what_cannot_be_published_is_said(records: Records, tmp_path: Path) -> None:
    """One sentence each, and nothing is written."""
    m, best = records.measurement, records.fit
    lost = dataclasses.replace(m, certificate=dataclasses.replace(m.certificate, converged=False))
    with pytest.raises(infer.ParameterError, match="is not published"):
        tables_of(lost, best)
    hidden = dataclasses.replace(m.certificate, blinded=infer.Blinding("offset", (("mu", 1.0),), "01234567"))
    with pytest.raises(infer.ParameterError, match="a blinded result is not published"):
        tables_of(dataclasses.replace(m, certificate=hidden), best)
    with pytest.raises(infer.ParameterError, match="unknown parameter"):
        tables_of(m, best, correlated=["mmu"])
    with pytest.raises(infer.WorkspaceError, match="the coverage record: results is null"):
        tables_of(m, best, coverage={"poi": "mu"})
    with pytest.raises(infer.WorkspaceError, match="the limit record: poi is null"):
        tables_of(m, best, limit={})
    with pytest.raises(infer.ParameterError, match="positive number of GeV"):
        write_submission(tmp_path, tables_of(m, best), about=About("x", cmenergies=(-1.0,)))
    with pytest.raises(infer.ParameterError, match="1 to 128 characters"):
        write_submission(tmp_path, tables_of(m, best), about=About("x", phrases=("",)))
    twins = [Table(name, "", [Column("a", plain([1.0]))], [Column("b", plain([1.0]))]) for name in ("A b", "a-b")]
    with pytest.raises(infer.ParameterError, match=r"would be written to a_b\.yaml"):
        write_submission(tmp_path, twins, about=ABOUT)
    uneven = [Table("A", "", [Column("a", plain([1.0, 2.0]))], [Column("b", plain([1.0]))])]
    with pytest.raises(infer.InputError, match="hepdata-validator refuses"):
        write_submission(tmp_path, uneven, about=ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_without_the_validator_it_says_so(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The submission is written, and marked as not validated."""
    monkeypatch.setitem(sys.modules, "hepdata_validator.full_submission_validator", None)
    made = write_submission(tmp_path / "out", tables_of(records.measurement, records.fit), about=ABOUT)
    assert not made.validated
    assert (made.folder / "submission.yaml").is_file()


@pytest.mark.slow
def test_a_published_likelihood(likelihoods: Path, tmp_path: Path) -> None:
    """A published search at its bound: valid, and one-sided."""
    likelihood, data = infer.read_workspace(likelihoods / "2018-22_SSd.json")
    best, measured = infer.fit(likelihood, data), infer.measure(likelihood, data)
    assert measured.one_sided
    events = infer.yields(likelihood, data, fitted=best)
    made = write_submission(tmp_path / "out", tables_of(measured, best, yields=events), about=ABOUT)
    assert made.validated
    (document,) = load(made.folder / "result.yaml")
    (entry,) = document["dependent_variables"][1]["values"]
    assert entry["value"] == 0.0
    assert entry["errors"][0]["asymerror"]["plus"] == measured.total.up
