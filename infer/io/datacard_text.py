"""The text of a CMS Combine datacard as records: what is written where, and nothing computed from it yet.

A card has a head, in which channels, processes and rates are declared, and a body with one line per nuisance
parameter or directive. The head ends with the line ``rate``. Lines that begin with ``#`` or ``--`` say nothing, nor do
titles before the first line of the head; ``#`` begins a comment anywhere. What is not understood is refused with its
line number.

Source: documentation of CMS Combine, "Preparing the datacard"; arXiv:2404.06614, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from infer.documents import LIMIT, distinct, fail, listed
from infer.errors import WorkspaceError
from infer.io.datacard_records import KINDS, AutoStats, Card, Column, Nuisance, Param, RateParam, ShapeRule

_HEAD = ("imax", "jmax", "kmax", "shapes", "bin", "observation", "process", "rate")
_ELSEWHERE = {
    "shapeN": "interpolates logarithms of bins, for which there is no HistFactory modifier: write shape",
    "shapeN2": "interpolates logarithms of bins, for which there is no HistFactory modifier: write shape",
    "shapeL": "interpolates with a kink at 0: write shape",
    "shape2": "is an old name: write shape",
    "shapeN2?": "interpolates logarithms of bins, for which there is no HistFactory modifier: write shape?",
    "gmM": "write lnN, or gmN with the count that the uncertainty comes from",
    "trG": "is a factor 1 + x theta, which turns negative: write lnN",
    "unif": "write lnU, or rateParam with a range",
    "dFD": "write lnU, or rateParam with a range",
    "dFD2": "write lnU, or rateParam with a range",
    "constr": "constraints on functions of parameters have no place in HistFactory",
    "discrete": "discrete choices of functions have no place in HistFactory",
    "extArg": "parameters of RooFit workspaces cannot be read",
    "edit": "make the edit in the card itself",
}


@dataclass
class _Head:
    """What the head has said so far, as tokens."""

    begun: bool = False
    declared: dict[str, int] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    observation: list[str] = field(default_factory=list)
    observed_bins: list[str] = field(default_factory=list)
    processes: list[list[str]] = field(default_factory=list)
    rate: list[str] | None = None


def parse_card(text: str, *, source: str = "datacard") -> Card:
    """Read the text of a datacard.

    Args:
        text: The whole card.
        source: How messages call it, such as its file name.

    Raises:
        WorkspaceError: A line breaks the format or says what is not supported; with its number.
    """
    card, head = Card(source), _Head()
    for line, raw in enumerate(text.splitlines(), 1):
        stripped = re.sub(r"(^|\s)#.*", "", raw).strip()
        if not stripped or re.fullmatch(r"[-=*\s]*", stripped) or stripped.startswith("--"):
            continue
        tokens = stripped.split()
        head.begun = head.begun or tokens[0] in _HEAD
        if not head.begun:
            card.remarks.append(f"line {line} is taken as a title: {' '.join(tokens)[:60]!r}")
        elif head.rate is None:
            _head_line(card, head, tokens, line)
        else:
            _body_line(card, tokens, line)
    if head.rate is None:
        raise fail(source, "there is no line 'rate'", "a datacard has the lines bin, process, process and rate")
    if "kmax" in head.declared:
        _check_kmax(card, head.declared["kmax"])
    return card


def _head_line(card: Card, head: _Head, tokens: list[str], line: int) -> None:
    place, (key, *rest) = card.place(line), tokens
    match key:
        case "imax" | "jmax" | "kmax":
            _declare(head, key, rest, place)
        case "shapes":
            card.rules.append(_rule(card, rest, line))
        case "bin":
            head.pending = rest
        case "observation" | "Observation":
            head.observation, head.observed_bins, head.pending = rest, head.pending, []
        case "process":
            if len(rest) != len(head.pending):
                problem = f"process has {len(rest)} entries, the line bin before it {len(head.pending)}"
                raise fail(place, problem, "give one for each column")
            head.processes.append(rest)
        case "rate":
            head.rate = rest
            _finish_head(card, head, place)
        case _:
            raise fail(
                place, f"{key!r} begins no line of the head of a datacard", f"expected one of {', '.join(_HEAD)}"
            )


def _declare(head: _Head, key: str, rest: list[str], place: str) -> None:
    if not rest:
        raise fail(place, f"{key} says nothing", f"give a number, or write '{key} *'")
    if rest[0] != "*":
        head.declared[key] = _whole(rest[0], place, key)


def _rule(card: Card, rest: list[str], line: int) -> ShapeRule:
    place = card.place(line)
    if len(rest) == 3 and rest[2] == "FAKE":
        rule = ShapeRule(rest[0], rest[1], "FAKE", "", "", line)
    elif len(rest) in (4, 5):
        process, channel, file, histogram, *shifted = rest
        rule = ShapeRule(process, channel, file, histogram, shifted[0] if shifted else "", line)
    else:
        problem = f"shapes has {len(rest)} entries"
        raise fail(place, problem, "write: shapes PROCESS CHANNEL FILE HISTOGRAM [HISTOGRAM_WITH_SYSTEMATIC]")
    if any((known.process, known.channel) == (rule.process, rule.channel) for known in card.rules):
        problem = f"shapes of process {rule.process!r} in channel {rule.channel!r} are given twice"
        raise fail(place, problem, "remove one of the two")
    return rule


def _finish_head(card: Card, head: _Head, place: str) -> None:
    """Columns and observations from the tokens of the head."""
    rates = [_number(token, place, "rate") for token in head.rate or []]
    if len(head.processes) != 2:
        problem = f"{len(head.processes)} lines process before rate, expected 2"
        raise fail(place, problem, "give the names of processes in one and their identifiers in the other")
    if len(rates) != len(head.pending):
        problem = f"rate has {len(rates)} entries, the line bin {len(head.pending)}"
        raise fail(place, problem, "give one for each column")
    for rate in rates:
        if rate < 0.0 and rate != -1.0:
            raise fail(place, f"the rate {rate:g} is negative", "give a rate of at least 0, or -1 for the histogram's")
    names, identifiers = head.processes
    if all(map(_is_whole, names)) and not all(map(_is_whole, identifiers)):
        names, identifiers = identifiers, names
    signal = [_whole(token, place, "process") <= 0 for token in identifiers]
    columns = zip(head.pending, names, signal, rates, strict=True)
    card.columns = tuple(Column(*entries) for entries in columns)
    distinct([f"{c.process} in channel {c.channel}" for c in card.columns], place, "process")
    _check_roles(card, place)
    _observe(card, head, place)
    _check_declared(card, head, place)


def _check_roles(card: Card, place: str) -> None:
    roles: dict[str, bool] = {}
    for column in card.columns:
        if roles.setdefault(column.process, column.signal) != column.signal:
            problem = f"process {column.process!r} is signal in one channel and background in another"
            raise fail(place, problem, "give it identifiers of 0 or less everywhere, or above 0 everywhere")


def _observe(card: Card, head: _Head, place: str) -> None:
    channels = list(dict.fromkeys(head.pending))
    bins = head.observed_bins or channels
    if not head.observation:
        raise fail(place, "there is no line observation before rate", "give one count per channel, or -1")
    if len(head.observation) != len(bins):
        problem = f"observation has {len(head.observation)} entries for {len(bins)} channels"
        raise fail(place, problem, "give one count per channel")
    distinct(bins, place, "channel")
    if set(bins) != set(channels):
        odd = sorted(set(bins) ^ set(channels))[0]
        problem = f"channel {odd!r} stands in only one of the two lines bin"
        raise fail(place, problem, "every channel needs an observation and at least one process")
    counts = [_number(token, place, "observation") for token in head.observation]
    for count in counts:
        if count < 0.0 and count != -1.0:
            raise fail(place, f"the observation {count:g} is negative", "give a count, or -1 for the histogram's")
    card.observed = dict(zip(bins, counts, strict=True))


def _check_declared(card: Card, head: _Head, place: str) -> None:
    found = {"imax": len(card.observed), "jmax": len({c.process for c in card.columns}) - 1}
    what = {"imax": "channels", "jmax": "processes less one"}
    for key, number in found.items():
        if head.declared.get(key, number) != number:
            problem = f"{key} says {head.declared[key]}, but there are {number} {what[key]}"
            raise fail(place, problem, f"correct it, or write '{key} *'")


def _check_kmax(card: Card, kmax: int) -> None:
    lines = [*(n.name for n in card.nuisances), *card.params]
    if kmax not in (len(lines), len(set(lines))):
        problem = f"kmax says {kmax}, but there are {len(set(lines))} nuisance parameters"
        raise fail(card.source, problem, "correct it, or write 'kmax *'")


def _body_line(card: Card, tokens: list[str], line: int) -> None:
    place = card.place(line)
    if len(tokens) < 2:
        raise fail(place, f"{tokens[0]!r} alone is no line of a datacard", "write: NAME TYPE VALUES")
    name, kind, *rest = tokens
    if kind in KINDS:
        card.nuisances.append(_nuisance(card, name, kind, rest, line))
    elif kind == "rateParam":
        card.rate_params.append(_rate_param(card, name, rest, line))
    elif kind == "param":
        _add_param(card, name, rest, line)
    elif kind == "group":
        _add_group(card, name, rest, place)
    elif kind == "autoMCStats":
        _add_auto_stats(card, name, rest, line)
    elif kind == "flatParam":
        card.remarks.append(f"line {line}: flatParam says nothing about {name!r}, which is free anyway")
    else:
        raise fail(place, f"{name!r} is of the type {kind!r}, which is not supported", _remedy(kind))


def _remedy(kind: str) -> str:
    return _ELSEWHERE.get(kind, f"the types are {', '.join((*KINDS, 'rateParam', 'param', 'group', 'autoMCStats'))}")


def _nuisance(card: Card, name: str, kind: str, rest: list[str], line: int) -> Nuisance:
    place, count, n_columns = card.place(line), 0, len(card.columns)
    if not re.fullmatch(r"[^\s\[\]]+", name):
        raise fail(place, f"the name {name!r} has brackets", "remove attributes such as [nofloat]")
    if name == "r":
        raise fail(place, "a nuisance parameter is called 'r', as the signal strength is", "rename it")
    if kind == "gmN":
        count, rest = _whole(rest[0] if rest else "", place, "the count of gmN"), rest[1:]
        if count < 0:
            raise fail(place, f"the count of gmN is {count}", "give the events of the control region")
    if len(rest) < n_columns:
        problem = f"{name!r} has {len(rest)} effects, expected {n_columns}"
        raise fail(place, problem, "give one per column, '-' for none")
    if len(rest) > n_columns and _is_number(rest[n_columns]):
        problem = f"{name!r} has a number after its {n_columns} effects"
        raise fail(place, problem, "give one effect per column; a comment begins with #")
    effects = tuple(_effect(token, kind, place, name) for token in rest[:n_columns])
    return Nuisance(f"theta{name}" if name[0].isdigit() else name, kind, effects, line, count)


def _effect(token: str, kind: str, place: str, name: str) -> tuple[float, ...]:
    """No number for no effect, one, or one down and one up."""
    if re.fullmatch(r"-+", token):
        return ()
    parts = tuple(_number(part, place, f"an effect of {name!r}") for part in token.split("/"))
    if len(parts) > 2 or (len(parts) == 2 and kind not in ("lnN", "lnU", "shape?")):
        raise fail(place, f"the effect {token!r} of {name!r} is not understood", "DOWN/UP belongs to lnN")
    if min(parts) < 0.0 or (len(parts) == 2 and min(parts) == 0.0):
        raise fail(place, f"the effect {token!r} of {name!r} is not positive", "write a 10 % uncertainty as 1.1")
    return () if parts == (0.0,) else parts


def _rate_param(card: Card, name: str, rest: list[str], line: int) -> RateParam:
    place = card.place(line)
    if len(rest) not in (3, 4):
        problem = f"rateParam {name!r} has {len(rest)} entries"
        raise fail(place, problem, "write: NAME rateParam CHANNEL PROCESS VALUE [LOW,HIGH], or FORMULA ARGUMENTS")
    channel, process, value = rest[:3]
    at = tuple(i for i, c in enumerate(card.columns) if _matches(channel, c.channel) and _matches(process, c.process))
    if not at:
        problem = f"rateParam {name!r} acts on process {process!r} in channel {channel!r}, which there is not"
        raise fail(place, problem, "correct the names, or use * in them")
    last = rest[3] if len(rest) == 4 else ""
    if last and not last.startswith("["):
        constant, factors = _product(value, last.split(","), place, name)
        return RateParam(name, at, constant, None, factors, line)
    if not _is_number(value):
        problem = f"the value of rateParam {name!r} is {value!r}, not a number"
        raise fail(place, problem, "parameters and formulas of RooFit workspaces cannot be read")
    return RateParam(name, at, float(value), _bounds(last, place, name) if last else None, (), line)


def _matches(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern with asterisks."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


def _product(formula: str, arguments: Sequence[str], place: str, name: str) -> tuple[float, tuple[str, ...]]:
    """Constant and parameters of a formula that is a product."""
    constant, factors = 1.0, []
    for part in formula.strip("()").split("*"):
        index = re.fullmatch(r"\(*@(\d+)\)*", part)
        if index and int(index[1]) < len(arguments):
            factors.append(arguments[int(index[1])])
        elif _is_number(part):
            constant *= float(part)
        else:
            problem = f"the formula {formula!r} of rateParam {name!r} is no product of its arguments"
            raise fail(place, problem, "rates of HistFactory are multiplied by parameters, such as @0*@1, only")
    if constant <= 0.0 or len(set(factors)) < len(factors):
        problem = f"the formula {formula!r} of rateParam {name!r} has a power or a constant that is not positive"
        raise fail(place, problem, "rates of HistFactory are multiplied by each parameter once")
    return constant, tuple(factors)


def _add_param(card: Card, name: str, rest: list[str], line: int) -> None:
    place = card.place(line)
    if len(rest) not in (2, 3):
        raise fail(place, f"param {name!r} has {len(rest)} entries", "write: NAME param MEAN SIGMA [LOW,HIGH]")
    if "/" in rest[1]:
        problem = f"the uncertainty {rest[1]!r} of param {name!r} is asymmetric"
        raise fail(place, problem, "give one number: constraints here are normal distributions")
    mean, sigma = (_number(token, place, f"param {name!r}") for token in rest[:2])
    if sigma <= 0.0:
        raise fail(place, f"the uncertainty of param {name!r} is {sigma:g}", "give a number above 0")
    if name in card.params:
        raise fail(place, f"param {name!r} is given twice", "remove one of the two")
    card.params[name] = Param(name, mean, sigma, _bounds(rest[2], place, name) if len(rest) == 3 else None, line)


def _add_group(card: Card, name: str, rest: list[str], place: str) -> None:
    if len(rest) < 2 or rest[0] not in ("=", "+="):
        raise fail(place, f"group {name!r} is not understood", "write: NAME group = PARAMETER ...")
    if (rest[0] == "=") == (name in card.groups):
        problem = f"group {name!r} is {'already' if rest[0] == '=' else 'not yet'} defined"
        raise fail(place, problem, "define a group with = once, and add to it with +=")
    card.groups.setdefault(name, []).extend(rest[1:])


def _add_auto_stats(card: Card, pattern: str, rest: list[str], line: int) -> None:
    place = card.place(line)
    if not 1 <= len(rest) <= 3:
        problem = f"autoMCStats has {len(rest)} entries"
        raise fail(place, problem, "write: CHANNEL autoMCStats THRESHOLD [INCLUDE_SIGNAL] [HIST_MODE]")
    threshold = _number(rest[0], place, "the threshold of autoMCStats")
    signal, mode = (_whole(token, place, "autoMCStats") for token in (*rest[1:], *("0", "1")[len(rest) - 1 :]))
    if signal not in (0, 1) or mode not in (1, 2):
        raise fail(place, f"autoMCStats has {' '.join(rest)!r}", "INCLUDE_SIGNAL is 0 or 1, HIST_MODE 1 or 2")
    names = [channel for channel in card.observed if _matches(pattern, channel)]
    if not names:
        raise fail(place, f"no channel fits {pattern!r}", f"the channels are {listed(card.observed)}")
    for name in names:
        card.auto_stats[name] = AutoStats(threshold, bool(signal), mode, line)


def _bounds(token: str, place: str, name: str) -> tuple[float, float]:
    parts = token.strip("[]").split(",")
    if not (token.startswith("[") and token.endswith("]") and len(parts) == 2 and all(map(_is_number, parts))):
        raise fail(place, f"the range {token!r} of {name!r} is not understood", "write [LOW,HIGH] without blanks")
    low, high = map(float, parts)
    if not low < high:
        raise fail(place, f"the range {token!r} of {name!r} is empty", "give the lower end first")
    return low, high


def _is_number(token: str) -> bool:
    try:
        return abs(float(token)) <= LIMIT  # NaN fails the comparison
    except ValueError:
        return False


def _is_whole(token: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", token) is not None


def _number(token: str, place: str, what: str) -> float:
    if not _is_number(token):
        raise _not(token, place, what, "a finite number")
    return float(token)


def _whole(token: str, place: str, what: str) -> int:
    if not _is_whole(token):
        raise _not(token, place, what, "a whole number")
    return int(token)


def _not(token: str, place: str, what: str, wanted: str) -> WorkspaceError:
    return fail(place, f"{what} is {token[:40]!r}, expected {wanted}", "correct it")
