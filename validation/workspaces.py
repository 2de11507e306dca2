"""Which workspaces the suites run on, and what is known about them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = (ROOT.parent / "shared" / "likelihoods", ROOT / "workspaces")
"""Published likelihoods in a folder beside the project, and the project's own examples."""


@dataclass(frozen=True)
class KnownFit:
    """A verified minimum, from ``reference.json`` beside the workspaces."""

    twice_nll: float
    mu_hat: float
    sigma: float | None
    """Inverse Hessian with parameters at bounds held; None where it is not positive definite."""
    bounds: tuple[float, float]

    @property
    def at_bound(self) -> bool:
        """Whether the parameter of interest sits at a bound, where a symmetric uncertainty means nothing."""
        width = self.bounds[1] - self.bounds[0]
        return min(self.mu_hat - self.bounds[0], self.bounds[1] - self.mu_hat) < 1e-6 * width


def find(folders: Sequence[Path] = FOLDERS) -> list[Path]:
    """Every pyhf workspace below the folders, by name."""
    paths = [path for folder in folders if folder.is_dir() for path in folder.rglob("*.json")]
    return sorted((path for path in paths if _is_workspace(path)), key=lambda path: path.stem)


def _is_workspace(path: Path) -> bool:
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError:
        return False
    return isinstance(content, dict) and {"channels", "observations", "measurements"} <= set(content)


def known_fit(path: Path) -> KnownFit | None:
    """The verified minimum of a workspace, None where its folder has none."""
    table = path.parent / "reference.json"
    entry = json.loads(table.read_text()).get(path.stem) if table.exists() else None
    if entry is None:
        return None
    low, high = entry["bounds"]
    return KnownFit(entry["best2nll"], entry["mu_hat"], entry["sigma"], (low, high))
