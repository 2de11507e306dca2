"""HistFactory XML with ROOT files: there and back without a change, what ROOT takes by default, and what is refused."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyhf
import pyhf.readxml
import pytest

from infer import HistFactory, WorkspaceError, read_workspace
from infer.errors import InputError
from infer.io.histfactory_extras import StatConfig
from infer.io.histfactory_writer import write_histfactory
from infer.io.histfactory_xml import read_histfactory
from infer.io.root_files import Histogram, write_root
from infer.io.root_names import safe_names
from infer.likelihoods.histfactory.spec import parse_workspace
from tests.io.broken import FAKES, LUMI, TTBAR, add, edited, put, valid_workspace

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf's own

Document = dict[str, Any]
Values = Mapping[str, float]


def deepest_difference(first: Document, second: Document, *, n_points: int = 4) -> float:
    """Largest difference of -2 ln L, over all measurements, at start values and at random points of the same names."""
    worst = 0.0
    left, right = parse_workspace(first), parse_workspace(second)
    assert [m.name for m in left.measurements] == [m.name for m in right.measurements]
    for measurement in left.measurements:
        model, data = HistFactory.of(left, measurement)
        other, others = HistFactory.of(right, right.measurement(measurement.name))
        assert dict(model.parameters) == dict(other.parameters)  # start values, bounds, constraints, fixed
        assert model.parameters.poi == other.parameters.poi
        random = np.random.default_rng(7)
        for k in range(n_points):
            step = 0.1 * k * random.normal(size=len(model.parameters)) * ~model.parameters.fixed
            theta = np.clip(model.parameters.init + step, model.parameters.lower, model.parameters.upper)
            values = dict(zip(model.parameters, theta.tolist(), strict=True))
            found = twice_nll(other, others, values)
            expected = twice_nll(model, data, values)
            assert np.isfinite(expected)
            worst = max(worst, abs(found - expected))
    return worst


def twice_nll(model: HistFactory, data: Any, values: Values) -> float:
    """-2 ln L at named values."""
    return -2.0 * float(model.logpdf(jnp.asarray(model.parameters.vector(values)), data))


def there_and_back(document: Document, folder: Path, **options: Any) -> Document:
    """What is read of what was written."""
    write_histfactory(document, folder, **options)
    return read_histfactory(folder).workspace


def xml(folder: Path, name: str) -> str:
    """The text of a file."""
    return (folder / name).read_text(encoding="utf-8")


def rewrite(folder: Path, name: str, old: str, new: str) -> None:
    """Replace what must be in a file."""
    text = xml(folder, name)
    assert old in text
    (folder / name).write_text(text.replace(old, new), encoding="utf-8")


def second_measurement(document: Document, **config: Any) -> Document:
    """The workspace with a further measurement that differs from the first."""
    other = copy.deepcopy(document["measurements"][0])
    other["name"] = "other"
    other["config"].update(config)
    document["measurements"].append(other)
    return document


# ------------------------------------------------------------------------------------------- there and back


def test_all_modifiers_come_back(tmp_path: Path) -> None:
    """Seven modifiers, settings and data: the same likelihood, the same declarations."""
    document = valid_workspace()
    assert deepest_difference(document, there_and_back(document, tmp_path / "xml")) < 1e-10


def test_pyhf_reads_what_we_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pyhf.readxml does the right thing, it finds the same rates and constraints."""
    document = valid_workspace()
    write_histfactory(document, tmp_path / "xml")
    monkeypatch.chdir(tmp_path)
    theirs = pyhf.readxml.parse("xml/search.xml", "xml")
    pyhf.readxml.clear_filecache()
    ours = read_histfactory(tmp_path / "xml").workspace
    assert theirs["observations"] == ours["observations"]
    assert {c["name"]: {s["name"]: s["data"] for s in c["samples"]} for c in theirs["channels"]} == {
        c["name"]: {s["name"]: s["data"] for s in c["samples"]} for c in ours["channels"]
    }
    data = {"staterror_SR": "stat_SR"}  # pyhf gives StatErrors the channel's name
    left = {(c, s, data.get(m, m), k): d for c, s, m, k, d in modifiers(theirs)}
    assert left == {(c, s, m, k): d for c, s, m, k, d in modifiers(ours)}


