"""Files: strict JSON, JSON patches and patchsets, with digests as pyhf computes them."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from infer.errors import InputError, WorkspaceError
from infer.io.pyhf_json import (
    apply_patch,
    digest,
    load_document,
    load_patch,
    load_patchset,
    read_document,
    select_patch,
    verify_digest,
)
from infer.io.strict_json import load_json
from tests.io.broken import valid_workspace

SCALE = [{"op": "replace", "path": "/channels/0/samples/0/data", "value": [1.0, 2.0, 0.5]}]
DROP = [
    {"op": "test", "path": "/channels/1/samples/1/name", "value": "qcd"},
    {"op": "remove", "path": "/channels/1/samples/1"},
]
Json = Any


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A file with the valid workspace."""
    return _write(tmp_path / "ws.json", valid_workspace())


@pytest.fixture
def patchset(tmp_path: Path) -> Path:
    """A file with a patchset of two patches for the valid workspace."""
    return _write(tmp_path / "patchset.json", _patchset())


def _write(path: Path, document: Json) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _patchset() -> Json:
    return {
        "metadata": {
            "references": {"hepdata": "ins1234567"},
            "description": "signals",
            "digests": {"sha256": digest(valid_workspace())},
            "labels": ["mass", "decay"],
            "made with": "anything may stand in metadata",
        },
        "patches": [
            {"metadata": {"name": "m_100", "values": [100, "a"]}, "patch": SCALE},
            {"metadata": {"name": "m_200", "values": [200, "a"]}, "patch": DROP},
        ],
        "version": "1.0.0",
    }


def _refusal(call: Any, *arguments: Any, **options: Any) -> str:
    """The message with which a call refuses its input; checked to be one line."""
    with pytest.raises(WorkspaceError) as caught:
        call(*arguments, **options)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_document_comes_back_as_it_was_written(workspace: Path) -> None:
    """Decoding is that of the standard library, also after a byte order mark."""
    assert load_document(workspace) == load_document(str(workspace)) == valid_workspace()
    workspace.write_bytes(b"\xef\xbb\xbf" + workspace.read_bytes())
    assert load_document(workspace) == valid_workspace()


def test_words_that_look_like_literals_are_fine_in_strings(tmp_path: Path) -> None:
    """NaN is refused as a number, not as a name; equal keys of different objects are no fault."""
    document = {"NaN": '"Infinity" \\', "a": {"a": [{"a": 1}, {"a": 2}]}}
    assert load_json(_write(tmp_path / "a.json", document)) == document


def test_unreadable_paths(tmp_path: Path) -> None:
    """A missing file, a directory and impossible paths are told apart."""
    assert "there is no such file" in _refusal(load_document, tmp_path / "none.json")
    assert "this is a directory" in _refusal(load_document, tmp_path)
    (tmp_path / "file").write_text("{}")
    assert "cannot be read (Not a directory)" in _refusal(load_json, tmp_path / "file" / "a.json")
    assert "cannot be read (File name too long)" in _refusal(load_json, tmp_path / ("a" * 300))
    assert "cannot be read (embedded null byte)" in _refusal(load_json, "a\0.json")
    assert _refusal(load_json, "a\nb.json").startswith(r"a\nb.json: there is no such file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"a": 1,\n "b": {"c": 1, "d": {"c": 2}, "c": 3}}',
            "line 2, column 31: the key 'c' stands",
        ),
        ('{"a": "NaN",\n\n "b": [0, NaN]}', "line 3, column 11: NaN is not"),
        ('{"a": [{"x": 1}, {"x": 1, "x": 1}], "b": NaN}', "column 27: the key 'x' stands twice"),
        ('{"a": -Infinity, "a": 1}', "line 1, column 7: -Infinity is not"),
    ],
    ids=["nested-key", "literal-after-string", "key-before-literal", "literal-before-key"],
)
def test_the_first_fault_is_located(content: str, message: str, tmp_path: Path) -> None:
    """Line and column, counted from 1, point at what the decoder would have let pass."""
    path = tmp_path / "a.json"
    path.write_text(content)
    assert message in _refusal(load_json, path)


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_digest_is_that_of_pyhf(algorithm: str) -> None:
    """The same document has the same digest, whatever the order of keys and the letters."""
    pyhf = pytest.importorskip("pyhf")
    document = valid_workspace() | {"Z→ll": [1e-7, 3, -0.0, 1e22], "b": None}
    expected = pyhf.utils.digest(document, algorithm=algorithm)
    assert digest(document, algorithm) == expected
    assert digest(dict(reversed(document.items())), algorithm) == expected


def test_digest_by_hand() -> None:
    """The digest of a text that is written out here."""
    text = '{"a": [1, 2.0], "b": "µ"}'
    assert digest({"b": "µ", "a": [1, 2.0]}) == hashlib.sha256(text.encode()).hexdigest()


