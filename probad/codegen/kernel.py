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
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType

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
    future, is_new = _claim(fn, arg_types, cache, fixed)
    if is_new:
        _fulfil(future, fn, arg_types, cache, fixed)
    return future.result()


def start_compiling(
    fn: Callable, *arg_types: str, cache: bool = True, fixed: Mapping[tuple[str, int], int] | None = None
) -> Future:
    """As `compile_kernel` in a thread of its own; a future of the kernel. LLVM leaves other threads free to run."""
    future, is_new = _claim(fn, arg_types, cache, fixed)
    if is_new:
        work = (future, fn, arg_types, cache, fixed)
        threading.Thread(target=_fulfil, args=work, name=f"compile {fn.__name__}").start()
    return future


class Stages:
    """A kernel of which there is quick code first, and better code when that is worth its making.

    Optimisation takes ten times as long as making code that runs at a half to a seventh of the speed, longer than a
    short run of a sampler; that of the innermost functions takes two times as long. All compute the same to the last
    bit. Fast code that is on disk already is there at once.

    Parameters
    ----------
    fn, arg_types, fixed
        As for `compile_kernel`.
    inner : tuple of function
        The functions that `optimise_inner` is about.
    inner_first : bool
        Whether the first code has them optimised, rather than nothing.

    Attributes
    ----------
    ready_at : float
        When the first code was there, by `time.perf_counter`.
    """

    def __init__(
        self,
        fn: Callable,
        arg_types: tuple[str, ...],
        fixed: Mapping[tuple[str, int], int] | None,
        inner: tuple,
        inner_first: bool,
    ):
        self._what = (fn, arg_types, fixed)
        self._inner_names = frozenset(f.__name__ for f in inner)
        self._quick: Future = Future()
        self._inner: Future | None = self._quick if inner_first else None
        self._fast: Future | None = None
        self._text = ""
        self._lock = threading.Lock()
        self._spent, self._asked_for = 0.0, threading.Event()
        self.ready_at = math.inf
        threading.Thread(target=self._begin, name=f"compile {fn.__name__}").start()

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
            self._text = _text(*self._what)
            return self._text

        try:
            only = () if self._inner is None else self._inner_names
            kernel = _compile(*self._what, text=text, only=only)
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
                future.set_result(_compile(*self._what, text=self._text, only=only))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, name=f"{what} {self._what[0].__name__}").start()
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
    key = (_identity(fn, arg_types, fixed), *inner)
    with _LOCK:
        if (found := _STAGES.get(key)) is None or found.failed:
            found = _STAGES[key] = Stages(fn, arg_types, fixed, inner, inner_first)
        return found


def _claim(fn: Callable, arg_types: tuple[str, ...], cache: bool, fixed) -> tuple[Future, bool]:
    """The future of a kernel, and whether the caller is the one to fulfil it."""
    key = (_identity(fn, arg_types, fixed), cache)
    with _LOCK:
        future = _COMPILED.get(key)
        if future is not None and not (future.done() and future.exception() is not None):
            return future, False
        _COMPILED[key] = future = Future()
        return future, True


def _fulfil(future: Future, fn: Callable, arg_types: tuple[str, ...], cache: bool, fixed) -> None:
    try:
        future.set_result(_compile(fn, arg_types, fixed, cache=cache))
    except BaseException as error:  # whoever waits for the future must hear of it
        future.set_exception(error)


def _compile(fn: Callable, arg_types: tuple[str, ...], fixed, *, cache: bool = True, text=None, only=None) -> Kernel:
    from probad.codegen import llvm  # imports llvmlite, which runs that compile nothing do not need

    symbols = {f"{C_PREFIX}{name}": address for name in C_FUNCTIONS if (address := llvm.c_address(name))}
    native = llvm.compile_module(
        text or (lambda: _text(fn, arg_types, fixed)),
        level=LEVEL,
        symbols=symbols,
        cache=cache,
        key=_identity(fn, arg_types, fixed),
        pack=True,
        unroll=False,
        only=only,
    )
    return Kernel(fn.__name__, arg_types, native)


def _text(fn: Callable, arg_types: tuple[str, ...], fixed) -> str:
    return program_text(Program(fn, arg_types, fixed))


def _identity(fn: Callable, arg_types: tuple[str, ...], fixed: Mapping[tuple[str, int], int] | None) -> str:
    """What tells a kernel from all others: the bytecode that is reached, the constants it names, this compiler."""
    settings = (sys.implementation.cache_tag, os.environ.get("PROBAD_CPU"), _compiler(), arg_types)
    return _checksum((*settings, *sorted((fixed or {}).items()), *_reached(fn, set())))


@lru_cache(maxsize=64)
def _checksum(parts: tuple) -> str:
    """A hash of constants and code that is the same in each process."""
    return hashlib.sha256(repr([_spelt(part) for part in parts]).encode()).hexdigest()


def _spelt(part):
    if not isinstance(part, CodeType):
        return part
    names = (part.co_name, part.co_names, part.co_varnames, part.co_freevars)
    return part.co_code, part.co_consts, part.co_argcount, names


def _reached(fn: Callable, seen: set) -> Iterator[CodeType | tuple | str | None]:
    """The code of a function and of all it calls, with the constants of modules that they name and their types."""
    if not isinstance(fn, FunctionType) or fn in seen:
        yield getattr(fn, "__name__", None)
        return
    seen.add(fn)
    yield fn.__code__
    for name in fn.__code__.co_names:
        value = fn.__globals__.get(name)
        if (twin := getattr(value, ATTRIBUTE, None)) is not None:
            yield name, twin
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