def modifiers(document: Any) -> Any:
    """Channel, sample, name, type and data of all modifiers."""
    return (
        (c["name"], s["name"], m["name"], m["type"], m["data"])
        for c in document["channels"]
        for s in c["samples"]
        for m in s["modifiers"]
    )


def test_settings_of_the_luminosity_come_back(tmp_path: Path) -> None:
    """Value, uncertainty, start value and bounds; the uncertainty is relative in XML."""
    edits = [put(*LUMI, "auxdata", [2.0]), put(*LUMI, "sigmas", [0.1]), put(*LUMI, "inits", [1.9])]
    document = edited(*edits, put(*LUMI, "bounds", [[1.0, 4.0]]))
    back = there_and_back(document, tmp_path / "xml")
    assert deepest_difference(document, back) < 1e-10
    assert 'Lumi="2.0" LumiRelErr="0.05"' in xml(tmp_path / "xml", "search.xml")
    (lumi,) = (p for p in back["measurements"][0]["config"]["parameters"] if p["name"] == "lumi")
    assert lumi == {"name": "lumi", "auxdata": [2.0], "sigmas": [0.1], "inits": [1.9], "bounds": [[1.0, 4.0]]}


def test_held_parameters_come_back(tmp_path: Path) -> None:
    """Constant in ROOT by their names there: the luminosity, an alpha, gammas and a ShapeFactor."""
    names = ["jes", "stat_SR", "fake_rate", "qcd_shape"]
    held = [add("measurements", 0, "config", "parameters", {"name": name, "fixed": True}) for name in names]
    document = edited(put(*LUMI, "fixed", True), *held)
    assert deepest_difference(document, there_and_back(document, tmp_path / "xml")) < 1e-10
    text = xml(tmp_path / "xml", "search.xml")
    for name in ("Lumi", "alpha_jes", "gamma_stat_SR_bin_2", "gamma_fake_rate_bin_0", "gamma_qcd_shape_bin_1"):
        assert re.search(rf'Const="True">[^<]*\b{name}\b', text)


def test_start_values_and_what_xml_cannot_say_come_back(tmp_path: Path) -> None:
    """Start values by ParamSetting; bounds and auxiliary data from infer.json, with a remark."""
    settings = [
        {"name": "jes", "inits": [0.5], "bounds": [[-3.0, 3.0]], "auxdata": [0.25]},
        {"name": "stat_SR", "inits": [1.0, 1.1, 0.9]},
        {"name": "fake_rate", "factors": [16.0, 9.0, 16.0]},
    ]
    document = edited(*(add("measurements", 0, "config", "parameters", entry) for entry in settings))
    remarks = write_histfactory(document, tmp_path / "xml")
    assert deepest_difference(document, read_histfactory(tmp_path / "xml").workspace) < 1e-10
    assert any("auxdata, sigmas or factors of jes, fake_rate" in remark for remark in remarks)
    assert '<ParamSetting Val="0.5">alpha_jes</ParamSetting>' in xml(tmp_path / "xml", "search.xml")


def test_every_measurement_has_its_file(tmp_path: Path) -> None:
    """With its own parameter of interest and NormFactor ranges, which XML keeps in channels; each can be read alone."""
    parameters = [
        {"name": "mu", "inits": [2.0], "bounds": [[-1.0, 5.0]]},
        valid_workspace()["measurements"][0]["config"]["parameters"][1],
    ]
    document = second_measurement(valid_workspace(), poi="tt", parameters=parameters)
    back = there_and_back(document, tmp_path / "xml")
    assert [m["name"] for m in back["measurements"]] == ["search", "other"]
    assert deepest_difference(document, back) < 1e-10
    alone, _ = read_workspace(tmp_path / "xml" / "other.xml")
    chosen, _ = read_workspace(tmp_path / "xml", measurement="other")
    assert chosen.parameters == alone.parameters
    assert alone.parameters.poi == "tt"
    assert alone.parameters["mu"].bounds == (-1.0, 5.0)
    shared = second_measurement(valid_workspace(), poi="tt")
    assert deepest_difference(shared, there_and_back(shared, tmp_path / "shared")) < 1e-10
    assert (tmp_path / "shared" / "channels").is_dir()


