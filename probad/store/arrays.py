"""Arrays of a store: zarr's, of few fixed layouts, so that metadata from a file are compared and never obeyed.

Chunks are not compressed. So the size of each file is known before it is read, and every zarr reader can open them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probad.errors import StoreError
from probad.store.files import check_regular, read_json, synchronise

CHUNK_BYTES = 2**20  # a chunk has at most so many, but always one row
LEAST_ROWS, MOST_ROWS, N_CHUNKS = 256, 8192, 4  # rows of a chunk, so that a table has about so many: few large files
CHECKSUM_BYTES = 4  # of CRC-32C, at the end of each chunk
TYPES = ("float64", "int64", "uint64", "bool")
FILL = {"float64": "NaN", "int64": 0, "uint64": 0, "bool": False}


@dataclass(frozen=True)
class Layout:
    """How an array is stored: chunks along axes that grow, whole along the rest.

    Attributes
    ----------
    name : str
        Path in the store.
    dtype : str
    chunks : tuple of int
        The shape of a chunk; axes of an array that are not longer than their chunk are whole.
    dims : tuple of str
        Names of the axes.
    """

    name: str
    dtype: str
    chunks: tuple[int, ...]
    dims: tuple[str, ...]

    @property
    def chunk_bytes(self) -> int:
        """Size of a chunk's file."""
        return math.prod(self.chunks) * np.dtype(self.dtype).itemsize + CHECKSUM_BYTES

    def chunk_path(self, root: Path, place: tuple[int, ...]) -> Path:
        """The file of the chunk at a place of the grid."""
        return root.joinpath(self.name, "c", *map(str, place))

    def metadata(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """What zarr writes about such an array."""
        codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        if self.dtype == "bool":
            codecs[0] = {"name": "bytes"}
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(shape),
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.chunks)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": FILL[self.dtype],
            "codecs": codecs,
            "attributes": {},
            "dimension_names": list(self.dims),
            "storage_transformers": [],
        }


