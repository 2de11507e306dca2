"""The exceptions of infer, in one tree.

::

    InferError
    ├── InputError               what the user brought cannot be used            (exit code 2)
    │   ├── WorkspaceError       a workspace document breaks its format
    │   ├── ParameterError       an unknown name, conflicting declarations, a bad start value or bound
    │   └── DataError            data do not fit the likelihood
    ├── UntrustworthyError       a number exists but no certificate vouches for it (exit code 1)
    └── ComputeError             the machinery failed, not the input             (exit code 1)
        └── Interrupted          the user stopped the run with Ctrl-C

Every message says what was expected, what came instead, and what to do about it.
"""

from __future__ import annotations


class InferError(Exception):
    """Root of everything that infer raises on purpose."""


class InputError(InferError):
    """The input cannot be used; the message names the place and the remedy."""


class WorkspaceError(InputError):
    """A workspace, patchset or measurement document breaks its format."""


class ParameterError(InputError):
    """A parameter name is unknown, declared in conflicting ways, or given an impossible value."""


class DataError(InputError):
    """Data have the wrong structure, length or range for the likelihood they are used with."""


class UntrustworthyError(InferError):
    """A fit did not earn its certificate, and the caller asked for an exception instead of a status."""


class ComputeError(InferError):
    """The machinery failed, not the input: killed workers, a lost cluster, a full disk, a bug in the work."""


class Interrupted(ComputeError):  # noqa: N818  # nothing is wrong: the user wished it so
    """Ctrl-C stopped a run of many chunks; the message says what of it is safe, and how to go on."""