def test_b20_names_that_root_does_not_take(tmp_path: Path) -> None:
    """B20: names that begin with a digit, or have spaces and slashes, are replaced in XML and come back on reading."""
    text = json.dumps(valid_workspace())
    strange = {"SR": "4j1b SR", "signal": "t/t' + <X>", "jes": "1 jes", "mu": "μ", "search": "2 %", "fake_rate": "Lumi"}
    for old, new in strange.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    document = json.loads(text)
    remarks = write_histfactory(document, tmp_path / "xml")
    assert any("'4j1b SR' by 'n_4j1b_SR'" in remark for remark in remarks)
    back = read_histfactory(tmp_path / "xml").workspace
    assert deepest_difference(document, back) < 1e-10
    assert {c["name"] for c in back["channels"]} == {"4j1b SR", "CR"}
    assert {s["name"] for s in back["channels"][0]["samples"]} == {"t/t' + <X>", "ttbar", "fakes"}
    for file in (tmp_path / "xml").rglob("*.xml"):
        for name in re.findall(r'Name="([^"]*)"', file.read_text(encoding="utf-8")):
            assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name.removeprefix("_"))


def test_b20_normfactors_do_not_take_the_names_of_other_parameters(tmp_path: Path) -> None:
    """B20: a normfactor called alpha_jes is not the alpha of the normsys jes."""
    document = json.loads(json.dumps(valid_workspace()).replace('"mu"', '"alpha_jes"'))
    document["measurements"][0]["config"]["parameters"].append({"name": "jes", "fixed": True})
    assert deepest_difference(document, there_and_back(document, tmp_path / "xml")) < 1e-10


def test_b20_names_stay_apart() -> None:
    """B20: names that would become one get numbers; names that ROOT takes stay, whatever comes before them."""
    safe = safe_names(["a b", "a/b", "a_b", "1a", "n_1a"])
    assert safe == {"a b": "a_b_2", "a/b": "a_b_3", "a_b": "a_b", "1a": "n_1a_2", "n_1a": "n_1a"}


def test_staterrors_of_one_sample_each(tmp_path: Path) -> None:
    """A channel has one set of StatErrors in HistFactory: several staterrors become ShapeSys of Gaussian constraint."""
    document = edited(put(*FAKES, "modifiers", 1, "name", "stat_fakes"))
    back = there_and_back(document, tmp_path / "xml")
    assert deepest_difference(document, back) < 1e-10
    assert "StatError" not in xml(tmp_path / "xml", "channels/SR.xml")
    assert xml(tmp_path / "xml", "channels/SR.xml").count('ConstraintType="Gaussian"') == 2


def test_a_staterror_over_two_channels(tmp_path: Path) -> None:
    """Bins of one staterror in two channels are different parameters, in ROOT too."""
    stat = {"name": "stat", "type": "staterror", "data": [3.0, 2.0]}
    document = edited(put(*FAKES, "modifiers", 1, "name", "other"), put(*TTBAR, "modifiers", 2, "name", "stat"))
    document["channels"][1]["samples"][0]["modifiers"].append(stat)
    held = {"name": "stat", "inits": [1.0, 1.1, 1.2, 1.3, 1.4], "fixed": True}
    document["measurements"][0]["config"]["parameters"].append(held)
    assert deepest_difference(document, there_and_back(document, tmp_path / "xml")) < 1e-10


def test_templates_below_zero_are_remarked_upon(tmp_path: Path) -> None:
    """ROOT cuts the rate of a sample off at zero."""
    document = edited(put(*TTBAR, "modifiers", 1, "data", "lo_data", 2, -1.0))
    remarks = write_histfactory(document, tmp_path / "xml")
    assert any("templates of jes vary below 0" in remark for remark in remarks)
    assert deepest_difference(document, read_histfactory(tmp_path / "xml").workspace) < 1e-10


