"""Stores that were damaged or made to harm: an error names file and field, or they read right; nothing is run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import stat
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import probad as pb
from probad import runs
from probad.errors import ArgumentError, StoreError
from probad.store import Contents
from probad.store.files import read_sealed, seal
from tests.store.runs import Bell, Stopping, quietly

MOST_BYTES, MOST_SECONDS = 32 * 2**20, 10.0  # of one reading; a store has half a megabyte
SUSPECT = ("exec", "compile", "import", "os.system", "subprocess.Popen", "pickle.find_class", "marshal.loads")
HUGE = (2**31, 2**53, 2**62, 2**63, 10**30, -1, -(2**63), 0, 1e308, float("nan"), "9" * 40)
OTHERS = (None, True, "", "x", "../../etc", "/", [], {}, [[]], 1.5, "\x00", "float64", "object", {"a": 1})


class Watch:
    """An audit hook that notes whatever runs code while it is on."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        if self.on and event in SUSPECT:
            self.seen.append((event, str(arguments)[:200]))


@pytest.fixture(scope="module")
def watch():
    return Watch()


@pytest.fixture(scope="module")
def original(memory):
    """A run with two chains, interrupted among the draws, and options that are arrays."""
    path = memory / "original" / "run.zarr"
    options = {"draws": 1200, "warmup": 40, "chains": 2, "seed": 1, "metric": np.array([1.0, 0.7, 0.5])}
    quietly(pb.nuts, Stopping(3000), init=np.zeros(3), store=path, **options)
    return path


def read_all(path: Path) -> list:
    """All that reading and resuming take from a store."""
    contents = Contents(path)
    found = [contents.settings, contents.options, contents.description, contents.n_draws, contents.seconds]
    found += [contents.array(name) for name in sorted(contents.arrays)]
    found += [contents.facts, contents.met, runs._algorithm(contents)]
    for number, entry in enumerate(contents.entries):
        if entry is not None:
            found += [contents.table(name, number)[0] for name in ("draws", "statistics")]
            state = contents.state(number)
            found += [entry.done, *(state[name] for name in sorted(state))]
    return found


def assert_equal(found: list, expected: list) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, np.ndarray):
            np.testing.assert_array_equal(a, b)
        elif not isinstance(b, pb.mcmc.Algorithm):
            assert a == b


def check(path: Path, expected, watch: Watch, *, weigh: bool = True) -> str:
    """Read a store under watch; the message of the error, or an empty text if it read right.

    To `weigh` the memory that it takes makes it three times slower.
    """
    start = time.perf_counter()
    if weigh:
        tracemalloc.start()
    watch.seen.clear()
    watch.on = True
    message = ""
    try:
        found = read_all(path)
    except StoreError as error:
        message = str(error)
    finally:
        watch.on = False
        _, most = tracemalloc.get_traced_memory()  # 0 unless it is weighed
        tracemalloc.stop()
    assert watch.seen == []
    assert most < MOST_BYTES, message
    assert time.perf_counter() - start < MOST_SECONDS, message
    if message:
        assert path.name in message
    elif expected is not None:
        assert_equal(found, expected)
    return message


