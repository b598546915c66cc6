"""Objects on disk: whole or absent, whoever writes at the same time and whatever happens to the files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from probad.codegen import cache

ROOT = Path(__file__).parents[2]
BODY = bytes(range(256)) * 40


def _file(place: Path) -> Path:
    (file,) = place.glob("*.o")
    return file


def test_what_is_stored_comes_back(own_cache):
    name = cache.key("a")
    assert cache.load(name) is None
    cache.store(name, BODY)
    assert cache.load(name) == BODY
    cache.store(name, b"")
    assert cache.load(name) == b""
    assert [p.name for p in own_cache.iterdir()] == [f"{name}.o"]


def test_keys_tell_parts_apart():
    keys = [cache.key("ab", "c"), cache.key("a", "bc"), cache.key("abc"), cache.key("a", b"bc"), cache.key(1, 2)]
    keys += [cache.key("1", 2), cache.key(12), cache.key("a\0", "b"), cache.key("a", "\0b")]
    assert len(set(keys)) == len(keys)


def test_no_cut_and_no_flipped_bit_goes_unseen(own_cache):
    name = cache.key("a")
    cache.store(name, BODY[:300])
    file = _file(own_cache)
    good = file.read_bytes()
    for length in range(len(good)):
        file.write_bytes(good[:length])
        assert cache.load(name) is None, length
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        file.write_bytes(bad)
        assert cache.load(name) is None, place
    file.write_bytes(good + b"x")
    assert cache.load(name) is None
    file.write_bytes(good)
    assert cache.load(name) == BODY[:300]


def test_a_file_under_another_name_is_not_taken(own_cache):
    cache.store(cache.key("a"), BODY)
    other = cache.key("b")
    _file(own_cache).rename(own_cache / f"{other}.o")
    assert cache.load(other) is None


def test_a_folder_in_the_place_of_a_file(own_cache):
    name = cache.key("a")
    (own_cache / f"{name}.o" / "inside").mkdir(parents=True)
    cache.store(name, BODY)
    assert cache.load(name) is None
    assert not list(own_cache.glob("new-*"))


WRITER = """
import sys
from probad.codegen import cache
for k in range(150):
    name = cache.key(k % 5)
    found = cache.load(name)
    if found is not None and found != bytes([k % 5]) * 200_000:
        sys.exit("torn")
    cache.store(name, bytes([k % 5]) * 200_000)
"""


def test_processes_write_at_once(own_cache):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER], cwd=ROOT, env=dict(os.environ)) for _ in range(4)]
    assert [w.wait(120) for w in writers] == [0, 0, 0, 0]
    assert sorted(p.name for p in own_cache.iterdir()) == sorted(f"{cache.key(k)}.o" for k in range(5))
    for k in range(5):
        assert cache.load(cache.key(k)) == bytes([k]) * 200_000


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of another kind")
def test_the_folder_is_private(own_cache):
    cache.store(cache.key("a"), BODY)
    assert stat.S_IMODE(own_cache.stat().st_mode) == 0o700
    file = _file(own_cache)
    assert not stat.S_IMODE(file.stat().st_mode) & 0o077
    file.chmod(0o666)
    assert cache.load(cache.key("a")) is None, "a file that anyone may write is not to be run"


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="nothing is read-only to the superuser")
def test_a_read_only_folder_is_no_cache(own_cache):
    own_cache.mkdir()
    own_cache.chmod(0o500)
    cache.store(cache.key("a"), BODY)
    assert cache.load(cache.key("a")) is None
    own_cache.chmod(0o700)
    assert not list(own_cache.iterdir())


def test_a_disk_that_fails_leaves_nothing(own_cache, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(cache.os, "replace", fail)
    cache.store(cache.key("a"), BODY)
    assert not list(own_cache.iterdir())


def test_the_files_not_used_for_longest_go_first(own_cache, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 45_000)
    names = [cache.key(k) for k in range(4)]
    for age, name in enumerate(names):
        cache.store(name, BODY)
        os.utime(own_cache / f"{name}.o", (1e9 + age, 1e9 + age))
    assert cache.load(names[0]) == BODY  # used just now
    (own_cache / "new-abandoned").write_bytes(b"x" * 10_000)
    os.utime(own_cache / "new-abandoned", (1e8, 1e8))
    (own_cache / "readme").write_text("not ours")
    cache.store(cache.key("last"), BODY)
    left = {p.stem for p in own_cache.glob("*.o")}
    assert left == {names[0], names[2], names[3], cache.key("last")}
    assert {p.name for p in own_cache.iterdir() if p.suffix != ".o"} == {"readme"}


def test_where_objects_are_kept(monkeypatch, tmp_path):
    monkeypatch.delenv("PROBAD_CACHE_DIR")
    monkeypatch.setattr(cache.Path, "home", lambda: tmp_path)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    expected = {"linux": ".cache", "darwin": "Library/Caches", "win32": "AppData/Local"}
    for system, place in expected.items():
        monkeypatch.setattr(cache.sys, "platform", system)
        assert cache.folder() == tmp_path / place / "probad"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache.folder() == tmp_path / "local" / "probad"
    monkeypatch.setattr(cache.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "probad"


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("PROBAD_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache.Path, "home", fail)
    cache.store(cache.key("a"), BODY)
    assert cache.load(cache.key("a")) is None
