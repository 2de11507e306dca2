"""YAML, read strictly: one sentence for whatever is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from infer.errors import WorkspaceError
from infer.strict_yaml import load_yaml


def written(folder: Path, text: str | bytes) -> Path:
    """A file with this text."""
    path = folder / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_is_read(tmp_path: Path) -> None:
    """Mappings, lists, numbers, aliases; None for an empty file."""
    path = written(tmp_path, "a: &x [1, 2.5, two]\nb: *x\nc: {d: null, e: true}\n")
    assert load_yaml(path) == {"a": [1, 2.5, "two"], "b": [1, 2.5, "two"], "c": {"d": None, "e": True}}
    assert load_yaml(written(tmp_path, "")) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\na: 2", "the key 'a' occurs twice in one mapping"),
        ("x:\n  - {b: 1, c: 2, b: 3}", "the key 'b' occurs twice"),
        ("a: [1", "is not YAML: "),
        ("a: &x [*x]", "an alias contains itself"),
        ("!!python/object:os.system {}", "is not YAML: .*constructor"),
        ("a: 2024-13-45", "is not YAML: month"),
        (b"\xff\xfe\xfd", "cannot be read|is not YAML"),
        ("[" * 3000 + "]" * 3000, "nested too deeply"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str | bytes, complaint: str) -> None:
    """With the path of the file, in one line."""
    with pytest.raises(WorkspaceError, match=complaint) as caught:
        load_yaml(written(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "file.yaml"))
    assert "\n" not in str(caught.value)


def test_aliases_of_aliases_take_no_time(tmp_path: Path) -> None:
    """A dozen levels of ten aliases each are looked at once, not 10^12 times."""
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 13)]
    document = load_yaml(written(tmp_path, "\n".join(lines)))
    assert isinstance(document, dict)
    assert len(document["a12"]) == 10


def test_a_missing_file(tmp_path: Path) -> None:
    """Named."""
    with pytest.raises(WorkspaceError, match=r"no\.yaml cannot be read"):
        load_yaml(tmp_path / "no.yaml")
