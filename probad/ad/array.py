"""Make a box behave as a NumPy array: operators, methods, indexing and assignment, and NumPy's two protocols.

What would silently turn a traced value into a plain number raises here, naming the way out.
"""

from __future__ import annotations

import operator
import sys

import numpy as np

from probad.ad import dispatch
from probad.ad import functions as fn
from probad.ad.box import Box, peel, raw
from probad.ad.dispatch import FUNCTIONS, UFUNCS
from probad.ad.rules import dynamic, indexing, linalg
from probad.ad.rules import elementwise as e
from probad.ad.views import overwrite
from probad.errors import ConversionError


# --- attributes -----------------------------------------------------------------------------------------------------
def _attribute(get, doc: str) -> property:
    def get_now(self):
        if self.view is not None:
            self.view.refresh(self)
        return get(self.value)

    return property(get_now, doc=doc)


Box.shape = _attribute(operator.attrgetter("shape"), "Lengths of the axes.")
Box.ndim = _attribute(operator.attrgetter("ndim"), "Number of axes.")
Box.size = _attribute(operator.attrgetter("size"), "Number of elements.")
Box.dtype = _attribute(operator.attrgetter("dtype"), "Type of the elements.")
Box.T = property(fn.transpose, doc="The array with its axes reversed.")
Box.mT = property(lambda self: fn.swapaxes(self, -1, -2), doc="The array with its last two axes swapped.")
Box.real = property(lambda self: self, doc="The array itself: traced values are real.")
Box.__array_priority__ = 1000.0
Box.__hash__ = None


# --- operators ------------------------------------------------------------------------------------------------------
def _operator(name: str, primitive) -> None:
    apply = primitive.__call__  # a method is called faster than an object

    def forward(self, other):
        if other is None or type(other) is str:
            return NotImplemented
        owner = self.owner
        if owner.captures and (y := owner.of_numbers(primitive, self, other)) is not None:
            return y
        return apply(self, other)

    def reflected(self, other):
        if other is None or type(other) is str:
            return NotImplemented
        owner = self.owner
        if owner.captures and (y := owner.of_numbers(primitive, other, self)) is not None:
            return y
        return apply(other, self)

    def in_place(self, other):
        new = apply(self, other)
        if not self.shape:  # a NumPy scalar cannot be changed either: the name is bound anew
            return new
        if new.shape != self.shape:
            raise ValueError(f"a result of shape {new.shape} does not fit into a traced array of shape {self.shape}")
        overwrite(self, new)
        return self

    setattr(Box, f"__{name}__", forward)
    setattr(Box, f"__r{name}__", reflected)
    setattr(Box, f"__i{name}__", in_place)


for _name, _primitive in {
    "add": e.add,
    "sub": e.subtract,
    "mul": e.multiply,
    "truediv": e.divide,
    "pow": e.power,
    "mod": e.remainder,
    "floordiv": dispatch.CONSTANTS["floor_divide"],
    "matmul": linalg.matmul,
    "and": dispatch.CONSTANTS["bitwise_and"],
    "or": dispatch.CONSTANTS["bitwise_or"],
    "xor": dispatch.CONSTANTS["bitwise_xor"],
}.items():
    _operator(_name, _primitive)