def test_staterrors_that_share_samples_are_refused(tmp_path: Path) -> None:
    """Two sets of StatErrors in one channel are more than HistFactory has."""
    twin = {"name": "twin", "type": "staterror", "data": [1.0, 1.0, 1.0]}
    document = edited(add(*TTBAR, "modifiers", twin), add(*FAKES, "modifiers", twin))
    with pytest.raises(WorkspaceError, match=r"'stat_SR', 'twin' .* HistFactory has one set"):
        write_histfactory(document, tmp_path / "xml")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------- StatErrorConfig


def two_uncertain_samples(folder: Path, config: str) -> None:
    """A model by hand: one channel of three bins, whose relative uncertainties are 10 %, 2 % and 0."""
    folder.mkdir()
    write_root(
        folder / "h.root",
        {
            "data": Histogram((100.0, 100.0, 100.0)),
            "sig": Histogram((10.0, 10.0, 10.0)),
            "bkg": Histogram((60.0, 60.0, 60.0), (6.0, 1.2, 0.0)),
            "qcd": Histogram((40.0, 40.0, 40.0), (8.0, 1.6, 0.0)),
        },
    )
    samples = "".join(
        f'<Sample Name="{name}" HistoName="{name}" NormalizeByTheory="False"><StatError Activate="True"/></Sample>'
        for name in ("bkg", "qcd")
    )
    mu = '<NormFactor Name="mu" Val="1" Low="0" High="5"/>'
    signal = f'<Sample Name="sig" HistoName="sig" NormalizeByTheory="False">{mu}</Sample>'
    channel = f'<Channel Name="SR" InputFile="h.root"><Data HistoName="data"/>{config}{signal}{samples}</Channel>'
    (folder / "SR.xml").write_text(channel, encoding="utf-8")
    measurement = '<Measurement Name="m" Lumi="1" LumiRelErr="0.1"><POI>mu</POI></Measurement>'
    top = f'<Combination OutputFilePrefix="x"><Input>SR.xml</Input>{measurement}</Combination>'
    (folder / "top.xml").write_text(top, encoding="utf-8")


def stat_data(document: Document) -> dict[str, list[float]]:
    """Uncertainties of the staterror by sample."""
    return {s: d for _, s, _, kind, d in modifiers(document) if kind == "staterror"}


@pytest.mark.parametrize(
    ("config", "held", "constraint"),
    [
        ('<StatErrorConfig RelErrorThreshold="0.0" ConstraintType="Gaussian"/>', False, "Gaussian"),
        ('<StatErrorConfig RelErrorThreshold="0.05" ConstraintType="Gauss"/>', True, "Gaussian"),
        ('<StatErrorConfig RelErrorThreshold="0.01" ConstraintType="Poisson"/>', False, "Poisson"),
        ('<StatErrorConfig RelErrorThreshold="0.05"/>', True, "Poisson"),
        ("", True, "Poisson"),
    ],
    ids=["none", "threshold", "poisson", "type-not-said", "not-said"],
)
def test_b16_stat_error_config_survives(tmp_path: Path, config: str, held: bool, constraint: str) -> None:
    """B16: threshold and constraint type mean what they do in ROOT, and come back from pyhf's format."""
    two_uncertain_samples(tmp_path / "xml", config)
    model = read_histfactory(tmp_path / "xml" / "top.xml")
    second = 0.0 if held else 1.2
    assert stat_data(model.workspace)["bkg"] == pytest.approx([6.0, second, 0.0], rel=1e-15)
    assert any("below 0.05 of their content are held" in r for r in model.remarks) == held
    write_histfactory(model.workspace, tmp_path / "again", stat=model.stat)
    assert f'ConstraintType="{constraint}"' in xml(tmp_path / "again", "channels/SR.xml")
    again = read_histfactory(tmp_path / "again")
    assert again.workspace == {**model.workspace, "channels": again.workspace["channels"]}
    assert stat_data(again.workspace) == stat_data(model.workspace)
    assert again.stat == model.stat
    assert model.stat["SR"].below == ({"bkg": {1: 1.2}, "qcd": {1: 1.6}} if held else {})


