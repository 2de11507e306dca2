"""The format "infer-combination": what it means, what it refuses, and how it is read from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from infer.api import read_combination, read_workspace
from infer.combination import Declaration, Partial, Scheme, Tie
from infer.errors import WorkspaceError
from infer.io import combination
from infer.io.combination import ComponentFile, parse_combination
from infer.likelihoods.histfactory.model import HistFactory, Interpolation
from infer.strict_yaml import load_yaml
from tests.io.broken import valid_workspace

Document = dict[str, Any]

EXAMPLE: Document = {
    "format": "infer-combination",
    "version": 1,
    "title": "Two",
    "reference": "nowhere",
    "notes": ["made up"],
    "components": {
        "A": "a.json",
        "B": {"file": "deep/b.json", "measurement": "SM", "patch": "p.json:x", "interpolation": {"normsys": "code1"}},
    },
    "scheme": {
        "poi": "mu",
        "rename": {"A": {"xs": "theory"}},
        "correlate": [{"parameters": ["A.lumi", "B.luminosity"], "as": "lumi"}],
        "shared": ["theory"],
        "decorrelate": ["jes"],
        "by_name": False,
        "partial": [
            {"parameters": ["A.jes", "B.jes"], "rho": 0.5, "name": "jes"},
            {"parameters": ["a", "b"], "rho": 0},
        ],
        "errors_on_errors": {"theory": 0.3},
        "declare": {"mu": {"bounds": [None, 5], "init": 1}},
        "fix": {"theory": 0.1},
    },
}


def parse(document: Document) -> tuple[dict[str, ComponentFile], Scheme]:
    """What the reader makes of a document."""
    return parse_combination(document, source="doc", directory=Path("/here"))


def scheme(**keys: object) -> Document:
    """The example with another scheme."""
    return {**EXAMPLE, "scheme": keys}


def test_example() -> None:
    """Every field arrives where it belongs; paths are relative to the document."""
    components, read = parse(EXAMPLE)
    assert components == {
        "A": ComponentFile(Path("/here/a.json")),
        "B": ComponentFile(Path("/here/deep/b.json"), "SM", "/here/p.json:x", Interpolation(normsys="code1")),
    }
    assert read == Scheme(
        rename={"A": {"xs": "theory"}},
        correlate=(Tie(("A.lumi", "B.luminosity"), "lumi"),),
        shared=("theory",),
        decorrelate=("jes",),
        by_name=False,
        partial=(Partial(("A.jes", "B.jes"), 0.5, "jes"), Partial(("a", "b"), 0.0)),
        errors_on_errors={"theory": 0.3},
        declare={"mu": Declaration((-np.inf, 5.0), 1.0)},
        fix={"theory": 0.1},
        poi="mu",
    )
    assert [p.name for p in read.partial] == ["jes", "a & b"]


def test_documented_example(tmp_path: Path) -> None:
    """The example in the module's docstring is a document."""
    example = (combination.__doc__ or "").split("::\n")[1].split("\n\n``format``")[0]
    path = tmp_path / "scheme.yaml"
    path.write_text(example.replace("\n    ", "\n"), encoding="utf-8")
    document = load_yaml(path)
    assert isinstance(document, dict)
    components, read = parse(document)
    assert list(components) == ["run1", "run2"]
    assert read.partial[0].name == "jes"


def test_the_scheme_may_be_left_out() -> None:
    """Components alone are a document."""
    assert parse({k: v for k, v in EXAMPLE.items() if k != "scheme"})[1] == Scheme()