Box.__neg__ = lambda self: e.negative.__call__(self)
Box.__pos__ = lambda self: self
Box.__invert__ = lambda self: dispatch.CONSTANTS["invert"](self)
Box.__abs__ = lambda self: e.absolute(self)
Box.__divmod__ = lambda self, other: (self // other, self % other)
Box.__round__ = lambda self, digits=0: np.round(peel(self), digits)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _full = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
    setattr(Box, f"__{_name}__", lambda self, other, compare=dispatch.CONSTANTS[_full[_name]]: compare(self, other))


# --- elements -------------------------------------------------------------------------------------------------------
def _plain_index(index):
    """An index without traced parts; one that depends on a traced value cannot be followed."""
    if type(index) is int or type(index) is slice:
        return index
    parts = index if isinstance(index, tuple) else (index,)
    if Box not in map(type, parts):
        return index
    parts = tuple(_plain_part(p) if type(p) is Box else p for p in parts)
    return parts if isinstance(index, tuple) else parts[0]


def _plain_part(part):
    plain = peel(part)
    if type(plain) is Box and plain.owner.answers and plain.dtype.kind in "iub":
        return plain.owner.concrete(plain, "an index")
    return _refuse_index(part)


def _whole_number(self):
    """The value as an index, where there is one."""
    plain = peel(self)
    if type(plain) is Box and plain.owner.answers and plain.dtype.kind in "iub":
        return operator.index(plain.owner.concrete(plain, "an index"))
    return _refuse_index(self)


def _refuse_index(self):
    if self.dtype.kind == "b":
        raise ConversionError(
            "A mask that is batched by vmap selects a different number of elements in each. Use np.where(mask, a, b), "
            "or np.sum(x, where=mask)."
        )
    raise ConversionError(
        "A traced value was used as an index or a count, which has no derivative. Use int(x), or pb.stop_gradient(x) "
        "for an array of indices."
    )


def _getitem(self, index):
    if type(index) is int and self.owner.captures and (y := self.owner.element(self, index)) is not None:
        return y
    if type(index) is tuple or type(index) is Box:
        return dynamic.element(self, index)
    return indexing.index(self, index=_plain_index(index))


def _setitem(self, index, value):
    if type(index) is Box and index.dtype.kind == "b" and index.shape == self.shape and np.shape(value) == ():
        overwrite(self, fn.as_operand(np.where(index, value, self)))  # x[x < 0] = 0 inside vmap
        return
    index = _plain_index(index)
    if type(value) is Box and value.view is not None and value.view.base is self:
        if value.view.params.get("index") is index and value.view.seen == self.version:
            return  # x[i] += v: the view has written itself through already
    overwrite(self, indexing.index_set(self, fn.as_operand(value), index=index))


def _iter(self):
    if not self.shape:
        raise TypeError("iteration over a traced scalar")
    elements = (self[i] for i in range(self.shape[0]))
    if self.owner.captures:
        self.owner.note_iterator(elements)
    return elements


def _len(self):
    if not self.shape:
        raise TypeError("len() of a traced scalar")
    return self.shape[0]


Box.__getitem__, Box.__setitem__, Box.__iter__, Box.__len__ = _getitem, _setitem, _iter, _len
Box.__contains__ = lambda self, item: bool(np.any(peel(self) == peel(item)))


# --- methods --------------------------------------------------------------------------------------------------------
for _name in ("sum", "prod", "max", "min", "mean", "var", "std", "cumsum", "ravel", "squeeze", "swapaxes", "take",
              "repeat", "diagonal", "trace", "dot", "clip", "copy", "argmax", "argmin", "argsort", "nonzero", "any",
              "all", "round", "searchsorted"):  # fmt: skip
    _function = FUNCTIONS[getattr(np, _name)]
    setattr(Box, _name, lambda self, *args, _function=_function, **kwargs: _function(self, *args, **kwargs))
# so that np.exp and its kin work on object arrays of boxes, which call the method of that name
for _ufunc, _rule in UFUNCS.items():
    if _ufunc.nin == 1 and not hasattr(Box, _ufunc.__name__):
        setattr(Box, _ufunc.__name__, lambda self, _rule=_rule: _rule(self))

Box.flatten = lambda self, order="C": fn.copy(fn.ravel(self, order))
Box.item = lambda self, *index: self[index if index else (0,) * self.ndim]
Box.tolist = lambda self: [v.tolist() for v in self] if self.ndim else self


def _reshape(self, *shape, order="C"):
    return fn.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)


def _transpose(self, *axes):
    axes = axes[0] if len(axes) == 1 and np.ndim(axes[0]) else axes
    return fn.transpose(self, axes or None)