def test_b16_poisson_constraints_are_counts(tmp_path: Path) -> None:
    """B16: -2 ln L by hand, in bins of 10 %, 2 % and no uncertainty; the bin below the threshold does not move."""
    two_uncertain_samples(tmp_path / "xml", '<StatErrorConfig RelErrorThreshold="0.05" ConstraintType="Poisson"/>')
    model, data = read_workspace(tmp_path / "xml" / "top.xml")
    assert isinstance(model, HistFactory)
    assert [p.fixed for p in model.parameters.values()] == [False, False, True, True]
    assert {p.group for n, p in model.parameters.items() if n != "mu"} == {"mc_stat"}

    def by_hand(mu: float, gamma: float) -> float:
        rates = np.array([10.0 * mu + 100.0 * gamma, 10.0 * mu + 100.0, 10.0 * mu + 100.0])
        main = 100.0 * np.log(rates) - rates
        return -2.0 * float(main.sum() + 100.0 * np.log(100.0 * gamma) - 100.0 * gamma)  # tau = 1 / 0.1^2

    start = {"mu": 1.0, "staterror_SR[0]": 1.0, "staterror_SR[1]": 1.0, "staterror_SR[2]": 1.0}
    for mu, gamma in ((0.5, 1.1), (2.0, 0.8), (0.1, 1.5)):
        moved = start | {"mu": mu, "staterror_SR[0]": gamma}
        difference = twice_nll(model, data, moved) - twice_nll(model, data, start)
        assert difference == pytest.approx(by_hand(mu, gamma) - by_hand(1.0, 1.0), abs=1e-9)
    assert data.aux.tolist() == pytest.approx([100.0, 1.0, 1.0])


def test_b16_poisson_stat_errors_of_one_sample_are_exact(tmp_path: Path) -> None:
    """B16: they are a shapesys, to the digit, and become StatErrors again."""
    document = edited(put(*FAKES, "modifiers", 1, "name", "other"))
    document["channels"][0]["samples"][2]["modifiers"].pop(0)
    stat = {"SR": StatConfig("other", 0.0, "Poisson")}
    document["channels"][0]["samples"][2]["modifiers"][0]["type"] = "shapesys"
    write_histfactory(document, tmp_path / "xml", stat=stat)
    channel = xml(tmp_path / "xml", "channels/SR.xml")
    assert channel.count("<StatError ") == 1
    assert 'RelErrorThreshold="0.0" ConstraintType="Poisson"' in channel
    back = read_histfactory(tmp_path / "xml")
    assert deepest_difference(document, back.workspace) < 1e-10
    assert back.stat == stat


def test_shape_sys_without_constraint_type_is_gaussian(tmp_path: Path) -> None:
    """As in ROOT, where pyhf.readxml takes Poisson."""
    write_histfactory(valid_workspace(), tmp_path / "xml")
    rewrite(tmp_path / "xml", "channels/SR.xml", ' ConstraintType="Poisson"', "")
    model = read_histfactory(tmp_path / "xml")
    assert any("as in ROOT it is Gaussian: fake_rate" in remark for remark in model.remarks)
    assert {kind for _, _, name, kind, _ in modifiers(model.workspace) if name == "fake_rate"} == {"staterror"}


def test_samples_have_the_luminosity_unless_they_say_otherwise(tmp_path: Path) -> None:
    """As in ROOT, where pyhf.readxml leaves it out."""
    write_histfactory(valid_workspace(), tmp_path / "xml")
    rewrite(tmp_path / "xml", "channels/SR.xml", ' NormalizeByTheory="False"', "")
    model = read_histfactory(tmp_path / "xml")
    assert {(c, s) for c, s, _, kind, _ in modifiers(model.workspace) if kind == "lumi"} == {
        ("SR", "signal"),
        ("SR", "ttbar"),
        ("SR", "fakes"),
    }
    assert any("the sample has the luminosity: SR/ttbar, SR/fakes" in remark for remark in model.remarks)


