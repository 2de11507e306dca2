"""How the site is built: `make docs`. Warnings are errors, notebooks are executed, no network is needed."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import typing
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx.ext.autodoc.mock import mock

typing.GENERATING_DOCUMENTATION = "infer"  # jaxtyping then prints Float[Array, "n"] as it was written

project = "infer"
author = "The infer developers"
copyright = f"2026, {author}"
release = version = installed_version("infer-hep")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "jupyter_execute"]
html_theme = "furo"
html_title = "infer"

# ------------------------------------------------------------------------------------------- notebooks
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_cache_path = "../.cache/notebooks"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

# ------------------------------------------------------------------------------------------- reference
EXTRAS = ("arviz", "awkward", "boost_histogram", "dask_jobqueue", "distributed", "hist", "laplace", "nflows")
EXTRAS += ("numpyro", "pyarrow", "sbi", "sklearn", "torch", "uproot", "zuko")
autodoc_mock_imports = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
nitpick_ignore_regex = [  # not documented here, and inventories of other sites would need a network
    ("py:.*", r"(?!infer\.)[a-z]\w*\..*"),  # other packages
    ("py:class", r"(infer\.[\w.]+\.)?_\w+"),  # private bases and fields
    ("py:class", r"(dict|tuple)\[.*"),  # half of a type, in signatures with defaults that Sphinx cannot read
    ("py:class", r"[A-Z]\w*(\[.*\])?"),  # type aliases, which are data: Vector, Float[Array, "n"]
]


def _reexports(name):
    """List what a package offers from elsewhere, as links with the first line of each docstring."""
    with mock(autodoc_mock_imports):
        package = importlib.import_module(name)
    for public in getattr(package, "__all__", ()):
        value = getattr(package, public)
        home = getattr(value, "__module__", name)
        if home != name:
            yield f"- :obj:`{public} <{home}.{public}>` — {(inspect.getdoc(value) or public).splitlines()[0]}\n"


def _write_reference(app):
    """Write one page for every public module, in a tree that follows the packages."""
    root, folder = Path(app.confdir).parent, Path(app.srcdir, "reference")
    folder.mkdir(exist_ok=True)
    dotted = (".".join(path.relative_to(root).with_suffix("").parts) for path in (root / "infer").rglob("*.py"))
    modules = {name.removesuffix(".__init__"): name.endswith(".__init__") for name in dotted}
    modules = {name: is_package for name, is_package in modules.items() if "._" not in name}
    for name, is_package in sorted(modules.items()):
        text = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n\n"
        if is_package:
            text += "".join(_reexports(name)) + "\n.. toctree::\n   :titlesonly:\n\n"
            text += "".join(f"   {child}\n" for child in sorted(modules) if child.rpartition(".")[0] == name)
        page = folder / f"{name}.rst"
        if not page.exists() or page.read_text() != text:  # what is not touched is not read again
            page.write_text(text)
    for stale in {page for page in folder.iterdir() if page.stem not in modules}:
        stale.unlink()


def _types_are_annotations(app, what, name, obj, options, lines):  # noqa: ARG001 - the signature is Sphinx's
    """Stop napoleon from taking `words: more words` for `type: description`, since types are annotations."""
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]  # an empty comment for napoleon to look at
    fields = {"Returns:": ":returns:", "Yields:": ":yields:"}
    lines[:] = [fields.get(line, line) for line in lines]


def setup(app):
    """Write the reference before sources are read, and look at docstrings before napoleon (priority 500)."""
    app.connect("builder-inited", _write_reference)
    app.connect("autodoc-process-docstring", _types_are_annotations, priority=400)
