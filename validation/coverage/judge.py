"""From counts to verdicts, at a stated rate of false alarms.

Each promise is a hypothesis about a binomial probability, the coverage p, tested with exact tails:

=============  ==================================================================================
``exact``      p is the closed form; both tails
``covers``     p is the confidence level; both tails, toys without an interval counted against us in each
``at-least``   p is the confidence level or more; the lower tail, toys without an interval not covered
``known``      nothing is promised
=============  ==================================================================================

A suite of m promises fails if one of its p-values is below ``false_alarm / m`` (Bonferroni).  The probability that it
fails although every promise is kept is then at most ``false_alarm``, however the statements depend on one another;
they do, since toy i is the same fluctuation at each truth.

Feldman-Cousins intervals carry the noise of their critical values too: against a confidence level, n toys with a belt
of m toys count as n m / (n + m).  Against a closed form, which takes the belt as it is, they count as n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import betainc
from scipy.stats import norm

Verdict = Literal["kept", "broken", "known"]

_ROUNDING = 1e-9  # of coverages that are summed, not measured


@dataclass(frozen=True)
class Statement:
    """One promise, or one known deviation, with what was measured.

    Attributes:
        method: Interval method.
        cl: Confidence level.
        value: Truth of the parameter of interest.
        nuisance: Number of the nuisance truth in the suite.
        expect: See `suites.EXPECTATIONS`.
        why: Reason of the expectation.
        n: Toys; 0 where the coverage was summed.
        n_failed: Toys without an interval.
        covered: Toys whose interval contains the truth.
        n_belt: Toys behind each critical value; None where there are none.
        coverage: Share of toys whose interval contains the truth, or the sum.
        exact: Coverage by the closed form; None where there is none.
        ideal: Coverage of the ideal Feldman-Cousins construction; None where it is not known.
    """

    method: str
    cl: float
    value: float
    nuisance: int
    expect: str
    why: str
    n: int
    n_failed: int
    covered: int
    n_belt: int | None
    coverage: float
    exact: float | None = None
    ideal: float | None = None

    @property
    def p(self) -> float | None:
        """p-value of the promise; None where the coverage is summed.

        Of a known deviation it is that of "covers", for information.
        """
        if not self.n:
            return None
        if self.expect == "exact":
            probability = float(np.clip(self.exact if self.exact is not None else np.nan, 0.0, 1.0))
            return two_sided(self.covered, self.covered, self.n, probability)
        share = 1.0 if self.n_belt is None else self.n_belt / (self.n + self.n_belt)
        few, many, n = share * self.covered, share * (self.covered + self.n_failed), share * self.n
        return at_most(few, n, self.cl) if self.expect == "at-least" else two_sided(few, many, n, self.cl)

    def verdict(self, threshold: float) -> Verdict:
        """Whether the promise is kept, for p-values from the threshold on."""
        if self.expect == "known":
            return "known"
        if self.p is None:
            exact = self.exact if self.exact is not None else np.nan
            return "kept" if self.coverage >= self.cl and abs(self.coverage - exact) <= _ROUNDING else "broken"
        return "kept" if self.p >= threshold else "broken"


def at_most(k: float, n: float, p: float) -> float:
    """Probability of k successes or fewer in n trials; its continuation where these are not whole."""
    return 1.0 if k >= n else float(betainc(n - k, k + 1.0, 1.0 - p))


def at_least(k: float, n: float, p: float) -> float:
    """Probability of k successes or more."""
    return 1.0 if k <= 0.0 else float(betainc(k, n - k + 1.0, p))


def two_sided(few: float, many: float, n: float, p: float) -> float:
    """Twice the smaller tail, at most 1; ``few`` successes for the lower tail, ``many`` for the upper one."""
    return min(1.0, 2.0 * min(at_most(few, n, p), at_least(many, n, p)))


def threshold(statements: Sequence[Statement], false_alarm: float) -> float:
    """Smallest p-value of a promise that is kept."""
    promises = sum(s.expect != "known" and s.n > 0 for s in statements)
    return false_alarm / max(promises, 1)


def broken(statements: Sequence[Statement], false_alarm: float) -> list[Statement]:
    """The promises that are not kept."""
    least = threshold(statements, false_alarm)
    return [s for s in statements if s.verdict(least) == "broken"]


def resolution(n: float, p: float, least: float) -> float:
    """Deviation from a coverage p that n toys notice half of the time."""
    return float(norm.isf(0.5 * least) * np.sqrt(p * (1.0 - p) / n))
