"""Strict numerics, a warm compilation cache and the fixtures that every test may ask for."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import jax
import pytest

if TYPE_CHECKING:
    from tests.runner import Run

ROOT = Path(__file__).parent.parent

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

CACHE = {
    "jax_compilation_cache_dir": str(ROOT / ".cache" / "jax"),
    "jax_persistent_cache_min_compile_time_secs": 0.1,
}
for _name, _value in CACHE.items():
    os.environ.setdefault(_name.upper(), str(_value))  # for the commands that tests start
    jax.config.update(_name, _value)

# The same examples in every run; no deadline, because the first example pays for the compilation.
hypothesis.settings.register_profile("infer", derandomize=True, deadline=None)
hypothesis.settings.load_profile("infer")


@pytest.fixture(scope="module", autouse=True)
def _forget_programs() -> Iterator[None]:
    """Compiled programs of one module are of no use to the next, and take memory and memory maps, which run out."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the shared inputs, which may lie beside the repository."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared inputs are not beside the repository")
    return folder


@pytest.fixture(scope="session")
def likelihoods(shared: Path) -> Path:
    """Folder of the published likelihoods and their verified minima among the shared inputs."""
    folder = shared / "likelihoods"
    if not folder.is_dir():
        pytest.skip("the shared inputs hold no published likelihoods")
    return folder


# What these import imports infer, which must not happen before the options of pytest say how: hence inside.


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""
    from tests.runner import runner

    return runner(capsys)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A file with the small valid workspace."""
    from tests.io.broken import valid_workspace
    from tests.test_api import write

    return write(tmp_path / "ws.json", valid_workspace())
