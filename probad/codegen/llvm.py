"""Machine code from LLVM text: the one place where llvmlite is imported.

Text goes in, addresses come out. An object file is made once per machine and kept by `probad.codegen.cache`; it holds
no address, so that it can be used by later processes: what a module takes from outside is declared in the text and
given by name in `symbols`, or is found in the C library of the process.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

from probad.codegen import cache as objects
from probad.errors import CompileError
from probad.version import __version__

_LOCK = threading.RLock()  # llvmlite has one context for all threads
_FORMAT = 1  # of what is kept in the cache
# what LLVM may call where the processor has no instruction for it; a name that is missing would end the process
LIBRARY_CALLS = (
    "memcpy", "memmove", "memset", "floor", "ceil", "trunc", "rint", "nearbyint", "round", "roundeven", "fma", "fmod",
    "fmin", "fmax", "exp", "exp2", "log", "log2", "log10", "pow", "sin", "cos", "tan", "ldexp",
)  # fmt: skip


class Target(NamedTuple):
    """The processor that code is made for, in LLVM's words."""

    triple: str
    cpu: str
    features: str


class Native:
    """A loaded module; its code lives as long as this object.

    Attributes
    ----------
    functions : tuple of str
        Names of the functions it defines.
    """

    def __init__(self, engine, functions: tuple[str, ...]):
        self._engine = engine
        self.functions = functions
        # asked for now, which ends the loading, so that nobody has to wait for another module's passes later
        self._addresses = {name: engine.get_function_address(name) for name in functions}

    def address(self, name: str) -> int:
        """Address of a function.

        Raises
        ------
        KeyError
            If the module defines no such function.
        """
        if name not in self.functions:
            raise KeyError(f"The module has no function '{name}'. It has: {', '.join(self.functions)}.")
        return self._addresses[name]


@lru_cache(maxsize=1)
def _binding() -> ModuleType:
    """llvmlite, ready for this machine."""
    from llvmlite import binding

    if hasattr(os, "register_at_fork"):  # a child in which nobody would ever release the lock could not compile
        os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    for name in LIBRARY_CALLS:
        if not binding.address_of_symbol(name) and (address := c_address(name)):
            binding.add_symbol(name, address)
    return binding


def available() -> bool:
    """Whether native code is wanted and possible: ``PROBAD_COMPILE=0`` turns it off."""
    if os.environ.get("PROBAD_COMPILE") == "0":
        return False
    try:
        _binding()
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def target() -> Target:
    """The processor to compile for: this machine's, or the one named by the environment variable ``PROBAD_CPU``.

    ``PROBAD_CPU=x86-64`` makes code that runs on every x86-64 processor, ``PROBAD_CPU=x86-64-v3`` code with AVX2.
    """
    name = os.environ.get("PROBAD_CPU")
    return _host() if not name else Target(_host().triple, name, "")


@lru_cache(maxsize=1)
def _host() -> Target:
    llvm = _binding()
    # the name of a processor promises what a virtual machine may mask, so the features are always stated
    return Target(llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())


def compile_module(
    text: str | Callable[[], str],
    *,
    level: int = 1,
    symbols: Mapping[str, int] | None = None,
    cache: bool = True,
    key: str | None = None,
    vectorize: bool = True,
    pack: bool = False,
    unroll: bool = True,
    only: Collection[str] | None = None,
) -> Native:
    """Machine code of a module in this process.

    Parameters
    ----------
    text : str, or a function that returns it
        LLVM assembly with opaque pointers, without target lines.
    level : int
        Optimisation, 0 to 3. More than 1 rarely pays for text with explicit vectors.
    symbols : dict of str to int, optional
        Addresses of functions and data that the text declares. Functions of the C library need not be named.
    cache : bool
        Whether to look on disk for an object that is there already, and to keep a new one.
    key : str, optional
        What tells this module from all others, instead of its text, which is then made only if it is needed.
    vectorize : bool
        Whether LLVM looks for loops to vectorise.
    pack : bool
        Whether it looks for equal operations in straight-line code to make vectors of. That is slow for long code.
    unroll : bool
        Whether it repeats the bodies of loops. That makes twice the code, and pays where sums are single loops.
    only : collection of str, optional
        Names of functions: an object that is not on disk is made in a hurry, with these alone optimised, and not kept.
        Without any that takes a tenth of the time.

    Returns
    -------
    Native

    Raises
    ------
    CompileError
        If the text is not valid, or declares what cannot be found.
    """
    symbols = dict(symbols or {})
    entry = payload = None
    if cache:
        identity = (key,) if key is not None else (hashlib.sha256(_text(text).encode()).hexdigest(), "text")
        with _LOCK:
            entry = _cache_key(*identity, *target(), level, vectorize, pack, unroll, *sorted(symbols))
        payload = objects.load(entry)
    if payload is None:
        text = _text(text)  # before the lock: others can compile while it is written
    with _LOCK:
        if payload is None and only is not None:
            payload = _build(text, target(), level if only else 0, vectorize, pack, unroll, only)
        elif payload is None:
            payload = _build(text, target(), level, vectorize, pack, unroll)
            if entry is not None:
                objects.store(entry, payload)
        return _link(payload, symbols)


