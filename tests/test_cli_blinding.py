"""Blinding on the command line: nothing that is printed or written gives away what is hidden."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

import infer
from infer.cli import app
from infer.cli.blinding import EXPECTED, SHIFTED
from tests.io.broken import valid_workspace
from tests.runner import Run
from tests.test_api import write

OFFSET = ("--blind-offset", "shibboleth", "--blind-width", "3")
ASKED: dict[str, tuple[object, ...]] = {
    "fit": (),
    "measure": (),
    "scan": (),
    "contour": ("--parameters", "mu,jes", "--points", 4),
    "impacts": (),
    "toys": ("--n", 4),
    "coverage": ("--n", 4),
    "gof": (),
    "derived": ("--expression", "mu / 2"),
    "significance": (),
    "test": ("--value", "mu=1"),
    "pvalue": ("--n", 4),
    "cls": ("--value", 1.0),
}
"""What the commands are asked beside the workspace."""

SLOW = {"toys", "coverage", "measure", "impacts"}


def params(names: set[str] | frozenset[str]) -> list[Any]:
    """Names of commands for a test, those that take long marked."""
    return [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in sorted(names)]


def observing(path: Path, events: list[float]) -> Path:
    """A file with the small valid workspace, and other observations in its signal region."""
    document = copy.deepcopy(valid_workspace())
    document["observations"][0]["data"] = events
    return write(path, document)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A workspace with a signal that is well above zero."""
    return observing(tmp_path / "ws.json", [84.0, 98.0, 40.0])


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The same with less of it."""
    return observing(tmp_path / "other.json", [60.0, 52.0, 27.0])


def numbers(record: object) -> Iterator[float]:
    """All numbers of a JSON document."""
    if isinstance(record, dict):
        record = list(record.values())
    if isinstance(record, list):
        for one in record:
            yield from numbers(one)
    elif isinstance(record, int | float) and not isinstance(record, bool):
        yield float(record)


def secrets(path: Path) -> dict[str, float]:
    """What must not be seen: the best fit, the ends of its interval, and the offset itself, also as a start value."""
    likelihood, data = infer.read_workspace(path)
    hidden = infer.blind(likelihood, phrase="shibboleth", widths={"mu": 3.0})
    best = infer.fit(likelihood, data)
    ends = infer.interval(likelihood, data, fitted=best)
    at = likelihood.parameters.position("mu")
    offset = float(hidden.offset[at])
    shown = {"best": best.value("mu"), "low": ends.low.value, "high": ends.high.value}
    return {**shown, "offset": offset, "start": 1.0 + offset, "bound": 10.0 + offset, "below": -offset}


def without_seconds(record: Any) -> Any:
    """A document without wall-clock times and rates."""
    if isinstance(record, dict):
        return {
            k: without_seconds(v) for k, v in record.items() if not k.startswith("seconds") and k != "toys_per_second"
        }
    return [without_seconds(x) for x in record] if isinstance(record, list) else record


@pytest.mark.parametrize("command", params(SHIFTED))
def test_an_offset_hides_the_true_value(run: Run, small: Path, tmp_path: Path, command: str) -> None:
    """No number in JSON, text or files is the true value, an end of its interval, or the offset, to the digits printed.

    Without the option, the best fit is there; it is looked for in the same way, so that the search can fail.
    """
    hidden = secrets(small)
    plain = run(command, small, *ASKED[command], "--json").json
    blinded = run(command, small, *ASKED[command], *OFFSET, "--json", "--out", tmp_path / "out")
    found = [*numbers(blinded.json), *numbers(json.loads((tmp_path / "out" / "result.json").read_text("utf-8")))]
    for table in (tmp_path / "out").glob("*.parquet"):
        columns = [np.asarray(column) for column in parquet.read_table(table).to_pydict().values()]
        found += [float(x) for column in columns if column.dtype.kind == "f" for x in column]
    text = run(command, small, *ASKED[command], *OFFSET).out
    read = [float(x.replace("−", "-")) for x in re.findall(r"[-−]?\d+\.\d{4,}", text)]
    if command != "gof":
        assert any(abs(x - hidden["best"]) < 1e-7 for x in numbers(plain))
    for name, secret in hidden.items():
        assert not [x for x in found if abs(x - secret) < 1e-7], name
        assert not [x for x in read if abs(x - secret) < 6e-6], name
    assert blinded.json["blinded"]["widths"] == {"mu": 3.0}
    assert "secret offset of at most 3" in text
    assert "shibboleth" not in text + blinded.out


@pytest.mark.parametrize("command", params(EXPECTED & set(ASKED) | {"yields", "limit", "inspect"}))
def test_hidden_data_are_not_looked_at(run: Run, small: Path, other: Path, tmp_path: Path, command: str) -> None:
    """Two workspaces that differ in their observations give the same result, which says that it is an expected one."""
    asked = ASKED.get(command, ())
    first, second = (run(command, path, *asked, "--blind-data", "--json").json for path in (small, other))
    assert without_seconds(first) == without_seconds(second)
    assert first["blinded"] == {"how": "asimov", "values": {"mu": 1.0}}
    shown = run(command, small, *asked, "--blind-data", "--out", tmp_path / "out")
    assert "those expected at mu = 1" in shown.out
    assert json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))["blinded"] == first["blinded"]


def test_a_hidden_channel_is_not_looked_at(run: Run, small: Path, tmp_path: Path) -> None:
    """Where only the signal region is hidden, what was observed there does not matter; the rest is as observed.

    Of the small workspace, the control region alone does not measure all that is free: exit code 1, and why.
    """
    document = json.loads((Path(__file__).parents[1] / "workspaces" / "search.json").read_text("utf-8"))
    paths = []
    for i in range(2):
        observed = {o["name"]: o["data"] for o in document["observations"]}
        paths.append(write(tmp_path / f"{i}.json", document))
        document["observations"] = [{"name": n, "data": [x + 50 * (n == "SR") for x in observed[n]]} for n in observed]
    asked = ("--blind-data", "--blind-channel", "SR")
    first, second = (run("yields", path, *asked, "--json").json for path in paths)
    assert without_seconds(first) == without_seconds(second)
    assert first["blinded"] == {"how": "asimov", "values": {"mu": 1.0}, "channels": ["SR"]}
    assert first["observed"]["CR_ttbar"] == observed["CR_ttbar"]
    refused = run("yields", small, *asked)
    assert refused.code == 1
    assert "channels that are not hidden: the Hessian is not positive definite" in refused.err


def test_every_other_command_refuses(run: Run, small: Path) -> None:
    """Whatever takes a workspace and could show what is hidden says so in one sentence."""
    commands = {n: c for n, c in app.commands.items() if any(p.name == "blind_offset" for p in c.params)}
    assert set(commands) >= EXPECTED
    for name, command in commands.items():
        required = [x for p in command.params if p.required and p.opts[0].startswith("--") for x in (p.opts[0], "a,b")]
        for option, allowed in ((OFFSET, SHIFTED), (("--blind-data",), EXPECTED)):
            if name not in allowed:
                asked = ASKED.get(name, required)
                assert f"does not go with infer {name}" in run(name, small, *asked, *option).complaint


def test_options_that_contradict_each_other(run: Run, small: Path) -> None:
    """Each in one sentence."""
    cases = (
        (("--blind-offset", "x"), "go together"),
        (("--blind-width", "3"), "go together"),
        ((*OFFSET, "--blind-data"), "exclude each other"),
        (("--blind-value", "mu=1"), "belongs to --blind-data"),
        (("--blind-channel", "SR"), "belongs to --blind-data"),
        (("--blind-data", "--blind-channel", "XR"), "no channel 'XR'"),
        (("--blind-data", "--blind-value", "mu"), "NAME=NUMBER"),
        (("--blind-data", "--blind-value", "mu=x"), "needs a number"),
        (("--blind-data", "--blind-value", "mu=99"), "bounds"),
        (("--blind-offset", "x", "--blind-width", "jes=1"), "has a constraint"),
        ((*OFFSET, "--start", "mu=1"), "'mu' is blinded: its start"),
        ((*OFFSET, "--bounds", "mu=0:9"), "'mu' is blinded: its bounds"),
        ((*OFFSET, "--fix", "mu=1"), "'mu' is blinded: its fixed"),
    )
    for options, said in cases:
        assert said in run("fit", small, *options).complaint


def test_the_parameter_that_is_blinded(run: Run, small: Path) -> None:
    """That of --poi, or those that are named."""
    phrase = ("--blind-offset", "shibboleth")
    assert run("fit", small, "--poi", "tt", *phrase, "--blind-width", "1", "--json").json["blinded"]["widths"] == {
        "tt": 1.0
    }
    named = run("fit", small, *phrase, "--blind-width", "tt=1", "--blind-width", "mu=2", "--json").json
    assert named["blinded"]["widths"] == {"tt": 1.0, "mu": 2.0}


@pytest.mark.slow
def test_figures_say_what_is_hidden(run: Run, small: Path, tmp_path: Path) -> None:
    """With an offset, there is no figure of yields, in which the signal would be seen; with hidden data, there is."""
    run("measure", small, *OFFSET, "--out", tmp_path / "offset")
    run("measure", small, "--blind-data", "--out", tmp_path / "expected")
    assert not list((tmp_path / "offset").glob("yields_*"))
    assert (tmp_path / "offset" / "profile.png").exists()
    assert list((tmp_path / "expected").glob("yields_*.png"))
