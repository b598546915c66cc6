"""Stored runs: written as they go, whole at any moment, read with mistrust, continued bit for bit."""

from probad.store import fingerprint
from probad.store.contents import COMMIT, RUN, Contents
from probad.store.writer import Writer

__all__ = ["COMMIT", "RUN", "Contents", "Writer", "fingerprint"]