def chunk_rows(n_rows: int) -> int:
    """How many rows of a table make a chunk, if there are going to be `n_rows`."""
    return max(LEAST_ROWS, min(MOST_ROWS, -(-n_rows // N_CHUNKS)))


def rows_layout(name: str, width: int, n_rows: int, dims: tuple[str, ...]) -> Layout:
    """Rows of numbers, of each chain one after the other: (chain, iteration, width), `n_rows` or fewer to a chunk."""
    n = max(1, min(n_rows, CHUNK_BYTES // (8 * max(1, width))))
    return Layout(name, "float64", (1, n, width), dims)


def state_layout(name: str, array: np.ndarray) -> Layout:
    """One array of the state of a chain: (chain, slot, ...)."""
    axes = tuple(f"axis_{i}" for i in range(array.ndim))
    return Layout(f"state/{name}", array.dtype.name, (1, 1, *array.shape), ("chain", "slot", *axes))


def whole_layout(name: str, array: np.ndarray) -> Layout:
    """An array that is written once."""
    return Layout(name, array.dtype.name, array.shape, tuple(f"axis_{i}" for i in range(array.ndim)))


class Array:
    """One array of a store.

    Parameters
    ----------
    root : Path
        Of the store.
    layout : Layout
    """

    def __init__(self, root: Path, layout: Layout):
        self.root, self.layout = root, layout
        self._zarr = None

    @classmethod
    def create(cls, root: Path, layout: Layout, shape: tuple[int, ...]) -> Array:
        """A new array without chunks."""
        import zarr  # half a second

        made = zarr.create_array(
            zarr.storage.LocalStore(root),
            name=layout.name,
            shape=shape,
            chunks=layout.chunks,
            dtype=layout.dtype,
            fill_value=math.nan if layout.dtype == "float64" else FILL[layout.dtype],
            filters=None,
            compressors=[zarr.codecs.Crc32cCodec()],
            dimension_names=layout.dims,
            config={"write_empty_chunks": True},
        )
        array = cls(root, layout)
        array._zarr = made
        return array

    def open(self, least: tuple[int, ...], *, write: bool = False) -> Array:
        """Open an array of at least a shape, after its metadata turn out to be those of the layout."""
        import zarr

        path = self.root / self.layout.name / "zarr.json"
        found = read_json(path)
        expected = self.layout.metadata(least)
        if "consolidated_metadata" in found and found["consolidated_metadata"] is None:
            found.pop("consolidated_metadata")
        for field in sorted({*found, *expected}):
            if field == "shape" and _covers(found.get(field), least):
                continue
            if field == "codecs" and found.get(field) == _without_configuration(expected[field]):
                continue
            if field not in expected or not _same(found.get(field), expected[field]):
                raise StoreError(
                    f"{path}: field '{field}' must be {json.dumps(expected.get(field))}"
                    f"{' or more' if field == 'shape' else ''}; got {json.dumps(found.get(field))[:80]}."
                )
        self._zarr = _guarded(
            path,
            lambda: zarr.open_array(
                zarr.storage.LocalStore(self.root, read_only=not write),
                path=self.layout.name,
                mode="r+" if write else "r",
                zarr_format=3,
            ).with_config({"write_empty_chunks": True}),
        )
        return self

    def grow(self, shape: tuple[int, ...]) -> None:
        """Make it at least so large along each axis."""
        larger = tuple(map(max, shape, self._zarr.shape))
        if larger != self._zarr.shape:
            self._zarr.resize(larger)
            synchronise(self.root / self.layout.name / "zarr.json")

    # --- one chunk per call, written whole ----------------------------------------------------------------------------
    def write_block(self, place: tuple[int, ...], values: np.ndarray) -> None:
        """Write the chunk at a place of the grid, whole, and wait until it is on the disk."""
        region = tuple(
            slice(k * n, min((k + 1) * n, length))
            for k, n, length in zip(place, self.layout.chunks, self._zarr.shape, strict=True)
        )
        sizes = tuple(r.stop - r.start for r in region)
        self._zarr[region] = values.reshape(self.layout.chunks)[tuple(slice(0, n) for n in sizes)]
        path = self.layout.chunk_path(self.root, place)
        synchronise(path)
        synchronise(path.parent)

    def read_block(self, place: tuple[int, ...], n_rows: int | None = None) -> np.ndarray:
        """The chunk at a place of the grid; of chunks of rows the first `n_rows`."""
        path = self.layout.chunk_path(self.root, place)
        check_regular(path, self.layout.chunk_bytes)
        region = [slice(k * n, (k + 1) * n) for k, n in zip(place, self.layout.chunks, strict=True)]
        if n_rows is not None:
            region[1] = slice(region[1].start, region[1].start + n_rows)
        return np.asarray(_guarded(path, lambda: self._zarr[tuple(region)]))

    def read_rows(self, chain: int, n: int) -> np.ndarray:
        """The first `n` rows of a chain, (n, width)."""
        size = self.layout.chunks[1]
        n_chunks = -(-n // size)
        for k in range(n_chunks):  # before memory is taken for them
            check_regular(self.layout.chunk_path(self.root, (chain, k, 0)), self.layout.chunk_bytes)
        blocks = [self.read_block((chain, k, 0), min(size, n - k * size))[0] for k in range(n_chunks)]
        return np.concatenate(blocks) if blocks else np.empty((0, self.layout.chunks[2]))


def _guarded(path: Path, action):
    """Do something with zarr; whatever it finds wrong is an error that names the file."""
    try:
        return action()
    except Exception as error:
        raise StoreError(f"{path}: the content is damaged: {error}") from error


def _covers(shape, least: tuple[int, ...]) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) == len(least)
        and all(type(a) is int and b <= a < 2**62 for a, b in zip(shape, least, strict=True))
    )


def _same(a, b) -> bool:
    """Equality of JSON values that tells 1 from 1.0 and true."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def _without_configuration(codecs: list) -> list:
    """The same codecs as some versions of zarr write them: CRC-32C with an empty configuration."""
    return [c if "configuration" in c else {**c, "configuration": {}} for c in codecs]
