"""Commands on documents: what they write, and what they say of bad input."""

from __future__ import annotations

import json
from pathlib import Path

from infer.io.pyhf_json import digest
from infer.io.workspaces import make_patchset
from tests.io.broken import valid_workspace
from tests.runner import Run
from tests.test_api import write


def test_renaming_there_and_back(run: Run, small: Path, tmp_path: Path) -> None:
    """The file is the same document again."""
    there, back = tmp_path / "there.json", tmp_path / "back.json"
    assert run("workspace", "rename", small, "--modifier", "mu=strength", "--to", there).code == 0
    assert run("workspace", "rename", there, "--modifier", "strength=mu", "--to", back).code == 0
    assert json.loads(there.read_text(encoding="utf-8")) != valid_workspace()
    assert json.loads(back.read_text(encoding="utf-8")) == valid_workspace()


def test_what_is_printed_is_a_workspace(run: Run, small: Path) -> None:
    """Without --to, the document is on standard output and nothing else."""
    ran = run("workspace", "sort", small)
    assert ran.err == ""
    assert [c["name"] for c in json.loads(ran.out)["channels"]] == sorted(
        c["name"] for c in valid_workspace()["channels"]
    )


def test_names_and_digest_as_json(run: Run, small: Path) -> None:
    """Stable keys."""
    names = run("workspace", "names", small, "--json").json
    assert set(names) == {"channels", "samples", "modifiers", "modifier_types", "measurements"}
    assert run("workspace", "digest", small, "--json").json == {"sha256": digest(valid_workspace())}


def test_bad_names_are_said(run: Run, small: Path) -> None:
    """One sentence and exit code 2."""
    assert "'absent' is not among its channels" in run("workspace", "prune", small, "--channel", "absent").complaint
    assert "OLD=NEW" in run("workspace", "rename", small, "--channel", "absent").complaint
    assert "cannot be joined" in run("workspace", "join", small, small).complaint


def test_patchsets(run: Run, small: Path, tmp_path: Path) -> None:
    """List, verify and apply; for another workspace, refused."""
    point = valid_workspace()
    point["channels"][0]["samples"][0]["data"][0] = 99.0
    made = make_patchset(valid_workspace(), {"p": ([1], point)}, labels=["m"], description="d")
    patches, other = write(tmp_path / "patches.json", made), write(tmp_path / "other.json", point)
    assert run("patchset", "list", patches, "--json").json["patches"] == [{"name": "p", "values": [1]}]
    assert run("patchset", "verify", patches, small).code == 0
    assert "digest" in run("patchset", "verify", patches, other).complaint
    assert json.loads(run("patchset", "apply", patches, small, "--name", "p").out) == point
