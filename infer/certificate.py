"""The certificate of a fit: why its number may be believed, or why it may not.

A fit never raises because it failed: inside a batch of toys there is nobody to catch. It returns its numbers together
with a :class:`Certificate`, and whoever prints a number asks the certificate first. The record holds plain Python
numbers only, so that it survives pickling, JSON and a process boundary.

A certificate vouches for a fit (:attr:`Certificate.trustworthy`) when three things hold: the minimiser met its
convergence criterion, the Hessian over the parameters that are not at a bound is positive definite, and no second
engine, if one was asked, found a deeper minimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

VERIFY_TOLERANCE = 0.01
"""How much deeper, in twice the negative log-likelihood, a second engine may get before the fit is disbelieved.

A depth of 0.01 is a shift of a tenth of a standard deviation: sqrt(0.01) = 0.1."""


@dataclass(frozen=True)
class Blinding:
    """What is hidden from whoever looks at a result.

    Attributes:
        how: ``"offset"``: parameters are shifted by secret offsets; ``"asimov"``: the data are expected ones.
        parameters: Names with the largest offset of each, or with the values at which the data are expected.
        channels: Where the data are expected ones, for ``"asimov"``; empty for everywhere.
        phrase: The first eight hexadecimal digits of a digest of the phrase that the offsets are made from, by which
            two results with the same offset know each other; empty for ``"asimov"``.
    """

    how: str
    parameters: tuple[tuple[str, float], ...]
    phrase: str = ""
    channels: tuple[str, ...] = ()

    @property
    def secret(self) -> bool:
        """Whether parameters have secret offsets."""
        return self.how == "offset"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(name for name, _ in self.parameters)

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        if self.secret:
            return {"how": self.how, "widths": dict(self.parameters), "phrase": self.phrase}
        where = {"channels": list(self.channels)} if self.channels else {}
        return {"how": self.how, "values": dict(self.parameters), **where}

    @classmethod
    def from_json_dict(cls, document: Mapping[str, Any]) -> Blinding:
        """The record from its JSON object."""
        numbers = document["widths" if document["how"] == "offset" else "values"]
        parameters = tuple((name, float(x)) for name, x in numbers.items())
        if document["how"] == "offset":
            return cls("offset", parameters, document["phrase"])
        return cls(document["how"], parameters, channels=tuple(document.get("channels", ())))

    def __str__(self) -> str:
        """What is hidden, in half a sentence."""
        if self.secret:
            each = ", ".join(f"{name} is shifted by a secret offset of at most {w:g}" for name, w in self.parameters)
            return f"blinded: {each} (phrase {self.phrase})"
        where = ", ".join(f"{name} = {value:g}" for name, value in self.parameters) or "the start values"
        if self.channels:
            names = ", ".join(self.channels)
            return f"blinded: not the observed data of {names}, but those expected at {where} after a fit to the others"
        return f"blinded: not the observed data, but those expected at {where}"


@dataclass(frozen=True)
class Certificate:
    """The evidence for one fit.

    Attributes:
        converged: The minimiser met its own criterion (EDM and projected gradient).
        message: What happened, in one short clause without a full stop; read aloud when the fit failed.
        edm: Estimated distance to the minimum, in units of twice the negative log-likelihood.
        projected_gradient: Largest component of the gradient of twice the negative log-likelihood that does not push
            against a bound, in units of the parameters' scales.
        positive_definite: The Hessian over the parameters away from their bounds is positive definite.
        smallest_eigenvalue: Smallest eigenvalue of that Hessian; None when it was not computed.
        at_bound: Names of the parameters that the fit left at a bound.
        sandwich_ratio: Variance of the POI from the sandwich estimator over that from the inverse Hessian; close to 1
            where the model describes the data, None when it was not computed.
        verified_by: Name of the second engine that repeated the fit, such as ``"MIGRAD"``; None when none did.
        verify_difference: Twice the negative log-likelihood of this fit minus that of the second engine; positive
            means that the second engine got deeper. None when there was no second engine.
        notices: Remarks that do not cost the fit its certificate but that a reader should see, each one sentence.
        blinded: What is hidden from the reader; None where nothing is.
    """

    converged: bool
    message: str
    edm: float
    projected_gradient: float
    positive_definite: bool
    smallest_eigenvalue: float | None = None
    at_bound: tuple[str, ...] = ()
    sandwich_ratio: float | None = None
    verified_by: str | None = None
    verify_difference: float | None = None
    notices: tuple[str, ...] = ()
    blinded: Blinding | None = None

    @property
    def trustworthy(self) -> bool:
        """Whether the fit may be quoted: it converged, to a minimum, and nobody found a deeper one."""
        return not self.objections

    @property
    def objections(self) -> tuple[str, ...]:
        """Every reason not to believe the fit, each a short clause; empty for a trustworthy fit."""
        checks = (
            (not self.converged, _because("not converged", self.message)),
            (self.converged and not self.positive_definite, "the Hessian is not positive definite"),
            (self._outdone, f"{self.verified_by or 'a second engine'} found a deeper minimum"),
        )
        return tuple(objection for fails, objection in checks if fails)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What must stand on every figure: the objections, and what is hidden."""
        return self.objections if self.blinded is None else (*self.objections, str(self.blinded))

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object; numbers that are not finite become null."""
        return {
            "converged": self.converged,
            "message": self.message,
            "edm": _finite(self.edm),
            "projected_gradient": _finite(self.projected_gradient),
            "positive_definite": self.positive_definite,
            "smallest_eigenvalue": self.smallest_eigenvalue,
            "at_bound": list(self.at_bound),
            "verified_by": self.verified_by,
            "verify_difference": self.verify_difference,
            "notices": list(self.notices),
            **({} if self.blinded is None else {"blinded": self.blinded.to_json_dict()}),
        }

    @property
    def _outdone(self) -> bool:
        """Whether the second engine went deeper by more than the tolerance; NaN counts as deeper."""
        return self.verify_difference is not None and not self.verify_difference <= VERIFY_TOLERANCE


def _because(verdict: str, message: str) -> str:
    """Join a verdict and the fit's own message, or return the verdict alone if there is no message."""
    return f"{verdict}: {message}" if message else verdict


def _finite(x: float) -> float | None:
    return x if isfinite(x) else None
