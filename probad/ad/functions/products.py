"""Products of vectors, matrices and tensors."""

from __future__ import annotations

import numpy as np

from probad.ad.dispatch import implements
from probad.ad.functions.diagonals import diagonal
from probad.ad.functions.operands import as_operand, axes_of
from probad.ad.functions.shapes import ravel, reshape
from probad.ad.rules import elementwise as e
from probad.ad.rules import linalg as la
from probad.errors import UnsupportedFunctionError


@implements(np.matmul)
def matmul(a, b):
    a, b = as_operand(a), as_operand(b)
    if not a.shape or not b.shape:
        raise ValueError("matmul: an operand has no dimensions; use * to multiply by a scalar")
    return la.matmul(a, b)


@implements(np.dot)
def dot(a, b):
    a, b = as_operand(a), as_operand(b)
    if not a.shape or not b.shape:
        return e.multiply(a, b)
    if len(b.shape) <= 2 and len(a.shape) <= 2:
        return la.matmul(a, b)
    return tensordot(a, b, axes=([-1], [max(-2, -len(b.shape))]))


@implements(np.vdot)
def vdot(a, b):
    return la.matmul(ravel(a), ravel(b))


@implements(np.inner)
def inner(a, b):
    a, b = as_operand(a), as_operand(b)
    return e.multiply(a, b) if not a.shape or not b.shape else tensordot(a, b, axes=([-1], [-1]))


@implements(np.outer)
def outer(a, b):
    return e.multiply(reshape(a, (-1, 1)), reshape(b, (1, -1)))


@implements(np.tensordot)
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
        raise UnsupportedFunctionError("np.einsum on traced values takes its subscripts as a string.")
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
