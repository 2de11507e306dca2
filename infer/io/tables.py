"""Tables of numbers as Parquet files, which every data frame reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from infer.errors import InputError


def write_parquet(path: Path, columns: Mapping[str, npt.NDArray[Any]], *, metadata: Mapping[str, str]) -> None:
    """Write columns of equal length, compressed, all of the file or nothing.

    Args:
        path: Where to.
        columns: One-dimensional arrays by name.
        metadata: Text that travels in the file's header.

    Raises:
        InputError: The file cannot be written there.
    """
    import pyarrow as pa  # half a second that only who writes tables should wait for
    from pyarrow import parquet

    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    part = path.with_name(path.name + ".part")
    try:
        parquet.write_table(table.replace_schema_metadata(dict(metadata)), part, compression="zstd")
        part.replace(path)
    except OSError as problem:
        raise InputError(f"{path}: cannot be written ({problem.strerror or problem}); give another --out.") from None
