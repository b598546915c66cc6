"""Runs that are killed at random times lose nothing that was committed, and go on bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def kill(n: int, seed: int, folder: Path | None) -> dict:
    """Run the killer in a process without threads, which may fork; its stores go to a folder, or to a disk."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.killing", str(n), str(seed)],
        cwd=ROOT,
        env=os.environ | ({} if folder is None else {"TMPDIR": str(folder)}),
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    return json.loads(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killer forks")
@pytest.mark.parametrize("n", [2, pytest.param(200, marks=pytest.mark.slow)])
def test_runs_that_are_killed_lose_nothing(n, tmp_path):
    found = kill(n, seed=2026, folder=tmp_path if n < 10 else None)
    assert found["kills"] == n
    assert found["early"] <= n / 2  # most kills hit a run that has begun to write
