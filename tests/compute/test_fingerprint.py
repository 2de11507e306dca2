"""Fingerprints: equal for equal values in every process, different for everything that changes a number."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infer
from infer.compute import fingerprint
from infer.constraints import LogNormal, Normal
from tests.compute.work import ROOT, search

WORKSPACE = ROOT / "workspaces" / "search.json"


class Colour(Enum):
    """Two values of a kind."""

    RED = 1
    BLUE = 2


class Point(NamedTuple):
    """A pair with names."""

    x: float
    y: float


@dataclass(frozen=True)
class Settings:
    """Fields that count, and one for print."""

    n: int
    label: str = field(default="", compare=False)


def _scale(factor: float) -> Callable[[float], float]:
    return lambda x: factor * x


def _plus(x: float, shift: float = 1.0) -> float:
    return x + shift


def _minus(x: float, shift: float = 1.0) -> float:
    return x - shift


DIFFERENT: list[Any] = [
    None, True, False, 0, 1, 0.0, -0.0, 1.0, float("inf"), 1j, "", "1", b"1", (), [], {}, (1, 2), (2, 1), [1, 2],
    ((1,), 2), (1, (2,)), {1, 2}, frozenset({1}), {"a": 1}, {"a": 2}, {"b": 1}, Point(1.0, 2.0), (1.0, 2.0),
    np.zeros(3), np.zeros((3, 1)), np.zeros(3, dtype=np.float32), np.asarray([0.0, 0.0, -0.0]), np.zeros(0),
    np.asarray(["a"]), np.asarray([None, 1], dtype=object), np.asarray([None, 2], dtype=object),
    jnp.ones(3), jax.random.key(0), jax.random.key(1), jax.random.key_data(jax.random.key(0)),
    Colour.RED, Colour.BLUE, Settings(1), Settings(2), int, float, len, np.sin, jnp.sin, np, json, ...,
    slice(1, 2), range(2), range(3), np.dtype("f8"), Path("a"), Path("b"),
    _plus, _minus, _scale(2.0), _scale(3.0), partial(_plus, shift=2.0), partial(_plus, shift=3.0),
    jax.jit(_plus), jax.jit(_minus), "abc".upper, "abd".upper,
]  # fmt: skip


def test_different_values_differ() -> None:
    """Types, shapes, order, signs of zero, names and what functions close over."""
    prints = [fingerprint(value) for value in DIFFERENT]
    same = [(DIFFERENT[i], DIFFERENT[j]) for i, p in enumerate(prints) for j in range(i) if prints[j] == p]
    assert same == []
    assert all(len(p) == 64 for p in prints)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3))),
        (np.arange(3), jnp.arange(3)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (Settings(1, "one"), Settings(1, "uno")),
        (_scale(2.0), _scale(2.0)),
        (float("nan"), float("nan")),
    ],
    ids=["layout", "library", "order", "label", "closure", "nan"],
)
def test_equal_values_agree(one: object, other: object) -> None:
    """Layout in memory, the library that holds an array, the order of a dict and what is for print do not count."""
    assert fingerprint(one) == fingerprint(other)


def test_what_has_no_value_is_refused() -> None:
    """An open file, a generator, and a list that contains itself."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(infer.InputError, match="contains itself"):
        fingerprint(endless)
    with pytest.raises(infer.InputError, match=r"_thread\.lock has no value"):
        fingerprint([__import__("threading").Lock()])
    with pytest.raises(infer.InputError, match="generator has no value"):
        fingerprint(x for x in range(3))


# --------------------------------------------------------------------------------------------- likelihoods


def _edited(tmp_path: Path, edit: Callable[[dict[str, Any]], None]) -> infer.Likelihood:
    document = json.loads(WORKSPACE.read_text(encoding="utf-8"))
    edit(document)
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return infer.read_workspace(path)[0]


def _next_bin(document: dict[str, Any]) -> None:
    sample = document["channels"][0]["samples"][-1]
    sample["data"][0] = float(np.nextafter(sample["data"][0], np.inf))


def _modifier(document: dict[str, Any]) -> None:
    found = [m for c in document["channels"] for s in c["samples"] for m in s["modifiers"] if m["type"] == "normsys"]
    found[0]["data"]["hi"] += 1e-12


def test_reading_again_changes_nothing(tmp_path: Path) -> None:
    """Nor does a journey through pickle, through JAX's trees, or through a reformatted file."""
    one = search()
    expected = fingerprint(one)
    assert fingerprint(search()) == expected
    assert fingerprint(pickle.loads(pickle.dumps(one))) == expected
    assert fingerprint(jax.tree.map(lambda x: x, one)) == expected
    assert fingerprint(_edited(tmp_path, lambda _: None)) == expected
    hash(one.parameters)  # which the parameters remember
    assert fingerprint(one) == expected


@pytest.mark.parametrize("edit", [_next_bin, _modifier], ids=["bin", "modifier"])
def test_templates_count(tmp_path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """To the last bit."""
    assert fingerprint(_edited(tmp_path, edit)) != fingerprint(search())


def test_interpolation_codes_count() -> None:
    """They are static fields."""
    others = [infer.Interpolation(normsys="code1"), infer.Interpolation(histosys="code0")]
    prints = {fingerprint(infer.read_workspace(WORKSPACE, interpolation=code)[0]) for code in [None, *others]}
    assert len(prints) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"bounds": (-1e9, 1e9)},
        {"constraint": Normal(0.5)},
        {"constraint": Normal(0.5000000000000001)},
        {"constraint": LogNormal(1.5)},
        {"init": 0.25},
        {"fixed": True},
        {"group": "another"},
    ],
    ids=str,
)
def test_every_field_of_a_parameter_counts(change: dict[str, Any]) -> None:
    """`Parameters` shows names only when printed; its fingerprint looks deeper."""
    one = search()
    prints = {fingerprint(one)}
    name = next(n for n, p in one.parameters.items() if isinstance(p.constraint, Normal))
    parameters = one.parameters.replace(name, **change)
    prints.add(fingerprint(replace(one, parameters=parameters)))
    assert len(prints) == 2


def test_the_parameter_of_interest_and_the_order_count() -> None:
    """Two collections of the same parameters may differ."""
    parameters = search().parameters
    items = list(parameters.values())
    poi = next(name for name in parameters if name != parameters.poi)
    others = [infer.Parameters(items, poi=poi), infer.Parameters(items[::-1], poi=parameters.poi)]
    assert len({fingerprint(p) for p in [parameters, *others]}) == 3


def test_views_and_combinations_count() -> None:
    """What wraps a likelihood is a part of it."""
    one = search()
    first, second = one.parameters.names[:2]
    views = [one, infer.Renamed(one, {first: "new"}), infer.Fixed(one, {second: one.parameters[second].init})]
    views += [infer.Product(a=one), infer.Product(b=one)]
    assert len({fingerprint(view) for view in views}) == len(views)


PROGRAM = """
import sys, infer
from infer.compute import fingerprint
from tests.compute.test_fingerprint import DIFFERENT
sys.stdout.write(fingerprint([*map(infer.read_workspace, sys.argv[1:]), {"a", "b", "c"}, DIFFERENT]))
"""


def test_other_processes_agree() -> None:
    """Each salts the hashes of its strings in its own way, and puts objects where it likes."""
    names = ["search.json", "measurement.json", "peak.json"]
    files = [str(ROOT / "workspaces" / name) for name in names]
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    program = [sys.executable, "-c", PROGRAM, *files]
    shown = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == fingerprint([*map(infer.read_workspace, files), {"a", "b", "c"}, DIFFERENT])
