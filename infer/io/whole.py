"""Files and folders that are there as a whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infer.errors import InputError


def put_whole(path: Path, text: str) -> None:
    """Write a text file into a folder that is there, for callers with words of their own for what goes wrong.

    Raises:
        OSError: It cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        with suppress(OSError):  # as where the folder is a file; it is gone where all went well
            part.unlink()


def write_whole(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        InputError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        put_whole(path, text)
    except OSError as problem:
        raise InputError(f"{path} cannot be written ({problem.strerror or problem}); give another place.") from None


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder to write into, which takes the place of `folder` if all goes well.

    Raises:
        InputError: The folder is not empty, or cannot be written.
    """
    check_vacant(folder)
    part = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
        part.chmod(0o755)
        yield part
        part.replace(folder)
    except OSError as problem:
        raise InputError(f"{folder} cannot be written ({problem.strerror or problem}); give another folder.") from None
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def check_vacant(folder: Path) -> None:
    """Check that a folder does not exist, or is empty.

    Raises:
        InputError: Something is there.
    """
    if folder.is_dir():
        if any(folder.iterdir()):
            raise InputError(f"{folder} is not empty, and nothing there is overwritten; give another folder.")
    elif folder.exists() or folder.is_symlink():
        raise InputError(f"{folder} is a file, expected a folder to write into; give another name.")
