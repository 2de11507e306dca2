"""Symmetrising and smoothing workspaces: closed forms, totals, records, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from infer.errors import WorkspaceError
from infer.hygiene.history import Transformed, history_path, read_history
from infer.hygiene.places import Targets
from infer.hygiene.transforming import SMOOTHINGS, smooth, symmetrise
from infer.io.pyhf_json import digest, load_document
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.numerics.smoothing import SYMMETRISATIONS, smooth_353qh_twice
from tests.hygiene.problems import (
    NOMINAL,
    TILT,
    Document,
    clean,
    norm,
    sample_of,
    shape,
    tilted,
    with_modifier,
    workspace,
)
from tests.test_api import write

ROUGH = [0.05, -0.02, 0.06, -0.01, 0.08, 0.03]


def data_of(document: Document, name: str, kind: str = "histosys") -> Document:
    """Data of a modifier on the background."""
    (found,) = [m["data"] for m in sample_of(document)["modifiers"] if (m["name"], m["type"]) == (name, kind)]
    return dict(found)


def relative(document: Document, name: str) -> tuple[list[float], list[float]]:
    """Relative shifts of a histosys on the background."""
    data = data_of(document, name)
    lo, hi = (np.asarray(data[key]) / NOMINAL - 1.0 for key in ("lo_data", "hi_data"))
    return lo.tolist(), hi.tolist()


# ---------------------------------------------------------------------------------------------- symmetrising


@pytest.mark.parametrize(
    ("method", "factors"),
    [
        ("average", (0.95, 1.05)),
        ("maximum", (0.92, 1.08)),
        ("mirror-up", (0.92, 1.08)),
        ("mirror-down", (0.98, 1.02)),
    ],
)
def test_norms_become_symmetric(method: str, factors: tuple[float, float]) -> None:
    """Factors of 0.98 and 1.08, by every method."""
    done = symmetrise(with_modifier(norm("jes", 0.98, 1.08)), method=method, targets=Targets(modifiers=["jes"]))
    data = data_of(done.document, "jes", "normsys")
    assert (data["lo"], data["hi"]) == pytest.approx(factors, abs=1e-15)
    (step,) = done.steps
    assert step.transformation == f"symmetrise {method}"
    assert step.before == pytest.approx((-0.02, 0.08))
    assert step.after == pytest.approx((factors[0] - 1.0, factors[1] - 1.0))


def test_shapes_become_symmetric() -> None:
    """One side alone is mirrored; the average keeps the difference of the two totals to 1e-12."""
    document = with_modifier(shape("jes", [0.0] * 6, ROUGH))
    mirrored = symmetrise(document, method="mirror-up", targets=Targets(modifiers=["jes"]))
    lo, hi = relative(mirrored.document, "jes")
    np.testing.assert_allclose(lo, [-x for x in ROUGH], atol=1e-15)
    np.testing.assert_allclose(hi, ROUGH, atol=1e-15)
    averaged = data_of(symmetrise(document).document, "jes")
    before = data_of(document, "jes")
    difference = [sum(data["hi_data"]) - sum(data["lo_data"]) for data in (before, averaged)]
    assert difference[1] == pytest.approx(difference[0], rel=1e-12)


def test_what_is_symmetric_is_left_alone() -> None:
    """The clean workspace has nothing to symmetrise."""
    done = symmetrise(clean())
    assert done.document == clean()
    assert done.steps == ()
    assert done.skipped == {"symmetric already": 2}
    assert "Nothing was changed." in done.table()


def test_a_factor_that_is_not_positive_is_refused() -> None:
    """A mirrored 2.5 would be -0.5."""
    with pytest.raises(WorkspaceError, match=r"sample 'background': modifier 'jes' would get the factor -0.5"):
        symmetrise(with_modifier(norm("jes", 0.9, 2.5)), method="mirror-up")


# ------------------------------------------------------------------------------------------------- smoothing


@pytest.mark.parametrize("method", SMOOTHINGS)
def test_totals_stay_and_bins_move(method: str) -> None:
    """Both sides keep their sum to 1e-12, and the shape is another."""
    document = with_modifier(shape("jes", [-0.7 * x for x in ROUGH], ROUGH))
    done = smooth(document, method=method, below=0.008, targets=Targets(modifiers=["jes"]))
    before, after = data_of(document, "jes"), data_of(done.document, "jes")
    for side in ("lo_data", "hi_data"):
        assert sum(after[side]) == pytest.approx(sum(before[side]), rel=1e-12)
        assert np.max(np.abs(np.asarray(after[side]) - before[side])) > 0.5
    (step,) = done.steps
    assert step.after == pytest.approx(step.before, abs=1e-12)
    assert step.settings == ({"below": 0.008} if method == "merge" else {})


def test_smoothed_shifts_are_those_of_the_function() -> None:
    """Relative shifts go through 353QH, twice, up to the factor that keeps the total."""
    done = smooth(with_modifier(shape("jes", [0.0] * 6, ROUGH)), targets=Targets(modifiers=["jes"]))
    _, hi = relative(done.document, "jes")
    wanted = 1.0 + smooth_353qh_twice(np.asarray(ROUGH))
    ratio = (1.0 + np.asarray(hi)) / wanted
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)
    assert ratio[0] == pytest.approx(np.sum(np.asarray(NOMINAL) * (1.0 + np.asarray(ROUGH))) / np.sum(NOMINAL * wanted))


@pytest.mark.parametrize("method", ["353qh-twice", "lowess", "parabola"])
def test_slopes_pass_through(method: str) -> None:
    """A shift that is linear in the bins is the same afterwards, and its sum too."""
    done = smooth(clean(), method=method)
    lo, hi = relative(done.document, "slope")
    np.testing.assert_allclose(hi, TILT, atol=1e-12)
    np.testing.assert_allclose(lo, [-x for x in TILT], atol=1e-12)


def test_merged_bins_share_their_shift() -> None:
    """Bins of 100 +- 1 and 120 +- 1 together are known to sqrt(2) / 220 = 0.64 %, three from the right to 0.58 %."""
    done = smooth(with_modifier(shape("jes", [0.0] * 6, ROUGH)), method="merge", below=0.0075, targets=Targets(["SR"]))
    _, hi = relative(done.document, "jes")
    expected = (100.0 * 0.05 - 120.0 * 0.02) / 220.0
    assert hi[:2] == pytest.approx([expected] * 2, abs=1e-12)
    assert hi[2] == pytest.approx(0.06, abs=1e-12)  # 1 / 140 is known well enough alone
    assert hi[3:] == pytest.approx([(-0.01 * 120.0 + 0.08 * 100.0 + 0.03 * 80.0) / 300.0] * 3, abs=1e-12)


def test_what_cannot_be_smoothed_is_counted() -> None:
    """Two bins have no shape, and without a staterror nobody knows how to merge."""
    sides = shape("jes", [0.0] * 2, [0.1] * 2, [50.0] * 2)
    small = workspace({"SR": {"signal": ([1.0, 1.0], []), "b": ([50.0, 50.0], [sides])}}, poi="")
    done = smooth(small)
    assert done.skipped == {"fewer than 3 bins with a content": 1}
    bare = clean()
    sample_of(bare)["modifiers"].pop()
    assert smooth(bare, method="merge").skipped == {"no staterror says how well its bins are known": 1}


# -------------------------------------------------------------------------------------------------- targets


def test_only_what_is_meant_changes() -> None:
    """By modifier, sample and channel; the given document never."""
    document = with_modifier(shape("jes", [0.0] * 6, ROUGH), norm("jer", 0.99, 1.05))
    before = copy.deepcopy(document)
    done = symmetrise(document, targets=Targets(samples=["background"], modifiers=["jer"]))
    assert document == before
    assert [step.modifier for step in done.steps] == ["jer"]
    assert data_of(done.document, "jes") == data_of(document, "jes")
    assert symmetrise(document, targets=Targets(samples=["signal"])).steps == ()


@pytest.mark.parametrize("kind", ["channels", "samples", "modifiers"])
def test_unknown_names_are_refused(kind: str) -> None:
    """With what there is."""
    with pytest.raises(WorkspaceError, match=f"'absent' is not among its {kind}; choose of"):
        smooth(clean(), targets=Targets(**{kind: ["absent"]}))


def test_unknown_methods_are_refused() -> None:
    """With the known ones."""
    with pytest.raises(WorkspaceError, match="take one of '353qh-twice', 'lowess', 'parabola', 'merge'"):
        smooth(clean(), method="353")
    with pytest.raises(WorkspaceError, match="take one of 'average'"):
        symmetrise(clean(), method="mean")
    with pytest.raises(WorkspaceError, match="between 0 and 1"):
        smooth(clean(), method="merge", below=5.0)


# -------------------------------------------------------------------------------------------------- records


def kept(done: Transformed, folder: Path) -> Path:
    """A workspace with its record in a folder."""
    path = write(folder / "new.json", done.document)
    write(history_path(path), done.record())
    return path


def test_records_come_back(tmp_path: Path) -> None:
    """What is written beside the workspace is read again as it was."""
    document = with_modifier(shape("jes", [0.0] * 6, ROUGH))
    done = symmetrise(document, method="mirror-up")
    path = kept(done, tmp_path)
    assert history_path(path) == tmp_path / "new.history.json"
    assert read_history(path, done.document) == done.steps
    assert read_history(tmp_path / "other.json", done.document) == ()
    both = smooth(done.document, history=read_history(path, done.document))
    names = [step["transformation"] for step in both.record()["steps"]]
    assert names == ["symmetrise mirror-up", "smooth 353qh-twice", "smooth 353qh-twice"]
    assert both.record()["digest"] == digest(both.document)


def test_twice_is_noticed(tmp_path: Path) -> None:
    """The same smoothing of the same template needs to be asked for again; another one does not."""
    done = smooth(with_modifier(shape("jes", [0.0] * 6, ROUGH)))
    history = read_history(kept(done, tmp_path), done.document)
    with pytest.raises(WorkspaceError, match="was done before to 2 of its modifiers, first 'slope'"):
        smooth(done.document, history=history)
    assert len(smooth(done.document, history=history, again=True).steps) == 2
    assert len(smooth(done.document, method="lowess", history=history).steps) == 2


def test_records_of_other_workspaces_are_refused(tmp_path: Path) -> None:
    """A record says by its digest what it is about; a broken one is an error too."""
    done = smooth(with_modifier(shape("jes", [0.0] * 6, ROUGH)))
    path = kept(done, tmp_path)
    with pytest.raises(WorkspaceError, match="it is about another workspace"):
        read_history(path, clean())
    write(history_path(path), {**done.record(), "format": "other"})
    with pytest.raises(WorkspaceError, match="the format is 'other'"):
        read_history(path, done.document)
    write(history_path(path), {**done.record(), "steps": [{"transformation": "smooth"}]})
    with pytest.raises(WorkspaceError, match=r"steps\[0\] lacks"):
        read_history(path, done.document)


# ------------------------------------------------------------------------------------------ published files


@pytest.mark.slow
@pytest.mark.parametrize("name", ["agc_ttbar", "ttbar_ljets_xsec"])
def test_published_workspaces(likelihoods: Path, name: str) -> None:
    """Every method leaves a valid workspace with the totals of all variations; symmetrised twice changes nothing."""
    document = load_document(likelihoods / f"{name}.json")
    for method in ("353qh-twice", "lowess", "parabola"):
        done = smooth(document, method=method)
        assert len(done.steps) > 30
        for step in done.steps:
            assert step.after == pytest.approx(step.before, abs=1e-9)
    for method in set(SYMMETRISATIONS) - {"maximum"}:
        once = symmetrise(document, method=method)
        parse_workspace(once.document)
        assert symmetrise(once.document, method=method).steps == ()


def test_tilted_is_linear() -> None:
    """The slope of the problems is a straight line."""
    assert np.ptp(np.diff(np.asarray(tilted("s")["data"]["hi_data"]) / NOMINAL)) < 1e-12