def _astype(self, dtype, **kwargs):
    kind = np.dtype(dtype).kind
    if kind == "f":
        return fn.copy(self) if self.dtype.kind == "f" else dispatch.CONSTANTS["astype"](self, dtype=np.float64)
    if kind in "iub":  # a piecewise constant function
        return dispatch.CONSTANTS["astype"](self, dtype=dtype)
    raise ConversionError(f"A traced value cannot become {np.dtype(dtype)}; probad computes in float64.")


def _fill(self, value):
    self[...] = value


def _sort(self, axis=-1):
    self[...] = fn.sort(self, axis)


Box.reshape, Box.transpose, Box.astype, Box.fill, Box.sort = _reshape, _transpose, _astype, _fill, _sort


# --- conversion to plain numbers ------------------------------------------------------------------------------------
_LOST = (
    "A traced value was about to become a plain number, and its derivative would be lost. The cause is float(x), "
    "np.asarray(x, dtype=float) (leave it out: traced values are float64 already), a function of the math module (use "
    "np.exp(x), not math.exp(x)), a random generator (rng.normal(x)), or an assignment into a plain NumPy array "
    "(start from np.zeros_like(x), or np.stack a list). Use pb.stop_gradient(x) if the derivative is not wanted."
)


def _single(self, what: str):
    """The plain value, which a batch and an interval do not have: they have many."""
    plain = peel(self)
    return plain.owner.concrete(plain, what) if type(plain) is Box else plain


def _refuse_float(self):
    raise ConversionError(_LOST)


def _array(self, dtype=None, copy=None):
    """An object array of traced scalars, which is what lets ``np.array([a, b])`` work."""
    culprit, function = _foreign_caller(sys._getframe(1))
    if culprit:
        raise ConversionError(
            f"{culprit} cannot work on a traced value: only NumPy functions and the ufuncs of scipy.special can. "
            + _instead_of(culprit, function)
        )
    if dtype is not None and np.dtype(dtype).kind != "O":
        raise ConversionError(_LOST)
    out = np.empty(self.shape, dtype=object)
    for i in np.ndindex(self.shape):
        out[i] = self[i]
    return out


def _foreign_caller(frame) -> tuple[str | None, str]:
    """The module outside NumPy that asks for an array, if it would go on without derivatives, and its function."""
    found, function = None, ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        package = module.partition(".")[0]
        if package in ("scipy", "pandas", "sklearn", "statsmodels", "xarray"):
            found, function = module, frame.f_code.co_name
        elif package != "numpy":
            break
        frame = frame.f_back
    return found, function


def _instead_of(module: str, function: str) -> str:
    if module.startswith("scipy.stats"):
        return "Use the log density of a probad distribution: dist.Normal(mu, sigma).log_prob(x)."
    if module.startswith("scipy.linalg"):
        return "Use np.linalg, or probad.numerics (solve_triangular and others)."
    if module.startswith("scipy.special"):
        known = dispatch.REPLACEMENTS
        return known.get(function) or known.get(module.rpartition(".")[2]) or dispatch.DEFAULT_ADVICE
    return "Write it with NumPy functions."


def _array_ufunc(self, ufunc, method, *inputs, **kwargs):
    if method == "__call__" and not kwargs and ufunc in UFUNCS:  # the common case
        return UFUNCS[ufunc](*inputs)
    return dispatch.call_ufunc(ufunc, method, inputs, kwargs)


def _array_function(self, function, types, args, kwargs):
    if not kwargs and function in FUNCTIONS:  # the common case
        return FUNCTIONS[function](*args)
    return dispatch.call_function(function, args, kwargs)


def _repr(self):
    mode = type(self.owner).__name__.removesuffix("Trace").lower()
    return f"<traced ({mode}, level {self.owner.level}): {raw(self)!r}>"


Box.__array__, Box.__array_ufunc__, Box.__array_function__ = _array, _array_ufunc, _array_function
Box.__float__, Box.__complex__, Box.__repr__ = _refuse_float, _refuse_float, _repr
Box.__index__ = _whole_number
Box.__bool__ = lambda self: bool(_single(self, "bool()"))
Box.__int__ = lambda self: int(_single(self, "int()"))
Box.__format__ = lambda self, spec: format(raw(self), spec)
