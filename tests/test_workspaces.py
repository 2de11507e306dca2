"""The binned example workspaces: their script makes them again, and they are what they are said to be."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pyhf
import pytest

WORKSPACES = Path(__file__).parents[1] / "workspaces"
NAMES = ["search.json", "measurement.json"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that makes the workspaces, imported from its file."""
    path = WORKSPACES / "make_binned.py"
    spec = importlib.util.spec_from_file_location("make_binned", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(name: str) -> dict[str, Any]:
    """A committed workspace."""
    document: dict[str, Any] = json.loads((WORKSPACES / name).read_text(encoding="utf-8"))
    return document


def test_script_makes_the_committed_files(script: ModuleType, tmp_path: Path) -> None:
    """Running the script again gives the committed files byte for byte."""
    made = script.write(tmp_path)
    assert [path.name for path in made] == NAMES
    for path in made:
        assert path.read_bytes() == (WORKSPACES / path.name).read_bytes(), path.name


@pytest.mark.parametrize(("name", "n_parameters", "n_bins"), [("search.json", 29, 18), ("measurement.json", 73, 30)])
def test_workspaces_are_valid(name: str, n_parameters: int, n_bins: int) -> None:
    """pyhf accepts schema and model, and the model has the size that the README states."""
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
def test_shifted_templates_share_the_events_of_the_nominal_one(name: str) -> None:
    """The events of a shifted template are those of the nominal one: over a sample, up and down mirror each other.

    The sum over a sample of (up + down)/2 stays within a tenth of the MC statistical uncertainty of the sum or within
    1 % of it, where independent events would scatter it by about one such uncertainty.
    """
    for channel in load(name)["channels"]:
        for sample in channel["samples"]:
            total = sum(sample["data"])
            for modifier in sample["modifiers"]:
                if modifier["type"] == "histosys":
                    middle = sum(modifier["data"]["hi_data"] + modifier["data"]["lo_data"]) / 2
                    assert math.isclose(middle, total, rel_tol=0.01), (
                        channel["name"],
                        sample["name"],
                        modifier["name"],
                    )


@pytest.mark.parametrize(
    ("name", "poi", "value", "uncertainty"),
    [("search.json", "mu", 1.0, 0.5), ("measurement.json", "mu_ttbar", 1.0, 0.04)],
)
def test_fit_finds_the_injected_value(name: str, poi: str, value: float, uncertainty: float) -> None:
    """The fit of pyhf lies within one of its standard deviations of the truth, and they are as the README states."""
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    workspace = pyhf.Workspace(load(name))
    model = workspace.model()
    assert model.config.poi_name == poi
    fitted = pyhf.infer.mle.fit(workspace.data(model), model, return_uncertainties=True)
    best, sigma = fitted[model.config.poi_index]
    assert abs(best - value) < sigma
    assert math.isclose(sigma, uncertainty, rel_tol=0.15)


def test_readme_lists_every_workspace() -> None:
    """Every JSON file beside the README stands in its table, with the script that made it."""
    readme = (WORKSPACES / "README.md").read_text(encoding="utf-8")
    missing = [path.name for path in WORKSPACES.glob("*.json") if f"`{path.name}`" not in readme]
    assert not missing
    assert not [path.name for path in WORKSPACES.glob("*.py") if f"`{path.name}`" not in readme]