def test_digest_of_what_has_none() -> None:
    """Half a surrogate pair cannot be encoded, and a bottomless document cannot be walked."""
    assert "which is not a character" in _refusal(digest, {"a": "\ud800"})
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert "nested too deeply" in _refusal(digest, {"a": deep})


def test_patchset_is_read(patchset: Path) -> None:
    """Names, points, labels and operations arrive."""
    read = load_patchset(patchset)
    assert read.labels == ("mass", "decay")
    assert [(patch.name, patch.values) for patch in read.patches] == [
        ("m_100", (100, "a")),
        ("m_200", (200, "a")),
    ]
    assert select_patch(read, "m_200").operations == tuple(DROP)


def test_unknown_patch_is_answered_with_the_names(patchset: Path) -> None:
    """The message lists what there is."""
    message = _refusal(select_patch, load_patchset(patchset), "m_300")
    assert message.endswith("it has no patch 'm_300'; choose one of 'm_100', 'm_200'")


def test_digest_binds_patchset_and_workspace(patchset: Path) -> None:
    """The right workspace passes, also with digits in capitals; any other is refused."""
    verify_digest(load_patchset(patchset), valid_workspace())
    document = _patchset()
    document["metadata"]["digests"]["sha256"] = digest(valid_workspace()).upper()
    verify_digest(load_patchset(_write(patchset, document)), valid_workspace())
    other = valid_workspace()
    other["observations"][0]["data"][0] += 1
    message = _refusal(verify_digest, load_patchset(patchset), other, source="ws.json")
    assert message.startswith("ws.json: its sha256 digest is ")
    assert message.endswith("take the workspace that was published with the patchset")


@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf's
def test_patch_from_a_patchset_is_that_of_pyhf(workspace: Path, patchset: Path) -> None:
    """Both patches give the document that pyhf's patchset gives."""
    pyhf = pytest.importorskip("pyhf")
    reference = pyhf.PatchSet(_patchset())
    for name in ("m_100", "m_200"):
        expected = reference[name].apply(valid_workspace())
        assert read_document(workspace, f"{patchset}:{name}") == expected


def test_plain_patch(workspace: Path, tmp_path: Path) -> None:
    """A plain JSON-patch file needs no digest; no patch leaves the document as it is."""
    patch = _write(tmp_path / "patch.json", SCALE)
    patched = read_document(workspace, str(patch))
    assert patched["channels"][0]["samples"][0]["data"] == [1.0, 2.0, 0.5]  # type: ignore[index]
    assert read_document(workspace) == read_document(workspace, None) == valid_workspace()


def test_patching_leaves_document_and_patch_alone() -> None:
    """The result shares nothing with either, also where later operations change added values."""
    document = valid_workspace()
    sample = {"name": "new", "data": [1.0, 2.0], "modifiers": []}
    patch = [
        {"op": "add", "path": "/channels/1/samples/-", "value": sample},
        {"op": "replace", "path": "/channels/1/samples/2/name", "value": "newer"},
        {"op": "copy", "from": "/channels/1/samples/2", "path": "/channels/1/samples/0"},
        {"op": "move", "from": "/observations/0", "path": "/observations/1"},
    ]
    kept = copy.deepcopy(patch)
    patched: Json = apply_patch(document, patch)
    assert document == valid_workspace()
    assert patch == kept
    assert [s["name"] for s in patched["channels"][1]["samples"]][0::3] == ["newer", "newer"]
    patched["channels"][0]["samples"][0]["data"][0] = -1
    assert document == valid_workspace()


def test_the_kind_of_patch_is_checked(workspace: Path, patchset: Path, tmp_path: Path) -> None:
    """A patchset without a name, and a plain patch with one, are answered with the right form."""
    message = _refusal(read_document, workspace, str(patchset))
    assert message.endswith("add ':' and the name of a patch, of 'm_100', 'm_200'")
    plain = _write(tmp_path / "patch.json", SCALE)
    assert "drop ':' and the name" in _refusal(read_document, workspace, f"{plain}:m_100")
    assert "there is no such file" in _refusal(read_document, workspace, "none.json:m_100")
    assert "there is no such file" in _refusal(read_document, workspace, "none.json")


