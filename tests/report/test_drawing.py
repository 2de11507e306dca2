"""Figures that another process draws: the same as here, and a sentence where it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from infer.errors import ComputeError
from infer.report import Artist, Report
from infer.report.drawing import draw, parts_of


@pytest.mark.slow
def test_another_process_draws_the_same(small: Report, tmp_path: Path) -> None:
    """Byte by byte, whatever part comes when."""
    parts = parts_of(small)
    here = [path for part in parts for path in draw(tmp_path / "here", part, ["png"])]
    with Artist(tmp_path / "there", ["png"]) as artist:
        for part in parts:
            artist(**part)
    assert [path.name for path in artist.files] == [path.name for path in here]
    assert {path.name for path in here} >= {"budget.png", "profile.png", "impacts.png", "correlations.png"}
    assert all((tmp_path / "there" / path.name).read_bytes() == path.read_bytes() for path in here)


@pytest.mark.slow
def test_a_failure_is_said_in_a_sentence(small: Report, tmp_path: Path) -> None:
    """A folder that cannot be made is noticed at the end, with the reason."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ComputeError, match=r"could not be drawn: .*--no-figures"),
        Artist(tmp_path / "file", ["png"]) as a,
    ):
        a(measurement=small.measurement)


def test_nothing_is_drawn_of_a_failed_fit(untrusted: Report) -> None:
    """There is no figure of numbers that mean nothing."""
    assert parts_of(untrusted) == []
