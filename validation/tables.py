"""Results as files: a Markdown page for readers and the same numbers as JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are aligned to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def seconds(value: float | None) -> str:
    """A time in the unit that suits it."""
    if value is None:
        return "–"
    if value < 1e-3:
        return f"{1e6 * value:.3g} µs"
    return f"{1e3 * value:.3g} ms" if value < 1.0 else f"{value:.3g} s"


def write(folder: Path, stem: str, markdown: str, record: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write ``stem.md`` and ``stem.json`` into the folder; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / f"{stem}.md", folder / f"{stem}.json"
    page.write_text(markdown.rstrip() + "\n")
    data.write_text(json.dumps(record, indent=1) + "\n")
    return page, data


def provenance_lines(date: str, machine: Mapping[str, Any], versions: Mapping[str, str | None]) -> str:
    """The line below every table: when, on what, with what."""
    tools = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    host = f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_average']}, Python {machine['python']}"
    return f"{date}; {host}; {tools}."
