"""A fingerprint of values: equal for equal values, in every process.

Hashed are types by name, and what they hold by value: arrays by type, shape and bytes; dataclasses, and with
them equinox modules, field by field, static fields included (but not those left out of comparison, which are for
print); functions by name, byte code, defaults and what they close over; anything else by what it
would hand to pickle.  Neither `hash` enters, which Python salts, nor `repr`, which may be abbreviated.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import singledispatch
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from infer.errors import InputError


def fingerprint(tree: object) -> str:
    """SHA-256 of a value, as 64 hexadecimal digits.

    Args:
        tree: any tree of arrays, plain values, dataclasses, equinox modules and functions.

    Raises:
        InputError: something in it has no value that could be written down, such as an open file.
    """
    try:
        return _digest(tree).hex()
    except RecursionError:
        raise InputError("the model cannot be fingerprinted, since it contains itself.") from None


def _combine(tag: str, parts: Iterable[bytes]) -> bytes:
    """Digest of a kind of value and its parts; lengths go in, so that no two lists of parts run together."""
    digest = hashlib.sha256(tag.encode())
    for part in parts:
        digest.update(struct.pack("<q", len(part)))
        digest.update(part)
    return digest.digest()


def _name(of: Any) -> str:
    return f"{of.__module__}.{of.__qualname__}"


def _each(values: Iterable[object]) -> list[bytes]:
    return [_digest(value) for value in values]


@singledispatch
def _digest(value: object) -> bytes:
    """Dataclasses by field, anything else by what it would hand to pickle."""
    if is_dataclass(value):
        named = [(f.name, getattr(value, f.name)) for f in fields(value) if f.compare]
        return _combine(f"dataclass {_name(type(value))}", _each(named))
    try:
        reduced = value.__reduce_ex__(4)
    except TypeError as error:
        raise InputError(f"the model cannot be fingerprinted, since {_name(type(value))} has no value.") from error
    if isinstance(reduced, str):  # a global, found by its name
        return _combine(f"global {_name(type(value))}", [reduced.encode()])
    parts = [list(part) if hasattr(part, "__next__") else part for part in reduced]
    return _combine("object", _each(parts))


@_digest.register(type(None))
@_digest.register(bool)
@_digest.register(int)
@_digest.register(type(Ellipsis))
@_digest.register(complex)
@_digest.register(range)
@_digest.register(np.dtype)
def _plain(value: object) -> bytes:
    """Values whose text is complete."""
    return _combine(type(value).__name__, [str(value).encode()])


@_digest.register
def _float(value: float) -> bytes:
    return _combine("float", [struct.pack("<d", value)])


@_digest.register
def _text(value: str) -> bytes:
    return _combine("str", [value.encode("utf-8", "surrogatepass")])


@_digest.register
def _bytes(value: bytes) -> bytes:
    return _combine("bytes", [value])


@_digest.register(np.ndarray)
@_digest.register(np.generic)
@_digest.register(jax.Array)
def _array(value: Any) -> bytes:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return _combine(f"key {jax.random.key_impl(value)}", [_array(jax.random.key_data(value))])
    array = np.asarray(value)
    if array.dtype.hasobject:
        return _combine(f"objects {array.shape}", _each(array.ravel().tolist()))
    return _combine(f"array {array.dtype.str} {array.shape}", [array.tobytes()])


@_digest.register(list)
@_digest.register(tuple)
def _sequence(value: Iterable[object]) -> bytes:
    return _combine(_name(type(value)), _each(value))


@_digest.register(dict)
def _mapping(value: Mapping[object, object]) -> bytes:
    """In no particular order, as dictionaries are compared: JAX sorts those that pass through it."""
    return _combine(_name(type(value)), sorted(_each(value.items())))


@_digest.register(Set)
def _set(value: Set[object]) -> bytes:
    return _combine("set", sorted(_each(value)))


@_digest.register
def _enum(value: Enum) -> bytes:
    return _combine(f"enum {_name(type(value))}", [value.name.encode()])


@_digest.register
def _class(value: type) -> bytes:
    return _combine("class", [_name(value).encode()])


@_digest.register
def _builtin(value: BuiltinFunctionType) -> bytes:
    return _combine(f"builtin {_name(value)}", [_digest(value.__self__)])  # of its module, or of an object


@_digest.register
def _ufunc(value: np.ufunc) -> bytes:
    return _combine("ufunc", [value.__name__.encode()])


@_digest.register
def _module(value: ModuleType) -> bytes:
    return _combine("module", [value.__name__.encode()])


@_digest.register
def _function(value: FunctionType) -> bytes:
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    return _combine(
        f"function {_name(value)}", _each([value.__code__, value.__defaults__, value.__kwdefaults__, cells])
    )


@_digest.register
def _code(value: CodeType) -> bytes:
    return _combine("code", _each([value.co_code, value.co_consts, value.co_names, value.co_varnames]))
