"""The public face is pinned: its names, the shape of its signatures, and that all of it is documented."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import infer

EXPECTED = [
    "Asymptotic",
    "Blinded",
    "Blinding",
    "CLsScan",
    "Comparison",
    "Contour",
    "Correlated",
    "CorrelationScan",
    "Coverage",
    "CredibleInterval",
    "Data",
    "DataError",
    "DerivedInterval",
    "Ensemble",
    "FitResult",
    "Fixed",
    "FlatPrior",
    "Goodness",
    "HistFactory",
    "HypothesisTest",
    "Impact",
    "Impacts",
    "InferError",
    "InputError",
    "Interpolation",
    "Interval",
    "Likelihood",
    "LogFlatPrior",
    "Measurement",
    "NeymanInterval",
    "NormalPrior",
    "PValue",
    "Parameter",
    "ParameterError",
    "Parameters",
    "Posterior",
    "Prior",
    "Product",
    "Redeclared",
    "Renamed",
    "Run",
    "Scan",
    "Scheme",
    "Settings",
    "Significance",
    "Simplified",
    "ToyReference",
    "Toys",
    "UntrustworthyError",
    "UpperLimit",
    "WorkspaceError",
    "Yields",
    "blind",
    "blind_data",
    "cls",
    "combine",
    "compare",
    "contour",
    "correlation_scan",
    "coverage",
    "derived",
    "fit",
    "from_histograms",
    "goodness",
    "hypothesis_test",
    "impacts",
    "interval",
    "measure",
    "neyman",
    "p_value",
    "posterior",
    "read_combination",
    "read_workspace",
    "scan",
    "significance",
    "simplify",
    "toys",
    "upper_limit",
    "yields",
]
RECORDS = [
    "Asymptotic",
    "Blinding",
    "CLsScan",
    "Comparison",
    "Contour",
    "CorrelationScan",
    "Coverage",
    "CredibleInterval",
    "DerivedInterval",
    "Ensemble",
    "FitResult",
    "FlatPrior",
    "Goodness",
    "HypothesisTest",
    "Impact",
    "Impacts",
    "Interval",
    "LogFlatPrior",
    "Measurement",
    "NeymanInterval",
    "NormalPrior",
    "PValue",
    "Posterior",
    "Run",
    "Scan",
    "Scheme",
    "Settings",
    "Significance",
    "Simplified",
    "ToyReference",
    "Toys",
    "UpperLimit",
    "Yields",
]
PUBLIC = {name: getattr(infer, name) for name in EXPECTED if hasattr(infer, name)}
FUNCTIONS = [name for name, value in PUBLIC.items() if inspect.isfunction(value)]
CLASSES = [name for name, value in PUBLIC.items() if inspect.isclass(value)]


def _methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Public methods and properties that the class itself defines."""
    for name, value in vars(cls).items():
        function = getattr(value, "func", getattr(value, "fget", getattr(value, "__func__", value)))
        if not name.startswith("_") and inspect.isroutine(function):
            yield name, function


def _own_docstring(cls: type) -> str:
    """The docstring written for the class, not inherited and not made up by dataclass."""
    doc = vars(cls).get("__doc__") or ""
    return "" if doc.startswith(f"{cls.__name__}(") else doc


def _documented_fields(cls: type) -> set[str]:
    """Fields that the class docstring mentions, or that a string stands below."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    below = {
        here.target.id
        for here, after in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }
    return below | set(re.findall(r"\w+", _own_docstring(cls)))


def test_names() -> None:
    """A name comes or goes on purpose: here, and in the changelog."""
    assert sorted(infer.__all__) == EXPECTED
    assert len(set(infer.__all__)) == len(infer.__all__)
    assert set(EXPECTED) <= set(dir(infer))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_signature(name: str) -> None:
    """At most two positional nouns, all else keyword-only, nothing swallowed, everything annotated."""
    signature = inspect.signature(PUBLIC[name])
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    assert kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) + kinds.count(inspect.Parameter.POSITIONAL_ONLY) <= 2
    assert inspect.Parameter.VAR_POSITIONAL not in kinds
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_documentation(name: str) -> None:
    """Every public function says what it does, and names each of its arguments."""
    function = PUBLIC[name]
    words = set(re.findall(r"\w+", function.__doc__ or ""))
    assert words
    assert set(inspect.signature(function).parameters) - words == set()


@pytest.mark.parametrize("name", CLASSES)
def test_class_documentation(name: str) -> None:
    """Every public class has its own docstring, and so has each of its public methods and properties."""
    assert _own_docstring(PUBLIC[name])
    assert [method for method, function in _methods(PUBLIC[name]) if not function.__doc__] == []


@pytest.mark.parametrize("name", RECORDS)
def test_record(name: str) -> None:
    """Result records are frozen dataclasses, documented field by field."""
    record = PUBLIC[name]
    assert dataclasses.is_dataclass(record)
    assert record.__dataclass_params__.frozen
    fields = {field.name for field in dataclasses.fields(record)}
    assert {field for field in fields if not field.startswith("_")} - _documented_fields(record) == set()
