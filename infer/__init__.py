"""Statistical inference for high-energy physics: from a likelihood to ``x ± (stat) ± (syst)``.

>>> import infer
>>> likelihood, data = infer.read_workspace("workspaces/search.json")
>>> print(infer.measure(likelihood, data))
"""

from __future__ import annotations

import jax

# Likelihood differences of 1e-4 in sums of 1e5 need float64; before any array is made, hence here.
jax.config.update("jax_enable_x64", True)

from infer.api import measure, read_combination, read_workspace  # noqa: E402  # after float64 is on
from infer.blinding import Blinded, blind  # noqa: E402
from infer.certificate import Blinding  # noqa: E402
from infer.combination import Scheme, combine  # noqa: E402
from infer.comparison import Comparison, compare  # noqa: E402
from infer.data import Data  # noqa: E402
from infer.errors import (  # noqa: E402
    DataError,
    InferError,
    InputError,
    ParameterError,
    UntrustworthyError,
    WorkspaceError,
)
from infer.inference.campaigns import Run  # noqa: E402
from infer.inference.contours import Contour, contour  # noqa: E402
from infer.inference.correlations import CorrelationScan, correlation_scan  # noqa: E402
from infer.inference.coverage import Coverage, coverage  # noqa: E402
from infer.inference.derived import DerivedInterval, derived  # noqa: E402
from infer.inference.ensembles import Ensemble  # noqa: E402
from infer.inference.exclusion import CLsScan, cls  # noqa: E402
from infer.inference.experiments import PValue  # noqa: E402
from infer.inference.fits import FitResult, Settings, fit  # noqa: E402
from infer.inference.goodness import Goodness, goodness  # noqa: E402
from infer.inference.hiding import blind_data  # noqa: E402
from infer.inference.hypotheses import HypothesisTest, Significance, hypothesis_test, significance  # noqa: E402
from infer.inference.impacts import Impact, Impacts, impacts  # noqa: E402
from infer.inference.limits import Asymptotic, UpperLimit, upper_limit  # noqa: E402
from infer.inference.neyman import NeymanInterval, neyman, p_value  # noqa: E402
from infer.inference.posterior import CredibleInterval, Posterior, posterior  # noqa: E402
from infer.inference.priors import FlatPrior, LogFlatPrior, NormalPrior, Prior  # noqa: E402
from infer.inference.profiles import Interval, Scan, interval, scan  # noqa: E402
from infer.inference.toy_limits import ToyReference  # noqa: E402
from infer.inference.toys import Toys, toys  # noqa: E402
from infer.inference.yields import Yields, yields  # noqa: E402
from infer.io.histograms import from_histograms  # noqa: E402
from infer.likelihood import Correlated, Fixed, Likelihood, Product, Redeclared, Renamed  # noqa: E402
from infer.likelihoods.histfactory.model import HistFactory, Interpolation  # noqa: E402
from infer.measurement import Measurement  # noqa: E402
from infer.parameters import Parameter, Parameters  # noqa: E402
from infer.simplified.simplify import Simplified, simplify  # noqa: E402

__all__ = [
    "Asymptotic",
    "Blinded",
    "Blinding",
    "CLsScan",
    "Comparison",
    "Contour",
    "Correlated",
    "CorrelationScan",
    "Coverage",
    "CredibleInterval",
    "Data",
    "DataError",
    "DerivedInterval",
    "Ensemble",
    "FitResult",
    "Fixed",
    "FlatPrior",
    "Goodness",
    "HistFactory",
    "HypothesisTest",
    "Impact",
    "Impacts",
    "InferError",
    "InputError",
    "Interpolation",
    "Interval",
    "Likelihood",
    "LogFlatPrior",
    "Measurement",
    "NeymanInterval",
    "NormalPrior",
    "PValue",
    "Parameter",
    "ParameterError",
    "Parameters",
    "Posterior",
    "Prior",
    "Product",
    "Redeclared",
    "Renamed",
    "Run",
    "Scan",
    "Scheme",
    "Settings",
    "Significance",
    "Simplified",
    "ToyReference",
    "Toys",
    "UntrustworthyError",
    "UpperLimit",
    "WorkspaceError",
    "Yields",
    "blind",
    "blind_data",
    "cls",
    "combine",
    "compare",
    "contour",
    "correlation_scan",
    "coverage",
    "derived",
    "fit",
    "from_histograms",
    "goodness",
    "hypothesis_test",
    "impacts",
    "interval",
    "measure",
    "neyman",
    "p_value",
    "posterior",
    "read_combination",
    "read_workspace",
    "scan",
    "significance",
    "simplify",
    "toys",
    "upper_limit",
    "yields",
]
