"""One small valid workspace, and a table of files that break it, one fault each.

Each entry of `BROKEN` is a file that no command may accept: its bytes, and what the message must
say about place and remedy. `valid_workspace` is the document that the faults are made in.
"""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Edit = Callable[[Any], None]


@dataclass(frozen=True)
class Broken:
    """A file with one fault.

    Attributes:
        name: the fault, which is also the name of the file without ".json".
        content: the bytes of the file.
        says: strings that the message about it must contain.
    """

    name: str
    content: bytes
    says: tuple[str, ...]

    def write(self, folder: Path) -> Path:
        """Write the file into a folder and return its path."""
        path = folder / f"{self.name}.json"
        path.write_bytes(self.content)
        return path


def valid_workspace() -> dict[str, Any]:
    """Return a new workspace with all seven modifier types, in two channels of 3 and 2 bins."""
    return copy.deepcopy(_VALID)


def _modifier(name: str, kind: str, data: object = None) -> dict[str, Any]:
    return {"name": name, "type": kind, "data": data}


def _sample(name: str, data: list[float], *modifiers: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "data": data, "modifiers": list(modifiers)}


_JES = {"lo": 0.9, "hi": 1.1}
_SHAPE = {"lo_data": [48, 39, 19], "hi_data": [52, 41, 21]}
_LUMI = {"name": "lumi", "auxdata": [1.0], "sigmas": [0.02], "inits": [1], "bounds": [[0.5, 2]]}
_VALID: dict[str, Any] = {
    "channels": [
        {
            "name": "SR",
            "samples": [
                _sample(
                    "signal",
                    [5.0, 10.0, 3.0],
                    _modifier("mu", "normfactor"),
                    _modifier("lumi", "lumi"),
                    _modifier("jes", "normsys", _JES),
                ),
                _sample(
                    "ttbar",
                    [50.0, 40.0, 20.0],
                    _modifier("tt", "normfactor"),
                    _modifier("jes", "histosys", _SHAPE),
                    _modifier("stat_SR", "staterror", [2.0, 1.5, 1.0]),
                ),
                _sample(
                    "fakes",
                    [4.0, 3.0, 2.0],
                    _modifier("fake_rate", "shapesys", [1.0, 1.0, 0.5]),
                    _modifier("stat_SR", "staterror", [0.5, 0.5, 0.5]),
                ),
            ],
        },
        {
            "name": "CR",
            "samples": [
                _sample(
                    "ttbar",
                    [100.0, 80.0],
                    _modifier("tt", "normfactor"),
                    _modifier("jes", "normsys", {"lo": 0.95, "hi": 1.04}),
                ),
                _sample("qcd", [30.0, 20.0], _modifier("qcd_shape", "shapefactor")),
            ],
        },
    ],
    "observations": [
        {"name": "SR", "data": [60, 52, 27]},
        {"name": "CR", "data": [128.0, 103.0]},
    ],
    "measurements": [
        {
            "name": "search",
            "config": {
                "poi": "mu",
                "parameters": [
                    {"name": "mu", "inits": [1.0], "bounds": [[0.0, 10.0]], "fixed": False},
                    _LUMI,
                ],
            },
        }
    ],
    "version": "1.0.0",
}

SR, CR = ("channels", 0), ("channels", 1)
SIGNAL, TTBAR, FAKES = ((*SR, "samples", index) for index in range(3))
CONFIG = ("measurements", 0, "config")
MU, LUMI = ((*CONFIG, "parameters", index) for index in range(2))


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    """Return the value at a path of keys and indices."""
    for step in path:
        document = document[step]
    return document


def put(*path: Any) -> Edit:
    """Return the edit that sets the value at a path; the last argument is the value."""
    *parents, last, value = path

    def edit(document: Any) -> None:
        at(document, tuple(parents))[last] = copy.deepcopy(value)

    return edit


def cut(*path: Any) -> Edit:
    """Return the edit that deletes what is at a path."""
    *parents, last = path

    def edit(document: Any) -> None:
        del at(document, tuple(parents))[last]

    return edit


def add(*path: Any) -> Edit:
    """Return the edit that appends to the list at a path; the last argument is the new entry."""
    *parents, value = path

    def edit(document: Any) -> None:
        at(document, tuple(parents)).append(copy.deepcopy(value))

    return edit


def edited(*edits: Edit) -> dict[str, Any]:
    """Return the valid workspace after some edits."""
    document = valid_workspace()
    for edit in edits:
        edit(document)
    return document


