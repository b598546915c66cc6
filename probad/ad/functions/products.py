"""Products of vectors, matrices and tensors."""

from __future__ import annotations

import numpy as np

from probad.ad.box import Box
from probad.ad.dispatch import implements
from probad.ad.functions.diagonals import diagonal
from probad.ad.functions.operands import FLOAT64, as_operand, axes_of
from probad.ad.functions.reductions import sum as sum_
from probad.ad.functions.shapes import moveaxis, ravel, reshape
from probad.ad.rules import elementwise as e
from probad.ad.rules import linalg as la
from probad.errors import UnsupportedFunctionError


@implements(np.matmul, np.linalg.matmul)
def matmul(a, b):
    a, b = as_operand(a), as_operand(b)
    if not a.shape or not b.shape:
        raise ValueError("matmul: an operand has no dimensions; use * to multiply by a scalar")
    return la.matmul(a, b)


@implements(np.dot)
def dot(a, b):
    if not (type(a) is np.ndarray and a.dtype is FLOAT64 and type(b) is Box):  # the common case: data @ coefficients
        a, b = as_operand(a), as_operand(b)
    n, m = len(a.shape), len(b.shape)
    if 0 < n <= 2 and 0 < m <= 2:
        return la.matmul.__call__(a, b)
    return tensordot(a, b, axes=([-1], [max(-2, -m)])) if n and m else e.multiply(a, b)


@implements(np.vdot)
def vdot(a, b):
    return la.matmul(ravel(a), ravel(b))


@implements(np.inner)
def inner(a, b):
    a, b = as_operand(a), as_operand(b)
    return e.multiply(a, b) if not a.shape or not b.shape else tensordot(a, b, axes=([-1], [-1]))


@implements(np.outer, np.linalg.outer)
def outer(a, b):
    a, b = as_operand(a), as_operand(b)
    return e.multiply(reshape(a, (-1, 1)), reshape(b, (1, -1)))


@implements(np.tensordot, np.linalg.tensordot)
def tensordot(a, b, axes=2):
    a, b = as_operand(a), as_operand(b)
    n, m = len(a.shape), len(b.shape)
    if np.ndim(axes) == 0 and not isinstance(axes, tuple | list):
        axes = (range(n - axes, n), range(axes))
    left, right = axes_of(tuple(np.atleast_1d(axes[0])), n), axes_of(tuple(np.atleast_1d(axes[1])), m)
    letters = "abcdefghijklmnopqrstuvwxyz"
    mine, theirs = list(letters[:n]), list(letters[n : n + m])
    for i, j in zip(left, right, strict=True):
        theirs[j] = mine[i]
    out = [c for i, c in enumerate(mine) if i not in left] + [c for j, c in enumerate(theirs) if j not in right]
    return la.einsum(a, b, subscripts=f"{''.join(mine)},{''.join(theirs)}->{''.join(out)}")


@implements(np.einsum)
def einsum(subscripts, *operands, optimize=False):
    if not isinstance(subscripts, str):
        subscripts, operands = _letters_of([subscripts, *operands])
    operands = [as_operand(o) for o in operands]
    inputs, output = _einsum_letters(subscripts, operands)
    for k, letters in enumerate(inputs):  # a letter twice in one operand means its diagonal
        for c in sorted(set(letters)):
            while inputs[k].count(c) > 1:
                first = inputs[k].index(c)
                second = inputs[k].index(c, first + 1)
                operands[k] = diagonal(operands[k], 0, first, second)
                inputs[k] = inputs[k][:first] + inputs[k][first + 1 : second] + inputs[k][second + 1 :] + c
    return la.einsum(*operands, subscripts=f"{','.join(inputs)}->{output}")


def _letters_of(mixed: list) -> tuple[str, list]:
    """``einsum(a, [0, 1], b, [1, 2], [0, 2])`` in letters."""
    output = mixed.pop() if len(mixed) % 2 else None
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

    def spell(numbers):
        return "".join("..." if n is Ellipsis else alphabet[n] for n in numbers)

    subscripts = ",".join(map(spell, mixed[1::2]))
    return subscripts if output is None else f"{subscripts}->{spell(output)}", mixed[::2]


def _einsum_letters(subscripts: str, operands) -> tuple[list[str], str]:
    """Spell out an ellipsis and the implicit output."""
    subscripts = subscripts.replace(" ", "")
    inputs, arrow, output = subscripts.partition("->")
    terms = inputs.split(",")
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in subscripts]
    n_dots = max(
        [len(o.shape) - len(t.replace("...", "")) for t, o in zip(terms, operands, strict=True) if "..." in t],
        default=0,
    )
    dots = "".join(spare[:n_dots])

    def spell(term, operand):
        n = len(operand.shape) - len(term.replace("...", ""))
        return term.replace("...", dots[len(dots) - n :] if n else "")

    spelled = [spell(t, o) for t, o in zip(terms, operands, strict=True)]
    if arrow:
        return spelled, output.replace("...", dots)
    joined = "".join(spelled)
    return spelled, dots + "".join(sorted(c for c in set(joined) if joined.count(c) == 1 and c not in dots))


@implements(np.kron)
def kron(a, b):
    a, b = as_operand(a), as_operand(b)
    n = max(len(a.shape), len(b.shape))
    left, right = ((1,) * (n - len(x.shape)) + x.shape for x in (a, b))
    spread = reshape(a, tuple(k for m in left for k in (m, 1))) * reshape(b, tuple(k for m in right for k in (1, m)))
    return reshape(spread, tuple(m * k for m, k in zip(left, right, strict=True)))


@implements(np.cross)
def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = moveaxis(as_operand(a), axisa, -1), moveaxis(as_operand(b), axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise UnsupportedFunctionError("np.cross on a traced value takes vectors of three components.")
    there, back = [1, 2, 0], [2, 0, 1]
    return moveaxis(a[..., there] * b[..., back] - a[..., back] * b[..., there], -1, axisc)


@implements(np.linalg.cross)
def vector_cross(x1, x2, /, *, axis=-1):
    return cross(x1, x2, axis=axis)


def vecdot(x1, x2, /, *, axis=-1):
    x1, x2 = moveaxis(as_operand(x1), axis, -1), moveaxis(as_operand(x2), axis, -1)
    return sum_(x1 * x2, -1)


def matvec(x1, x2, /):
    x1, x2 = as_operand(x1), as_operand(x2)
    return la.matmul(x1, x2[..., None])[..., 0]


def vecmat(x1, x2, /):
    x1, x2 = as_operand(x1), as_operand(x2)
    return la.matmul(x1[..., None, :], x2)[..., 0, :]


implements(np.linalg.vecdot)(vecdot)
for _name, _function in {"vecdot": vecdot, "matvec": matvec, "vecmat": vecmat}.items():
    if hasattr(np, _name):  # NumPy 2.0, 2.2
        implements(getattr(np, _name))(_function)


@implements(np.linalg.multi_dot)
def multi_dot(arrays):
    arrays = [as_operand(a) for a in arrays]
    if len(arrays[-1].shape) == 1:  # from the right, where a vector keeps the products small
        out = arrays[-1]
        for a in reversed(arrays[:-1]):
            out = la.matmul(a, out)
        return out
    out = arrays[0]
    for a in arrays[1:]:
        out = la.matmul(out, a)
    return out
