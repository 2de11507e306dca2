"""The command `infer combine`, and combinations as the argument of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.io.test_combination import folder
from tests.runner import Run

__all__ = ["folder"]


def test_combine_as_json(run: Run, folder: Path) -> None:  # the fixture
    """The combination, its components and how they agree; values of 10 and 12 with 1 each and 0.2 apart."""
    ran = run("combine", folder / "scheme.yaml", "--json")
    assert ran.code == 0
    record = ran.json
    assert (record["poi"], record["value"]) == ("m", pytest.approx(11.0, abs=1e-6))
    assert list(record["components"]) == ["one", "two"]
    assert record["compatibility"]["delta_twice_nll"] == pytest.approx(4.0 / (2.0 * 1.04), abs=1e-5)
    assert record["compatibility"]["n_dof"] == 1


def test_combine_writes_figures(run: Run, folder: Path) -> None:
    """The record, and the figures of the combination."""
    ran = run("combine", folder / "scheme.yaml", "--out", folder / "out")
    assert ran.code == 0
    assert "compatibility in m: chi2 = 1.923" in ran.out
    assert {"result.json", "components.png", "budget.png"} <= {path.name for path in (folder / "out").iterdir()}


def test_scan_of_a_correlation(run: Run, folder: Path) -> None:
    """Of a partial correlation of the scheme, by its name."""
    text = (folder / "scheme.yaml").read_text(encoding="utf-8")
    partial = "by_name: false, partial: [{parameters: [one.t, two.t], rho: 0.5, name: t}]"
    (folder / "scheme.yaml").write_text(text.replace("by_name: false", partial), encoding="utf-8")
    command = ("combine", folder / "scheme.yaml", "--scan-rho", "t", "--points", "-1:1:3", "--out", folder / "out")
    record = run(*command, "--json").json
    assert [point["rho"] for point in record["points"]] == [-0.9999, 0.0, 0.9999]
    lengths = [point["total"][1] ** 2 for point in record["points"]]
    expected = [0.25 + 0.5 + 0.02 * (1.0 + rho) for rho in (-0.9999, 0.0, 0.9999)]
    assert lengths == pytest.approx(expected, rel=1e-4)
    assert (folder / "out" / "correlation.png").is_file()
    assert "no partial correlation 'u'; did you" not in run("combine", folder / "scheme.yaml", "--scan-rho", "t").err
    assert (
        "no partial correlation 'u'; there are 't'"
        in run("combine", folder / "scheme.yaml", "--scan-rho", "u").complaint
    )


def test_other_commands_take_a_combination(run: Run, folder: Path) -> None:
    """As they take any workspace."""
    assert run("fit", folder / "scheme.yaml", "--json").json["parameters"]["m"]["value"] == pytest.approx(11.0)
    assert run("inspect", folder / "scheme.yaml").code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("one.json",), "one.json: format is the string 'infer-measurements', expected 'infer-combination'"),
        (("scheme.yaml", "--points", "0:1:3"), "--points belongs to --scan-rho"),
        (("scheme.yaml", "--scan-rho", "t"), "the scheme has no partial correlation 't'; there are none"),
        (("scheme.yaml", "--poi", "mm"), "unknown parameter 'mm'; did you mean 'm'"),
        (("scheme.yaml", "--fix", "m=10"), "'m' is fixed"),
        (("none.yaml",), "none.yaml"),
    ],
)
def test_bad_input(run: Run, folder: Path, arguments: tuple[str, ...], complaint: str) -> None:
    """Exit code 2 and one sentence."""
    assert complaint in run("combine", folder / arguments[0], *arguments[1:]).complaint