def _broken(name: str, *parts: Edit | str) -> Broken:
    """Return a table entry: edits of the valid workspace, and what the message must say."""
    edits = [part for part in parts if not isinstance(part, str)]
    content = json.dumps(edited(*edits)).encode()
    return Broken(name, content, tuple(part for part in parts if isinstance(part, str)))


def _raw(name: str, content: bytes, *says: str) -> Broken:
    return Broken(name, content, says)


_TEXT = json.dumps(_VALID, indent=1)
_IN_MU = "channel 'SR', sample 'signal', modifier 'mu' (normfactor)"
_IN_JES = "channel 'SR', sample 'signal', modifier 'jes' (normsys)"
_IN_SHAPE = "channel 'SR', sample 'ttbar', modifier 'jes' (histosys)"
_IN_STAT = "channel 'SR', sample 'ttbar', modifier 'stat_SR' (staterror)"
_IN_FAKE = "channel 'SR', sample 'fakes', modifier 'fake_rate' (shapesys)"
_IN_MEASUREMENT = "measurement 'search'"
_MU_SETTING = "measurement 'search', parameter 'mu'"
_LUMI_SETTING = "measurement 'search', parameter 'lumi'"
_JES_MODIFIER = (*SIGNAL, "modifiers", 2)
_SHAPE_DATA = (*TTBAR, "modifiers", 1, "data")
_STAT_DATA = (*TTBAR, "modifiers", 2, "data")
_FAKE_DATA = (*FAKES, "modifiers", 0, "data")

_FILES = (
    _raw("empty", b"", "the file is empty"),
    _raw("blank", b" \n\t\n", "the file is empty"),
    _raw("truncated", _TEXT.encode()[:700], "line 4", "get the file again"),
    _raw("truncated-in-name", b'{"chan', "line 1, column 2", "get the file again"),
    _raw("missing-comma", b'{"version": "1.0.0"\n "channels": []}', "line 2, column 2", "','"),
    _raw("python-quotes", b"{'version': '1.0.0'}", "line 1, column 2", "not JSON"),
    _raw("two-documents", b"{}\n{}", "line 2, column 1", "Extra data"),
    _raw("binary", b"\x80\x81root\x00\xff", "byte 0 is not UTF-8"),
    _raw("utf-16", _TEXT.encode("utf-16"), "byte 0 is not UTF-8"),
    _raw("latin-1", '{"name": "µ"}'.encode("latin-1"), "byte 10 is not UTF-8", "save it as UTF-8"),
    _raw("gzip", gzip.compress(_TEXT.encode()), "gzip archive", "unpack"),
    _raw("xml", b'<?xml version="1.0"?><Combination/>', "line 1, column 1", "not JSON"),
    _raw("nan-literal", _TEXT.replace("40.0", "NaN").encode(), "line", "NaN is not a JSON number"),
    _raw("nan-in-a-word", b'{"a": NaN5}', "line 1, column 7", "NaN is not a JSON number"),
    _raw("infinity-literal", b'{"a":\n [1, -Infinity]}', "line 2, column 6", "-Infinity"),
    _raw(
        "double-key",
        b'{"version": "1.0.0",\n"version": "2"}',
        "'version' stands twice",
        "line 2",
    ),
    _raw("escaped-double-key", b'{"a": 1, "\\u0061": 2}', "'a' stands twice", "line 1, column 10"),
    _raw("deep", b'{"a":' + b"[" * 100_000, "nested too deeply"),
    _raw("endless-integer", b'{"a": ' + b"9" * 5_000 + b"}", "thousands of digits"),
    _raw("top-level-list", b"[]", "the top level is an empty list", "give a workspace"),
    _raw("top-level-number", b"3", "the top level is the number 3"),
    _raw("top-level-null", b"null", "the top level is null"),
)

