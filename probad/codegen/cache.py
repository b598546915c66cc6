"""Compiled objects and programs on disk, so that what one process has compiled the next one loads.

An entry is a file named by the hash of everything it depends on. It is written beside its place and moved there, so
that no reader sees half of it, and begins with a checksum, so that a damaged one counts as absent. Objects are code:
the folder belongs to the user alone. Whatever goes wrong with the disk, the answer is to compile again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from pathlib import Path

LIMIT = 256 * 2**20  # bytes; beyond, the files not used for longest go
_MAGIC = b"probad-object-1\n"
_DIGEST = hashlib.sha256().digest_size


def folder() -> Path:
    """Where objects are kept: ``PROBAD_CACHE_DIR``, or the system's folder for caches of the user."""
    if given := os.environ.get("PROBAD_CACHE_DIR"):
        return Path(given)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "probad"


def key(*parts) -> str:
    """A name for an entry that depends on `parts`: any objects that `repr` tells apart.

    Examples
    --------
    >>> key("a", 1) == key("a", 1), key("a", 1) == key("a1")
    (True, False)
    """
    return hashlib.sha256("\0".join(map(repr, parts)).encode()).hexdigest()


def load(name: str) -> bytes | None:
    """What is stored under a key; None if nothing is, or if it is damaged or not the user's own."""
    try:
        path = _path(name)
        with path.open("rb") as file:
            if not _is_private(os.fstat(file.fileno())):
                return None
            data = file.read()
    except (OSError, RuntimeError):
        return None
    body = data[len(_MAGIC) + _DIGEST :]
    if not data.startswith(_MAGIC) or data[len(_MAGIC) : len(_MAGIC) + _DIGEST] != _checksum(name, body):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used just now: what is not goes first
    return body


def store(name: str, body: bytes) -> None:
    """Keep `body` under a key, if the disk lets us."""
    import tempfile  # with what it imports two thirds of a millisecond, which processes that only load do not need

    temporary = None
    try:
        path = _path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix="new-", dir=path.parent)  # mode 0600
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + _checksum(name, body) + body)
        os.replace(temporary, path)
        temporary = None
        _shrink(path.parent, LIMIT)
    except (OSError, RuntimeError):
        pass
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def remove(name: str) -> None:
    """Keep nothing under a key, if the disk lets us."""
    with contextlib.suppress(OSError, RuntimeError):
        _path(name).unlink()


def _path(name: str) -> Path:
    return folder() / f"{name}.o"


def _checksum(name: str, body: bytes) -> bytes:
    """Of the key too: a file that was renamed is not what it says."""
    return hashlib.sha256(name.encode() + b"\0" + body).digest()


def _is_private(status: os.stat_result) -> bool:
    """Whether nobody else could have written the file."""
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _shrink(place: Path, limit: int) -> None:
    """Remove the files not used for longest until the rest fits the limit."""
    files = []
    with os.scandir(place) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # another process may be removing it too
                if entry.name.endswith(".o") or entry.name.startswith("new-"):
                    status = entry.stat()
                    files.append((status.st_mtime, status.st_size, entry.path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit:
            return
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
