"""The random numbers of the kernels: a known stream, and the distributions they claim."""

from __future__ import annotations

import numpy as np
from scipy import stats

from probad.mcmc.random import fill_normal, next_integer, stream, uniform

MASK = 2**64 - 1


def _xoshiro(state, n):
    """xoshiro256++ written from its published definition."""

    def rotl(x, k):
        return ((x << k) | (x >> (64 - k))) & MASK

    s = [int(v) for v in state]
    out = []
    for _ in range(n):
        out.append((rotl((s[0] + s[3]) & MASK, 23) + s[0]) & MASK)
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
    return out


def test_the_first_numbers_of_a_known_state():
    """Output of the authors' C program for the state 1, 2, 3, 4."""
    state = [1, 2, 3, 4]
    assert [next_integer(state) for _ in range(10)] == [
        41943041,
        58720359,
        3588806011781223,
        3591011842654386,
        9228616714210784205,
        9973669472204895162,
        14011001112246962877,
        12406186145184390807,
        15849039046786891736,
        10450023813501588000,
    ]


def test_the_stream_is_xoshiro_plus_plus():
    expected = _xoshiro(stream(7, 3), 1000)
    state = stream(7, 3).tolist()
    assert [next_integer(state) for _ in range(1000)] == expected


def test_chains_have_streams_of_their_own():
    states = {tuple(stream(seed, chain)) for seed in range(20) for chain in range(20)}
    assert len(states) == 400


def test_uniforms_and_normals_have_their_distributions():
    state = stream(1, 0).tolist()
    u = np.array([uniform(state) for _ in range(20_000)])
    assert u.min() >= 0 and u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    rows = [7.0] * 20_005
    fill_normal(state, rows, 1, 10_001)  # an odd length: the last normal comes alone
    assert rows[:10_001] == [7.0] * 10_001
    assert rows[20_002:] == [7.0] * 3
    x = np.array(rows[10_001:20_002])
    assert stats.kstest(x, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.04
    assert abs(np.corrcoef(x[:-1] ** 2, x[1:] ** 2)[0, 1]) < 0.04