# --- mutations ------------------------------------------------------------------------------------------------------
def flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut_off(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def lengthen(content: bytes, rng: random.Random) -> bytes:
    return content + rng.randbytes(rng.choice([1, 7, 100, 5000]))


def overwrite(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + rng.randbytes(min(rng.choice([1, 16, 300]), len(content) - start)) + content[start + 16 :]


def nonsense(content: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        [b"", b"null", b"[]", b"{}", b"\x80\x04\x95", b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b"\xff\xfe{}"]
    )


def change_field(content: bytes, rng: random.Random, *, sealed: bool = False) -> bytes:
    """Change, remove or add one field of a JSON file, at any depth; with `sealed` the checksum is made to fit."""
    try:
        tree = json.loads(content)
    except ValueError:
        return flip(content, rng)
    places = []

    def walk(node) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(tree)
    node, key = rng.choice(places)
    what = rng.choice(["remove", "huge", "other", "other", "add", "copy", "near"])
    if what == "remove":
        del node[key]
    elif what == "add" and isinstance(node, dict):
        node[rng.choice(["x", "../x", "rows", "codecs", "", "done"])] = rng.choice(OTHERS)
    elif what == "copy":
        other, name = rng.choice(places)
        node[key] = json.loads(json.dumps(other[name])) if _holds(other, name) else None
    elif what == "near" and isinstance(node[key], int | float):
        node[key] = node[key] + rng.choice([-1, 1])
    else:
        node[key] = rng.choice(HUGE if what == "huge" else OTHERS)
    if sealed and isinstance(tree, dict):
        tree.pop("checksum", None)
        try:
            return seal(tree)
        except ValueError:  # no JSON
            pass
    return json.dumps(tree).encode()


def _holds(node, key) -> bool:
    return key in node if isinstance(node, dict) else key < len(node)


MUTATIONS = (flip, flip, cut_off, lengthen, overwrite, nonsense, change_field, change_field, change_field)


def mutate(path: Path, rng: random.Random) -> tuple[Path, str]:
    """Damage one file of a store; which, and how."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != "lock")
    texts = [p for p in files if p.suffix == ".json"]
    file = rng.choice(texts if rng.random() < 0.6 else files)
    mutation = rng.choice(MUTATIONS)
    file.write_bytes(mutation(file.read_bytes() or b"\x00", rng))
    return file, mutation.__name__


@pytest.mark.parametrize("n", [40, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_stores_are_errors_or_read_right(n, original, watch, tmp_path):
    path = tmp_path / "run.zarr"
    shutil.copytree(original, path)
    expected, rng, n_errors = read_all(path), random.Random(n), 0
    pb.errors.did_you_mean("x", ["y"])  # imports what messages need, as reading did
    with pytest.raises(StoreError):
        Contents(tmp_path)
    for k in range(n):
        before = {p: p.read_bytes() for p in path.rglob("*.json")}
        file, how = mutate(path, rng)
        try:
            message = check(path, expected, watch, weigh=k % 3 == 0)
        except Exception as error:
            error.add_note(f"{how} of {file.relative_to(path)}")
            raise
        n_errors += bool(message)
        if message:
            assert "field" in message or file.name in message or str(file.parent) in message, (how, file, message)
        file.write_bytes(before[file] if file in before else (original / file.relative_to(path)).read_bytes())
    print(n_errors, "errors")
    assert n_errors > 0.6 * n  # what is beyond the last commit, and the group's own metadata, do not count


@pytest.mark.parametrize("n", [25, pytest.param(4000, marks=pytest.mark.slow)])
def test_stores_with_checksums_that_fit_do_no_harm(n, original, watch, tmp_path):
    """Somebody who knows the format changes a field and makes the checksums fit: what is read may be wrong, no more."""
    path = tmp_path / "run.zarr"
    shutil.copytree(original, path)
    rng = random.Random(n + 1)
    for k in range(n):
        file = path / rng.choice(["commit.json", "run.json"])
        kept = {p: p.read_bytes() for p in (path / "commit.json", path / "run.json")}
        file.write_bytes(change_field(file.read_bytes(), rng, sealed=True))
        if file.name == "run.json":
            refer(path)
        try:
            if not check(path, None, watch, weigh=k % 3 == 0) and k % 5 == 0:
                again = tmp_path / "again.zarr"
                shutil.copytree(path, again)
                with contextlib.suppress(StoreError, ArgumentError):
                    quietly(pb.resume, again, Bell())
                shutil.rmtree(again)
        except Exception as error:
            error.add_note(file.read_text()[:3000])
            raise
        for p, content in kept.items():
            p.write_bytes(content)


def refer(path: Path) -> None:
    """Have commit.json refer to the present run.json."""
    from probad.store.files import canonical, digest

    try:
        run = read_sealed(path / "run.json")
    except StoreError:
        return
    commit = read_sealed(path / "commit.json")
    (path / "commit.json").write_bytes(seal({**commit, "run": digest(canonical(run))}))


def change(path: Path, file: str, **fields) -> None:
    """Change fields of a file, given by their path with two underscores, and make all checksums fit."""
    content = read_sealed(path / file)
    for name, value in fields.items():
        node, *keys = content, *name.split("__")
        for key in keys[:-1]:
            node = node[int(key) if isinstance(node, list) else key]
        node[keys[-1]] = value
    (path / file).write_bytes(seal(content))
    if file == "run.json":
        refer(path)


CRAFTED = {
    "more draws than memory": (
        lambda p: change(p, "commit.json", draws=2**39),
        r"commit\.json: fields 'draws' and 'chains' .* ask for .* bytes",
    ),
    "a longer warm-up than memory": (lambda p: change(p, "run.json", settings__warmup=2**39), "ask for .* bytes"),
    "another warm-up": (lambda p: change(p, "run.json", settings__warmup=41), "keep their state in another way"),
    "draws that are not there": (
        lambda p: change(p, "commit.json", chains__0__done=Contents(p).entries[0].done + 1),
        r"the rows of chain 0 do not have the checksum of field 'chains\[0\]\.draws'",
    ),
    "more done than asked for": (
        lambda p: change(p, "commit.json", chains__0__done=10**9),
        r"field 'chains\[0\]\.done' must be a whole number from 0 to 1240; got 1000000000",
    ),
    "meetings that are not held": (
        lambda p: change(p, "commit.json", met=1),
        r"commit\.json: field 'met' must be at most 0; got 1",
    ),
    "an unknown sampler": (
        lambda p: change(p, "run.json", sampler__name="Popen"),
        r"run\.json: field 'sampler\.name' must be one of .*NUTS.*; got Popen",
    ),
    "an unknown option": (lambda p: change(p, "run.json", sampler__command="ls"), "field 'sampler' is wrong"),
    "an option out of range": (lambda p: change(p, "run.json", sampler__max_tree_depth=60), "field 'sampler' is wrong"),
    "deeper trees than there is room for": (
        lambda p: change(p, "run.json", sampler__max_tree_depth=20),
        "keep their state in another way",
    ),
    "a state elsewhere": (
        lambda p: change(p, "run.json", state={"../../etc": {"shape": [1], "dtype": "int64"}}),
        r"field 'state\.\.\./\.\./etc' must be the name of an array",
    ),
    "objects": (lambda p: change(p, "run.json", state__rows__dtype="object"), r"'state\.rows\.dtype' must be one of"),
    "a huge state": (
        lambda p: change(p, "run.json", state__rows__shape=[2**30, 2**30]),
        "field 'state' asks for|keep their state in another way",
    ),
    "another format": (lambda p: change(p, "run.json", format="probad run 9"), "field 'format' must be 'probad run 1'"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_stores_are_refused(name, original, watch, tmp_path):
    path = tmp_path / "run.zarr"
    shutil.copytree(original, path)
    craft, words = CRAFTED[name]
    craft(path)
    start = time.perf_counter()
    with pytest.raises(StoreError, match=words):
        pb.resume(path, Bell(), progress=False)
    assert time.perf_counter() - start < MOST_SECONDS


@pytest.mark.parametrize("slot", ["MAX_TREE_DEPTH", "N_WARMUP", "FORM", "MAX_STEPS", "ALGORITHM", "ITERATION"])
def test_a_crafted_state_never_reaches_the_kernels(slot, original, tmp_path):
    """Counts that would have native code write beyond its arrays, under checksums that fit."""
    from probad.mcmc import workspace
    from probad.store.contents import state_checksum

    path = tmp_path / "run.zarr"
    shutil.copytree(original, path)
    contents = Contents(path)
    entry, state = contents.entries[0], contents.state(0)
    state["counts"][getattr(workspace, slot)] = 2**40 if slot != "FORM" else 1
    chunk = path / "state" / "counts" / "c" / "0" / str(entry.slot) / "0"
    chunk.write_bytes(_with_crc(state["counts"].astype("<i8").tobytes()))
    change(path, "commit.json", chains__0__state=state_checksum(state))
    with pytest.raises(StoreError, match="The stored state of chain 0 does not fit its settings"):
        pb.resume(path, Bell(), progress=False)


def _with_crc(content: bytes) -> bytes:
    """Bytes with their CRC-32C, as zarr keeps them."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0x82F63B78 if byte & 1 else byte >> 1
        table.append(byte)
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return content + (crc ^ 0xFFFFFFFF).to_bytes(4, "little")


def test_codecs_of_a_file_are_never_used(original, watch, tmp_path):
    """Metadata that ask for another codec, which would decompress or unpickle, are an error before zarr sees them."""
    path = tmp_path / "run.zarr"
    shutil.copytree(original, path)
    file = path / "draws" / "zarr.json"
    for codec in ("numcodecs.pickle", "zstd", "sharding_indexed", "vlen-bytes"):
        content = json.loads((original / "draws" / "zarr.json").read_text())
        content["codecs"] = [{"name": codec, "configuration": {}}]
        file.write_text(json.dumps(content))
        assert "draws/zarr.json: field 'codecs' must be" in check(path, None, watch)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("place", ["commit.json", "run.json", "draws/zarr.json", "draws/c/0/0/0", "lock"])
def test_pipes_and_links_are_not_waited_for(place, original, watch, tmp_path):
    path = tmp_path / "run.zarr"
    shutil.copytree(original, path)
    (path / place).unlink(missing_ok=True)
    os.mkfifo(path / place)
    with pytest.raises(StoreError, match=f"{place}: this is no ordinary file"):
        pb.resume(path, Bell(), progress=False)
    (path / place).unlink()
    (path / place).symlink_to("/dev/zero")
    with pytest.raises(StoreError, match=f"{place}: this is no ordinary file"):
        pb.resume(path, Bell(), progress=False)


def test_a_store_without_rights_is_an_error(original, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = tmp_path / "run.zarr"
    shutil.copytree(original, path)
    (path / "run.json").chmod(stat.S_IWUSR)
    with pytest.raises(StoreError, match=r"run\.json"):
        pb.read_store(path, Bell())


def test_the_untouched_store_goes_on(original, tmp_path):
    path = tmp_path / "run.zarr"
    shutil.copytree(original, path)
    assert quietly(pb.resume, path, Bell())["posterior"].sizes["draw"] == 1200
    with pytest.raises(ArgumentError):
        pb.resume(path, Bell(), draws=3)
