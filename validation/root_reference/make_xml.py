"""Write the comparison's workspaces as HistFactory XML, for ROOT to read.

``python -m validation.root_reference.make_xml FOLDER``

One more has all modifiers under names that ROOT does not take (B20 of ``tests/test_known_defects.py``).
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from infer.io.histfactory_writer import write_histfactory
from infer.io.histfactory_xml import read_histfactory
from infer.io.pyhf_json import digest
from validation.root_reference import reference

STRANGE = "strange_names"
STRANGE_OF = "all_modifiers"
NAMES = {"sr": "4j1b SR", "signal": "t/t' + <X>", "jes": "1 jes", "meas": "50 %", "fakes": "fakes (data)"}
DIGEST = "digest.json"


def workspaces() -> dict[str, dict[str, Any]]:
    """All of them by name."""
    found = {name: json.loads(stored.path.read_text()) for name, stored in reference.load().items()}
    text = json.dumps(found[STRANGE_OF])
    for old, new in NAMES.items():
        text = text.replace(f'"name": "{old}"', f'"name": {json.dumps(new)}')
    return found | {STRANGE: json.loads(text)}


def write(workspace: dict[str, Any], folder: Path) -> dict[str, str]:
    """Write one and return what tells it from another: of the XML files, and of the model with its histograms."""
    write_histfactory(workspace, folder)
    text = hashlib.sha256()
    for path in sorted(folder.rglob("*.xml")):
        text.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return {"xml": text.hexdigest(), "model": digest(read_histfactory(folder).workspace)}


def main() -> None:
    """Write all into the folder that is named."""
    folder = Path(sys.argv[1])
    for name, workspace in workspaces().items():
        found = write(workspace, folder / name)
        (folder / name / DIGEST).write_text(json.dumps(found) + "\n")
        (folder / name / "workspace.json").write_text(json.dumps(workspace))


if __name__ == "__main__":
    main()
