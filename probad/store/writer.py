"""Write a run to disk while it goes on, so that nothing committed is lost however the process ends.

What a commit is: chunks of draws, then the state, each on the disk, then ``commit.json``, replaced in one step. It says
how many draws of each chain count, where the state is, and the checksums of both. What is in the store beyond that is
overwritten. States have two slots, so that the one in force stays until the next is in force.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from probad.errors import StoreError
from probad.store.arrays import Array, Layout, chunk_rows, state_layout, whole_layout
from probad.store.contents import (
    COMMIT,
    FORMAT,
    RUN,
    TABLES,
    Contents,
    Entry,
    commit_content,
    extend,
    state_checksum,
    table_layout,
)
from probad.store.files import PARTIAL, Lock, canonical, digest, seal, synchronise, write_whole
from probad.version import __version__

COMMIT_SECONDS = 0.5  # between two commits of a chain, at least
DUTY = 0.05  # share of the time that writing may take


@dataclass
class Chain:
    """How far a chain is written.

    Attributes
    ----------
    entry : Entry or None
        What the next commit says.
    checksums : dict of str to list of str
        For each table, those up to the end of each complete chunk that is written, an empty one first.
    first : dict of str to array, or None
        The state before the first iteration, until a later one is written.
    overlap : dict of str to array
        After a resume, by table: rows that are committed but computed again, since the state is older.
    due : float
        When it is to be written next, by `time.monotonic`.
    writing : bool
        Whether that is under way.
    """

    entry: Entry | None = None
    checksums: dict[str, list[str]] = field(default_factory=lambda: {name: [""] for name in TABLES})
    first: dict[str, np.ndarray] | None = None
    overlap: dict[str, np.ndarray] = field(default_factory=dict)
    due: float = 0.0
    writing: bool = False


class Writer:
    """The writer of one store, with a thread of its own.

    Parameters
    ----------
    root : Path
    identity : dict, optional
        For a new store: ``fingerprint``, ``sampler`` and ``options`` (JSON content), ``arrays`` (dict of str to array).
    resumed : bool
        Whether to continue the store that is there.

    Attributes
    ----------
    contents : Contents or None
        Of that store; nobody else writes to it as long as this object is open.
    met : int
        As for `Contents`.
    """

    def __init__(self, root: Path, identity: dict[str, Any] | None = None, *, resumed: bool = False):
        self.root, self._identity = root, identity
        self._lock: Lock | None = None
        self.contents: Contents | None = None
        if resumed:
            self._lock = Lock(root)
            try:
                self.contents = Contents(root)  # only now that nobody else writes
            except BaseException:
                self._lock.release()
                raise
        elif root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise StoreError(
                f"{root} exists. pb.resume(path, model) continues a run that is stored there; for a new run give "
                "another name, or delete it."
            )
        self._thread = ThreadPoolExecutor(1, "probad-store")
        self._guard = threading.Lock()  # of the list of jobs, which several threads add to
        self._jobs: list[Future] = []
        self._closed = self._broken = False
        self._chains: dict[int, Chain] = {}
        self._arrays: dict[str, Array] = {}
        self._settings: dict[str, Any] = {}
        self._facts: dict[str, Any] = {} if self.contents is None else self.contents.facts
        self.met = 0 if self.contents is None else self.contents.met

    # --- what the driver of the chains calls --------------------------------------------------------------------------
    def begin(self, settings: dict[str, Any], like: dict[str, np.ndarray], *, layout: str, statistics) -> None:
        """Take note of what is to be written.

        Parameters
        ----------
        settings : dict
            Of the run: ``algorithm``, its options, ``draws``, ``warmup``, ``chains``, ``seed``.
        like : dict of str to array
            Arrays of a chain, for their shapes and types; ``draws`` and ``statistics`` among them.
        layout : str
            Tells what the places in these arrays mean: a state is continued by the same layout only.
        statistics : sequence of str
            Names of the columns.
        """
        self._started = time.perf_counter()
        self._settings, self._layout, self._statistics = dict(settings), layout, list(statistics)
        self._like = {name: array for name, array in like.items() if name not in TABLES}
        self._width = {name: like[name].shape[1] for name in TABLES}
        contents = self.contents
        if contents is None:
            self._chunk_rows = chunk_rows(settings["draws"] + settings["warmup"])
            return
        self._chunk_rows = contents.chunk_rows
        shapes = {name: (array.shape, array.dtype.name) for name, array in self._like.items()}
        if contents.layout != layout or contents.state_shapes != shapes or contents.statistic_names != self._statistics:
            raise StoreError(
                f"{self.root} was written by probad {contents.made_by}, whose samplers keep their state in another way "
                f"than those of this version, {__version__}. pb.read_store reads it; to go on with it, install that "
                "version."
            )

    def stored(self, number: int) -> dict[str, np.ndarray] | None:
        """The arrays that chain `number` goes on from, of both tables the rows that count; None for a new chain."""
        contents = self.contents
        if contents is None or number >= len(contents.entries) or contents.entries[number] is None:
            return None
        entry = contents.entries[number]
        chain = self._chains[number] = Chain(entry)
        arrays = contents.state(number)
        for name in TABLES:
            arrays[name], chain.checksums[name] = contents.table(name, number)
            chain.overlap[name] = arrays[name][entry.iteration :].copy()
        return arrays

    def record(self, number: int, done: int, arrays: dict[str, np.ndarray], *, exact: bool, now: bool = False) -> None:
        """Commit a chain if it is time; called while the chain rests.

        Parameters
        ----------
        number : int
        done : int
            Complete iterations.
        arrays : dict of str to array
            All arrays of the chain, which go on changing: state is copied, rows up to `done` stay as they are.
        exact : bool
            Whether the state is that after `done` iterations; not so after an interrupt in the midst of one.
        now : bool
            Commit in any case.
        """
        self._raise_failure()
        chain = self._chains.setdefault(number, Chain())
        if exact and done == 0:  # nobody would miss it: the chain would start there anyway
            chain.first = {name: arrays[name].copy() for name in self._like}
            return
        if not now and (not exact or chain.writing or time.monotonic() < chain.due):
            return
        chain.writing = True
        state = {name: arrays[name].copy() for name in self._like} if exact else None
        tables = {name: arrays[name] for name in TABLES}
        self._submit(self._write, number, chain, done, tables, state)

    def meet(self, met: int, chains: dict[int, tuple[int, dict[str, np.ndarray]]]) -> None:
        """Commit all chains in one step, so that either all have met or none has.

        Parameters
        ----------
        met : int
            How many boundaries they have behind them.
        chains : dict of int to pair
            Complete iterations and arrays by number.
        """
        self._raise_failure()
        copies = {}
        for number, (done, arrays) in chains.items():
            state = {name: arrays[name].copy() for name in self._like}
            copies[number] = done, {name: arrays[name] for name in TABLES}, state
        self._submit(self._write_together, met, copies)

    def finish(self, seconds: float, settings: dict[str, Any]) -> float:
        """Write what is under way, and let go of the store.

        Parameters
        ----------
        seconds : float
            Of sampling, in this session.
        settings : dict
            As for `begin`, with what the sampler has to tell of the run.

        Returns
        -------
        float
            Of all sessions.
        """
        before = 0.0 if self.contents is None else self.contents.seconds
        self._submit(self._end, seconds, {k: _told(v) for k, v in settings.items() if k not in self._settings})
        self.close()
        with contextlib.suppress(KeyboardInterrupt):  # the draws are there; the thread writes on, to the end
            wait(self._jobs)
        self._raise_failure()
        return before + seconds

    def close(self) -> None:
        """Let go of the store once what is under way is written."""
        if not self._closed:
            self._closed = True
            self._submit(self._release)
            self._thread.shutdown(wait=False)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()
        with contextlib.suppress(KeyboardInterrupt):
            wait(self._jobs)

    def _submit(self, work, *arguments) -> None:
        with self._guard:
            self._jobs = [job for job in self._jobs if not job.done() or job.exception() is not None]
            self._jobs.append(self._thread.submit(self._named, work, *arguments))

    def _raise_failure(self) -> None:
        with self._guard:
            failures = [job.exception() for job in self._jobs if job.done() and job.exception() is not None]
        for failure in failures:
            raise failure

    # --- in the thread of the writer ----------------------------------------------------------------------------------
    def _named(self, work, *arguments) -> None:
        """Do a piece of work; after one has failed nothing is written, since what is in force may not be known."""
        if self._broken and work != self._release:
            return
        try:
            work(*arguments)
        except BaseException as error:
            self._broken = True
            if not isinstance(error, OSError):
                raise
            if not self._arrays and self.contents is None:
                raise StoreError(f"{self.root} cannot be made: {error}. Give another folder as store=.") from error
            raise StoreError(
                f"{self.root} cannot be written: {error}. What was committed before is kept; when that is mended, "
                "pb.resume(path, model) goes on from there."
            ) from error

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _write(self, number: int, chain: Chain, done: int, tables, state: dict[str, np.ndarray] | None) -> None:
        """Write the news of a chain and commit them."""
        start = time.monotonic()
        try:
            if not self._arrays:
                self._open()
            entry = chain.entry
            known = entry is not None and (done, done if state else entry.iteration) == (entry.done, entry.iteration)
            if known or done == 0 or (entry is not None and done < entry.done):
                return
            if state is None and entry is None:
                chain.entry = self._write_parts(number, chain, 0, tables, chain.first)
            chain.entry, chain.first = self._write_parts(number, chain, done, tables, state), None
            self._mark()
        finally:
            now = time.monotonic()
            chain.due, chain.writing = now + max(COMMIT_SECONDS, (now - start) * len(self._chains) / DUTY), False

    def _write_together(self, met: int, chains) -> None:
        """Write the news of all chains and commit them in one step."""
        if not self._arrays:
            self._open()
        entries = {number: self._write_parts(number, self._chains[number], *parts) for number, parts in chains.items()}
        for number, entry in entries.items():
            self._chains[number].entry = entry
        self.met = met
        self._mark()

    def _write_parts(self, number: int, chain: Chain, done: int, tables, state) -> Entry:
        """Write rows and state of a chain, which are not in force yet; what the commit is to say."""
        if chain.overlap:
            self._compare(chain, tables)
        entry = chain.entry
        sums = {name: self._write_table(number, chain, name, rows, done) for name, rows in tables.items()}
        if state is None:
            return replace(entry, done=done, **sums)
        slot = 0 if entry is None else 1 - entry.slot
        for name, values in state.items():
            if values.size:
                self._arrays[f"state/{name}"].write_block((number, slot, *(0 for _ in values.shape)), values)
        return Entry(done, done, slot, **sums, state=state_checksum(state))

    def _write_table(self, number: int, chain: Chain, name: str, rows: np.ndarray, done: int) -> str:
        """Write the rows up to `done` whose chunks are not complete on the disk; the checksum of all."""
        array, sums = self._arrays[name], chain.checksums[name]
        size = array.layout.chunks[1]
        for k in range(len(sums) - 1, -(-done // size)):
            part = rows[k * size : min(done, (k + 1) * size)]
            block = np.full(array.layout.chunks[1:], np.nan)
            block[: len(part)] = part
            array.write_block((number, k, 0), block)
            if len(part) == size:
                sums.append(extend(sums[-1], part))
        return extend(sums[-1], rows[(len(sums) - 1) * size : done])

    def _compare(self, chain: Chain, tables) -> None:
        """Compare rows that were computed again with those stored; forget the stored ones if they differ.

        They do so only where processors or libraries do: then the run goes on from its state, as from any other.
        """
        entry, overlap = chain.entry, chain.overlap
        chain.overlap = {}
        if all(tables[n][entry.iteration : entry.done].tobytes() == overlap[n].tobytes() for n in TABLES):
            return
        sums = {}
        for name, rows in tables.items():
            size = self._arrays[name].layout.chunks[1]
            n_full = entry.iteration // size
            del chain.checksums[name][n_full + 1 :]
            sums[name] = extend(chain.checksums[name][-1], rows[n_full * size : entry.iteration])
        chain.entry = replace(entry, done=entry.iteration, **sums)
        self._mark()

    def _end(self, seconds: float, facts: dict[str, Any]) -> None:
        """Note how long the session took and what the sampler tells, if there is anything in it."""
        self._facts = facts
        if self._arrays:
            self._mark(seconds)

    def _mark(self, seconds: float | None = None) -> None:
        """Put in force what is written."""
        if seconds is None:
            seconds = time.perf_counter() - self._started
        before = 0.0 if self.contents is None else self.contents.seconds
        entries = [self._chains[i].entry if i in self._chains else None for i in range(self._settings["chains"])]
        write_whole(self.root / COMMIT, seal(self._commit(before + seconds, entries)))

    def _commit(self, seconds: float, entries: list[Entry | None]) -> dict[str, Any]:
        return commit_content(
            self._run_checksum,
            entries,
            draws=self._settings["draws"],
            seconds=seconds,
            met=self.met,
            facts=self._facts,
        )

    # --- making and enlarging a store ---------------------------------------------------------------------------------
    def _layouts(self) -> list[tuple[Layout, tuple[int, ...]]]:
        """All arrays that grow, with the shapes that they must have."""
        chains = self._settings["chains"]
        total = self._settings["draws"] + self._settings["warmup"]
        tables = [(table_layout(n, w, self._chunk_rows), (chains, total, w)) for n, w in self._width.items()]
        states = [(state_layout(n, a), (chains, 2, *a.shape)) for n, a in self._like.items() if a.size]
        return tables + states

    def _open(self) -> None:
        """Have the arrays ready to be written to."""
        if self.contents is None:
            self._create()
            return
        self._run_checksum = self.contents.run_checksum
        for path in self.root.rglob(f"*{PARTIAL}"):  # left by a process that was killed
            path.unlink()
        before = len(self.contents.entries), self.contents.n_draws + self.contents.n_warmup
        for layout, shape in self._layouts():
            least = (before[0], shape[1] if layout.name.startswith("state/") else before[1], *shape[2:])
            array = self._arrays[layout.name] = Array(self.root, layout).open(least, write=True)
            array.grow(shape)

    def _create(self) -> None:
        """Make a new store under another name, and give it its own when it is whole."""
        root = self.root.with_name(f"{self.root.name}.{uuid.uuid4().hex}{PARTIAL}")
        root.mkdir(parents=True)
        try:
            self._fill(root)
            os.rename(root, self.root)
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
        synchronise(self.root.parent)
        for layout, shape in self._layouts():
            self._arrays[layout.name] = Array(self.root, layout).open(shape, write=True)

    def _fill(self, root: Path) -> None:
        """Write all that a store has before the first draw."""
        import zarr

        self._lock = Lock(root)
        zarr.create_group(zarr.storage.LocalStore(root), zarr_format=3)
        for layout, shape in self._layouts():
            Array.create(root, layout, shape)
        content = self._run_content()
        for name, values in self._identity["arrays"].items():
            Array.create(root, whole_layout(name, values), values.shape).write_block((0,) * values.ndim, values)
        write_whole(root / RUN, seal(content))
        self._run_checksum = digest(canonical(content))
        write_whole(root / COMMIT, seal(self._commit(0.0, [None] * self._settings["chains"])))
        for path in root.rglob("*"):
            synchronise(path)

    def _run_content(self) -> dict[str, Any]:
        """The content of ``run.json``."""
        return {
            "format": FORMAT,
            "probad": __version__,
            "layout": self._layout,
            "settings": {name: v for name, v in self._settings.items() if name not in ("draws", "chains")},
            "sampler": self._identity["sampler"],
            "options": self._identity["options"],
            "fingerprint": self._identity["fingerprint"],
            "arrays": {n: {"shape": list(a.shape), "sha256": digest(a)} for n, a in self._identity["arrays"].items()},
            "statistics": self._statistics,
            "chunk_rows": self._chunk_rows,
            "state": {name: {"shape": list(a.shape), "dtype": a.dtype.name} for name, a in self._like.items()},
        }


def _told(value):
    """What a sampler tells, as JSON has it."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