def test_single_bins_that_a_param_setting_holds(tmp_path: Path) -> None:
    """They get uncertainties of zero, which holds them; of a ShapeFactor they are refused."""
    write_histfactory(valid_workspace(), tmp_path / "xml")
    setting = '</POI><ParamSetting Const="True">gamma_stat_SR_bin_1 gamma_fake_rate_bin_2 alpha_none</ParamSetting>'
    rewrite(tmp_path / "xml", "search.xml", "</POI>", setting)
    model = read_histfactory(tmp_path / "xml")
    assert stat_data(model.workspace) == {"ttbar": [2.0, 0.0, 1.0], "fakes": [0.5, 0.0, 0.5]}
    assert any("were left out: alpha_none" in remark for remark in model.remarks)
    held = read_workspace(tmp_path / "xml" / "search.xml")[0].parameters
    assert {name for name, p in held.items() if p.fixed} == {"fake_rate[2]", "stat_SR[1]"}
    rewrite(tmp_path / "xml", "search.xml", "gamma_stat_SR_bin_1", "gamma_qcd_shape_bin_1")
    with pytest.raises(WorkspaceError, match="single bins of the ShapeFactor 'qcd_shape'"):
        read_histfactory(tmp_path / "xml")


def test_remarks_reach_the_model(tmp_path: Path) -> None:
    """What was assumed on reading stands among the remarks of the likelihood, and so in certificates."""
    two_uncertain_samples(tmp_path / "xml", "")
    likelihood, _ = read_workspace(tmp_path / "xml" / "top.xml")
    assert any("as in ROOT the threshold is 5 %" in remark for remark in likelihood.remarks)


# ------------------------------------------------------------------------------------------------ refusals

