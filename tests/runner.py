"""Run commands in this process, and look at what they did."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infer.cli import main


class Ran:
    """What a command did.

    Attributes:
        code: exit code.
        out: standard output.
        err: standard error.
    """

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON object in one line and nothing else."""
        assert self.err == ""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))

    @property
    def complaint(self) -> str:
        """Standard error, which must be one line, with nothing on standard output and exit code 2."""
        assert self.code == 2
        assert self.out == ""
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1
        assert self.err.startswith("infer: ")
        return self.err


Run = Callable[..., Ran]


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs a command."""

    def call(*arguments: object) -> Ran:
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = leaving.code
        else:
            code = 0
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Ran(code, captured.out, captured.err)

    return call
