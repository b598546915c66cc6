"""Kill runs at random times, go on with them, and compare what comes out; run by test_kill.py in a process of its own.

All is imported once, then each session is a fork of this process, so that a kill costs a fraction of a second. Sessions
report through a pipe what has been committed, after it was.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import zarr  # noqa: F401 - likewise

import probad as pb
from probad.mcmc import drivers
from probad.output import import_arviz
from probad.store import Writer, writer
from probad.store.files import read_sealed
from tests.store.runs import Bell, heavy, quietly

RUNS = {
    "native": (pb.mams, lambda: heavy(3000), {"draws": 900, "warmup": 200, "chains": 3}),
    "callback": (pb.nuts, Bell, {"draws": 1100, "warmup": 50, "chains": 2}),
    "choice": (pb.fit, Bell, {"draws": 200, "warmup": 300, "chains": 3}),
}


FEW, USUAL_SPANS = 10, (0.5, 0.05)  # for less it is not worth while to find out how long each of them takes


def session(work) -> tuple[int, int]:
    """Start a fork that does `work(report)`; its process id and the end of a pipe where its reports come out."""
    come, go = os.pipe()
    pid = os.fork()
    if pid:
        os.close(go)
        return pid, come
    code = 1
    try:
        os.close(come)
        warnings.simplefilter("ignore")
        work(lambda content: os.write(go, json.dumps(content).encode() + b"\n"))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def reports(pid: int, come: int) -> tuple[int, list]:
    """Wait for the end of a session; its status and its whole reports."""
    with os.fdopen(come, "rb") as pipe:
        lines = pipe.read().split(b"\n")
    _, status = os.waitpid(pid, 0)
    return status, [json.loads(line) for line in lines[:-1]]


def sample(name: str, path: Path, seed: int):
    """What a session does: start the run, or go on with it."""
    run, make, options = RUNS[name]

    def work(report):
        writer.COMMIT_SECONDS, writer.DUTY, drivers.CHUNK_SECONDS = 0.0, 1e9, 0.005
        mark = Writer._mark

        def told(self, *arguments):
            mark(self, *arguments)
            entries = [self._chains[i].entry if i in self._chains else None for i in range(self._settings["chains"])]
            report([time.monotonic(), *(0 if e is None else e.done for e in entries)])

        Writer._mark = told
        if path.exists():
            quietly(pb.resume, path, make())
        else:
            quietly(run, make(), store=path, seed=seed, **options)

    return work


def compare(name: str, path: Path, seed: int):
    """What the last session does: compare the store with a run that nothing has interrupted."""
    run, make, options = RUNS[name]

    def work(report):
        whole = quietly(run, make(), seed=seed, **options)
        stored = pb.read_store(path, make())
        for group in ("posterior", "sample_stats"):
            for variable in whole[group].data_vars:
                np.testing.assert_array_equal(stored[group][variable].values, whole[group][variable].values)
        report("same")

    return work


def run_and_kill(name: str, folder: Path, seed: int, rng: random.Random, span: tuple[float, float], most: int) -> dict:
    """One run, killed up to `most` times; what happened.

    Of five kills four come up to ``span[1]`` seconds after the first commit of a session, the fifth at most ``span[0]``
    seconds after its begin.
    """
    path = folder / f"{name}-{seed}.zarr"
    n_kills, n_early, committed = 0, 0, [0] * RUNS[name][2]["chains"]
    while True:
        pid, come = session(sample(name, path, seed))
        if n_kills < most:
            share, fifth = rng.random(), rng.random() < 0.2
            if not fifth:
                select.select([come], [], [], 60.0)
            time.sleep(share * span[0 if fifth else 1])
            os.kill(pid, signal.SIGKILL)
        status, told = reports(pid, come)
        if os.WIFSIGNALED(status):
            n_kills += 1
        elif os.WEXITSTATUS(status):
            raise RuntimeError(f"session of {path.name} failed")
        if told:
            committed = told[-1][1:]
        if path.exists():
            entries = read_sealed(path / "commit.json")["chains"]
            found = [0 if e is None else e["done"] for e in entries]
            if any(a < b for a, b in zip(found, committed, strict=True)):
                raise RuntimeError(f"{path.name}: {committed} were committed, {found} are left")
            committed = found
        else:
            n_early += 1
            if told:
                raise RuntimeError(f"{path.name}: {told[-1]} were committed, and nothing is left")
        if not os.WIFSIGNALED(status):
            break
    status, told = reports(*session(compare(name, path, seed)))
    if status or told != ["same"]:
        raise RuntimeError(f"{path.name} is not the run that nothing has interrupted")
    return {"kills": n_kills, "early": n_early}


def main(n_kills: int, seed: int) -> None:
    """Kill runs until that has happened `n_kills` times, and print how often."""
    rng = random.Random(seed)
    import_arviz()  # here once, for all sessions
    total = {"runs": 0, "kills": 0, "early": 0}
    with tempfile.TemporaryDirectory() as folder:
        spans = {}
        while total["kills"] < n_kills:
            name = list(RUNS)[total["runs"] % len(RUNS)]
            if n_kills < FEW:
                spans[name] = USUAL_SPANS
            elif name not in spans:
                start = time.monotonic()
                status, told = reports(*session(sample(name, Path(folder) / f"first-{name}.zarr", 0)))
                if status:
                    raise RuntimeError("the run without kills failed")
                spans[name] = told[0][0] - start, told[-1][0] - told[0][0]
            most = min(n_kills - total["kills"], rng.choice([2, 3, 6]))
            done = run_and_kill(name, Path(folder), seed + total["runs"] + 1, rng, spans[name], most)
            total = {"runs": total["runs"] + 1, **{key: total[key] + done[key] for key in done}}
    print(json.dumps({**total, "spans": spans}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
