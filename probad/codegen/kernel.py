"""The compiler of kernels: restricted Python to machine code, kept on disk for later processes.

    leapfrog = compile_kernel(fn, "opaque", "opaque", "floats", "int")
    leapfrog(address, ctx, rows, dim)

What kernels may say is in `probad.codegen.kernel_types`, what happens where Python would raise in
`probad.codegen.kernel_text`. An object is found again by the bytecode of the kernel and of all it calls, with the
constants they name, so that nothing is read or parsed if it is there.
"""

from __future__ import annotations

import ctypes
import hashlib
import marshal
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

import numpy as np

from probad.codegen.kernel_text import C_FUNCTIONS, C_PREFIX, program_text
from probad.codegen.kernel_types import ATTRIBUTE, ELEMENT, Program, intrinsic
from probad.errors import ArgumentError

__all__ = ["Kernel", "Stages", "compile_in_stages", "compile_kernel", "intrinsic", "start_compiling"]

LEVEL = 1
WORTH = 0.7  # seconds that must have been lost by code in a hurry: optimisation takes as long, and one core of a run's
# Seconds that compilation waits to be asked for: two threads of Python hold each other up, and who begins it early has
# other code to compile first.
PATIENCE = 0.05
C_TYPE = {"float": ctypes.c_double, "int": ctypes.c_int64, "word": ctypes.c_uint64, "bool": ctypes.c_bool, "none": None}
DTYPE = {"floats": np.dtype(np.float64), "ints": np.dtype(np.int64), "words": np.dtype(np.uint64)}

_COMPILED: dict[tuple, Future] = {}  # all kernels of this process
_STAGES: dict[tuple, Stages] = {}  # and those that are compiled in stages
_LOCK = threading.Lock()


class Kernel:
    """Machine code of a kernel, called as the Python function is.

    Arrays are C-contiguous, of the kernel's dtypes and apart from each other, or addresses of such. The call releases
    the GIL.

    Attributes
    ----------
    name : str
    arg_types : tuple of str
    returns : str
    address : int
        A C function: addresses and integers are ``int64_t``, arrays pointers.
    """

    def __init__(self, name: str, arg_types: tuple[str, ...], native):
        (entry,) = (f for f in native.functions if f.startswith("entry."))
        self.name, self.arg_types, self.returns = name, arg_types, entry.removeprefix("entry.")
        self.address = native.address(entry)
        self._native = native
        kinds = [C_TYPE.get(kind, ctypes.c_void_p) for kind in arg_types]
        self._call = ctypes.CFUNCTYPE(C_TYPE[self.returns], *kinds)(self.address)

    def __call__(self, *args):
        """Run with numbers and arrays, or for arrays their addresses."""
        if len(args) != len(self.arg_types):
            raise ArgumentError(f"Kernel {self.name} takes {len(self.arg_types)} arguments; got {len(args)}.")
        return self._call(
            *(_address(kind, x) if kind in ELEMENT else x for kind, x in zip(self.arg_types, args, strict=True))
        )

    def __repr__(self) -> str:
        return f"<compiled kernel {self.name}({', '.join(self.arg_types)}) -> {self.returns}>"


def _address(kind: str, array) -> int:
    """Where the elements of an array are; an address stays as it is."""
    if isinstance(array, int):
        return array
    fits = isinstance(array, np.ndarray) and array.dtype == DTYPE[kind] and array.flags.c_contiguous
    if not (fits and array.flags.writeable):
        given = f"{array.dtype} array" if isinstance(array, np.ndarray) else type(array).__name__
        raise ArgumentError(f"A kernel takes a C-contiguous, writeable array of {DTYPE[kind]} here; got a {given}.")
    return array.ctypes.data


def compile_kernel(
    fn: Callable, *arg_types: str, cache: bool = True, fixed: Mapping[tuple[str, int], int] | None = None
) -> Kernel:
    """Compile a kernel, or load it if some process has done so before.

    Parameters
    ----------
    fn : function
        Restricted Python.
    *arg_types : str
        One of `probad.codegen.kernel_types.TYPES` for each argument.
    cache : bool
        Whether to use the cache on disk.
    fixed : dict of (str, int) to int, optional
        Elements of arrays that have one value whenever the kernel runs, by the name of the array, which must be the
        same in all functions that look at it, and the index: what other values need is left out.

    Returns
    -------
    Kernel
        The same for the same arguments.

    Raises
    ------
    CompileError
        For anything outside the subset, with file and line.

    Examples
    --------
    >>> from probad.mcmc.random import uniform
    >>> state = np.array([1, 2, 3, 4], np.uint64)
    >>> compile_kernel(uniform, "words")(state) == uniform([1, 2, 3, 4])
    True
    """
    wanted = _wanted(fn, arg_types, fixed)
    future, is_new = _claim(wanted, cache)
    if is_new:
        _fulfil(future, wanted, cache)
    return future.result()


