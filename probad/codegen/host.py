"""Operations without native code: the program calls back, and Python carries them out on the program's own memory."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from probad.codegen.dispatch import FATAL, NOT_FINITE, OK
from probad.codegen.places import DATA, RESULT, Place
from probad.ir.capture import implementation

SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p)


@dataclass(frozen=True)
class HostCall:
    """One operation that Python carries out.

    Attributes
    ----------
    op : str
    params : dict
    args : list of (Place, int, str)
        Where each operand is, where its buffer begins, and its NumPy kind: numbers in memory are all doubles.
    out : (Place, int)
        Where the result goes.
    """

    op: str
    params: dict
    args: tuple
    out: tuple

    def run(self, work: np.ndarray, data: np.ndarray, result: np.ndarray) -> int:
        """Compute the result; returns a status."""
        values = [_typed(view(place, start, work, data, result), kind) for place, start, kind in self.args]
        impl, params = implementation(self.op, self.params)
        with np.errstate(all="ignore"):
            try:
                y = impl(*values, **params)
            except np.linalg.LinAlgError:
                return NOT_FINITE
        place, start = self.out
        view(place, start, work, data, result)[...] = y
        return OK


def view(place: Place, start: int, work: np.ndarray, data: np.ndarray, result: np.ndarray) -> np.ndarray:
    """An array on the memory of a program."""
    base = {DATA: data, RESULT: result}.get(place.buffer.kind, work)
    first = start + place.offset
    strides = [s * base.itemsize for s in place.strides]
    return np.lib.stride_tricks.as_strided(base[first:], place.shape, strides)


def _typed(array: np.ndarray, kind: str):
    array = array[()] if array.shape else array.copy()[()]
    if kind == "b":
        return array != 0
    return array.astype(np.int64) if kind == "i" else array


def callback(calls: list[HostCall], work: np.ndarray, data: np.ndarray, n_result: int, failed: list):
    """The function that a program calls, for one context; an exception is put into `failed`."""

    def run(number: int, result: int) -> int:
        try:
            memory = np.ctypeslib.as_array(ctypes.cast(result, ctypes.POINTER(ctypes.c_double)), (max(n_result, 1),))
            return calls[number].run(work, data, memory)
        except BaseException as error:
            failed.append(error)
            return FATAL

    return SIGNATURE(run)
