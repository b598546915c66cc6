"""What a function is, in a name by which another process knows it again: its code, and all that the code can reach.

Two functions of one name compute the same. The name tells their code and defaults, what they close over, the global
variables that they name, and the functions and objects that are reached so, down to those of libraries, for which their
own names are enough. A function has no name where that would not be certain: where it can reach files, clocks or random
numbers, looks things up by names that it makes, or depends on objects whose state is out of sight.
"""

from __future__ import annotations

import functools
import hashlib
import struct
import sys
import types
from abc import ABC, ABCMeta
from collections.abc import Callable, Iterable
from opcode import opmap
from types import CodeType
from typing import Any, Generic, Protocol

import numpy as np

LARGEST = 4 * 2**20  # bytes of data: to capture a function that works on more takes no longer than to read them
MOST = 5000  # objects
LIBRARIES = frozenset({"numpy", "scipy", "probad", "math", "cmath", "operator", "functools", "itertools", "builtins",
                       "collections", "dataclasses", "typing", "numbers", "abc"})  # fmt: skip
OWN = __name__.partition(".")[0]
# Attributes and functions of these names lead out of what can be seen: to files, to the state of random numbers, or to
# whatever a text names.
OUTSIDE = frozenset({"random", "rvs", "random_state", "load", "loads", "loadtxt", "genfromtxt", "fromfile", "fromregex",
                     "memmap", "open_memmap", "DataSource", "ctypeslib", "geterr", "attrgetter", "__dict__",
                     "__globals__", "__builtins__", "__subclasses__", "__code__", "__closure__"})  # fmt: skip
UNCERTAIN_BUILTINS = frozenset({"__import__", "breakpoint", "compile", "delattr", "dir", "eval", "exec", "getattr",
                                "globals", "hasattr", "hash", "help", "id", "input", "locals", "memoryview", "open",
                                "setattr", "vars"})  # fmt: skip
PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None), type(...), type(NotImplemented)})
FLAT = frozenset({int, bool, str, bytes, float, type(None)})  # a sequence of these is told by what it prints as
METACLASSES = (type, ABCMeta)
BARE = (object, ABC, Generic, Protocol)  # base classes without attributes
UNTOLD = frozenset({"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__annotate__",
                    "__annotate_func__", "__annotations_cache__", "__static_attributes__", "__firstlineno__",
                    "__orig_bases__", "__dataclass_fields__", "__dataclass_params__", "__parameters__", "__slots__",
                    "__abstractmethods__", "_abc_impl"})  # fmt: skip
POINTER = 8  # bytes
IMPORT, EXTENDED = opmap["IMPORT_NAME"], opmap["EXTENDED_ARG"]


class _UncertainError(Exception):
    """The function cannot be known again."""


def identity(*values: Any) -> str | None:
    """A name that tells functions, and the values that come with them, from all others; None if that is not certain.

    Objects of this library that are too intricate to be read have a method ``determined_by``, which returns what
    decides all that they compute.

    Examples
    --------
    >>> identity(lambda x: x + 1) == identity(lambda x: x + 1), identity(lambda x: x + 1) == identity(lambda x: x + 2)
    (True, False)
    """
    description = _Description()
    try:
        for value in values:
            description.add(value)
    except Exception:  # what is not read as expected, whatever it does when it is looked at, is not known again
        return None
    return description.digest.hexdigest()