def start_compiling(
    fn: Callable, *arg_types: str, cache: bool = True, fixed: Mapping[tuple[str, int], int] | None = None
) -> Future:
    """As `compile_kernel` in a thread of its own; a future of the kernel. LLVM leaves other threads free to run."""
    wanted = _wanted(fn, arg_types, fixed)
    future, is_new = _claim(wanted, cache)
    if is_new:
        threading.Thread(target=_fulfil, args=(future, wanted, cache), name=f"compile {fn.__name__}").start()
    return future


class Wanted(NamedTuple):
    """A kernel that is asked for: the arguments of `compile_kernel`, and what tells it from all others."""

    fn: Callable
    arg_types: tuple[str, ...]
    fixed: Mapping[tuple[str, int], int] | None
    identity: str

    def text(self) -> str:
        """The kernel in LLVM's language."""
        return program_text(Program(self.fn, self.arg_types, self.fixed))


class Stages:
    """A kernel of which there is quick code first, and better code when that is worth its making.

    Optimisation takes ten times as long as making code that runs at a half to a seventh of the speed, longer than a
    short run of a sampler; that of the innermost functions takes two times as long. All compute the same to the last
    bit. Fast code that is on disk already is there at once.

    Parameters
    ----------
    wanted : Wanted
    inner : tuple of function
        The functions that `optimise_inner` is about.
    inner_first : bool
        Whether the first code has them optimised, rather than nothing.

    Attributes
    ----------
    ready_at : float
        When the first code was there, by `time.perf_counter`.
    """

    def __init__(self, wanted: Wanted, inner: tuple, inner_first: bool):
        self._wanted = wanted
        self._inner_names = frozenset(f.__name__ for f in inner)
        self._quick: Future = Future()
        self._inner: Future | None = self._quick if inner_first else None
        self._fast: Future | None = None
        self._text = ""
        self._lock = threading.Lock()
        self._spent, self._asked_for = 0.0, threading.Event()
        self.ready_at = math.inf
        threading.Thread(target=self._begin, name=f"compile {wanted.fn.__name__}").start()

    def kernel(self) -> Kernel:
        """The best code there is; waits for the first.

        Raises
        ------
        CompileError
            For anything outside the subset, with file and line.
        """
        self._asked_for.set()
        for future in (self._fast, self._inner):
            if future is not None and future.done() and future.exception() is None:
                return future.result()
        return self._quick.result()

    def charge(self, seconds: float) -> None:
        """Tell how much time optimised code would have saved: when that is as much as making it takes, that begins."""
        self._spent += seconds
        if self._spent > WORTH:
            self.optimise()

    @property
    def is_used(self) -> bool:
        """Whether somebody has asked for code, and has got it."""
        return self._asked_for.is_set() and self._quick.done() and not self.failed

    @property
    def failed(self) -> bool:
        """Whether there is no code and never will be."""
        return self._quick.done() and self._quick.exception() is not None

    def optimise(self) -> Future:
        """Begin to make fast code in a thread, unless somebody has; a future of the kernel."""
        self._quick.result()
        with self._lock:
            if self._fast is None:
                self._fast = self._start("optimise", None)
        return self._fast

    def optimise_inner(self) -> Future:
        """Begin to make code whose innermost functions are fast; see `optimise`."""
        self._quick.result()
        with self._lock:
            if self._inner is None:
                self._inner = self._fast or self._start("optimise parts of", self._inner_names)
        return self._inner

    def _begin(self) -> None:
        def text() -> str:
            self._asked_for.wait(PATIENCE)
            self._text = self._wanted.text()
            return self._text

        try:
            only = () if self._inner is None else self._inner_names
            kernel = _compile(self._wanted, text=text, only=only)
            if not self._text:
                self._fast = Future()
                self._fast.set_result(kernel)
            self.ready_at = time.perf_counter()
            self._quick.set_result(kernel)
        except BaseException as error:  # whoever waits for the future must hear of it
            self._quick.set_exception(error)

    def _start(self, what: str, only: frozenset[str] | None) -> Future:
        future: Future = Future()

        def work() -> None:
            try:
                future.set_result(_compile(self._wanted, text=self._text, only=only))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, name=f"{what} {self._wanted.fn.__name__}").start()
        return future


