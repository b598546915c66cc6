"""Files that nothing can tear or trick: written whole or not at all, read only if they are what they should be."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from probad.errors import StoreError

try:
    import fcntl
except ImportError:  # Windows has none: there two writers of one store are not told apart
    fcntl = None

PARTIAL = ".partial"  # how the names of files end that are being written, ours and zarr's
LARGEST_JSON = 64 * 2**20  # bytes
LONGEST_SHOWN = 60  # characters of a bad value in a message


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file by new content, which is on the disk when this returns; a crash leaves the old or the new."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    synchronise(path.parent)


def synchronise(path: Path) -> None:
    """Have a file or folder that is already written reach the disk, so that it outlives a power cut."""
    if os.name == "nt" and path.is_dir():
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_regular(path: Path, size: int | None = None) -> int:
    """The size of a file in bytes; an error unless it is an ordinary file, of that size if one is given."""
    try:
        found = os.lstat(path)
    except OSError as error:
        raise StoreError(f"{path}: the file cannot be read: {error.strerror or error}.") from error
    if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
        raise StoreError(f"{path}: this is no ordinary file, and a store has nothing else.")
    if size is not None and found.st_size != size:
        raise StoreError(f"{path}: the file has {found.st_size} bytes instead of {size}; it was cut or changed.")
    return found.st_size


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    StoreError
        If it is no ordinary file, too large, or no JSON object. Numbers that are not finite are no JSON.
    """
    if check_regular(path) > LARGEST_JSON:
        raise StoreError(f"{path}: the file is too large to be part of a store.")
    try:
        content = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: this is no JSON file: {error}.") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path}: the file holds no JSON object.")
    return content


def _refuse_constant(name: str):
    raise ValueError(f"{name} is no JSON")


def canonical(content: Any) -> bytes:
    """One spelling of JSON content, for checksums."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def seal(content: dict[str, Any]) -> bytes:
    """The text of a JSON file that carries its own checksum."""
    sealed = {**content, "checksum": hashlib.sha256(canonical(content)).hexdigest()}
    return json.dumps(sealed, indent=1, allow_nan=False).encode()


def read_sealed(path: Path) -> dict[str, Any]:
    """What `seal` wrote, without the checksum; an error if it does not fit."""
    content = read_json(path)
    checksum = content.pop("checksum", None)
    try:
        expected = hashlib.sha256(canonical(content)).hexdigest()
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: this is no JSON file: {error}.") from error
    if checksum != expected:
        raise StoreError(f"{path}: field 'checksum' does not fit the rest of the file, which was changed or damaged.")
    return content


class Fields:
    """The fields of a JSON object, each asked for by name and type, so that errors name file and field.

    Parameters
    ----------
    content : dict
    path : Path
        Of the file, for messages.
    prefix : str
        Where in the file the object is, for messages.
    """

    def __init__(self, content: Any, path: Path, prefix: str = ""):
        self.path, self.prefix = path, prefix
        if not isinstance(content, dict):
            raise self.wrong(prefix.rstrip("."), content, "an object", whole=True)
        self.content = content

    def wrong(self, name: str, value: Any, expected: str, *, whole: bool = False) -> StoreError:
        """The error for a field."""
        shown = repr(value)
        shown = shown if len(shown) <= LONGEST_SHOWN else shown[:LONGEST_SHOWN] + "..."
        return StoreError(
            f"{self.path}: field '{name if whole else self.prefix + name}' must be {expected}; got {shown}."
        )

    def whole(self, name: str, low: int = 0, high: int = 2**63 - 1) -> int:
        """A whole number in a range."""
        value = self.content.get(name)
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(name, value, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str) -> float:
        """A finite number."""
        value = self.content.get(name)
        if type(value) not in (int, float) or not abs(value) < 1e300:
            raise self.wrong(name, value, "a number")
        return float(value)

    def text(self, name: str) -> str:
        """A text."""
        value = self.content.get(name)
        if not isinstance(value, str):
            raise self.wrong(name, value, "a text")
        return value

    def list(self, name: str) -> list:
        """A list."""
        value = self.content.get(name)
        if not isinstance(value, list):
            raise self.wrong(name, value, "a list")
        return value

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array."""
        value = self.list(name)
        if not all(type(n) is int and 0 <= n < 2**40 for n in value) or len(value) > 8:
            raise self.wrong(name, value, "the shape of an array")
        return tuple(value)

    def object(self, name: str) -> Fields:
        """An object inside."""
        return Fields(self.content.get(name), self.path, f"{self.prefix}{name}.")


def digest(*parts: Any) -> str:
    """A checksum of texts, bytes and arrays, in hexadecimal digits; shapes and types count."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.dtype.str}{part.shape}".encode())
            total.update(np.ascontiguousarray(part).tobytes())
        else:
            total.update(part.encode() if isinstance(part, str) else part)
        total.update(b"|")
    return total.hexdigest()


class Lock:
    """The right to write to a store, held by one process at a time; it ends with the process, however that ends."""

    def __init__(self, root: Path):
        path = root / "lock"
        if os.path.lexists(path):
            check_regular(path)
        self._file = path.open("ab")
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise StoreError(
                f"{root}: another run is writing to this store. Wait until it ends, or stop it."
            ) from error

    def release(self) -> None:
        """Let others write."""
        self._file.close()
