"""Suites as data: what is measured, and what is expected of it.

A suite names a likelihood, truths, interval methods and confidence levels.  Of each method at each level and
truth, exactly one entry says what is expected:

=============  =====================================================================================
``exact``      a closed form says what the coverage is: the measured one must agree with it
``covers``     called covering: the share must be the confidence level
``at-least``   conservative by construction: the share must not be below the confidence level
``known``      not called covering, for a reason that the entry gives; measured, never judged
=============  =====================================================================================

Everything is checked strictly: an unknown key, two entries for one statement or none are errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from validation.coverage.models import MODELS, SUMMED

FOLDER = Path(__file__).parent / "suites"
EXPECTATIONS = ("exact", "covers", "at-least", "known")
FALSE_ALARM = 1e-3
"""Probability that a suite fails although every promise in it is kept."""

_REQUIRED = {"name", "shows", "truths", "levels", "expect"}
_OPTIONAL = {"likelihood", "model", "poi", "n", "seed", "n_belt", "false_alarm", "note"}


class SuiteError(ValueError):
    """A suite breaks the format; the message names the file and the place."""


@dataclass(frozen=True)
class Expectation:
    """What is expected of one method.

    Attributes:
        method: Interval method.
        kind: One of `EXPECTATIONS`.
        levels: Confidence levels that this is about.
        values: Truths of the parameter of interest that this is about.
        why: Reason; every ``known`` has one.
    """

    method: str
    kind: str
    levels: tuple[float, ...]
    values: tuple[float, ...]
    why: str = ""


@dataclass(frozen=True)
class Suite:
    """One suite.

    Attributes:
        name: Name, that of its file too.
        shows: What it shows, a sentence.
        likelihood: Path of a likelihood, relative to the repository or to the folder beside it; None for a model.
        model: Name of a model out of `models`; None for a file.
        arguments: Parameters of the model.
        poi: Parameter of interest; None takes the declared one.
        values: Its truths.
        base: Where the nuisance parameters are, see `infer.Ensemble`.
        nuisance: Nuisance parameters that are set by name, one mapping for each further truth.
        levels: Confidence levels.
        expect: What is expected.
        n: Toys of each truth; 0 where coverage is summed.
        n_belt: Toys behind each critical value of Feldman-Cousins intervals.
        seed: Of the random key.
        false_alarm: Probability that the suite fails although every promise in it is kept.
        note: What was found, beside the numbers.
    """

    name: str
    shows: str
    likelihood: str | None
    model: str | None
    arguments: Mapping[str, float]
    poi: str | None
    values: tuple[float, ...]
    base: str
    nuisance: tuple[Mapping[str, float], ...]
    levels: tuple[float, ...]
    expect: tuple[Expectation, ...]
    n: int
    n_belt: int
    seed: int
    false_alarm: float
    note: str

    @property
    def methods(self) -> tuple[str, ...]:
        """Interval methods, in the order of their first entry."""
        return tuple(dict.fromkeys(entry.method for entry in self.expect))

    @property
    def summed(self) -> bool:
        """Whether the coverage is summed over all data, with no toys."""
        return self.model in SUMMED

    def expectation(self, method: str, level: float, value: float) -> Expectation:
        """The one entry about a statement.

        Raises:
            SuiteError: There is none, or there are several.
        """
        found = [e for e in self.expect if e.method == method and level in e.levels and value in e.values]
        if len(found) != 1:
            raise SuiteError(
                f"{self.name}: expected one entry for {method} at {level:g}, truth {value:g}; got {len(found)}."
            )
        return found[0]


def load(path: Path) -> Suite:
    """Read and check one suite.

    Raises:
        SuiteError: The file breaks the format.
    """
    try:
        return parse(yaml.safe_load(path.read_text(encoding="utf-8")), name=path.stem)
    except yaml.YAMLError as error:
        raise SuiteError(f"{path}: no YAML: {error}") from error


def load_all(folder: Path = FOLDER) -> dict[str, Suite]:
    """Every suite of a folder, by name."""
    return {path.stem: load(path) for path in sorted(folder.glob("*.yaml"))}


def parse(document: Any, *, name: str) -> Suite:
    """A suite from its document, which has to bear the name of its file.

    Raises:
        SuiteError: The document breaks the format.
    """
    _keys(document, _REQUIRED, _OPTIONAL, name)
    if document["name"] != name:
        raise SuiteError(f"{name}: the suite calls itself {document['name']!r}; give it the name of its file.")
    if ("likelihood" in document) == ("model" in document):
        raise SuiteError(f"{name}: expected either 'likelihood' or 'model'.")
    arguments = dict(document.get("model", {}))
    model = arguments.pop("name", None)
    if "model" in document and model not in MODELS | SUMMED:
        raise SuiteError(f"{name}: model must be one of {', '.join([*MODELS, *SUMMED])}, got {model!r}.")
    values, base, nuisance = _truths(document["truths"], f"{name}: truths")
    levels = _numbers(document["levels"], f"{name}: levels")
    if not all(0.0 < level < 1.0 for level in levels):
        raise SuiteError(f"{name}: levels must lie between 0 and 1; write 95 % as 0.95.")
    entries = document["expect"]
    if not isinstance(entries, list) or not entries:
        raise SuiteError(f"{name}: expect must be a list of entries.")
    suite = Suite(
        name=name,
        shows=_text(document["shows"], f"{name}: shows"),
        likelihood=document.get("likelihood"),
        model=model,
        arguments={key: float(x) for key, x in arguments.items()},
        poi=document.get("poi"),
        values=values,
        base=base,
        nuisance=nuisance,
        levels=levels,
        expect=tuple(_expectation(e, levels, values, f"{name}: expect[{i}]") for i, e in enumerate(entries)),
        n=_count(document, "n", 0, name),
        n_belt=_count(document, "n_belt", 1000, name),
        seed=_count(document, "seed", 1, name),
        false_alarm=float(document.get("false_alarm", FALSE_ALARM)),
        note=_text(document.get("note", ""), f"{name}: note"),
    )
    return _complete(suite)


def _complete(suite: Suite) -> Suite:
    """The suite, in which every statement has its expectation."""
    for method in suite.methods:
        for level in suite.levels:
            for value in suite.values:
                suite.expectation(method, level, value)
    if suite.summed == bool(suite.n):
        raise SuiteError(f"{suite.name}: n must be {'left out' if suite.summed else 'positive'}, got {suite.n}.")
    if not 0.0 < suite.false_alarm < 0.5:
        raise SuiteError(f"{suite.name}: false_alarm must be a small probability, got {suite.false_alarm}.")
    if suite.model is None and any(e.kind == "exact" for e in suite.expect):
        raise SuiteError(f"{suite.name}: only a model with a closed form can be expected to be 'exact'.")
    return suite


def _truths(document: Any, where: str) -> tuple[tuple[float, ...], str, tuple[Mapping[str, float], ...]]:
    _keys(document, {"values"}, {"base", "nuisance"}, where)
    values, nuisance = document["values"], document.get("nuisance", [{}])
    if isinstance(values, dict):
        _keys(values, {"from", "to", "count"}, set(), f"{where}: values")
        values = np.geomspace(values["from"], values["to"], values["count"]).tolist()
    if not isinstance(nuisance, list) or not all(isinstance(point, dict) for point in nuisance):
        raise SuiteError(f"{where}: nuisance must be a list of mappings from names to truths.")
    points = tuple({name: float(x) for name, x in point.items()} for point in nuisance)
    return _numbers(values, f"{where}: values"), document.get("base", "nominal"), points


def _expectation(entry: Any, levels: tuple[float, ...], values: tuple[float, ...], where: str) -> Expectation:
    _keys(entry, {"method", "is"}, {"levels", "values", "why"}, where)
    if entry["is"] not in EXPECTATIONS:
        raise SuiteError(f"{where}: 'is' must be one of {', '.join(EXPECTATIONS)}, got {entry['is']!r}.")
    if entry["is"] == "known" and "why" not in entry:
        raise SuiteError(f"{where}: a known deviation needs its reason: 'why'.")
    chosen = _numbers(entry.get("levels", list(levels)), f"{where}: levels")
    about = _numbers(entry.get("values", list(values)), f"{where}: values")
    if unknown := (set(chosen) - set(levels)) | (set(about) - set(values)):
        raise SuiteError(f"{where}: {sorted(unknown)} are not among the levels and values of the suite.")
    return Expectation(entry["method"], entry["is"], chosen, about, _text(entry.get("why", ""), f"{where}: why"))


def _keys(document: Any, required: set[str], optional: set[str], where: str) -> None:
    if not isinstance(document, dict):
        raise SuiteError(f"{where}: expected a mapping, got {type(document).__name__}.")
    if missing := sorted(required - set(document)):
        raise SuiteError(f"{where}: {missing} are missing.")
    if unknown := sorted(map(str, set(document) - required - optional)):
        raise SuiteError(f"{where}: unknown {unknown}; known are {sorted(required | optional)}.")


def _numbers(values: Any, where: str) -> tuple[float, ...]:
    if not isinstance(values, Sequence) or not values or not all(_is_number(x) for x in values):
        raise SuiteError(f"{where}: expected a list of numbers, got {values!r}.")
    return tuple(float(x) for x in values)


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and bool(np.isfinite(x))


def _count(document: Mapping[str, Any], key: str, default: int, name: str) -> int:
    value = document.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise SuiteError(f"{name}: {key} must be a whole number, got {value!r}.")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise SuiteError(f"{where}: expected text, got {value!r}.")
    return " ".join(value.split())
