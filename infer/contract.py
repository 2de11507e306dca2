"""The contract: what inference may ask of a likelihood, whatever it is made of.

A likelihood is a family of probability distributions of *data* = (main data, auxiliary data),
indexed by a vector ``theta`` that follows the order of ``parameters``::

    log f(data | theta) = log f(main | theta) + sum of log constraint terms

A concrete class implements three unbatched pure functions — ``log_main``, ``expected_main`` and
``sample_main`` — and may override ``curvature_main`` with a closed form.  All else is written here,
once; the constraint terms never pass through a concrete class, so that they are counted once
however likelihoods are combined.

==========================  ===================================================================
inference                    needs
==========================  ===================================================================
fit, interval, scan          ``log_main``
error budget                 ``log_main``, ``expected_main``
toys, bootstrap              ``sample_main``
goodness of fit              ``log_saturated`` (counts, measurements), ``cells`` (counts, events)
yields                       ``counts`` (counts, events)
==========================  ===================================================================

Shapes of ``theta`` and of the auxiliary data are checked whenever a likelihood is evaluated (at
trace time, free of cost); what needs the numbers themselves is checked by `check_data`, once.
"""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from infer.certificate import Blinding
from infer.constraints import ConstraintTerms, Curvature
from infer.data import Cells, Counts, Data, check_aux, check_aux_shape, check_leaves
from infer.errors import ParameterError
from infer.parameters import Parameters
from infer.typing import AuxVector, Key, MainData, Matrix, Scalar, Vector