BAD = [
    ({**EXAMPLE, "formt": 1}, "doc: the document has the unknown key 'formt'"),
    ({**EXAMPLE, "version": 2}, "doc: format and version are .* and 2, expected 'infer-combination' and 1"),
    ({**EXAMPLE, "version": True}, "doc: format and version"),
    ({**EXAMPLE, "title": 3}, "doc: title is the number 3"),
    ({**EXAMPLE, "notes": "x"}, "doc: notes is the string 'x', expected a list"),
    ({**EXAMPLE, "components": {}}, "doc: components is an empty object"),
    ({**EXAMPLE, "components": ["a.json"]}, "doc: components is a list of 1, expected an object"),
    ({**EXAMPLE, "components": {"A": 7}}, "doc: component 'A': its entry is the number 7"),
    ({**EXAMPLE, "components": {"A": {"path": "x"}}}, "component 'A': its entry has the unknown key 'path'"),
    ({**EXAMPLE, "components": {"A": {"file": ""}}}, "component 'A': file is an empty string"),
    (
        {**EXAMPLE, "components": {"A": {"file": "a", "interpolation": {"normsys": "code9"}}}},
        "component 'A': interpolation normsys is the string 'code9'; take one of 'code1', 'code4', 'combine'",
    ),
    ({**EXAMPLE, "components": {"A": {"file": "a", "interpolation": {"normsys": []}}}}, "normsys is an empty list"),
    ({**EXAMPLE, "components": {1: "a"}}, "doc: a key of components is the number 1"),
    (scheme(correlated=[]), "doc: scheme: the scheme has the unknown key 'correlated'; did you mean 'correlate'"),
    (scheme(rename={"A": ["x"]}), "doc: scheme: rename 'A' is a list of 1"),
    (scheme(rename={"A": {"x": 2}}), "doc: scheme: rename 'A' 'x' is the number 2"),
    (scheme(correlate={"a": 1}), "scheme: correlate is an object, expected a list"),
    (scheme(correlate=[{"parameters": ["a"]}]), r"scheme: correlate\[0\] lacks the key 'as'"),
    (scheme(correlate=[{"parameters": "a", "as": "b"}]), r"correlate\[0\].parameters is the string 'a'"),
    (scheme(shared="jes"), "scheme: shared is the string 'jes', expected a list"),
    (scheme(by_name="yes"), "scheme: by_name is the string 'yes', expected true or false"),
    (scheme(partial=[{"parameters": ["a", "b"]}]), r"scheme: partial\[0\] lacks the key 'rho'"),
    (scheme(partial=[{"parameters": ["a", "b"], "rho": "0.5"}]), r"partial\[0\].rho is the string '0.5'"),
    (scheme(partial=[{"parameters": ["a", "b"], "rho": float("nan")}]), r"partial\[0\].rho is the number nan"),
    (scheme(partial=[{"parameters": ["a", "b"], "rho": 0, "as": "x"}]), r"partial\[0\] has the unknown key 'as'"),
    (scheme(errors_on_errors={"a": None}), "scheme: errors_on_errors 'a' is null"),
    (scheme(errors_on_errors=[0.1]), "scheme: errors_on_errors is a list of 1, expected an object"),
    (scheme(declare={"mu": {"bound": 1}}), "scheme: declare 'mu': its entry has the unknown key 'bound'"),
    (scheme(declare={"mu": {"bounds": [1]}}), "scheme: declare 'mu': bounds has 1 entries, expected 2"),
    (scheme(declare={"mu": {"bounds": [2, 1]}}), "scheme: declare 'mu': the lower bound is 2 and the upper one 1"),
    (scheme(fix={"mu": True}), "scheme: fix 'mu' is true, expected a number"),
    (scheme(poi=["mu"]), "scheme: poi is a list of 1"),
    ({**EXAMPLE, "scheme": None}, "doc: scheme: the scheme is null, expected an object"),
]


@pytest.mark.parametrize(("document", "complaint"), BAD)
def test_documents_that_are_refused(document: Document, complaint: str) -> None:
    """One sentence with the place, the key and the remedy."""
    with pytest.raises(WorkspaceError, match=complaint) as caught:
        parse(document)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ files


def measured(value: float, **changes: object) -> Document:
    """A published measurement with two sources."""
    return {
        "format": "infer-measurements",
        "version": 1,
        "poi": "m",
        "observables": [{"name": "m", "unit": "GeV"}],
        "measurements": [{"name": "x", "observable": "m", "value": value, "stat": 1.0, "syst": {"s": 0.5, "t": 0.2}}],
        "sources": {"s": {"correlation": 1}, "t": {"correlation": 1}},
        **changes,
    }


