"""Broken workspaces: each fault gives a sentence with place and remedy, nothing else escapes."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infer.errors import InputError
from infer.io.pyhf_json import load_document
from infer.likelihoods.histfactory.spec import Workspace, parse_workspace
from tests.io.broken import BROKEN, Broken, at, valid_workspace

STRANGE = [
    *(None, True, False, 0, 1, -1, 3.5, 1e16, -1e16, 10**400, float("nan"), float("inf")),
    *("", "x", "mu", "lumi", "normsys", "staterror", "a\nb", "\ud800", [], {}),
    *([1.0], [[1.0]], [1, 2, 3], [-1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [None], ["1"]),
    *({"lo": 1, "hi": 0}, {"name": "x"}, {"lo_data": [1], "hi_data": []}),
]
CASES = pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)


def _read(path: Path) -> Workspace:
    return parse_workspace(load_document(path), source=path.name)


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path into a document, the empty one first."""
    yield path
    if isinstance(value, dict | list):
        for step in value if isinstance(value, dict) else range(len(value)):
            yield from _paths(value[step], (*path, step))


def _mutated(draw: Any) -> Any:
    """Return the valid workspace after one to three random edits of its structure."""
    box = {"document": valid_workspace()}
    for _ in range(draw(st.integers(1, 3))):
        paths = list(_paths(box))
        target = draw(st.sampled_from(paths[1:]))
        parent, step = at(box, target[:-1]), target[-1]
        match draw(st.sampled_from(["delete", "replace", "replace", "transplant", "double"])):
            case "delete" if len(target) > 1:
                del parent[step]
            case "replace":
                parent[step] = copy.deepcopy(draw(st.sampled_from(STRANGE)))
            case "transplant":
                parent[step] = copy.deepcopy(at(box, draw(st.sampled_from(paths[1:]))))
            case _ if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[step]))
            case _:
                parent[f"{step}2"] = copy.deepcopy(parent[step])
    return box["document"]


def _check_workspace(workspace: Workspace) -> None:
    """What was accepted has finite numbers of the right shape everywhere."""
    assert set(workspace.observations) == {channel.name for channel in workspace.channels}
    for channel in workspace.channels:
        arrays = [workspace.observations[channel.name]]
        for sample in channel.samples:
            arrays.append(sample.nominal)
            for modifier in sample.modifiers:
                values = (getattr(modifier, name, None) for name in modifier.__slots__)
                arrays += [value for value in values if isinstance(value, np.ndarray)]
        assert {array.shape for array in arrays} == {(channel.n_bins,)}
        assert np.isfinite(arrays).all()


def _check_outcome(document: Callable[[Any], Any], source: Any) -> None:
    """A document is either sound or refused in one line with a problem and a remedy."""
    try:
        workspace = parse_workspace(document(source))
    except InputError as error:
        refusal: str | None = str(error)
    else:
        refusal = None
        _check_workspace(workspace)
    assert refusal is None or (refusal.isprintable() and "; " in refusal)


def test_the_faults_are_made_in_a_valid_workspace() -> None:
    """Without a fault the workspace is accepted, so each entry of the table shows its own fault."""
    workspace = parse_workspace(valid_workspace())
    assert workspace.notices == ()
    _check_workspace(workspace)


def test_the_table_names_each_fault_once() -> None:
    """File names of the table are unique, and no entry is content with any message."""
    assert len({case.name for case in BROKEN}) == len(BROKEN) >= 55
    assert all(case.says for case in BROKEN)


@CASES
def test_broken_file_is_refused_in_one_sentence(case: Broken, tmp_path: Path) -> None:
    """The message is one line that begins with the file and names place and remedy."""
    path = case.write(tmp_path)
    with pytest.raises(InputError) as caught:
        _read(path)
    message = str(caught.value).removeprefix(f"{tmp_path}/")
    assert message.isprintable()
    assert message.startswith(f"{case.name}.json: ")
    place_and_problem, _, remedy = message.partition("; ")
    assert place_and_problem
    assert remedy
    assert [part for part in case.says if part not in message] == []


@given(st.data())
@settings(max_examples=600)
def test_mutated_documents_are_read_or_refused(data: st.DataObject) -> None:
    """Whatever the structure, the outcome is a sound workspace or an input error with one line."""
    _check_outcome(_mutated, data.draw)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_files_are_read_or_refused(seed: int, tmp_path: Path) -> None:
    """The same for files in which bytes were lost, changed or doubled."""
    rng = random.Random(seed)
    path = tmp_path / "ws.json"
    whole = json.dumps(valid_workspace(), indent=1).encode()
    for _ in range(20):
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            first = rng.randrange(len(damaged))
            last = first + rng.choice([0, 1, 1, 2, 50])
            damaged[first:last] = rng.choice([b"", b'"', b"{", b"1e9", b"NaN", b"\xff", b"\\u0000"])
        path.write_bytes(damaged)
        _check_outcome(load_document, path)


@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf's
@given(st.data())
@settings(max_examples=60)
def test_what_pyhf_refuses_is_refused(data: st.DataObject) -> None:
    """A mutated document that is accepted here makes a pyhf model, given a start value of lumi."""
    pyhf = pytest.importorskip("pyhf")
    document = _mutated(data.draw)
    try:
        parse_workspace(document)
    except InputError:
        return
    config = document["measurements"][0]["config"]
    for parameter in config["parameters"]:
        if parameter["name"] == "lumi":
            parameter |= {"inits": [1.0], "bounds": [[0.0, 10.0]]} | parameter
    pyhf.Workspace(document).model(poi_name=config["poi"] or None)