class Likelihood(eqx.Module):
    """Abstract likelihood; concrete classes are final.

    ``theta`` always has shape (P,), with P = ``len(parameters)``, fixed parameters included.
    """

    parameters: eqx.AbstractVar[Parameters]
    constraints: eqx.AbstractVar[ConstraintTerms]

    @abstractmethod
    def log_main(self, theta: Vector, main: MainData) -> Scalar:
        """``log f(main | theta)``, normalisation constants included; -inf where it vanishes."""

    @abstractmethod
    def expected_main(self, theta: Vector) -> MainData:
        """Asimov main data: the noiseless data whose best fit is ``theta``."""

    @abstractmethod
    def sample_main(self, theta: Vector, key: Key) -> MainData:
        """One toy's main data."""

    def curvature_main(self, theta: Vector, main: MainData) -> Curvature:
        """Value, gradient and Hessian of ``-log_main``; by automatic differentiation here."""
        value, gradient = jax.value_and_grad(self._nll_main)(theta, main)
        return Curvature(value, gradient, jax.hessian(self._nll_main)(theta, main))

    def log_saturated(self, main: MainData) -> Scalar:  # noqa: ARG002  # for others to use
        """``log f(main)`` where every datum has an expectation of its own: the most that any model can reach.

        Raises:
            ParameterError: The data are no numbers with expectations, as events that were not binned.
        """
        raise ParameterError(
            f"a {type(self).__name__} likelihood has no saturated model, which needs an expectation for every datum; "
            "bin the events, or compare cumulative distributions (kolmogorov-smirnov, anderson-darling)."
        )

    def cells(self, theta: Vector, main: MainData) -> dict[str, Cells]:  # noqa: ARG002  # for others to use
        """Main data that have an order beside their expectation, by name; empty where none have one."""
        return {}

    def counts(self, theta: Vector, main: MainData) -> tuple[Counts, ...]:  # noqa: ARG002  # for others to use
        """Observed events beside what each sample expects, by channel; empty where nothing is counted."""
        return ()

    @property
    def blinding(self) -> Blinding | None:
        """What is hidden from whoever looks at results, None where nothing is; see `infer.blinding`."""
        return None

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences about the model that a fit's certificate repeats, e.g. on repaired input."""
        return ()

    def remarks_at(self, theta: Vector, main: MainData) -> tuple[str, ...]:  # noqa: ARG002  # for others to use
        """Sentences about one point of the model, such as a best fit; not inside jit."""
        return ()

    def check_main(self, main: MainData) -> None:
        """Refuse main data that do not fit; a class whose data may vary in shape overrides this.

        Raises:
            DataError: structure or shapes differ from those of the Asimov data, or a value is not
                finite.
        """
        expected = jax.eval_shape(self.expected_main, jnp.asarray(self.parameters.init))
        check_leaves(main, expected)

    def _nll_main(self, theta: Vector, main: MainData) -> Scalar:
        return -self.log_main(theta, main)

    def logpdf(self, theta: Vector, data: Data) -> Scalar:
        """``log f(main, aux | theta)``, each constraint term exactly once."""
        self._check_shapes(theta, data.aux)
        return self.log_main(theta, data.main) + self.constraints.logpdf(theta, data.aux)

    def curvature(self, theta: Vector, data: Data) -> Curvature:
        """Value, gradient and Hessian of ``-logpdf``."""
        self._check_shapes(theta, data.aux)
        main = self.curvature_main(theta, data.main)
        return main + self.constraints.curvature(theta, data.aux)

    def expected(self, theta: Vector) -> Data:
        """Asimov data: main and auxiliary."""
        self._check_shapes(theta)
        return Data(self.expected_main(theta), self.constraints.expected(theta))

    def sample(self, theta: Vector, key: Key) -> Data:
        """One toy: main and auxiliary data both fluctuate."""
        self._check_shapes(theta)
        main_key, aux_key = jax.random.split(key)
        return Data(self.sample_main(theta, main_key), self.constraints.sample(theta, aux_key))

    @property
    def simulated_parameters(self) -> tuple[str, ...]:
        """Parameters whose auxiliary data are the simulated samples themselves; see `resimulated`."""
        return ()

    def resimulated(self, key: Key, scale: Scalar) -> Likelihood:  # noqa: ARG002  # for others to use
        """The same model from other simulated samples, ``scale`` times as large: its templates fluctuate.

        Args:
            key: Random key of the samples.
            scale: Their size in units of those that the model was made of.

        Raises:
            ParameterError: The likelihood is not made of simulated samples, or does not know their size.
        """
        raise ParameterError(
            f"a {type(self).__name__} likelihood has no simulated templates that could fluctuate; "
            "leave out the finite-MC mode."
        )

    def information_main(self, theta: Vector) -> Matrix:
        """Expected (Fisher) information of the main data: the variance of their score.

        Equals the Hessian of ``-log_main`` averaged over data; for data in which ``log_main`` is
        linear (counts, weighted events) or quadratic (Gaussian), the average is the value at the
        Asimov data.
        """
        self._check_shapes(theta)
        return self.curvature_main(theta, self.expected_main(theta)).hessian

    def _check_shapes(self, theta: Vector, aux: AuxVector | None = None) -> None:
        """Refuse vectors of another length, which a gather would clamp in silence."""
        if np.shape(theta) != (len(self.parameters),):
            raise ParameterError(
                f"expected a parameter vector with shape ({len(self.parameters)},), "
                f"got {np.shape(theta)}; `parameters.vector` makes one from names."
            )
        if aux is not None:
            check_aux_shape(self.parameters, aux)


def check_data(likelihood: Likelihood, data: Data) -> None:
    """Refuse data that do not fit a likelihood; not inside jit, since it looks at the numbers.

    Raises:
        DataError: auxiliary data have the wrong length or lie outside the support of their
            constraint, main data have another structure or shape than the likelihood's own, or any
            value is not finite.
    """
    check_aux(likelihood.parameters, data.aux)
    likelihood.check_main(data.main)


def constraint_terms(parameters: Parameters) -> ConstraintTerms:
    """The constraint terms that parameters declare, as arrays: what a concrete class stores."""
    return ConstraintTerms.build(parameters.names, [p.constraint for p in parameters.values()])
