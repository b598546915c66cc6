"""Programs of functions that were compiled before, also by another process: they need not be captured again.

A program is kept on disk under the identity of its function (`probad.ir.identity`), with the constant data that it
reads. What is found there is what capturing would have made: the same bits. It is compared with the function like any
other code, and given up where it differs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy

from probad.codegen import cache
from probad.codegen.calls import address_of
from probad.codegen.places import aligned
from probad.codegen.program import Text
from probad.errors import CompileError
from probad.ir.identity import LARGEST, identity
from probad.version import __version__

_FORMAT = 1


def name_of(fn, *settings) -> str | None:
    """The name under which the program of a function is kept; None if the function cannot be known again.

    Parameters
    ----------
    fn : callable
    *settings : objects that `probad.ir.identity.identity` tells apart
        What else the program depends on.
    """
    known = identity(fn, *settings)
    return None if known is None else cache.key("program", _FORMAT, known, *_versions())


def remember(name: str | None, program: Text) -> None:
    """Keep a program, if it can be kept: one that calls Python cannot."""
    if name is None or program.host or program.data.nbytes > LARGEST:
        return
    sizes = {"n_work": program.n_work, "n_result": program.n_result, "n_data": program.data.size}
    head = json.dumps({**sizes, "symbols": sorted(program.symbols)}).encode()
    cache.store(name, b"\n".join([head, program.data.tobytes() + program.text.encode()]))


def recall(name: str | None) -> Text | None:
    """The program that was kept under a name; None if there is none."""
    body = None if name is None else cache.load(name)
    if body is None:
        return None
    line, _, rest = body.partition(b"\n")
    head = json.loads(line)
    data = aligned(head["n_data"])
    data[:] = np.frombuffer(rest, float, head["n_data"])
    try:
        symbols = {symbol: address_of(symbol) for symbol in head["symbols"]}
    except CompileError:
        return None
    return Text(rest[data.nbytes :].decode(), data, head["n_work"], head["n_result"], symbols=symbols)


def forget(name: str | None) -> None:
    """Keep nothing under a name."""
    if name is not None:
        cache.remove(name)


@lru_cache(maxsize=1)
def _versions() -> tuple:
    """Of everything that makes programs, this library as it lies on disk among them."""
    return __version__, sys.version, np.__version__, scipy.__version__, tuple(_files(Path(__file__).parents[1]))


def _files(folder: Path) -> Iterator[tuple]:
    """Names, sizes and times of the files in Python below a folder."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name.endswith(".py"):
                status = entry.stat()
                yield entry.name, status.st_size, status.st_mtime_ns
            elif entry.is_dir():
                yield from _files(Path(entry.path))
