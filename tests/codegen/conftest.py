"""A cache of their own for the tests of native code."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Objects go to a folder of the test."""
    place = tmp_path / "objects"
    monkeypatch.setenv("PROBAD_CACHE_DIR", str(place))
    return place
