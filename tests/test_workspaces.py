"""The binned example workspaces: their script makes them again, and they are what they are said to be."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyhf
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # raised inside pyhf

WORKSPACES = Path(__file__).parents[1] / "workspaces"
NAMES = ["search.json", "measurement.json"]


def load(name: str) -> dict[str, Any]:
    """A committed workspace."""
    document: dict[str, Any] = json.loads((WORKSPACES / name).read_text(encoding="utf-8"))
    return document


@pytest.fixture
def minuit() -> Iterator[None]:
    """The optimizer of pyhf that gives uncertainties, for one test."""
    before = pyhf.get_backend()
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    yield
    pyhf.set_backend(*before)


def test_script_makes_the_committed_files(tmp_path: Path) -> None:
    """Running the script again gives the committed files byte for byte."""
    subprocess.run([sys.executable, WORKSPACES / "make_binned.py", tmp_path], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (WORKSPACES / path.name).read_bytes(), path.name


@pytest.mark.parametrize(("name", "n_parameters", "n_bins"), [("search.json", 29, 18), ("measurement.json", 73, 30)])
def test_workspaces_are_valid(name: str, n_parameters: int, n_bins: int) -> None:
    """Schema and model are accepted by pyhf, and the model has the size that the README states."""
    spec = load(name)
    pyhf.schema.validate(spec, "workspace.json")
    model = pyhf.Workspace(spec).model()
    assert (model.config.npars, model.config.nmaindata) == (n_parameters, n_bins)
    assert (WORKSPACES / name).stat().st_size < 100_000


@pytest.mark.parametrize("name", NAMES)
def test_templates_are_usable(name: str) -> None:
    """Every nominal rate is positive, every variation and uncertainty is not negative: no fit leaves the model."""
    for channel in load(name)["channels"]:
        for sample in channel["samples"]:
            assert min(sample["data"]) > 0
            for modifier in sample["modifiers"]:
                data = modifier["data"]
                if modifier["type"] == "histosys":
                    assert min(data["hi_data"] + data["lo_data"]) >= 0
                elif modifier["type"] in ("staterror", "shapesys"):
                    assert min(data) > 0


@pytest.mark.parametrize("name", NAMES)
def test_statistical_uncertainties_count_the_events(name: str) -> None:
    """Events of a process have one weight w, so a bin of n events has rate n w and uncertainty sqrt(n) w.

    So (rate / uncertainty)^2 = n is a whole number, and rate / n = w is the same in all bins of all channels.
    """
    weights: dict[str, list[float]] = {}
    for channel in load(name)["channels"]:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                if modifier["type"] == "staterror":
                    for rate, uncertainty in zip(sample["data"], modifier["data"], strict=True):
                        n = (rate / uncertainty) ** 2
                        assert math.isclose(n, round(n), rel_tol=1e-5)
                        weights.setdefault(sample["name"], []).append(rate / n)
    assert weights
    for same in weights.values():
        assert math.isclose(min(same), max(same), rel_tol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_reweighted_templates_share_the_events_of_the_nominal_one(name: str) -> None:
    """Theory templates are the same events with weights 1 + t and 1 - t, so in each bin they mirror each other.

    Independent events would differ in each bin by about the MC statistical uncertainty, which is 2 % or more.
    """
    found = 0
    for channel in load(name)["channels"]:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                if modifier["type"] == "histosys" and modifier["name"] not in ("jes", "jer"):
                    found += 1
                    both = zip(sample["data"], modifier["data"]["hi_data"], modifier["data"]["lo_data"], strict=True)
                    assert all(math.isclose(up + down, 2 * rate, rel_tol=2e-5) for rate, up, down in both)
    assert found


@pytest.mark.parametrize(
    ("name", "poi", "value", "uncertainty"),
    [("search.json", "mu", 1.0, 0.5), ("measurement.json", "mu_ttbar", 1.0, 0.04)],
)
@pytest.mark.usefixtures("minuit")
def test_fit_finds_the_injected_value(name: str, poi: str, value: float, uncertainty: float) -> None:
    """The fit of pyhf lies within two of its standard deviations of the truth, and they are as the README states."""
    workspace = pyhf.Workspace(load(name))
    model = workspace.model()
    assert model.config.poi_name == poi
    fitted = pyhf.infer.mle.fit(workspace.data(model), model, return_uncertainties=True)
    best, sigma = fitted[model.config.poi_index]
    assert abs(best - value) < 2 * sigma
    assert math.isclose(sigma, uncertainty, rel_tol=0.1)


@pytest.mark.parametrize("name", [*NAMES, "make_binned.py"])
def test_readme_lists_the_workspaces(name: str) -> None:
    """The provenance table names the files and the script that makes them."""
    assert f"`{name}`" in (WORKSPACES / "README.md").read_text(encoding="utf-8")
