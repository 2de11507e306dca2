"""Operations on workspaces: against pyhf where it does the same, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pyhf
import pytest

from infer.errors import WorkspaceError
from infer.io.pyhf_json import apply_patch, digest
from infer.io.workspaces import (
    Names,
    Renaming,
    Selection,
    join_workspaces,
    make_patchset,
    prune_workspace,
    rename_workspace,
    sort_workspace,
)
from tests.io.broken import valid_workspace

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf's own


def _jumbled() -> dict[str, Any]:
    document = valid_workspace()
    document["channels"].reverse()
    for channel in document["channels"]:
        channel["samples"].reverse()
    return document


def _other() -> dict[str, Any]:
    """The valid workspace with every channel renamed, and what belongs to bins, so that both can be joined."""
    document = valid_workspace()
    modifiers = [m for c in document["channels"] for s in c["samples"] for m in s["modifiers"]]
    binwise = {m["name"] for m in modifiers if m["type"] in {"shapesys", "staterror", "shapefactor"}}
    channels = {name: f"{name}_2" for name in Names.of(document).channels}
    return rename_workspace(document, Renaming(channels=channels, modifiers={name: f"{name}_2" for name in binwise}))


def test_sorts_as_pyhf_does() -> None:
    """Same document as pyhf's; the input is left alone."""
    document = _jumbled()
    before = copy.deepcopy(document)
    assert sort_workspace(document) == dict(pyhf.Workspace.sorted(pyhf.Workspace(document)))
    assert document == before


def test_prunes_as_pyhf_does() -> None:
    """A channel and its observation go; everything else stays as it was."""
    document = valid_workspace()
    name = Names.of(document).channels[1]
    ours = prune_workspace(document, Selection(channels=[name]))
    theirs = dict(pyhf.Workspace(document).prune(channels=[name]))
    assert ours["channels"] == theirs["channels"]
    assert ours["observations"] == theirs["observations"]
    assert len(ours["channels"]) == len(document["channels"]) - 1


def test_pruning_a_type_takes_its_settings_along() -> None:
    """No modifier of the type is left, and no measurement speaks of one that is gone."""
    document = valid_workspace()
    names = Names.of(document)
    assert "normsys" in names.modifier_types
    pruned = prune_workspace(document, Selection(modifier_types=["normsys"]))
    left = Names.of(pruned)
    assert "normsys" not in left.modifier_types
    settings = {p["name"] for m in pruned["measurements"] for p in m["config"]["parameters"]}
    assert settings <= set(left.modifiers)


def test_renames_modifiers_as_pyhf_does() -> None:
    """Modifiers, settings of parameters and the parameter of interest change together."""
    document = valid_workspace()
    poi = document["measurements"][0]["config"]["poi"]
    ours = rename_workspace(document, Renaming(modifiers={poi: "strength"}))
    assert ours == dict(pyhf.Workspace(document).rename(modifiers={poi: "strength"}))
    assert ours["measurements"][0]["config"]["poi"] == "strength"


@pytest.mark.parametrize("kind", ["channels", "samples", "modifiers", "measurements"])
def test_every_kind_is_renamed_and_back(kind: str) -> None:
    """There and back is the same document, and the way there changes it."""
    document = valid_workspace()
    name = getattr(Names.of(document), kind)[0]
    there = rename_workspace(document, Renaming(**{kind: {name: "other"}}))
    assert there != document
    assert rename_workspace(there, Renaming(**{kind: {"other": name}})) == document


def test_names_are_not_merged_in_silence() -> None:
    """Two modifiers of one name would be one parameter."""
    first, second, *_ = Names.of(valid_workspace()).modifiers
    with pytest.raises(WorkspaceError, match="two modifiers would be called"):
        rename_workspace(valid_workspace(), Renaming(modifiers={first: second}))


@pytest.mark.parametrize("kind", ["channels", "samples", "modifiers", "modifier_types", "measurements"])
def test_unknown_names_are_refused(kind: str) -> None:
    """With the names that there are."""
    with pytest.raises(WorkspaceError, match="'absent' is not among its"):
        prune_workspace(valid_workspace(), Selection(**{kind: ["absent"]}))


def test_pruning_the_parameter_of_interest_is_refused() -> None:
    """What is left must be a workspace."""
    poi = valid_workspace()["measurements"][0]["config"]["poi"]
    with pytest.raises(WorkspaceError, match="pruned"):
        prune_workspace(valid_workspace(), Selection(modifiers=[poi]))


@pytest.mark.parametrize("join", ["outer", "left outer", "right outer"])
def test_joins_as_pyhf_does(join: Any) -> None:
    """Channels of both, one measurement."""
    left, right = valid_workspace(), _other()
    ours = join_workspaces(left, right, join=join)
    assert ours == dict(pyhf.Workspace.combine(pyhf.Workspace(left), pyhf.Workspace(right), join=join))
    assert len(ours["channels"]) == 2 * len(left["channels"])


def test_what_cannot_be_joined_is_refused() -> None:
    """The same channel twice is no join, nor is what pyhf joins to a workspace that shares a shapesys."""
    with pytest.raises(WorkspaceError, match="cannot be joined"):
        join_workspaces(valid_workspace(), valid_workspace())
    channels = {name: f"{name}_2" for name in Names.of(valid_workspace()).channels}
    with pytest.raises(WorkspaceError, match=r"joined: .* a shapesys belongs to one sample"):
        join_workspaces(
            valid_workspace(), rename_workspace(valid_workspace(), Renaming(channels=channels)), join="outer"
        )
    with pytest.raises(WorkspaceError, match="not merged"):
        join_workspaces(valid_workspace(), _other(), merge_channels=True)


def test_patchset_makes_its_points() -> None:
    """pyhf verifies and applies what we make, and gets the points back."""
    base, point = valid_workspace(), valid_workspace()
    point["channels"][0]["samples"][0]["data"] = [x * 2 for x in point["channels"][0]["samples"][0]["data"]]
    document = make_patchset(
        base, {"double": ([2.0], point)}, labels=["scale"], description="d", references={"hepdata": "ins1234567"}
    )
    patchset = pyhf.PatchSet(document)
    patchset.verify(base)
    assert dict(patchset.apply(base, "double")) == point
    assert apply_patch(base, document["patches"][0]["patch"]) == point
    assert document["metadata"]["digests"]["sha256"] == digest(base)
    with pytest.raises(WorkspaceError, match="expected 1"):
        make_patchset(base, {"double": ([], point)}, labels=["scale"], description="d")
