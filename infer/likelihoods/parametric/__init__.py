"""Extended likelihoods of one observable: components, each a yield times a normalised density.

The intensity, in events per unit of the observable x, is

    r(x; theta) = sum_k N_k(theta) f_k(x; theta),     integral over the range of f_k = 1,

and both likelihoods are those of a Poisson process with this intensity:

==========  =========================  =====================================================
likelihood   main data                  log f(main | theta)
==========  =========================  =====================================================
`Unbinned`   `Events` (x_i, w_i)        sum_i w_i log r(x_i) - sum_k N_k
`Binned`     counts n_b                 sum_b n_b log nu_b - nu_b - log n_b!
==========  =========================  =====================================================

with ``nu_b`` the integral of r over bin b.  The first is the density of the process with respect to
that of unit intensity (its constant, the length of the range, is left out): there is no n!, since
events have no order, and its value depends on the unit of x.  The weight of an event is 1, that of
padding 0; Asimov events sit at quadrature nodes with the expected number of events as weight.

A shape argument or a yield is an `Argument`, affine in parameters times relative shifts, so that a
systematic uncertainty is a constrained parameter that moves an argument.

With r_i the rate at event (or in bin) i, ``u_i = w_i / r_i`` and ``v`` the arguments of a component,

    gradient of -log f = sum_k N_k' - sum_i u_i r_i',
    Hessian of -log f  = sum_k N_k'' - sum_i u_i r_i'' + sum_i u_i r_i' r_i'^T / r_i,

where derivatives of densities are taken in their few arguments, then carried to theta.

References: Barlow, NIM A 297 (1990) 496, eq. 7 (extended maximum likelihood); Cowan, Statistical
Data Analysis (1998), sections 6.9 and 6.10.
"""

from infer.likelihoods.parametric.mixture import Argument, Component
from infer.likelihoods.parametric.model import Binned, Events, Unbinned, room_for

__all__ = ["Argument", "Binned", "Component", "Events", "Unbinned", "room_for"]
