"""Keep NumPy's aliasing true for traced arrays: a view follows writes to its base, and writes through to it.

Traced arrays are never written in place; an assignment gives the box a new value. A box that NumPy would have made a
view remembers how it was made. When its base has changed since, the view is made again before its next use; when the
view itself is written, the write is put back into the base.
"""

from __future__ import annotations

from collections.abc import Callable

from probad.ad.box import Box, peel, raw
from probad.ad.core import PRIMITIVES

# For each primitive that makes views: `put_back(base, new, params)`, the base with the view's new content in place.
PUT_BACK: dict[str, Callable] = {}


class View:
    """The link from a view to its base."""

    __slots__ = ("base", "params", "primitive", "seen")

    def __init__(self, base: Box, primitive, params: dict):
        self.base, self.primitive, self.params = base, primitive, params
        self.seen = base.version

    def refresh(self, box: Box) -> None:
        """Make the view `box` again if its base was written to."""
        base = self.base
        if base.view is not None:
            base.view.refresh(base)
        if self.seen != base.version:
            self.seen = base.version
            adopt(box, self.primitive(base, **self.params))

    def write(self, box: Box) -> None:
        """Put the content of the view `box`, just written, back into its base and that one's own base."""
        base = self.base
        overwrite(base, PUT_BACK[self.primitive.name](base, box, self.params))
        # made again from its base, so that it keeps the strides that decide whether views of it are views
        adopt(box, self.primitive(base, **self.params))
        self.seen = base.version


def _strides(x):
    return getattr(raw(x), "strides", None)


def view_of(primitive, base, params: dict, y) -> View | None:
    """The link for an output `y` of `primitive` on `base`, or None if NumPy has made a copy."""
    if type(base) is not Box:
        return None
    new, old = peel(y), peel(base)
    if type(old) is Box:  # batched: ask NumPy about the first element of the batch
        old = raw(old)
        old = old[(0,) * (old.ndim - len(base.shape))]
        new = primitive.impl(old, **params)
    behind = getattr(new, "base", None)
    if behind is not None and (behind is old or behind is old.base):
        return View(base, primitive, params)
    return None


def adopt(box: Box, new) -> None:
    """Give `box` the content of `new`, which may be traced further in, or not at all."""
    if type(new) is Box:
        box.value, box.owner, box.node = new.value, new.owner, new.node
    else:
        box.value = new
        box.node = None
    box.version += 1


def overwrite(box: Box, new) -> None:
    """Write `new` over the whole of `box`, as ``box[...] = new`` does."""
    if box.view is None and _strides(new) != _strides(box):
        new = PRIMITIVES["index_set"](box, new, index=...)  # strides decide what is a view of it: they must stay
    adopt(box, new)
    if box.view is not None:
        box.view.write(box)
