"""Options that blind a result, and what commands may be asked for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

import infer
from infer.certificate import Blinding
from infer.data import Data
from infer.errors import ParameterError

BLINDING = (
    click.option("--blind-offset", metavar="PHRASE", help="Shift parameters by secret offsets, made from a phrase."),
    click.option(
        "--blind-width",
        "blind_widths",
        metavar="[NAME=]WIDTH",
        multiple=True,
        help="Largest secret offset, of the parameter of interest unless named; repeatable.",
    ),
    click.option("--blind-data", is_flag=True, help="Use expected data in the place of the observed ones."),
    click.option(
        "--blind-value",
        "blind_values",
        metavar="NAME=VALUE",
        multiple=True,
        help="Where to expect them, if not at the declared start value; repeatable.",
    ),
    click.option(
        "--blind-channel",
        "blind_channels",
        metavar="NAME",
        multiple=True,
        help="Hide these channels only, and expect what a fit to the others says; repeatable.",
    ),
)

SHIFTED = frozenset({"fit", "measure", "scan", "contour", "impacts", "toys", "coverage", "gof"})
"""Commands that show nothing that depends on a secret offset, except through the offset itself."""

EXPECTED = SHIFTED | frozenset(
    {"inspect", "derived", "yields", "limit", "cls", "significance", "test", "neyman", "pvalue", "posterior", "report"}
)
"""Commands that look at data through the likelihood alone, so that hidden data stay hidden."""

_META = "infer.blinding"


@dataclass(frozen=True)
class Blindfold:
    """What the options say.

    Attributes:
        phrase: Of secret offsets; None for none.
        widths: Their widths.
        data: Whether data are hidden.
        values: Where data are expected.
        channels: Where data are hidden; none for everywhere.
    """

    phrase: str | None
    widths: Sequence[str]
    data: bool
    values: Sequence[str]
    channels: Sequence[str]

    def __post_init__(self) -> None:
        if self.phrase is not None and self.data:
            raise ParameterError("--blind-offset and --blind-data exclude each other; give one of them.")
        if (self.phrase is None) != (not self.widths):
            raise ParameterError(
                "--blind-offset PHRASE and --blind-width WIDTH go together; choose a width of some times the expected "
                "uncertainty, which --blind-data shows."
            )
        if (self.values or self.channels) and not self.data:
            raise ParameterError(f"{'--blind-value' if self.values else '--blind-channel'} belongs to --blind-data.")

    def put_on(
        self, likelihood: infer.Likelihood, data: Data, settings: infer.Settings, poi: str | None
    ) -> tuple[infer.Likelihood, Data]:
        """The likelihood and the data that a command gets to see, and a note of it for those who print and write.

        Args:
            likelihood: That of the file.
            data: Those of the file.
            settings: Start values, bounds and fixed parameters, which must not be about shifted parameters.
            poi: Parameter of interest, if an option names it.

        Raises:
            ParameterError: The command would show what is to be hidden, or an option is impossible.
        """
        if self.phrase is None and not self.data:
            return likelihood, data
        context = click.get_current_context()
        _require_discreet(str(context.info_name), "--blind-data" if self.data else "--blind-offset", self.data)
        if self.data:
            values = dict(_named_number("--blind-value", text, None) for text in self.values)
            likelihood, data = infer.blind_data(
                likelihood, data, values=values, channels=self.channels or None, settings=settings
            )
        else:
            name = poi or likelihood.parameters.poi
            widths = dict(_named_number("--blind-width", text, name) for text in self.widths)
            likelihood = infer.blind(likelihood, phrase=self.phrase or "", widths=widths)
            for setting in ("start", "bounds", "fixed"):
                _require_untouched(widths, getattr(settings, setting), setting)
        context.meta[_META] = likelihood.blinding
        return likelihood, data


def blinding() -> Blinding | None:
    """What the command that is running hides."""
    context = click.get_current_context(silent=True)
    found = context.meta[_META] if context is not None and _META in context.meta else None
    return found if isinstance(found, Blinding) else None


def _require_discreet(command: str, option: str, hides_data: bool) -> None:
    allowed = EXPECTED if hides_data else SHIFTED
    if command not in allowed:
        instead = "; --blind-data shows the expected result" if command in EXPECTED else ""
        raise ParameterError(
            f"{option} does not go with infer {command}, which could show what is to be hidden{instead}; it goes with "
            f"{', '.join(sorted(allowed))}."
        )


def _require_untouched(widths: dict[str, float], settings: dict[str, object], setting: str) -> None:
    for name in widths:
        if name in settings:
            raise ParameterError(
                f"{name!r} is blinded: its {setting} would be in terms of the shifted parameter, and not what it says; "
                "leave it out."
            )


def _named_number(option: str, text: str, name: str | None) -> tuple[str, float]:
    """``NAME=NUMBER``, or a number alone if the name is known."""
    before, equals, after = text.rpartition("=")
    known = before if equals else name
    if not known:
        raise ParameterError(f"{option} must look like NAME=NUMBER, got {text!r}.")
    try:
        return known, float(after)
    except ValueError:
        raise ParameterError(f"{option} needs a number, got {after!r}.") from None
