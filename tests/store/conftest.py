"""Folders in memory where there are some: stores are many small files, and no power is cut while they are tested."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

MEMORY = "/dev/shm"  # on Linux; elsewhere the usual folder for temporary files does


@pytest.fixture(scope="session")
def memory():
    """A folder for the whole session."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None, prefix="probad-") as name:
        yield Path(name)


@pytest.fixture
def tmp_path(memory):
    """A folder for one test."""
    path = Path(tempfile.mkdtemp(dir=memory))
    yield path
    shutil.rmtree(path)