def assembly(text: str, *, target: Target, level: int = 1, vectorize: bool = True) -> str:
    """Assembly for a processor, which may be of another kind than this one, such as aarch64.

    Raises
    ------
    CompileError
        If the text is not valid, or this build of LLVM does not know the processor.
    """
    with _LOCK:
        module, machine = _optimized(text, target, level, vectorize, False, True)
        return machine.emit_assembly(module)


def _text(text: str | Callable[[], str]) -> str:
    return text if isinstance(text, str) else text()


def _cache_key(*parts) -> str:
    """One key of everything that the object depends on."""
    llvm = _binding()
    from llvmlite import __version__ as llvmlite_version

    return objects.key(_FORMAT, __version__, llvmlite_version, llvm.llvm_version_info, *parts)


def _optimized(text: str, processor: Target, level: int, vectorize: bool, pack: bool, unroll: bool, only=None):
    """The module after LLVM's passes, of all functions or of some, and the machine to emit it."""
    llvm = _binding()
    if processor.triple != _host().triple:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    try:
        machine = llvm.Target.from_triple(processor.triple).create_target_machine(
            cpu=processor.cpu, features=processor.features, opt=level, reloc="pic", codemodel="jitdefault"
        )
        module = llvm.parse_assembly(text)
        module.triple = processor.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"LLVM refuses the module: {error}") from error
    if only:
        _leave_alone(function for function in module.functions if function.name not in only)
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.slp_vectorization = pack
    options.loop_vectorization = vectorize
    options.loop_interleaving = vectorize and unroll
    options.loop_unrolling = unroll
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    if level == 0:
        passes = llvm.create_new_module_pass_manager()
        if hasattr(passes, "add_sroa_pass"):  # variables out of memory: 4 ms of 40, for a fifth of each call
            passes.add_sroa_pass()
            passes.run(module, builder)
    return module, machine


def _leave_alone(functions: Iterable) -> None:
    """Have LLVM translate functions as they are, unless they are to be part of their callers."""
    for function in functions:
        if not function.is_declaration and b"alwaysinline" not in set(function.attributes):
            function.add_function_attribute("noinline")
            function.add_function_attribute("optnone")


def _build(text: str, processor: Target, level: int, vectorize: bool, pack: bool, unroll: bool, only=None) -> bytes:
    """An object file, behind a line with the names that it defines and needs."""
    module, machine = _optimized(text, processor, level, vectorize, pack, unroll, only)
    needed = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    needed += [v.name for v in module.global_variables if v.is_declaration]
    defined = [f.name for f in module.functions if not f.is_declaration and f.linkage.name == "external"]
    head = json.dumps({"needed": needed, "defined": defined})
    return head.encode() + b"\n" + machine.emit_object(module)


def _link(payload: bytes, symbols: Mapping[str, int]) -> Native:
    """Load an object file into the process."""
    llvm = _binding()
    head, _, code = payload.partition(b"\n")
    names = json.loads(head)
    # an unresolved name would end the process, so all are looked up before
    found = {name: symbols.get(name) or llvm.address_of_symbol(name) or c_address(name) for name in names["needed"]}
    missing = sorted(name for name, address in found.items() if not address)
    if missing:
        raise CompileError(f"The module declares {', '.join(missing)}, which cannot be found. Pass it in symbols=.")
    # an engine of its own keeps these names apart from those of other modules
    host = llvm.parse_assembly("".join(f'declare void @"{name}"()\n' for name in found))
    host.triple = target().triple
    machine = llvm.Target.from_triple(host.triple).create_target_machine(codemodel="jitdefault")
    engine = llvm.create_mcjit_compiler(host, machine)
    for name, address in found.items():
        engine.add_global_mapping(host.get_function(name), address)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    return Native(engine, tuple(names["defined"]))


@lru_cache(maxsize=256)
def c_address(name: str) -> int:
    """Address of a function of the C library that Python's `math` uses; 0 if there is none of that name."""
    for library in _c_libraries():
        try:
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        except AttributeError:
            continue
    return 0


@lru_cache(maxsize=1)
def _c_libraries() -> list:
    """Where the C library may be: what the module `math` is linked to, then the usual places."""
    places = [getattr(math, "__file__", None)]
    places += ["ucrtbase", "msvcrt"] if sys.platform == "win32" else [None, "libm.so.6"]
    found = []
    for i, place in enumerate(places):
        if i == 0 and (place is None or sys.platform == "win32"):
            continue
        try:
            found.append(ctypes.CDLL(place))
        except OSError:
            continue
    return found