YAML = """
format: infer-combination
version: 1
components: {one: one.json, two: {file: two.json}}
scheme: {poi: m, shared: [s], by_name: false}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two measurements and a combination of them, as scheme.yaml."""
    for name, value in (("one", 10.0), ("two", 12.0)):
        (tmp_path / f"{name}.json").write_text(json.dumps(measured(value)), encoding="utf-8")
    (tmp_path / "scheme.yaml").write_text(YAML, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_a_combination_is_read_like_any_workspace(folder: Path) -> None:
    """From YAML or JSON, with paths relative to it; the parts are there too."""
    likelihood, data = read_workspace(folder / "scheme.yaml")
    assert likelihood.parameters.names == ("m", "s", "one.t", "two.t")
    assert likelihood.parameters.poi == "m"
    (folder / "scheme.json").write_text(json.dumps(load_yaml(folder / "scheme.yaml")), encoding="utf-8")
    again, same = read_workspace(folder / "scheme.json")
    theta = jnp.array([11.0, 0.3, -0.2, 0.4])
    assert float(again.logpdf(theta, same)) == float(likelihood.logpdf(theta, data))
    parts, scheme = read_combination(folder / "scheme.yaml")
    assert list(parts) == ["one", "two"]
    assert scheme.shared == ("s",)


def test_a_component_may_be_a_combination(folder: Path) -> None:
    """Its names are those that it has after its own scheme."""
    (folder / "three.json").write_text(json.dumps(measured(9.0)), encoding="utf-8")
    text = YAML.replace("one.json", "scheme.yaml").replace("two.json", "three.json")
    (folder / "outer.yml").write_text(text, encoding="utf-8")
    assert read_workspace(folder / "outer.yml")[0].parameters.names == ("m", "s", "one.t", "two.t", "t")


def test_interpolation_codes_reach_the_components(folder: Path) -> None:
    """Those of the component, or else those that the whole is read with."""
    (folder / "ws.json").write_text(json.dumps(valid_workspace()), encoding="utf-8")
    text = (
        "{format: infer-combination, version: 1, scheme: {by_name: true}, "
        "components: {a: ws.json, b: {file: ws.json, interpolation: {histosys: code2}}}}"
    )
    (folder / "two.yaml").write_text(text, encoding="utf-8")
    parts, _ = read_combination(folder / "two.yaml", interpolation=Interpolation("code1", "code0"))
    codes = [part.interpolation for part, _ in parts.values() if isinstance(part, HistFactory)]
    assert codes == [Interpolation("code1", "code0"), Interpolation("code4", "code2")]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("one.json", "three.json"), r"scheme.yaml: component 'one': .*three.json"),
        (("one.json", "scheme.yaml"), r"scheme.yaml: component 'one': .*names itself"),
        (("shared: [s]", "shared: [q]"), r"scheme.yaml: shared: 'q' is no name that several components have"),
        (("by_name: false", "title: x"), "scheme.yaml: scheme: the scheme has the unknown key 'title'"),
        ((", by_name: false", ""), r"scheme.yaml: 1 name stands .*'t' \(one, two\)"),
        (("version: 1", "version: 1\nversion: 1"), "scheme.yaml is not YAML: the key 'version' occurs twice"),
        (("version: 1", "version: [1"), "scheme.yaml is not YAML: "),
        (("infer-combination", "infer-combinations"), "scheme.yaml"),
    ],
)
def test_files_that_are_refused(folder: Path, change: tuple[str, str], complaint: str) -> None:
    """With the chain of files that leads to the place."""
    (folder / "scheme.yaml").write_text(YAML.replace(*change), encoding="utf-8")
    with pytest.raises(WorkspaceError, match=complaint):
        read_workspace(folder / "scheme.yaml")


def test_what_is_asked_of_the_wrong_file(folder: Path) -> None:
    """A combination has no measurement of its own, and a measurement no components."""
    with pytest.raises(WorkspaceError, match="no measurement of its own; name it in the entry of a component"):
        read_workspace(folder / "scheme.yaml", measurement="x")
    with pytest.raises(WorkspaceError, match=r"one.json: format is the string 'infer-measurements', expected"):
        read_combination(folder / "one.json")
    (folder / "list.yaml").write_text("- 1\n", encoding="utf-8")
    with pytest.raises(WorkspaceError, match=r"list.yaml: the top level is a list of 1, expected an object"):
        read_workspace(folder / "list.yaml")