def compile_in_stages(
    fn: Callable,
    *arg_types: str,
    fixed: Mapping[tuple[str, int], int] | None = None,
    inner: tuple = (),
    inner_first: bool = False,
) -> Stages:
    """As `compile_kernel` in threads: first code that is made quickly, and fast code later; see `Stages`.

    Which the first code is, `inner_first` says to whoever asks first.
    """
    wanted = _wanted(fn, arg_types, fixed)
    key = (wanted.identity, *inner)
    with _LOCK:
        if (found := _STAGES.get(key)) is None or found.failed:
            found = _STAGES[key] = Stages(wanted, inner, inner_first)
        return found


def _wanted(fn: Callable, arg_types: tuple[str, ...], fixed: Mapping[tuple[str, int], int] | None) -> Wanted:
    return Wanted(fn, arg_types, fixed, _identity(fn, arg_types, fixed))


def _claim(wanted: Wanted, cache: bool) -> tuple[Future, bool]:
    """The future of a kernel, and whether the caller is the one to fulfil it."""
    key = (wanted.identity, cache)
    with _LOCK:
        future = _COMPILED.get(key)
        if future is not None and not (future.done() and future.exception() is not None):
            return future, False
        _COMPILED[key] = future = Future()
        return future, True


def _fulfil(future: Future, wanted: Wanted, cache: bool) -> None:
    try:
        future.set_result(_compile(wanted, cache=cache))
    except BaseException as error:  # whoever waits for the future must hear of it
        future.set_exception(error)


def _compile(wanted: Wanted, *, cache: bool = True, text=None, only=None) -> Kernel:
    from probad.codegen import llvm  # imports llvmlite, which runs that compile nothing do not need

    symbols = {f"{C_PREFIX}{name}": address for name in C_FUNCTIONS if (address := llvm.c_address(name))}
    native = llvm.compile_module(
        text or wanted.text,
        level=LEVEL,
        symbols=symbols,
        cache=cache,
        key=wanted.identity,
        pack=True,
        unroll=False,
        only=only,
    )
    return Kernel(wanted.fn.__name__, wanted.arg_types, native)


def _identity(fn: Callable, arg_types: tuple[str, ...], fixed: Mapping[tuple[str, int], int] | None) -> str:
    """What tells a kernel from all others: the bytecode that is reached, the constants it names, this compiler."""
    settings = (sys.implementation.cache_tag, os.environ.get("PROBAD_CPU"), _compiler(), arg_types)
    parts = (settings, tuple(sorted((fixed or {}).items())), *_reached(fn, {}))
    # the first format of marshal: the same bytes in each process, whatever refers to a constant or has interned it
    return hashlib.sha256(marshal.dumps(parts, 0)).hexdigest()


def _reached(fn: Callable, seen: dict) -> Iterator[tuple | str | None]:
    """The code of a function and of all it calls, with the constants of modules that they name and their types.

    What a name means in a module is told where the first function names it; `seen` numbers functions, modules and
    names in them in the order in which they come up.
    """
    if not isinstance(fn, FunctionType) or fn in seen:
        yield getattr(fn, "__name__", None)
        return
    seen[fn] = len(seen)
    code, known = fn.__code__, fn.__globals__
    module = seen.setdefault(id(known), len(seen))
    names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars)
    constants = code.co_consts
    if fn.__doc__ is not None and constants[0] == fn.__doc__:  # kernels have no strings: their documentation is free
        constants = (None, *constants[1:])
    yield module, code.co_code, constants, code.co_argcount, names
    for name in code.co_names:
        if (module, name) in seen:
            continue
        seen[module, name] = len(seen)
        value = known.get(name)
        if type(value) in (int, float):
            yield name, value
        elif (twin := getattr(value, ATTRIBUTE, None)) is not None:
            yield name, (twin.arguments, twin.returns, twin.body, twin.declares)
        elif isinstance(value, FunctionType):
            yield from _reached(value, seen)
        elif isinstance(value, int | float):
            yield name, type(value).__name__, repr(value)
        else:
            yield name, getattr(value, "__name__", None)


@lru_cache(maxsize=1)
def _compiler() -> str:
    """Hash of the compiler's own source."""
    files = [Path(__file__).with_name(f"kernel{part}.py") for part in ("", "_text", "_types")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.exists())).hexdigest()
