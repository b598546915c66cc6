"""Addresses of compiled functions in libraries that are installed anyway: SciPy's special functions, BLAS and LAPACK.

They are found through the tables of pointers that SciPy keeps for Cython, which name each with its C signature.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache

from probad.errors import CompileError

_FUSED = re.compile(r"__pyx_fuse_\d+")
_SKIP = "int __pyx_skip_dispatch"


def _pointer(capsule) -> tuple[int, str]:
    """The address in a capsule, and its name, the C signature."""
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    name = api.PyCapsule_GetName(capsule)
    return api.PyCapsule_GetPointer(capsule, name), name.decode()


@cache
def _special() -> dict[tuple[str, int], tuple[int, bool]]:
    """For each function of doubles alone, by name and number of arguments: its address, and whether it takes a flag."""
    from scipy.special import cython_special

    table = cython_special.__pyx_capi__
    found = {}
    for name, capsule in table.items():
        address, signature = _pointer(capsule)
        returns, _, arguments = signature.partition(" (")
        kinds = arguments.rstrip(")").split(", ")
        flag = kinds[-1] == _SKIP
        kinds = kinds[:-1] if flag else kinds
        if returns == "double" and set(kinds) == {"double"}:
            found[_FUSED.sub("", name), len(kinds)] = (address, flag)
    return found


def special(name: str, n_arguments: int) -> tuple[int, bool] | None:
    """Address of a function of SciPy's, and whether its last argument is a flag of Cython's; None if there is none."""
    return _special().get((name, n_arguments))


@cache
def library(name: str) -> int:
    """Address of a function of BLAS or LAPACK.

    Raises
    ------
    CompileError
        If SciPy has no function of that name.
    """
    from scipy.linalg import cython_blas, cython_lapack  # slow to import, and few models need them

    for module in (cython_blas, cython_lapack):
        capsule = module.__pyx_capi__.get(name)
        if capsule is not None:
            return _pointer(capsule)[0]
    raise CompileError(f"There is no function {name} in BLAS and LAPACK.")
