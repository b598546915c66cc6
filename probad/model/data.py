"""Take a copy of a model's arguments that nobody can change later, in the types that models compute with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from probad.ad import is_traced
from probad.errors import DataError


def own(value: Any, name: str) -> Any:
    """Copy one argument of a model.

    Numeric arrays, and lists of numbers, become read-only arrays of float64, int64 or bool; pandas series and other
    array-likes too. Tuples, dicts, dataclasses and other lists are rebuilt with their parts copied. Data frames are
    copied; all else is left as it is.

    Parameters
    ----------
    value : object
    name : str
        Of the argument, for messages.

    Returns
    -------
    object

    Raises
    ------
    DataError
        If numbers are complex or too large for int64, or the argument is an iterator.
    """
    if value is None or isinstance(value, str | bool | int | float) or is_traced(value):
        return value
    if isinstance(value, np.ma.MaskedArray):
        return own(value.astype(float).filled(np.nan), name)  # as missing data, which its site will refuse or impute
    if isinstance(value, np.ndarray | np.generic):
        return _own_array(np.asarray(value), name)
    if isinstance(value, list):
        return _own_list(value, name)
    if isinstance(value, tuple):
        parts = [own(v, f"{name}[{i}]") for i, v in enumerate(value)]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if type(value) is dict:
        return {k: own(v, f"{name}[{k!r}]") for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: own(getattr(value, f.name), f"{name}.{f.name}") for f in dataclasses.fields(value) if f.init}
        return dataclasses.replace(value, **parts)
    if isinstance(value, Iterator):
        raise DataError(f"Argument '{name}' is an iterator, which can be read only once. Pass list({name}).")
    if hasattr(value, "columns") and hasattr(value, "copy"):
        return value.copy()
    if hasattr(value, "__array__"):
        return _own_array(np.asarray(value), name)
    return value


def _own_list(value: list, name: str):
    if not any(is_traced(v) for v in value):
        try:
            array = np.asarray(value)
        except ValueError:  # ragged
            array = None
        if array is not None and array.dtype.kind == "O" and all(v is None or _is_number(v) for v in array.ravel()):
            array = array.astype(float)  # None as NaN
        if array is not None and array.dtype.kind in "buifc":
            return _own_array(array, name)
    return [own(v, f"{name}[{i}]") for i, v in enumerate(value)]


def _is_number(x) -> bool:
    return isinstance(x, int | float | np.number)


def _own_array(array: np.ndarray, name: str):
    kind = array.dtype.kind
    if kind == "c":
        raise DataError(
            f"Argument '{name}' is complex; models compute with real numbers. Pass real and imaginary parts."
        )
    if kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise DataError(f"Argument '{name}' holds {array.max()}, too large for int64. Pass it as float64.")
    if kind == "O" and all(v is None or _is_number(v) for v in array.ravel()):
        kind = "f"
    dtype = {"f": np.float64, "i": np.int64, "u": np.int64}.get(kind, array.dtype)
    array = np.array(array, dtype=dtype)
    if array.ndim == 0 and kind in "buif":
        return array[()]
    array.flags.writeable = False
    return array