class _Description:
    """The description of objects, of which only a digest is kept."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._places: dict[Any, int] = {}
        self._memories: dict[int, int] = {}  # of arrays
        self._kept: list = []  # so that no two objects have one address
        self._n_bytes = 0

    def add(self, x: Any) -> None:
        """Any object."""
        kind = type(x)
        if kind in PLAIN:
            self._plain(x, kind)
        elif kind is tuple and set(map(type, x)) <= FLAT:  # which may be one object or several, as Python likes
            self._sequence(x)
        elif id(x) in self._places:
            self._tell("again", self._places[id(x)])
        else:
            self._places[id(x)] = len(self._kept)
            self._kept.append(x)
            if len(self._kept) > MOST:
                raise _UncertainError
            write = self._WRITERS.get(kind)
            if write is not None:
                write(self, x)
            elif isinstance(x, np.generic) and not x.dtype.hasobject:
                self._tell("number", x.dtype.descr, x.tobytes())
            elif isinstance(x, np.dtype) and not x.hasobject:
                self._tell("dtype", x.descr)
            elif not self._of_a_library(x):
                self._made(x, kind)

    def _tell(self, *parts) -> None:
        """Any number of parts; no two lists of them are told alike."""
        for part in parts:
            data = part if type(part) in (bytes, memoryview) else str(part).encode("utf-8", "surrogatepass")
            self.digest.update(b"%d:" % len(data))
            self.digest.update(data)
        self.digest.update(b";")

    def _plain(self, x, kind: type) -> None:
        if kind is float:
            self._tell("float", struct.pack("d", x))
        elif kind is complex:
            self._tell("complex", struct.pack("dd", x.real, x.imag))
        elif kind is int:
            self._tell("int", format(x, "x"))
        else:
            self._count(len(x) if kind in (str, bytes) else 0)
            self._tell(kind.__name__, x)

    def _count(self, n_bytes: int) -> None:
        self._n_bytes += n_bytes
        if self._n_bytes > LARGEST:
            raise _UncertainError

    def _all(self, what: str, values: Iterable) -> None:
        values = list(values)
        self._tell(what, len(values))
        for value in values:
            self.add(value)

    # --- data ---------------------------------------------------------------------------------------------------------
    def _array(self, x: np.ndarray) -> None:
        if x.dtype.hasobject:
            raise _UncertainError
        self._count(x.nbytes)
        memory = x.base if isinstance(x.base, np.ndarray) else x  # what is written to one is written to all on it
        self._kept.append(memory)
        self._tell("on", self._memories.setdefault(id(memory), len(self._memories)), x.ctypes.data - memory.ctypes.data)
        content = memoryview(np.ascontiguousarray(x).ravel().view(np.uint8))
        self._tell("array", x.dtype.descr, x.shape, x.strides, content)

    def _sequence(self, x: list | tuple) -> None:
        if set(map(type, x)) <= FLAT:
            text = repr(x)
            self._count(len(text))
            self._tell("flat", text)
        else:
            self._all(type(x).__name__, x)

    def _dict(self, x) -> None:
        self._all("keys", x.keys())
        self._all("values", x.values())

    def _set(self, x: set | frozenset) -> None:
        if not set(map(type, x)) <= FLAT:
            raise _UncertainError
        self._tell(type(x).__name__, *sorted(map(repr, x)))

    # --- functions ----------------------------------------------------------------------------------------------------
    def _function(self, x: types.FunctionType) -> None:
        if self._of_a_library(x):
            return
        self._tell("function")
        self._code(x.__code__)
        self._all("defaults", x.__defaults__ or ())
        self.add(x.__kwdefaults__)
        self.add({name: value for name, value in vars(x).items() if name != "__wrapped__"})
        cells = [cell.cell_contents if cell != _EMPTY else _EMPTY for cell in x.__closure__ or ()]
        self._tell("closure", len(cells))
        for cell in cells:
            self._tell("empty") if cell is _EMPTY else self.add(cell)
        for name in dict.fromkeys(_names(x.__code__)):
            if name in x.__globals__:
                self._tell("global", name)
                self._named(x.__globals__[name], x.__code__)
            elif name in UNCERTAIN_BUILTINS:
                raise _UncertainError

    def _code(self, x: CodeType) -> None:
        """Instructions and constants; neither file nor line."""
        if not OUTSIDE.isdisjoint(x.co_names) or not _imports_libraries_only(x):
            raise _UncertainError
        self._tell("code", x.co_code, x.co_argcount, x.co_posonlyargcount, x.co_kwonlyargcount, x.co_flags)
        self._tell(*x.co_names, "local", *x.co_varnames, "free", *x.co_freevars, "cell", *x.co_cellvars)
        self._tell("handlers", getattr(x, "co_exceptiontable", b""))
        self._all("constants", x.co_consts)

    def _named(self, x: Any, code: CodeType) -> None:
        """What a global variable refers to: of a module of the user's, all that the code has a name for."""
        if type(x) is not types.ModuleType or self._of_a_library(x):
            self.add(x)
            return
        if not str(getattr(x, "__file__", "")).endswith(".py"):
            raise _UncertainError
        self._tell("module", x.__name__)
        for name in dict.fromkeys(_names(code)):
            if name in vars(x):
                key = (id(x), name, id(code))
                if key not in self._places:
                    self._places[key] = len(self._kept)
                    self._kept += [x, code]
                    self._tell("attribute", name)
                    self._named(vars(x)[name], code)

    # --- objects ------------------------------------------------------------------------------------------------------
    def _of_a_library(self, x: Any) -> bool:
        """Whether a library has the object under its name, which is then enough to tell it."""
        if type(x) is types.ModuleType:
            module, name = x.__name__, ""
            found = sys.modules.get(module)
        elif isinstance(x, np.ufunc):
            name = x.__name__
            module = next((m for m in ("numpy", "scipy.special") if find_named(m, name) is x), None)
            found = x if module else None
        else:
            module, name = getattr(x, "__module__", None), getattr(x, "__qualname__", None)
            found = find_named(module, name) if isinstance(module, str) and isinstance(name, str) else None
        if found is not x or module.partition(".")[0] not in LIBRARIES:
            return False
        if not (OUTSIDE | UNCERTAIN_BUILTINS).isdisjoint([*module.split("."), *name.split(".")]):
            raise _UncertainError
        self._tell("library", module, name)
        return True

    def _class(self, x: type) -> None:
        self._tell("class", x.__name__)
        self._all("bases", x.__bases__)
        for name, value in vars(x).items():
            is_written = name == "__repr__" and hasattr(value, "__wrapped__")  # by `dataclass`: it prints the fields
            if name not in UNTOLD and not is_written:
                self._tell("attribute", name)
                self.add(value)

    def _made(self, x: Any, kind: type) -> None:
        """An object of a class that is written in Python, and whose objects are their attributes."""
        if kind in METACLASSES:
            self._class(x)
            return
        if type(kind) not in METACLASSES:
            raise _UncertainError
        is_own = kind.__module__.partition(".")[0] == OWN and find_named(kind.__module__, kind.__qualname__) is kind
        self.add(kind)
        if is_own and hasattr(kind, "determined_by"):
            self._all("determined by", x.determined_by())
            return
        slots = [s for base in kind.__mro__ for s in vars(base).values() if type(s) is types.MemberDescriptorType]
        has_more = kind.__basicsize__ > object.__basicsize__ + POINTER * (len(slots) + 2)
        if has_more or not all(base in BARE or _is_in_python(base) for base in kind.__mro__):
            raise _UncertainError
        self._tell("object", len(slots))
        for slot in slots:
            value = getattr(x, slot.__name__, _EMPTY)
            self._tell("empty") if value is _EMPTY else self.add(value)
        self._dict(getattr(x, "__dict__", {}))

    def _partial(self, x: functools.partial) -> None:
        self._all("partial", (x.func, x.args, x.keywords))

    def _method(self, x: types.MethodType) -> None:
        self._all("method", (x.__func__, x.__self__))

    def _wrapper(self, x: staticmethod | classmethod) -> None:
        self._all(type(x).__name__, (x.__func__,))

    def _property(self, x: property) -> None:
        self._all("property", (x.fget, x.fset, x.fdel))

    def _slice(self, x: slice) -> None:
        self._all("slice", (x.start, x.stop, x.step))

    def _range(self, x: range) -> None:
        self._tell("range", x.start, x.stop, x.step)

    def _slot(self, x: types.MemberDescriptorType) -> None:
        self._tell("slot", x.__name__)

    def _module(self, x: types.ModuleType) -> None:
        """One that is no global variable: which of its attributes are read is not known."""
        if not self._of_a_library(x):
            raise _UncertainError

    _WRITERS: dict[type, Callable[[_Description, Any], None]] = {  # noqa: RUF012 - filled here, and never changed
        np.ndarray: _array, list: _sequence, tuple: _sequence, dict: _dict, types.MappingProxyType: _dict, set: _set,
        frozenset: _set, types.FunctionType: _function, CodeType: _code, functools.partial: _partial,
        types.MethodType: _method, staticmethod: _wrapper, classmethod: _wrapper, property: _property, slice: _slice,
        range: _range, types.MemberDescriptorType: _slot, types.ModuleType: _module,
    }  # fmt: skip


_EMPTY = types.CellType()


def _names(code: CodeType) -> Iterable[str]:
    """All names of globals and attributes in some code and the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if type(constant) is CodeType:
            yield from _names(constant)


def _imports_libraries_only(code: CodeType) -> bool:
    """Whether import statements of the code are for libraries."""
    instructions, arguments = code.co_code[::2], code.co_code[1::2]
    at = instructions.find(IMPORT)
    while at >= 0:
        is_extended = at > 0 and instructions[at - 1] == EXTENDED
        if is_extended or code.co_names[arguments[at]].partition(".")[0] not in LIBRARIES:
            return False
        at = instructions.find(IMPORT, at + 1)
    return True


def find_named(module: str | None, name: str) -> Any:
    """What is found under a dotted name in a module that is loaded; None if nothing."""
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _is_in_python(kind: type) -> bool:
    """Whether a class is defined by a class statement, of this library or of the user's."""
    root = kind.__module__.partition(".")[0]
    return (root == OWN or root not in LIBRARIES) and kind.__flags__ & _ON_HEAP != 0


_ON_HEAP = 1 << 9  # of a class: made by a statement. Source: Py_TPFLAGS_HEAPTYPE in CPython's object.h
