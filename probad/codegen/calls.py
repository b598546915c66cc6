"""Calls of functions of libraries, element by element: of the C library, or of SciPy."""

from __future__ import annotations

from collections.abc import Sequence

from probad.codegen import pointers
from probad.codegen.llvm import c_address
from probad.codegen.text import LANES, Value
from probad.errors import CompileError

# Functions of the C library, by the names of primitives; sin, cos and tan of large arguments only.
LIBM = {"sin": "sin", "cos": "cos", "tan": "tan"}
SPECIAL = "scipy_"  # begins the symbols of SciPy's functions; then come the operation and its number of arguments


def is_in_a_library(op: str, n_arguments: int) -> bool:
    """Whether a library has an elementwise operation as a function of doubles."""
    return (op in LIBM and c_address(LIBM[op]) != 0) or pointers.special(op, n_arguments) is not None


def call_by_element(op: str, values: Sequence[Value]) -> Value:
    """Call the library's function of an operation, once for each lane.

    Raises
    ------
    CompileError
        If no library has it.
    """
    fn, name, flag = values[0].fn, LIBM.get(op), False
    if name is not None and c_address(name):
        fn.module.symbols[name] = c_address(name)
    else:
        found = pointers.special(op, len(values))
        if found is None:
            raise CompileError(f"{op} has no native code that a loop could use.")
        name = f"{SPECIAL}{op}_{len(values)}"
        fn.module.symbols[name], flag = found
    types = ["double"] * len(values) + ["i32"] * flag
    fn.module.declare(f"declare double @{name}({', '.join(types)})")
    last = [fn.status(0)] if flag else []
    if values[0].lanes == 1:
        return fn.call(name, "double", [*values, *last])
    return fn.vector([fn.call(name, "double", [*(v.lane(j) for v in values), *last]) for j in range(LANES)])


def address_of(symbol: str) -> int:
    """Address of what a program takes from a library, by the name that it has in the program.

    Raises
    ------
    CompileError
        If no library has it.
    """
    if symbol.startswith(SPECIAL):
        op, _, n_arguments = symbol.removeprefix(SPECIAL).rpartition("_")
        found = pointers.special(op, int(n_arguments)) if n_arguments.isdecimal() else None
        if found is None:
            raise CompileError(f"There is no function {symbol} in SciPy.")
        return found[0]
    return c_address(symbol) if symbol in LIBM.values() else pointers.library(symbol)
