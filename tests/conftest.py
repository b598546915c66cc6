"""What all tests share: one thread, no windows, repeatable examples, and the reference posteriors if they are there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import settings

# One thread per BLAS call: the machines that run the tests are small and shared.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")  # plots are written, never shown

# A failure in one run is a failure in the next; --hypothesis-profile=explore looks for new examples.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("repeatable")

POSTERIORDB = Path(__file__).parents[1].parent / "shared" / "posteriordb"


@pytest.fixture(scope="session")
def posteriordb():
    """``posteriordb(name)`` gives the data and the reference summary of a posterior."""
    if not POSTERIORDB.is_dir():
        pytest.skip("the reference posteriors are not beside the repository")

    def load(name: str):
        info = json.loads((POSTERIORDB / "posteriors.json").read_text())[name]
        data = json.loads((POSTERIORDB / "data" / f"{info['data']}.json").read_text())
        return data, json.loads((POSTERIORDB / "reference" / "summary.json").read_text())[name]

    return load