BOMB = '<!DOCTYPE Combination [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;">]><Combination>&b;</Combination>'
OUTSIDE = '<!DOCTYPE Combination [<!ENTITY a SYSTEM "file:///etc/hostname">]><Combination>&a;</Combination>'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "line 1: the entity 'a' is declared"),
        (OUTSIDE, "line 1: the entity 'a' is declared"),
        ("<Combination>", "this is not XML"),
        ("<html><body/></html>", "this is no HistFactory model but <html>"),
        ('<Channel Name="SR"/>', "this is the XML file of one channel"),
        ("<Combination/>", "it has no <Input>"),
        ("<Combination><Input>SR.xml</Input></Combination>", "it has no <Measurement>"),
        ("<Combination><Inputs/></Combination>", "<Inputs> is unknown inside <Combination>"),
        (
            '<Combination>\n<Input>gone.xml</Input><Measurement Name="m"/></Combination>',
            "line 2: there is no file 'gone.xml'",
        ),
        (
            '<Combination><Function Name="f"/><Input>SR.xml</Input><Measurement Name="m"/></Combination>',
            "a <Function> of parameters",
        ),
    ],
    ids=["bomb", "outside", "cut", "html", "channel", "empty", "no-measurement", "unknown", "no-file", "function"],
)
def test_what_is_no_model_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """In one sentence with file, line and remedy; nothing outside of the file is read."""
    path = tmp_path / "top.xml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WorkspaceError, match=re.escape(says)) as caught:
        read_histfactory(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (
            "channels/SR.xml",
            'HistoName="_data"',
            'HistoName="obs"',
            r"histograms.root has no histogram 'SR/obs'; the file",
        ),
        ("channels/SR.xml", 'HistoName="_data"', 'HistoName="ttbar"', "'SR/ttbar' in "),
        ("channels/SR.xml", "histograms.root", "gone.root", "there is no file './gone.root'"),
        ("channels/SR.xml", 'HistoNameLow="jes_low" ', "", "<HistoSys> lacks the attribute 'HistoNameLow'"),
        ("channels/SR.xml", 'Low="0.9"', 'Low="nine"', "Low of <OverallSys> is 'nine', expected a number"),
        ("channels/SR.xml", "ShapeSys", "ShapeSyst", "<ShapeSyst> is unknown inside <Sample>"),
        ("channels/SR.xml", 'Activate="True"', 'Activate="yes"', "Activate of <StatError> is 'yes'"),
        ("channels/SR.xml", 'ConstraintType="Poisson"', 'ConstraintType="Gamma"', "ConstraintType is 'Gamma'"),
        ("channels/CR.xml", 'Name="tt" Val="1.0"', 'Name="tt" Val="2.0"', "NormFactor 'tt' has other values than at"),
        ("search.xml", "</POI>", '</POI><ConstraintTerm Type="NoConstraint">jes</ConstraintTerm>', "'NoConstraint'"),
        ("search.xml", 'Lumi="1.0"', 'Lumi="0"', "Lumi is 0 and LumiRelErr 0.02; give positive numbers"),
        ("search.xml", "./channels/SR.xml", "./channels/CR.xml", "the channel 'CR' stands twice"),
        ("search.xml", "./channels/CR.xml", "./infer.json", "this is not XML"),
        ("infer.json", '"infer-histfactory"', '"else"', "format is the string 'else'"),
        ("infer.json", '"names": {', '"names": {"colours": {},', "unknown key 'colours'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, file: str, old: str, new: str, says: str) -> None:
    """One sentence that names the place."""
    write_histfactory(valid_workspace(), tmp_path / "xml")
    rewrite(tmp_path / "xml", file, old, new)
    with pytest.raises(WorkspaceError, match=re.escape(says)):
        read_histfactory(tmp_path / "xml")


def test_broken_root_files_are_said(tmp_path: Path) -> None:
    """A truncated file, and something that is no ROOT file."""
    write_histfactory(valid_workspace(), tmp_path / "xml")
    root = tmp_path / "xml" / "histograms.root"
    whole = root.read_bytes()
    for content in (whole[:400], b"not a ROOT file", b""):
        root.write_bytes(content)
        with pytest.raises(WorkspaceError, match=r"histograms\.root cannot be read as a ROOT file|cannot be read as a"):
            read_histfactory(tmp_path / "xml")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder with something in it is left alone; no temporary folder stays behind."""
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "mine").touch()
    with pytest.raises(InputError, match="is not empty"):
        write_histfactory(valid_workspace(), tmp_path / "xml")
    assert [path.name for path in tmp_path.rglob("*")] == ["xml", "mine"]
    with pytest.raises(InputError, match="is a file"):
        write_histfactory(valid_workspace(), tmp_path / "xml" / "mine")
    (tmp_path / "empty").mkdir()
    write_histfactory(valid_workspace(), tmp_path / "empty")
    assert (tmp_path / "empty" / "search.xml").is_file()


def test_different_models_in_one_folder(tmp_path: Path) -> None:
    """They are not one workspace."""
    write_histfactory(valid_workspace(), tmp_path / "xml")
    top = xml(tmp_path / "xml", "search.xml").replace("<Input>./channels/CR.xml</Input>", "")
    (tmp_path / "xml" / "other.xml").write_text(top.replace('Name="search"', 'Name="other"'), encoding="utf-8")
    with pytest.raises(WorkspaceError, match="different models"):
        read_histfactory(tmp_path / "xml")


# ----------------------------------------------------------------------------------------- published files


@pytest.mark.slow
@pytest.mark.parametrize("name", ["agc_ttbar", "ttbar_ljets_xsec", "atlas_tttt", "2018-14_comb"])
def test_published_files_come_back(likelihoods: Path, tmp_path: Path, name: str) -> None:
    """With staterror, shapesys, lumi, normsys and histosys among them: -2 ln L to 1e-10 at several points."""
    document = json.loads((likelihoods / f"{name}.json").read_text(encoding="utf-8"))
    assert deepest_difference(document, there_and_back(document, tmp_path / "xml")) < 1e-10