_STRUCTURE = (
    _raw("empty-object", b"{}", "the document lacks 'channels'"),
    _broken("no-version", cut("version"), "lacks the key 'version'"),
    _broken("future-version", put("version", "2.0.0"), "version is '2.0.0', expected '1.0.0'"),
    _broken("version-number", put("version", 1), "version is the number 1, expected a string"),
    _broken("unknown-top-key", put("toplvl", {}), "unknown key 'toplvl'", "the allowed keys are"),
    _broken("no-channels", put("channels", []), "channels is an empty list"),
    _broken("channels-object", put("channels", {}), "channels is an object, expected a list"),
    _broken("channel-string", put(*SR, "SR"), "channels[0] is the string 'SR'"),
    _broken("channel-unnamed", put(*SR, "name", ""), "channels[0].name is an empty string"),
    _broken("channel-name-number", put(*SR, "name", 1), "channels[0].name is the number 1"),
    _broken("channel-name-lines", put(*SR, "name", "S\nR"), "channels[0].name", "unprintable"),
    _broken("channel-unknown-key", put(*SR, "binning", 3), "channels[0]", "unknown key 'binning'"),
    _broken("channel-twice", put(*CR, "name", "SR"), "the channel 'SR' stands twice", "rename"),
    _broken("no-samples", put(*SR, "samples", []), "channel 'SR'", "samples is an empty list"),
    _broken("sample-null", put(*TTBAR, None), "channel 'SR': samples[1] is null"),
    _broken("sample-without-data", cut(*TTBAR, "data"), "samples[1] lacks the key 'data'"),
    _broken("sample-twice", put(*TTBAR, "name", "signal"), "channel 'SR'", "'signal' stands twice"),
    _broken("no-modifiers-key", cut(*FAKES, "modifiers"), "samples[2] lacks the key 'modifiers'"),
    _broken(
        "misspelt-key",
        put(*FAKES, {"name": "a", "dta": [], "modifiers": []}),
        "did you mean 'data'?",
    ),
)

_RATES = (
    _broken("no-bins", put(*TTBAR, "data", []), "sample 'ttbar'", "data is an empty list"),
    _broken("data-number", put(*TTBAR, "data", 50.0), "sample 'ttbar'", "expected a list"),
    _broken(
        "data-short",
        cut(*TTBAR, "data", 0),
        "2 entries, expected 3 (the bins of sample 'signal')",
    ),
    _broken(
        "data-string",
        put(*TTBAR, "data", 1, "40"),
        "sample 'ttbar'",
        "data[1] is the string '40'",
    ),
    _broken("data-bool", put(*TTBAR, "data", 1, True), "sample 'ttbar'", "data[1] is true"),
    _broken("data-null", put(*TTBAR, "data", 2, None), "sample 'ttbar'", "data[2] is null"),
    _broken(
        "data-nested",
        put(*TTBAR, "data", 2, [20]),
        "sample 'ttbar'",
        "data[2] is a list of 1",
    ),
    _broken("data-huge", put(*TTBAR, "data", 0, 1e16), "data[0] is the number 1e+16"),
    _broken("data-huge-integer", put(*TTBAR, "data", 0, 10**400), "an integer of about 10^400"),
    _raw(
        "data-overflow",
        _TEXT.replace("50.0", "1e999").encode(),
        "sample 'ttbar': data[0] is the number inf",
    ),
    _broken("total-negative", put(*TTBAR, "data", 1, -60), "channel 'SR'", "bin 1 add up to -47"),
    _broken(
        "seen-where-nothing-expected",
        *(put(*CR, "samples", index, "data", 1, 0.0) for index in range(2)),
        "channel 'CR': events are observed in bin 1, where every sample has rate 0",
    ),
)