def test_patchset_for_another_workspace_is_refused(workspace: Path, patchset: Path) -> None:
    """Through the same door as the command line, the digest is checked."""
    other = valid_workspace()
    other["observations"][0]["data"][0] += 1
    message = _refusal(read_document, _write(workspace, other), f"{patchset}:m_100")
    assert message.startswith(f"{workspace}: its sha256 digest is ")


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        (
            {"op": "remove", "path": "/channels/7"},
            "operation 0: remove '/channels/7' is impossible",
        ),
        ({"op": "replace", "path": "/chanels/0", "value": 1}, "replace '/chanels/0' is impossible"),
        ({"op": "add", "path": "/version/0", "value": 1}, "add '/version/0' is impossible"),
        ({"op": "add", "path": "/channels/x", "value": 1}, "add '/channels/x' is impossible"),
        ({"op": "add", "path": "/channels/" + "9" * 5000, "value": 1}, "is impossible"),
        ({"op": "test", "path": "/version", "value": "2.0.0"}, "test '/version' is impossible"),
        ({"op": "move", "from": "/a", "path": "/b"}, "move '/b' is impossible"),
        ({"op": "replace", "path": "", "value": []}, "turns the document into an empty list"),
        ({"op": "remove", "path": ""}, "operation 0: remove '' is impossible"),
        ({"op": "add", "path": "channels", "value": 1}, "a JSON pointer begins with '/'"),
        ({"op": "swap", "path": "/channels"}, "the operations are 'add', 'copy', 'move'"),
        ({"op": "add", "path": "/channels"}, "lacks the key 'value'"),
        ({"op": "move", "path": "/channels"}, "lacks the key 'from'"),
        ({"op": "move", "path": "/channels", "from": 3}, "the patch[0].from is the number 3"),
        ({"path": "/channels"}, "the patch[0] lacks the key 'op'"),
        ({"op": ["add"], "path": "/channels"}, "the patch[0].op is a list of 1"),
        ("remove", "the patch[0] is the string 'remove'"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:40],
)
def test_impossible_operations(operation: Json, says: str, tmp_path: Path) -> None:
    """Each is named by its number and path."""
    path = _write(tmp_path / "p.json", [operation])
    workspace = _write(tmp_path / "ws.json", valid_workspace())
    message = _refusal(read_document, workspace, str(path)).removeprefix(f"{tmp_path}/")
    assert message.startswith("p.json: ")
    assert says in message
    assert len(message) < 300 or "9999" in message


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ((), 3, "the patchset is the number 3"),
        (("version",), "2", "version is '2', expected '1.0.0'"),
        (("patch",), [], "unknown key 'patch'"),
        (("patches",), [], "patches is an empty list"),
        (("metadata",), None, "metadata is null"),
        (("metadata", "digests"), {}, "digests is empty"),
        (("metadata", "digests"), {"sha1": "0"}, "unknown key 'sha1'"),
        (("metadata", "digests", "sha256"), 5, "digests.sha256 is the number 5"),
        (("metadata", "labels"), ["mass"], "patch 'm_100': values has 2 entries, expected 1"),
        (("patches", 0, "metadata"), {"name": "a"}, "patches[0].metadata lacks the key 'values'"),
        (("patches", 0, "metadata", "name"), "m_200", "the patch 'm_200' stands twice"),
        (("patches", 0, "metadata", "values"), [200, "a"], "the point \"(200, 'a')\" stands twice"),
        (("patches", 1, "patch"), {"op": "add"}, "patch 'm_200': patch is an object"),
        (("patches", 1, "patch", 0, "op"), "tset", "patch 'm_200': patch[0].op is 'tset'"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else None,
)
def test_broken_patchsets(path: Any, value: Json, says: str, tmp_path: Path) -> None:
    """Each fault is named with its place."""
    box = {"": _patchset()}
    *parents, last = ("", *path)
    target: Json = box
    for step in parents:
        target = target[step]
    target[last] = value
    file = _write(tmp_path / "ps.json", box[""])
    message = _refusal(load_patchset, file)
    assert message.startswith(f"{file}: ")
    assert says in message


def test_a_patch_is_not_a_workspace(tmp_path: Path) -> None:
    """Confusing the two files is answered clearly in both directions."""
    patch = _write(tmp_path / "patch.json", SCALE)
    assert "the top level is a list of 1, expected an object" in _refusal(load_document, patch)
    workspace = _write(tmp_path / "ws.json", valid_workspace())
    assert "the patch is an object, expected a list" in _refusal(load_patch, workspace)


@pytest.mark.parametrize("levels", [300, 600, 900])
def test_nesting_that_can_be_read_can_be_patched_or_is_refused(levels: int, tmp_path: Path) -> None:
    """Between what the decoder reads and what can be copied there is no other outcome."""
    path = tmp_path / "ws.json"
    path.write_text('{"a": ' + "[" * levels + "]" * levels + "}")
    patch = _write(tmp_path / "patch.json", [{"op": "add", "path": "/b", "value": 1}])
    try:
        assert read_document(path, str(patch))["b"] == 1
    except InputError as error:
        refusal = str(error)
    else:
        refusal = "nested too deeply"
    assert "nested too deeply" in refusal
