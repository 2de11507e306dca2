"""Array types by shape: p parameters, a auxiliary data, n data."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Key = PRNGKeyArray
Scalar = Float[Array, ""]
Vector = Float[Array, " p"]
Matrix = Float[Array, "p p"]
Mask = Bool[Array, " p"]
Index = Int[Array, " p"]
AuxVector = Float[Array, " a"]
MainData = Any
"""Main data: an array or a pytree of arrays, whatever the likelihood declares."""
