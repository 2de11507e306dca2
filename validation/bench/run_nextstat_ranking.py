"""Rank nuisance parameters with NextStat, in its own environment: ``python -m validation.bench.run_nextstat_ranking``.

NextStat is licensed under the AGPL. It is an opponent in a process of its own, and nothing else here.
"""

from typing import Any

import nextstat

from validation.bench.run_nextstat import load
from validation.bench.runner import Answer, report


def rank(model: Any) -> Answer:
    """Impacts of the constrained parameters on both sides; NextStat says nothing of convergence here."""
    numbers = {}
    for entry in nextstat.ranking(model):
        numbers[f"{entry['name']} down"] = float(entry["delta_mu_down"])
        numbers[f"{entry['name']} up"] = float(entry["delta_mu_up"])
    return Answer(numbers, converged=True)


if __name__ == "__main__":
    report("NextStat", nextstat.__version__, load, rank)
