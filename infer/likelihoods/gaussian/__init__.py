r"""Published measurements as a likelihood: Gaussian, with a nuisance parameter per source.

A paper quotes ``y_i ± stat_i ± syst_i``, the last often split into sources.  As a likelihood, the n
measurements with shape (n,) are the main data, and each source s moves them by its shifts
``Gamma_is``, the systematic uncertainties with their signs, times a standard normal nuisance:

.. math::
    y \sim \mathrm{N}(D x + \Gamma \alpha,\; C_\mathrm{stat}), \qquad 0 \sim \mathrm{N}(\alpha, R),

with the observables ``x``, the design ``D`` that says which of them each measurement measures, and
the correlations ``R`` within a source.  Profiling the nuisances is the same as adding the
covariances: the best fit is the best linear unbiased estimate (`infer.numerics.blue`) for
``C_stat + Gamma R Gamma^T`` (proof: both minimise the same quadratic form, Woodbury).  What the
likelihood adds is that a nuisance has a name, so that other likelihoods can share it (`Product`),
and that it has an auxiliary datum, so that the error budget finds its source.

A source becomes as few parameters as its correlation allows:

==========================  =====================================================================
correlation                  nuisance parameters
==========================  =====================================================================
1 (or -1)                    one for all measurements, called like the source
0                            ``source[measurement]`` for each, all in the group of the source
between, or a matrix         the same, with a multivariate normal constraint on those correlated;
                             measurements with correlation ±1 still share one parameter
==========================  =====================================================================

References: Lyons, Gibaut and Clifford, NIM A270 (1988) 110; Valassi, NIM A500 (2003) 391.
"""

from __future__ import annotations

from infer.likelihoods.gaussian.declare import Measured, Source, combine_measurements
from infer.likelihoods.gaussian.model import GaussianMeasurements

__all__ = ["GaussianMeasurements", "Measured", "Source", "combine_measurements"]
