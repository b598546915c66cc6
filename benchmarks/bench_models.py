"""Effective draws per second of sampling, and seconds of one cold process, by model and system.

4 chains of 1000 warm-up iterations and 1000 draws by default settings, on two threads. "cold" is a whole process with
empty caches, from its start over import, compilation and sampling to the effective sample size (medians of 3 for
probad, one for peers, which take minutes); "again" is probad's second process. "sampling" has warm-up in it but no
compilation; it, "ESS" and the rest are medians of up to five runs with different seeds. ESS is the smallest bulk figure
of all variables. "x peer" is ESS / s in units of the best peer of the same run of the benchmark, "x Stan" in units of
the recorded figure of Stan, which cannot be installed everywhere. Peers bring packages that make other imports slower;
the environment variable PEERS_PYTHON names the interpreter of an environment of their own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from benchmarks.systems import installed
from models import MODELS, is_available

ROOT = Path(__file__).parents[1]
OURS, PEERS = ["probad nuts", "probad fit"], ["nutpie", "numpyro"]
PEERS_PYTHON = os.environ.get("PEERS_PYTHON")
AT_MOST = 20.0  # seconds of sampling after which no further run begins
N_COLD = 3  # cold processes of probad
# ESS per second of sampling of Stan (PyStan 3.10) on two cores, one run each, on data of the same size.
STAN = {
    "eight_schools": 3246,
    "kidiq": 429,
    "radon": 176,
    "logistic": 147,
    "stochastic_volatility": 14,
    "garch": 278,
    "gp_regression": 3629,
    "irt": 7,
    "gauss_mix": 177,
}


def cases() -> list[str]:
    """Names of the cases."""
    return [f"{model}: {system}" for model in MODELS if is_available(model) for system in [*OURS, *_peers()]]


def _peers() -> list[str]:
    return PEERS if PEERS_PYTHON else installed(PEERS)


def run(case: str) -> dict[str, float]:
    """Sample one model by one system in processes of its own."""
    model, _, system = case.partition(": ")
    try:
        found = _measured(model, system)
    except RuntimeError as error:
        print(error)
        return {}
    figures = {**found, "x Stan": found["ESS / s"] / STAN[model]}
    if system in OURS and (peers := [_measured(model, peer) for peer in _peers()]):
        figures["x peer"] = found["ESS / s"] / max(peer["ESS / s"] for peer in peers)
        figures["cold / peer"] = found["cold"] / min(peer["cold"] for peer in peers)
    return figures


@cache
def _measured(model: str, system: str) -> dict[str, float]:
    ours = system in OURS
    first, *others = [_process(model, system, AT_MOST if k == 0 else 0.0) for k in range(N_COLD if ours else 1)]
    cold = statistics.median(figures["cold"] for figures, _ in (first, *others))
    again = {"again": first[1]} if ours else {}
    keys = ("sampling", "us / gradient", "ESS", "ESS / s", "ESS / 1000", "R-hat", "divergent")
    return {"cold": cold, **again, **{key: first[0][key] for key in keys}}


def _process(model: str, system: str, at_most: float) -> tuple[dict[str, float], float]:
    """Figures of a process with empty caches, and seconds of a second one of probad with the caches of the first."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PROBAD_CACHE_DIR": folder,
            "NUMBA_CACHE_DIR": folder,
            "PYTENSOR_FLAGS": f"base_compiledir={folder}",
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages have their bytecode

        def once(at_most: float) -> dict[str, float]:
            python = sys.executable if system in OURS else PEERS_PYTHON or sys.executable
            command = [python, "-W", "ignore", "-m", "benchmarks.cold", system, model]
            command += [repr(time.time()), repr(at_most)]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(
                    f"{model} by {system} failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}"
                )
            return json.loads(done.stdout.splitlines()[-1])

        figures = once(at_most)
        return figures, once(0.0)["cold"] if at_most and system in OURS else figures["cold"]
