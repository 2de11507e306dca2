"""A folder of finished chunks: what goes in comes out, what is broken counts as not done, what is foreign stays out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infer.compute import Checkpoint, Manifest, current_versions, run
from infer.errors import InputError
from tests.compute.work import Squares, same

MANIFEST = Manifest("toys", "a" * 64, {"n": 2000, "seed": 7, "levels": [0.68, 0.95]}, current_versions(), 4)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    """A finished run of squares."""
    made = Checkpoint.create(tmp_path / "cov", MANIFEST)
    run(Squares(), 4, checkpoint=made)
    return made


def test_what_goes_in_comes_out(checkpoint: Checkpoint) -> None:
    """Names, types, shapes and bits, of every kind of array."""
    finished = checkpoint.finished()
    assert list(finished) == [0, 1, 2, 3]
    assert same(list(finished.values()), run(Squares(), 4))
    assert checkpoint.folder.joinpath("chunk-000003.npz").is_file()
    with np.load(checkpoint.folder / "chunk-000003.npz", allow_pickle=False) as archive:
        assert archive["square"].tolist() == [9, -9]


def test_files_of_equal_chunks_are_equal(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """No time stamps: files may be compared."""
    other = Checkpoint.create(tmp_path / "other", MANIFEST)
    run(Squares(), 4, checkpoint=other)
    for path in checkpoint.folder.iterdir():
        assert (other.folder / path.name).read_bytes() == path.read_bytes()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"NUMPY") + 130] ^= 1  # in the values behind the first header
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [_truncate, _flip, lambda path: path.write_bytes(b""), lambda path: path.write_text("nonsense"), Path.unlink],
    ids=["truncated", "flipped", "empty", "nonsense", "removed"],
)
def test_what_is_not_whole_is_computed_again(checkpoint: Checkpoint, damage: Any) -> None:
    """And nothing else is."""
    damage(checkpoint.folder / "chunk-000002.npz")
    assert list(checkpoint.finished()) == [0, 1, 3]
    again = Checkpoint.resume(checkpoint.folder, MANIFEST)
    assert same(run(Squares(), 4, checkpoint=again), run(Squares(), 4))
    assert list(again.finished()) == [0, 1, 2, 3]


def test_objects_in_a_file_are_not_unpickled(checkpoint: Checkpoint) -> None:
    """A file from elsewhere cannot run code."""
    with (checkpoint.folder / "chunk-000002.npz").open("wb") as file:
        np.savez(file, objects=np.asarray([None, {}]))
    assert list(checkpoint.finished()) == [0, 1, 3]


def test_leftovers_of_a_killed_run_do_no_harm(checkpoint: Checkpoint) -> None:
    """A file that was being written when the power went."""
    (checkpoint.folder / "chunk-000002.npz").rename(checkpoint.folder / "chunk-000002.npz.part")
    run(Squares(), 4, checkpoint=Checkpoint.resume(checkpoint.folder, MANIFEST))
    assert sorted(p.name for p in checkpoint.folder.iterdir()) == [
        *(f"chunk-{c:06d}.npz" for c in range(4)),
        "manifest.json",
    ]


def test_manifest_survives_its_file() -> None:
    """Numbers in all their digits; tuples become lists on both sides of the comparison."""
    settings = {"x": 0.1 + 0.2, "nothing": None, "nan": float("nan"), "bounds": (-float("inf"), 1)}
    manifest = dataclasses.replace(MANIFEST, settings=settings)
    there = Manifest.from_json(manifest.to_json())
    assert there.to_json() == manifest.to_json()
    assert there.settings["x"] == 0.1 + 0.2


def test_settings_that_are_not_equal_to_themselves_can_be_resumed(tmp_path: Path) -> None:
    """NaN and tuples."""
    manifest = dataclasses.replace(MANIFEST, settings={"nan": float("nan"), "bounds": (-float("inf"), 1)})
    Checkpoint.create(tmp_path / "cov", manifest)
    assert Checkpoint.resume(tmp_path / "cov", manifest).finished() == {}


VERSIONS = current_versions()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "scans"}, "cov/ holds toys, not scans: "),
        ({"model": "b" * 64}, r"cov/ holds toys of another model \(fingerprint aaaaaaaaaaaa, now bbbbbbbbbbbb\): "),
        ({"settings": {**MANIFEST.settings, "n": 4000}}, r"toys of other settings \(n was 2000, now 4000\): "),
        ({"settings": {"n": 2000, "seed": 7}}, r"\(levels was \[0\.68, 0\.95\], now absent\): "),
        ({"settings": {**MANIFEST.settings, "cl": 0.9}}, r"\(cl was absent, now 0\.9\): "),
        ({"n_chunks": 8}, r"\(n_chunks was 4, now 8\): "),
        (
            {"versions": {**VERSIONS, "jax": "0.0.1"}},
            rf'toys of other software, .* \(jax was "{VERSIONS["jax"]}", now "0.0.1"\): ',
        ),
    ],
    ids=["kind", "model", "changed", "missing", "added", "chunks", "software"],
)
def test_resume_refuses_another_run(checkpoint: Checkpoint, changes: dict[str, Any], message: str) -> None:
    """One sentence names exactly what differs, and what to do."""
    with pytest.raises(InputError, match=message + r"resume it as it was started, or .* --out\.$"):
        Checkpoint.resume(checkpoint.folder, dataclasses.replace(MANIFEST, **changes))


def test_resume_accepts_another_python(checkpoint: Checkpoint) -> None:
    """It is written down, but changes no bits."""
    manifest = dataclasses.replace(MANIFEST, versions={**VERSIONS, "python": "3.99"})
    assert len(Checkpoint.resume(checkpoint.folder, manifest).finished()) == 4


def test_create_refuses_an_earlier_run(checkpoint: Checkpoint) -> None:
    """It is continued on purpose or not at all."""
    folder = checkpoint.folder
    with pytest.raises(InputError, match=rf"{folder}/ holds an earlier run: continue it with --resume {folder}/, or"):
        Checkpoint.create(folder, MANIFEST)


def test_create_refuses_what_is_in_use(tmp_path: Path) -> None:
    """A folder with other things in it, or a file; an empty folder will do."""
    (tmp_path / "empty" / "of" / "all").mkdir(parents=True)
    Checkpoint.create(tmp_path / "empty" / "of" / "all", MANIFEST)
    with pytest.raises(InputError, match=r"empty/ is not empty \(of is in it\): choose another folder"):
        Checkpoint.create(tmp_path / "empty", MANIFEST)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"the folder .*file/ cannot be made: File exists"):
        Checkpoint.create(tmp_path / "file", MANIFEST)


def test_resume_refuses_what_holds_no_run(tmp_path: Path) -> None:
    """No folder, no manifest, or one that cannot be read."""
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match=r"no run to resume in .*, since it has no manifest.json: start one with"):
            Checkpoint.resume(folder, MANIFEST)
    for text in ("{", "[]", json.dumps({"format": "other"}), json.dumps({"format": "infer-checkpoint-1", "kind": "x"})):
        (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=r"cannot be resumed, since its manifest.json cannot be read: "):
            Checkpoint.resume(tmp_path, MANIFEST)
