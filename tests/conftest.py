"""Fixtures shared by all tests: the reference posteriors beside the repository, if they are there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

# One thread per BLAS call: the machines that run the tests are small and shared.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

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
