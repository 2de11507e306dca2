"""The tools of the comparison and where their environments are."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENTS = "INFER_PEERS"
"""Environment variable with the folder that ``setup_peers.sh`` filled."""


@dataclass(frozen=True)
class Tool:
    """A benchmark program: its module, arguments, and the environment it runs in (None: this one)."""

    label: str
    module: str
    environment: str | None = None
    arguments: tuple[str, ...] = ()

    def python(self, peers: Path) -> Path:
        """The interpreter that runs it."""
        return Path(sys.executable) if self.environment is None else peers / self.environment / "bin" / "python"

    def present(self, peers: Path) -> bool:
        """Whether its environment exists."""
        return self.python(peers).exists()


INFER = Tool("infer", "run_infer")
TOOLS = (
    INFER,
    Tool("NextStat", "run_nextstat", "nextstat"),
    Tool("pyhf jax scipy", "run_pyhf", "pyhf", ("--backend", "jax", "--optimizer", "scipy")),
    Tool("pyhf numpy minuit", "run_pyhf", "pyhf", ("--backend", "numpy", "--optimizer", "minuit")),
    Tool("ROOT", "run_root", "root"),
)


def default_peers() -> Path:
    """The folder of environments: ``$INFER_PEERS``, or ``.peers`` below the project root."""
    return Path(os.environ.get(ENVIRONMENTS, ".peers"))
