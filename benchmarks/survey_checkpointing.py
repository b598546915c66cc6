"""What does a checkpointed loop of 100,000 steps save in memory, and cost in time? The survey cites 95 % for 33 %.

A pendulum; the gradient of its last position. Memory is the peak that `tracemalloc` sees, time the minimum of
interleaved repeats without it, both relative to the plain tape.
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np

import probad as pb
from benchmarks.figures import save

N_STEPS = 100_000
SNAPSHOTS = {"logarithmic": None, "5 snapshots": 5, "10 snapshots": 10, "100 snapshots": 100}


def step(state, i):
    """One step of the pendulum, with a parameter that is the same for all."""
    angle, speed, length = state
    return angle + 1e-3 * speed, speed - 1e-3 * np.sin(angle) / length, length


def plain(x):
    """The loop on the tape."""
    state = (x[0], 0.0, x[1])
    for i in range(N_STEPS):
        state = step(state, i)
    return state[0]


def checkpointed(snapshots):
    """The loop with checkpoints."""
    return lambda x: pb.checkpointed_loop(step, (x[0], 0.0, x[1]), N_STEPS, snapshots=snapshots)[0]


def cases() -> list[str]:
    """Names of the cases."""
    return list(SNAPSHOTS)


def seconds(f, x) -> float:
    """Time of one call."""
    start = time.perf_counter()
    f(x)
    return time.perf_counter() - start


def peak(f, x) -> float:
    """Peak memory of one call, in MB."""
    tracemalloc.start()
    f(x)
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size / 1e6


def run(case: str) -> dict[str, float]:
    """Memory and time, absolute and relative to the plain tape."""
    x = np.array([1.0, 0.7])
    ours, tape = pb.grad(checkpointed(SNAPSHOTS[case])), pb.grad(plain)
    np.testing.assert_allclose(ours(x), tape(x), rtol=1e-9)
    times = [(seconds(ours, x), seconds(tape, x)) for _ in range(3)]
    ours_s, tape_s = (min(column) for column in zip(*times, strict=True))
    ours_mb, tape_mb = peak(ours, x), peak(tape, x)
    return {
        "MB": ours_mb, "tape MB": tape_mb, "memory ratio": ours_mb / tape_mb,
        "s": ours_s, "tape s": tape_s, "time ratio": ours_s / tape_s,
    }  # fmt: skip


if __name__ == "__main__":
    rows = {case: run(case) for case in cases()}
    columns = {key: [row[key] for row in rows.values()] for key in next(iter(rows.values()))}

    def draw(axes):
        axes.semilogx(columns["memory ratio"], columns["time ratio"], "o")
        for case, row in rows.items():
            axes.annotate(case, (row["memory ratio"], row["time ratio"]))
        axes.axhline(1.0, color="grey", linewidth=0.5)
        axes.set(xlabel="memory / tape", ylabel="time / tape", title=f"Checkpointing {N_STEPS:,} steps")

    print(save("checkpointing", columns, draw), *rows)
