"""An array type that stands in for a device array: it answers NumPy's protocols and refuses to become a NumPy array.

Like CuPy's arrays it mixes with Python and NumPy scalars, and with its own kind, and with nothing else. Code that runs
on it makes no hidden transfer.
"""

from __future__ import annotations

import numpy as np


class HiddenTransferError(TypeError):
    """Data were about to move between the device and NumPy without being asked to."""


def _data(x):
    """What is inside, checked for operands that do not belong on the device."""
    if isinstance(x, StrictArray):
        return x.data
    if isinstance(x, np.ndarray) and x.ndim:
        raise HiddenTransferError(f"a NumPy array of shape {x.shape} met an array on the device")
    if isinstance(x, tuple | list):
        return tuple(map(_data, x))
    return x


def _wrap(x):
    if hasattr(x, "_fields"):  # the named tuples of np.linalg
        return type(x)(*map(_wrap, x))
    if isinstance(x, tuple | list):
        return type(x)(map(_wrap, x))
    return StrictArray(x) if isinstance(x, np.ndarray | np.generic) else x


class StrictArray:
    """A device array; zero-dimensional results stay on the device, as CuPy's do."""

    def __init__(self, data):
        self.data = np.asarray(data)

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)
    flags = property(lambda self: self.data.flags)
    nbytes = property(lambda self: self.data.nbytes)
    T = property(lambda self: StrictArray(self.data.T))
    imag = property(lambda self: StrictArray(self.data.imag))
    real = property(lambda self: StrictArray(self.data.real))
    base = property(lambda self: None if self.data.base is None else self)

    def __array__(self, *args, **kwargs):
        raise HiddenTransferError("an array on the device was about to become a NumPy array")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if any(hasattr(x, "__array_ufunc__") and not _known(type(x)) for x in inputs):
            return NotImplemented
        return _wrap(getattr(ufunc, method)(*map(_data, inputs), **{k: _data(v) for k, v in kwargs.items()}))

    def __array_function__(self, function, types, args, kwargs):
        if not all(map(_known, types)):
            return NotImplemented
        return _wrap(function(*map(_data, args), **{k: _data(v) for k, v in kwargs.items()}))

    def __getitem__(self, index):
        return StrictArray(self.data[_index(index)])

    def __setitem__(self, index, value):
        self.data[_index(index)] = _data(value)

    def __len__(self):
        return len(self.data)

    def __bool__(self):
        return bool(self.data)

    def __float__(self):
        return float(self.data)

    def __int__(self):
        return int(self.data)

    def __repr__(self):
        return f"StrictArray({self.data!r})"

    def copy(self):
        """A copy on the device."""
        return StrictArray(self.data.copy())

    def get(self):
        """The NumPy array, asked for."""
        return self.data


def _known(kind) -> bool:
    """Whether a type is the device's own or NumPy's; others, such as traced values, answer for themselves."""
    return issubclass(kind, StrictArray | np.ndarray | np.generic)


def _index(index):
    """Indices may be NumPy arrays: CuPy moves those to the device by itself."""
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    return index.data if isinstance(index, StrictArray) else index


def _method(name):
    def call(self, *args, **kwargs):
        return _wrap(getattr(self.data, name)(*map(_data, args), **kwargs))

    return call


for _name in (
    "reshape",
    "transpose",
    "sum",
    "all",
    "any",
    "astype",
    "ravel",
    "max",
    "min",
    "dot",
    "fill",
    "mean",
    "squeeze",
):
    setattr(StrictArray, _name, _method(_name))

for _name, _ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "pow": np.power, "matmul": np.matmul,
    "mod": np.remainder, "floordiv": np.floor_divide, "and": np.logical_and, "or": np.logical_or,
}.items():  # fmt: skip
    setattr(StrictArray, f"__{_name}__", lambda self, other, f=_ufunc: f(self, other))
    setattr(StrictArray, f"__r{_name}__", lambda self, other, f=_ufunc: f(other, self))
for _name, _ufunc in {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}.items():  # fmt: skip
    setattr(StrictArray, f"__{_name}__", lambda self, other, f=_ufunc: f(self, other))
StrictArray.__neg__ = lambda self: np.negative(self)
StrictArray.__abs__ = lambda self: np.absolute(self)
StrictArray.__invert__ = lambda self: np.logical_not(self)
StrictArray.__hash__ = None
