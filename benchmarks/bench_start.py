"""From a cold process: import, first gradient and first draw of eight schools, and sampling.

Each figure is the median over fresh processes, in seconds.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
N_PROCESSES = 5

COLD = """
import json, time
start = time.perf_counter()
import probad as pb
imported = time.perf_counter() - start
from models import eight_schools
density = eight_schools.eight_schools(**eight_schools.data()).density()
density.logp_and_grad([0.1] * density.dim)
gradient = time.perf_counter() - start
pb.nuts(density, draws={draws}, warmup={warmup}, chains={chains}, seed=1, progress=False)
end = time.perf_counter() - start
print(json.dumps({{"import": imported, "first gradient": gradient, "result": end}}))
"""
CASES = {"one draw": (1, 0, 1), "1 x (200 + 200)": (200, 200, 1)}


def cases() -> list[str]:
    """Names of the cases."""
    return list(CASES)


def run(case: str) -> dict[str, float]:
    """Time one case in fresh processes."""
    draws, warmup, chains = CASES[case]
    code = COLD.format(draws=draws, warmup=warmup, chains=chains)
    found = []
    for _ in range(N_PROCESSES):
        out = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        found.append(json.loads(out.stdout.strip().splitlines()[-1]))
    return {key: statistics.median(row[key] for row in found) for key in found[0]}
