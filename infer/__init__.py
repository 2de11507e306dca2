"""Statistical inference for high-energy physics: from a likelihood to ``x ± (stat) ± (syst)``."""

from __future__ import annotations

import jax

# Likelihood differences of 1e-4 in sums of 1e5 need float64; before any array is made, hence here.
jax.config.update("jax_enable_x64", True)
