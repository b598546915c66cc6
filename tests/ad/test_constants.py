"""Plain arrays that tapes refer to: read-only as long as one of them does, writeable again afterwards."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import probad as pb
from probad.ad.constants import protect, release

N = 1000  # large enough not to be copied


def protected(*arrays):
    """What a tape that refers to these arrays holds."""
    held = []
    for a in arrays:
        protect(a, held)
    return held


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_views_and_their_owner_are_writeable_when_the_last_tape_is_gone(order):
    owner = np.zeros((4, N))
    view = owner[1:]
    inner = view[0]
    tapes = [protected(view), protected(owner), protected(inner, view)]
    for k in order:
        assert not owner.flags.writeable
        release(tapes[k])
    assert owner.flags.writeable
    assert view.flags.writeable
    assert inner.flags.writeable


def test_a_view_that_waits_for_its_owner_is_protected_anew():
    owner = np.zeros((2, N))
    view = owner[0]
    first, second = protected(view), protected(owner)
    release(first)
    third = protected(view)
    release(second)
    assert not view.flags.writeable
    assert not owner.flags.writeable
    release(third)
    assert view.flags.writeable
    assert owner.flags.writeable


def test_what_was_read_only_stays_so():
    owner = np.zeros((2, N))
    view = owner[0]
    owner.flags.writeable = False
    release(protected(owner))
    assert not owner.flags.writeable
    held = protected(view)
    release(held)
    assert not owner.flags.writeable


def test_an_owner_that_the_user_makes_read_only_meanwhile_stops_nothing():
    owner, other = np.zeros((2, N)), np.zeros(N)
    view = owner[0]
    held = protected(other, view)
    owner.flags.writeable = False
    release(held)
    assert other.flags.writeable


def test_tapes_that_share_parts_of_an_array_leave_it_writeable():
    data = np.random.default_rng(0).normal(size=(3, N))
    _, pull_all = pb.vjp(lambda x: np.sum(x * data), 2.0)
    _, pull_row = pb.vjp(lambda x: np.sum(x * data[1]), 2.0)
    assert pull_all(1.0) == pytest.approx(data.sum())
    assert pull_row(1.0) == pytest.approx(data[1].sum())
    del pull_row
    del pull_all
    data[1] = 0.0
    assert data.flags.writeable
