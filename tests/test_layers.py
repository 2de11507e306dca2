"""The house is in order: imports point down, rooms that must not see each other do not, files stay short.

The rules are those of docs/architecture.md. They are read off the syntax trees, so that nothing is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

LAYERS = (  # from bottom to top; a room may import from its own layer and from those below
    {"errors", "typing"},
    {"numerics", "documents", "expressions", "strict_yaml", "threads", "compute"},
    {"certificate", "constraints", "parameters", "correlation", "data", "contract", "likelihood", "blinding"},
    {"likelihoods", "inference", "learn"},
    {"unfold", "analysis", "io", "hygiene", "inspection", "statement", "measurement", "combination", "simplified"},
    {"api", "comparison"},
    {"infer"},  # infer/__init__.py, the public face
    {"plots"},
    {"report"},
    {"cli", "__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
BLIND = {"likelihoods", "inference", "learn"}  # do not see each other
TORCH = {"torch", "sbi", "zuko", "nflows", "laplace"}
JAX = {"jax", "jaxlib", "equinox"}
FIGURES = {"matplotlib", "mplhep"}
MAX_LINES = 499


def violations(root: Path) -> list[str]:
    """Every broken rule in the package at ``root``, each as one line that names the place."""
    paths = {_module(path, root): path for path in sorted(root.rglob("*.py"))}
    graph: dict[str, set[str]] = {}
    found = []
    for module, path in paths.items():
        text = path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > MAX_LINES:
            found.append(f"{module}: {lines} lines, at most {MAX_LINES}")
        if _room(module) not in LEVEL:
            found.append(f"{module}: the room {_room(module)!r} has no place in LAYERS")
            continue
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for line, name, in_function in _imports(ast.parse(text), package):
            target = _longest_prefix(name, paths)
            if target is None:
                complaint = _library_complaint(module, name.partition(".")[0])
            else:
                graph.setdefault(module, set()).add(target)
                complaint = "inside a function" if in_function else _complaint(module, target)
            if complaint:
                found.append(f"{module}:{line}: imports {name}: {complaint}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("cycle: " + " -> ".join(error.args[1]))
    return found


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[int, str, bool]]:
    """Line, absolute dotted name, and whether it stands inside a function, of every import."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{origin}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name, id(node) in inside) for name in names)


def _longest_prefix(name: str, modules: dict[str, Path]) -> str | None:
    parts = name.split(".")
    prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in modules), None)


def _complaint(module: str, target: str) -> str | None:
    """Why one module of ours may not import another, None if it may."""
    here, there = _room(module), _room(target)
    if there not in LEVEL or LEVEL[there] > LEVEL[here]:
        return f"{here} lies below {there}"
    if here != there and {here, there} <= BLIND:
        return f"{here} and {there} do not see each other"
    adapters = {name.split(".")[2] for name in (module, target) if name.startswith("infer.likelihoods.")}
    return "adapters never import each other" if len(adapters) > 1 else None


def _library_complaint(module: str, library: str) -> str | None:
    """Why a module may not import a library, None if it may."""
    room = _room(module)
    below_learning = room != "learn" and LEVEL[room] <= LEVEL["learn"]
    if library in TORCH and (below_learning or (room == "unfold" and module != "infer.unfold.omnifold")):
        return "torch lives in learn, in unfold.omnifold and above them"
    if library in JAX and room == "learn" and module != "infer.learn.export":
        return "of learn, export alone sees JAX"
    if library in FIGURES and room != "plots":
        return "figures are drawn in plots"
    return None


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "infer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root / "infer"


def test_infer_keeps_the_order() -> None:
    """The package as it stands breaks no rule."""
    root = Path(__file__).parent.parent / "infer"
    assert (root / "__init__.py").is_file()
    assert violations(root) == []


def test_an_orderly_house_has_no_violations(tmp_path: Path) -> None:
    """What the rules allow is allowed, or the checker would be useless."""
    files = {
        "__init__.py": "from infer.api import fit",
        "errors.py": "",
        "parameters.py": "from infer import errors",
        "likelihood.py": "import jax\nfrom infer.parameters import Parameters",
        "likelihoods/__init__.py": "from infer.likelihoods.mixture import Mixture\nfrom infer.likelihoods import flow",
        "likelihoods/mixture.py": "from ..likelihood import Likelihood",
        "likelihoods/flow/__init__.py": "from .spec import read",
        "likelihoods/flow/spec.py": "import infer.numerics.tails",
        "numerics/tails.py": "from infer.errors import InputError",
        "learn/export.py": "import jax\nimport torch",
        "unfold/omnifold.py": "import torch\nfrom infer.learn.export import to_jax",
        "api.py": "from infer.likelihoods import Mixture",
        "plots/bands.py": "def draw():\n    import matplotlib.pyplot as plt",
        "cli.py": "import infer\nimport torch",
    }
    assert violations(_tree(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"errors.py": "", "parameters.py": "", "numerics/a.py": "import infer.parameters"}, "numerics lies below"),
        ({"likelihood.py": "from . import inference", "inference/__init__.py": ""}, "likelihood lies below inference"),
        ({"inference/a.py": "from infer.likelihoods import b", "likelihoods/b.py": ""}, "do not see each other"),
        ({"inference/a.py": "from infer.learn.b import c", "learn/b.py": ""}, "do not see each other"),
        ({"likelihoods/a.py": "from .b.c import d", "likelihoods/b/c.py": ""}, "adapters never import each other"),
        ({"data.py": "def f():\n    from infer import errors", "errors.py": ""}, "inside a function"),
        ({"cli.py": "class A:\n    async def f(self):\n        import infer.api", "api.py": ""}, "inside a function"),
        ({"data.py": "from infer import parameters", "parameters.py": "from infer import data"}, "cycle"),
        ({"io/a.py": "import infer.unfold", "unfold.py": "from infer.io import a"}, "cycle"),
        ({"inference/a.py": "import torch.nn"}, "torch lives in learn"),
        ({"unfold/response.py": "from zuko import flows"}, "torch lives in learn"),
        ({"learn/train.py": "import jax.numpy as jnp"}, "export alone sees JAX"),
        ({"report/page.py": "def f():\n    import matplotlib"}, "figures are drawn in plots"),
        ({"__init__.py": "from infer.plots import bands", "plots/bands.py": ""}, "infer lies below plots"),
        ({"attic.py": ""}, "'attic' has no place"),
        ({"data.py": "\n" * 500}, "500 lines"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "-".join(value),
)
def test_every_rule_bites(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    """Each rule is broken once, and the checker names exactly that breach."""
    (found,) = violations(_tree(tmp_path, {"__init__.py": "", **files}))
    assert complaint in found
