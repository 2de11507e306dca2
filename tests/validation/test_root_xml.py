"""HistFactory XML against ROOT: what is written is what ROOT has read, and both mean the same likelihood.

The values are stored with the scripts that produced them (``validation/root_reference/make_xml.py``, ``from_xml.py``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from validation.models import infer_logpdf
from validation.root_reference import make_xml, reference

STORED = reference.load()
READ = json.loads((reference.HERE / "xml_reference.json").read_text())["workspaces"]
NAMES = sorted(READ)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, str]]]:
    """Folders of XML by name, and their digests."""
    folder = tmp_path_factory.mktemp("xml")
    found: dict[str, tuple[Path, dict[str, str]]] = {}
    for name, workspace in make_xml.workspaces().items():
        found[name] = folder / name, make_xml.write(workspace, folder / name)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_what_root_has_read(written: dict[str, Any], name: str) -> None:
    """File by file and histogram by histogram; if this changes on purpose, let ROOT read it again (``from_xml.py``)."""
    assert written[name][1] == READ[name]["digest"]


@pytest.mark.parametrize("name", NAMES)
def test_b20_root_finds_the_same_likelihood_in_xml(name: str) -> None:
    """As in the model built with its classes: -ln L at all points, constants included; with strange names too."""
    stored = STORED[make_xml.STRANGE_OF if name == make_xml.STRANGE else name]
    assert READ[name]["nll"] == pytest.approx(stored.nll, rel=1e-11, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(STORED))
def test_we_find_the_likelihood_of_root_in_xml(written: dict[str, Any], name: str) -> None:
    """Differences of ln L at five points and at ROOT's best fit, as read from the top-level file."""
    (top,) = written[name][0].glob("*.xml")
    differences = reference.relative_differences(STORED[name], infer_logpdf(top))
    assert max(differences.values()) < 1e-6, differences