_MODIFIERS = (
    _broken("modifier-list", put(*_JES_MODIFIER, []), "modifiers[2] is an empty list"),
    _broken("modifier-untyped", cut(*_JES_MODIFIER, "type"), "modifiers[2] lacks the key 'type'"),
    _broken("modifier-type-number", put(*_JES_MODIFIER, "type", 4), "modifier 'jes': type is"),
    _broken(
        "modifier-type",
        put(*_JES_MODIFIER, "type", "overallsys"),
        "'overallsys'",
        "'shapesys'",
    ),
    _broken("modifier-extra-key", put(*_JES_MODIFIER, "color", 1), "modifiers[2]", "key 'color'"),
    _broken(
        "modifier-twice",
        add(*SIGNAL, "modifiers", _modifier("mu", "normfactor")),
        _IN_MU,
        "twice",
    ),
    _broken(
        "normsys-twice",
        add(*SIGNAL, "modifiers", _modifier("jes", "normsys", _JES)),
        _IN_JES,
        "it stands twice on the sample",
    ),
    _broken("normfactor-data", put(*SIGNAL, "modifiers", 0, "data", 1.0), _IN_MU, "expected null"),
    _broken("normsys-zero", put(*_JES_MODIFIER, "data", "lo", 0.0), _IN_JES, "lo is 0"),
    _broken("normsys-negative", put(*_JES_MODIFIER, "data", "hi", -0.2), _IN_JES, "hi is -0.2"),
    _broken(
        "normsys-string",
        put(*_JES_MODIFIER, "data", "hi", "1.1"),
        _IN_JES,
        "hi is the string",
    ),
    _broken("normsys-bool", put(*_JES_MODIFIER, "data", "hi", True), _IN_JES, "hi is true"),
    _broken("normsys-null", put(*_JES_MODIFIER, "data", None), _IN_JES, "data is null"),
    _broken("normsys-one-sided", cut(*_JES_MODIFIER, "data", "lo"), _IN_JES, "lacks the key 'lo'"),
    _broken(
        "normsys-with-histosys-keys",
        put(*_JES_MODIFIER, "data", {"lo_data": [1, 2, 3], "hi_data": [1, 2, 3]}),
        _IN_JES,
        "unknown key 'lo_data' and lacks 'hi', 'lo'",
    ),
    _broken(
        "histosys-with-normsys-keys",
        put(*_SHAPE_DATA, _JES),
        _IN_SHAPE,
        "unknown key 'lo' and lacks 'hi_data', 'lo_data'",
    ),
    _broken("histosys-long", add(*_SHAPE_DATA, "hi_data", 1), _IN_SHAPE, "hi_data has 4 entries"),
    _broken("histosys-short", cut(*_SHAPE_DATA, "lo_data", 0), _IN_SHAPE, "expected 3", "give 3"),
    _broken("histosys-null-bin", put(*_SHAPE_DATA, "lo_data", 0, None), _IN_SHAPE, "lo_data[0]"),
    _broken("staterror-short", cut(*_STAT_DATA, 0), _IN_STAT, "data has 2 entries, expected 3"),
    _broken("staterror-negative", put(*_STAT_DATA, 2, -1.0), _IN_STAT, "data[2] is -1"),
    _broken("shapesys-long", add(*_FAKE_DATA, 1.0), _IN_FAKE, "data has 4 entries, expected 3"),
    _broken("shapesys-negative", put(*_FAKE_DATA, 0, -1.0), _IN_FAKE, "data[0] is -1"),
    _broken(
        "lumi-renamed",
        put(*SIGNAL, "modifiers", 1, "name", "L"),
        "'L' (lumi)",
        "called 'lumi'",
    ),
    _broken(
        "free-and-constrained",
        add(*FAKES, "modifiers", _modifier("mu", "normsys", _JES)),
        "channel 'SR', sample 'fakes', modifier 'mu' (normsys)",
        "also belongs to a normfactor (channel 'SR', sample 'signal')",
        "rename",
    ),
    _broken(
        "shapesys-shared",
        add(*SIGNAL, "modifiers", _modifier("fake_rate", "shapesys", [1, 1, 1])),
        _IN_FAKE,
        "sample 'signal' has it too",
    ),
    _broken(
        "shapefactor-unequal",
        add(*FAKES, "modifiers", _modifier("qcd_shape", "shapefactor")),
        "channel 'SR', sample 'fakes', modifier 'qcd_shape' (shapefactor)",
        "channel 'CR' shares it with 2 bins, this one has 3",
    ),
    _broken(
        "staterror-other-samples",
        add(*CR, "samples", 1, "modifiers", _modifier("stat_SR", "staterror", [1, 1])),
        "modifier 'stat_SR' (staterror)",
        "for other samples",
    ),
    _broken(
        "component-name",
        put(*_JES_MODIFIER, "name", "stat_SR[1]"),
        "modifier 'stat_SR[1]'",
        "component 1 of the staterror 'stat_SR'",
    ),
    _broken(
        "no-modifier-at-all",
        *(put("channels", c, "samples", s, "modifiers", []) for c, s in [(0, 0), (0, 1), (0, 2)]),
        *(put("channels", 1, "samples", s, "modifiers", []) for s in range(2)),
        "no sample has a modifier",
    ),
)

