"""What is in a store, read with mistrust: each number is checked before it is used, each draw against its checksum.

- ``run.json``: what never changes: settings, fingerprint of the model, names and shapes; written first
- ``commit.json``: what counts: draws asked for, draws of each chain, where its state is, checksums; replaced at commits
- ``draws`` (chain, iteration, coordinate): unconstrained, warm-up first
- ``statistics`` (chain, iteration, statistic)
- ``state/NAME`` (chain, slot, ...): the arrays that a chain goes on from
- ``reference``: log density and gradient at two points; see `probad.store.fingerprint`
- ``init``: where chains were to start, if the user said so; likewise options of the sampler that are arrays
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probad.errors import StoreError
from probad.store.arrays import MOST_ROWS, TYPES, Array, Layout, rows_layout, state_layout, whole_layout
from probad.store.files import Fields, canonical, digest, read_sealed

FORMAT = "probad run 1"
RUN, COMMIT = "run.json", "commit.json"
TABLES = {"draws": "coordinate", "statistics": "statistic"}  # arrays that grow, and their last axis
MOST_CHAINS, LARGEST_STATE = 2**20, 2**36  # a store that claims more is damaged; bytes


@dataclass(frozen=True)
class Entry:
    """What a commit says of one chain.

    Attributes
    ----------
    done : int
        Iterations whose draws count, warm-up included.
    iteration : int
        Iteration of the state; fewer if the run was stopped in the midst of one, and those in between are repeated.
    slot : int
    draws, statistics, state : str
        Checksums.
    """

    done: int
    iteration: int
    slot: int
    draws: str
    statistics: str
    state: str


def extend(checksum: str, block: np.ndarray) -> str:
    """The checksum of rows followed by a block; that of the rows if the block is empty."""
    return digest(checksum, block) if len(block) else checksum


def state_checksum(state: dict[str, np.ndarray]) -> str:
    """Of all arrays with their names."""
    return digest(*(part for name in sorted(state) for part in (name, state[name])))


def table_layout(name: str, width: int, n_rows: int) -> Layout:
    """How draws or statistics are stored."""
    return rows_layout(name, width, n_rows, ("chain", "iteration", TABLES[name]))


def commit_content(run: str, entries: list[Entry | None], *, draws, seconds, met, facts) -> dict[str, Any]:
    """The content of ``commit.json``; the arguments are attributes of `Contents`."""
    return {
        "format": FORMAT,
        "run": run,
        "draws": draws,
        "seconds": seconds,
        "met": met,
        "facts": facts,
        "chains": [None if e is None else asdict(e) for e in entries],
    }


class Contents:
    """A store that was opened for reading.

    Parameters
    ----------
    root : Path

    Attributes
    ----------
    settings : dict
        Of the run as they are told with the result: ``algorithm``, its options, ``warmup``, ``seed``.
    dim, names : int and list of str
        Of the unconstrained coordinates.
    chunk_rows : int
        Rows of both tables to a chunk.
    sampler : dict
        Name and options of the algorithm, but for options that are arrays.
    options : dict
        Of the public function: which groups the result has, and so on.
    n_draws : int
        Draws asked for per chain.
    seconds : float
        Time of sampling, of all sessions.
    met : int
        How many boundaries, where chains wait for each other, the states have behind them.
    facts : dict
        What the sampler tells of the run.
    entries : list of Entry or None
        One per chain; None if nothing of it is committed.

    Raises
    ------
    StoreError
        If there is no store, or anything in it is not as it must be; names file and field.
    """

    def __init__(self, root: Path):
        self.root = root
        if not (root / COMMIT).exists():
            raise StoreError(f"{root}: there is no stored run here: no file {COMMIT}.")
        self._read_run()
        self._read_commit()

    def _read_run(self) -> None:
        path = self.root / RUN
        content = read_sealed(path)
        self.run_checksum = digest(canonical(content))
        run = Fields(content, path)
        if run.text("format") != FORMAT:
            raise run.wrong("format", run.text("format"), f"'{FORMAT}'; another version of probad made this store")
        settings = run.object("settings")
        settings.text("algorithm")
        self.n_warmup, _ = settings.whole("warmup", 0, 2**40), settings.whole("seed", 0, 2**4096)
        self.settings = dict(settings.content)
        self.options, self.sampler = dict(run.object("options").content), dict(run.object("sampler").content)
        self.made_by, self.layout = run.text("probad"), run.text("layout")
        self.description = run.object("fingerprint").content
        self.dim = run.object("fingerprint").whole("dim", 1, 2**40)
        self.names = run.object("fingerprint").list("names")
        if len(self.names) != self.dim or not all(isinstance(name, str) for name in self.names):
            raise run.wrong("fingerprint.names", self.names, f"a list of {self.dim} names")
        self.chunk_rows = run.whole("chunk_rows", 1, MOST_ROWS)
        arrays = run.object("arrays")
        self._check_names(arrays)
        self.arrays = {n: (arrays.object(n).shape("shape"), arrays.object(n).text("sha256")) for n in arrays.content}
        self.statistic_names = run.list("statistics")
        if not all(isinstance(name, str) for name in self.statistic_names):
            raise run.wrong("statistics", self.statistic_names, "a list of names")
        state = run.object("state")
        self._check_names(state)
        self.state_shapes = {name: self._state_field(state.object(name)) for name in state.content}

    @staticmethod
    def _check_names(fields: Fields) -> None:
        """Names of arrays are parts of paths, so that they must be plain."""
        for name in fields.content:
            if not re.fullmatch(r"[a-z_]{1,60}", name):
                raise fields.wrong(name[:60], name, "the name of an array, of small letters")

    @staticmethod
    def _state_field(fields: Fields) -> tuple[tuple[int, ...], str]:
        shape, dtype = fields.shape("shape"), fields.text("dtype")
        if dtype not in TYPES:
            raise fields.wrong("dtype", dtype, f"one of {', '.join(TYPES)}")
        return shape, dtype

    def _read_commit(self) -> None:
        path = self.root / COMMIT
        content = read_sealed(path)
        commit = Fields(content, path)
        if commit.text("format") != FORMAT:
            raise commit.wrong("format", commit.text("format"), f"'{FORMAT}'")
        if commit.text("run") != self.run_checksum:
            raise commit.wrong("run", commit.text("run"), f"the checksum of {RUN}: the files are of different runs")
        self.n_draws = commit.whole("draws", 1, 2**40)
        self.seconds, self.met = commit.number("seconds"), commit.whole("met", 0, 1000)
        self.facts = dict(commit.object("facts").content)
        if not all(value is None or isinstance(value, str | int | float) for value in self.facts.values()):
            raise commit.wrong("facts", self.facts, "an object of texts and numbers")
        entries = commit.list("chains")
        if not 1 <= len(entries) <= MOST_CHAINS:
            raise commit.wrong("chains", len(entries), "a list of chains")
        self.entries = [
            None if e is None else self._entry(Fields(e, path, f"chains[{i}].")) for i, e in enumerate(entries)
        ]

    def _entry(self, fields: Fields) -> Entry:
        done = fields.whole("done", 0, self.n_warmup + self.n_draws)
        iteration, slot = fields.whole("iteration", 0, done), fields.whole("slot", 0, 1)
        return Entry(done, iteration, slot, *(fields.text(name) for name in ("draws", "statistics", "state")))

    # --- arrays -------------------------------------------------------------------------------------------------------
    def width(self, table: str) -> int:
        """Number of columns of a table."""
        return self.dim if table == "draws" else len(self.statistic_names)

    def table(self, name: str, chain: int) -> tuple[np.ndarray, list[str]]:
        """The committed rows of a chain, and the checksums up to the end of each complete chunk, an empty one first."""
        entry = self.entries[chain]
        layout = table_layout(name, self.width(name), self.chunk_rows)
        array = Array(self.root, layout).open((chain + 1, entry.done, layout.chunks[2]))
        rows = array.read_rows(chain, entry.done)
        size, checksums = layout.chunks[1], [""]
        for k in range(entry.done // size):
            checksums.append(extend(checksums[-1], rows[k * size : (k + 1) * size]))
        tail = rows[len(rows) // size * size :]
        if extend(checksums[-1], tail) != getattr(entry, name):
            raise StoreError(
                f"{self.root / name}: the rows of chain {chain} do not have the checksum of field 'chains[{chain}]."
                f"{name}' in {COMMIT}; they were changed or damaged."
            )
        return rows, checksums

    def state(self, chain: int) -> dict[str, np.ndarray]:
        """The arrays that a chain goes on from, by name."""
        entry = self.entries[chain]
        total = sum(int(np.prod(shape, dtype=object)) for shape, _ in self.state_shapes.values())
        if 8 * total > LARGEST_STATE:
            raise StoreError(f"{self.root / RUN}: field 'state' asks for {8 * total} bytes; the file is damaged.")
        found = {}
        for name, (shape, dtype) in self.state_shapes.items():
            if 0 in shape:
                found[name] = np.empty(shape, dtype)
                continue
            like = np.broadcast_to(np.zeros((), dtype), shape)
            array = Array(self.root, state_layout(name, like)).open((chain + 1, 2, *shape))
            found[name] = array.read_block((chain, entry.slot, *(0 for _ in shape)))[0, 0]
        if state_checksum(found) != entry.state:
            raise StoreError(
                f"{self.root / 'state'}: the state of chain {chain} does not have the checksum of field "
                f"'chains[{chain}].state' in {COMMIT}; it was changed or damaged."
            )
        return found

    def array(self, name: str) -> np.ndarray | None:
        """An array that was written once: ``reference``, ``init`` or an option; None if there is none of that name."""
        if name not in self.arrays:
            return None
        shape, checksum = self.arrays[name]
        if 0 in shape:
            raise StoreError(f"{self.root / RUN}: field 'arrays.{name}.shape' must not be empty; got {list(shape)}.")
        layout = whole_layout(name, np.broadcast_to(np.zeros(()), shape))
        values = Array(self.root, layout).open(shape).read_block(tuple(0 for _ in shape))
        if digest(values) != checksum:
            raise StoreError(f"{self.root / name}: the values do not have the checksum in {RUN}; they were changed.")
        return values
