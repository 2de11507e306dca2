"""Read a YAML file strictly: twin keys, unknown tags and aliases that contain themselves are refused."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from infer.errors import WorkspaceError

SUFFIXES = (".yaml", ".yml")


def load_yaml(path: str | Path) -> object:
    """Return what the YAML file at `path` holds; None for an empty file.

    Raises:
        WorkspaceError: the file cannot be read, is not YAML in UTF-8, has a key twice in one mapping, or is
            nested too deeply.
    """
    yaml, source = import_module("yaml"), str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
        _refuse_twins(yaml.compose(text, Loader=yaml.SafeLoader), source, (), set())
        return yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise WorkspaceError(f"{source} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise WorkspaceError(f"{source} is not YAML: {' '.join(str(error).split())}.") from error
    except ValueError as error:  # of the constructors: an impossible date, an integer of thousands of digits
        raise WorkspaceError(f"{source} is not YAML: {error}.") from error
    except RecursionError as error:
        raise WorkspaceError(f"{source}: lists and mappings are nested too deeply; flatten it.") from error


def _refuse_twins(node: Any, source: str, above: tuple[int, ...], done: set[int]) -> None:
    """YAML forbids a key that occurs twice in a mapping, but its reader takes the last one."""
    if node is None or isinstance(node.value, str) or id(node) in done:
        return
    if id(node) in above:
        raise WorkspaceError(f"{source} is not YAML that infer reads: an alias contains itself.")
    if node.id == "mapping":
        keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
        for key in keys:
            if keys.count(key) > 1:
                raise WorkspaceError(f"{source} is not YAML: the key {key!r} occurs twice in one mapping.")
    for entry in node.value:
        for part in entry if isinstance(entry, tuple) else (entry,):
            _refuse_twins(part, source, (*above, id(node)), done)
    done.add(id(node))  # an alias leads here again