_OBSERVATIONS = (
    _broken("no-observations", put("observations", []), "observations is an empty list"),
    _broken("observation-missing", cut("observations", 1), "channel 'CR': it has no observation"),
    _broken(
        "observation-extra",
        add("observations", {"name": "VR", "data": [1]}),
        "observation 'VR': no channel is called 'VR'",
        "'CR', 'SR'",
    ),
    _broken(
        "observation-twice",
        add("observations", {"name": "SR", "data": [1, 2, 3]}),
        "the observation 'SR' stands twice",
    ),
    _broken(
        "observation-short",
        cut("observations", 0, "data", 0),
        "observation 'SR': data has 2 entries, expected 3",
    ),
    _broken("observation-negative", put("observations", 0, "data", 1, -1), "'SR': data[1] is -1"),
    _broken("observation-string", put("observations", 0, "data", 1, "5"), "'SR': data[1] is the"),
    _broken("observation-unknown-key", put("observations", 0, "error", 1), "unknown key 'error'"),
)

_MEASUREMENTS = (
    _broken("measurements-missing", cut("measurements"), "lacks the key 'measurements'"),
    _broken("measurements-empty", put("measurements", []), "measurements is an empty list"),
    _broken(
        "measurement-twice",
        lambda ws: ws["measurements"].append(ws["measurements"][0]),
        "the measurement 'search' stands twice",
    ),
    _broken("no-poi", cut(*CONFIG, "poi"), _IN_MEASUREMENT, "config lacks the key 'poi'"),
    _broken("poi-null", put(*CONFIG, "poi", None), _IN_MEASUREMENT, "poi is null"),
    _broken("poi-unknown", put(*CONFIG, "poi", "mu_sig"), _IN_MEASUREMENT, "'mu_sig'", "patch"),
    _broken("poi-vector", put(*CONFIG, "poi", "stat_SR"), _IN_MEASUREMENT, "choose a normfactor"),
    _broken("no-parameters", cut(*CONFIG, "parameters"), _IN_MEASUREMENT, "'parameters'"),
    _broken("parameter-twice", put(*LUMI, "name", "mu"), "the parameter 'mu' stands twice"),
    _broken(
        "parameter-unknown-key",
        put(*MU, "init", [1]),
        "parameters[0]",
        "did you mean 'inits'?",
    ),
    _broken("lumi-undeclared", cut(*LUMI), _IN_MEASUREMENT, "lumi", "add an entry such as"),
    _broken("lumi-without-sigma", cut(*LUMI, "sigmas"), _IN_MEASUREMENT, "its sigmas are not in"),
    _broken("sigma-zero", put(*LUMI, "sigmas", [0]), _LUMI_SETTING, "sigmas[0] is 0", "above 0"),
    _broken("sigma-for-free", put(*MU, "sigmas", [1]), _MU_SETTING, "a normfactor has no sigmas"),
    _broken("inits-number", put(*MU, "inits", 1.0), _MU_SETTING, "inits is the number 1"),
    _broken("inits-empty", put(*MU, "inits", []), _MU_SETTING, "inits is an empty list"),
    _broken("inits-two", put(*MU, "inits", [1, 1]), _MU_SETTING, "2 entries, expected 1"),
    _broken("inits-outside", put(*MU, "inits", [11]), _MU_SETTING, "inits[0] is 11", "[0, 10]"),
    _broken(
        "default-start-outside",
        put(*MU, {"name": "mu", "bounds": [[2, 5]]}),
        _MU_SETTING,
        "the default start value is 1, outside bounds[0] [2, 5]",
    ),
    _broken("bounds-flat", put(*MU, "bounds", [0, 10]), _MU_SETTING, "bounds[0] is the number 0"),
    _broken("bounds-triple", put(*MU, "bounds", [[0, 1, 2]]), _MU_SETTING, "expected 2"),
    _broken("bounds-reversed", put(*MU, "bounds", [[10, 0]]), _MU_SETTING, "[10, 0]", "swap"),
    _broken("bounds-equal", put(*MU, "bounds", [[1, 1]]), _MU_SETTING, "[1, 1]", "fixed: true"),
    _broken("bounds-huge", put(*MU, "bounds", [[0, 1e30]]), _MU_SETTING, "bounds[0][1]", "1e+30"),
    _broken("fixed-number", put(*MU, "fixed", 1), _MU_SETTING, "fixed is the number 1"),
    _broken(
        "fixed-false-on-frozen-bin",
        put(*_FAKE_DATA, 1, 0.0),
        add(*CONFIG, "parameters", {"name": "fake_rate", "fixed": False}),
        "parameter 'fake_rate'",
        "component 1 has no rate or no uncertainty",
    ),
)

BROKEN = (*_FILES, *_STRUCTURE, *_RATES, *_MODIFIERS, *_OBSERVATIONS, *_MEASUREMENTS)
