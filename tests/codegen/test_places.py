"""Windows on memory: the geometry of NumPy's views."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probad.codegen.places import WORK, Buffer, Place, row_major


def elements(place: Place) -> np.ndarray:
    """What is at a place, if its buffer holds 0, 1, 2, ..."""
    positions = np.full(place.shape, place.offset)
    for axis, (n, s) in enumerate(zip(place.shape, place.strides, strict=True)):
        positions = positions + (np.arange(n) * s).reshape((-1,) + (1,) * (len(place.shape) - axis - 1))
    return positions


def whole(shape) -> tuple[Place, np.ndarray]:
    size = int(np.prod(shape))
    return Place.whole(Buffer(WORK, size), shape), np.arange(size).reshape(shape)


@pytest.mark.parametrize(
    "index",
    [1, -1, (1, 2), (1, 2, 3), (slice(None, None, -1), slice(1, 3)), (None, ..., 2), (..., None), (), ...,
     (slice(2, None), 1, slice(4, 1, -2)), (slice(0, 0),)],
    ids=str,
)  # fmt: skip
def test_basic_indexing(index):
    place, array = whole((3, 4, 5))
    np.testing.assert_array_equal(elements(place.index(index)), array[index])


def test_transpose_flip_and_broadcast():
    place, array = whole((3, 4, 5))
    np.testing.assert_array_equal(elements(place.transpose((1, 2, 0))), array.transpose(1, 2, 0))
    np.testing.assert_array_equal(elements(place.transpose(None)), array.T)
    np.testing.assert_array_equal(elements(place.flip((0, -1))), np.flip(array, (0, -1)))
    np.testing.assert_array_equal(elements(place.flip(None)), np.flip(array))
    row = place.index((slice(1, 2), slice(0, 1)))
    np.testing.assert_array_equal(
        elements(row.broadcast_to((2, 3, 4, 5))), np.broadcast_to(array[1:2, :1], (2, 3, 4, 5))
    )


def test_reshape_where_no_copy_is_needed():
    place, array = whole((3, 4, 5))
    np.testing.assert_array_equal(elements(place.reshape((12, 5))), array.reshape(12, 5))
    turned = place.transpose((1, 0, 2))
    np.testing.assert_array_equal(elements(turned.reshape((4, 1, 3, 5))), array.transpose(1, 0, 2).reshape(4, 1, 3, 5))
    assert turned.reshape((12, 5)) is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["slice", "transpose", "flip", "new axis", "pick"]), st.integers(0, 5)), max_size=5
)


@given(STEPS)
def test_chains_of_views(steps):
    place, array = whole((3, 4, 2))
    for step, k in steps:
        if not array.ndim:
            break
        axis = k % array.ndim
        before = (slice(None),) * axis
        if step == "slice":
            place, array = (
                place.index((*before, slice(None, None, 1 + k % 2))),
                array[(*before, slice(None, None, 1 + k % 2))],
            )
        elif step == "pick":
            place, array = place.index((*before, -1)), array[(*before, -1)]
        elif step == "transpose":
            axes = tuple(np.roll(np.arange(array.ndim), k).tolist())
            place, array = place.transpose(axes), array.transpose(axes)
        elif step == "flip":
            place, array = place.flip((axis,)), np.flip(array, axis)
        else:
            place, array = place.index((*before, None)), array[(*before, None)]
    assert place.shape == array.shape
    np.testing.assert_array_equal(elements(place), array)


def test_strides_and_padding():
    assert row_major((2, 3, 4)) == (12, 4, 1)
    assert row_major(()) == ()
    assert [Buffer(WORK, n).padded - n >= 4 and Buffer(WORK, n).padded % 4 == 0 for n in range(1, 9)] == [True] * 8
