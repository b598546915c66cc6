"""From text to addresses: symbols, the cache underneath, other processors, threads, and errors instead of aborts."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from probad.codegen import cache, llvm
from probad.errors import CompileError

ROOT = Path(__file__).parents[2]
SQUARE = "define double @square(double %x) {\n  %y = fmul double %x, %x\n  ret double %y\n}\n"
CALL = """
declare double @given(double)
define double @f(double %x) {
  %y = call double @given(double %x)
  ret double %y
}
"""
UNARY = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)


def test_text_becomes_a_function():
    native = llvm.compile_module(SQUARE)
    assert native.functions == ("square",)
    assert UNARY(native.address("square"))(3.0) == 9.0
    with pytest.raises(KeyError, match=r"no function 'cube'\. It has: square"):
        native.address("cube")


def test_code_lives_as_long_as_its_module():
    function = [UNARY(n.address("square")) for n in [llvm.compile_module(SQUARE)]]
    native = llvm.compile_module(SQUARE)
    kept = UNARY(native.address("square"))
    del function
    gc.collect()
    assert kept(4.0) == 16.0


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_every_level_computes_the_same(level):
    text = """
    define double @sum(double %n) {
    entry:
      br label %loop
    loop:
      %i = phi double [0.0, %entry], [%i1, %loop]
      %s = phi double [0.0, %entry], [%s1, %loop]
      %i1 = fadd double %i, 1.0
      %s1 = fadd double %s, %i1
      %more = fcmp olt double %i1, %n
      br i1 %more, label %loop, label %done
    done:
      ret double %s1
    }
    """
    native = llvm.compile_module(text, level=level)
    assert UNARY(native.address("sum"))(100.0) == 5050.0


def test_symbols_belong_to_their_module():
    text = """
    declare double @inner(double)
    @offset = external global double
    define double @outer(double %x) {
      %y = call double @inner(double %x)
      %z = load double, ptr @offset
      %r = fadd double %y, %z
      ret double %r
    }
    """
    inner = [UNARY(lambda x: 2 * x), UNARY(lambda x: 3 * x)]
    offsets = [ctypes.c_double(0.5), ctypes.c_double(0.25)]
    natives = [
        llvm.compile_module(
            text, symbols={"inner": ctypes.cast(f, ctypes.c_void_p).value, "offset": ctypes.addressof(c)}
        )
        for f, c in zip(inner, offsets, strict=True)
    ]
    assert [UNARY(n.address("outer"))(10.0) for n in natives] == [20.5, 30.25]
    offsets[0].value = 7.0  # the second has come from the cache, and neither holds a number of this process
    assert UNARY(natives[0].address("outer"))(10.0) == 27.0


def test_the_c_library_needs_no_symbols():
    assert UNARY(llvm.compile_module(CALL.replace("given", "exp")).address("f"))(1.5) == math.exp(1.5)
    assert llvm.c_address("no_such_function") == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("define i32 @f() { ret i64 1 }", r"LLVM refuses the module: (?s:.*)result type"),
        ("nonsense", "LLVM refuses the module"),
        ("define i32 @f() {\n %a = add i32 %b, 1\n %b = add i32 %a, 1\n ret i32 %a\n}", "does not dominate"),
        ("declare void @nowhere()\ndefine void @f() {\n call void @nowhere()\n ret void\n}", "declares nowhere, which"),
        ("@nowhere = external global double\ndefine ptr @f() {\n ret ptr @nowhere\n}", "declares nowhere, which"),
    ],
)
def test_mistakes_are_errors(text, words):
    with pytest.raises(CompileError, match=words):
        llvm.compile_module(text)


def test_what_is_missing_is_found_out_with_a_cached_object_too(own_cache):
    llvm.compile_module(CALL, symbols={"given": llvm.c_address("exp")})
    with pytest.raises(CompileError, match="declares given"):
        llvm.compile_module(CALL, symbols={"given": 0})


def test_the_second_time_nothing_is_compiled(own_cache, monkeypatch):
    llvm.compile_module(SQUARE)
    assert len(list(own_cache.glob("*.o"))) == 1
    monkeypatch.setattr(llvm, "_build", lambda *args: pytest.fail("compiled"))
    assert UNARY(llvm.compile_module(SQUARE).address("square"))(5.0) == 25.0
    for changed in ({"level": 2}, {"vectorize": False}, {"pack": True}, {"symbols": {"other": 1}}, {"cache": False}):
        with pytest.raises(pytest.fail.Exception, match="compiled"):
            llvm.compile_module(SQUARE, **changed)
    with pytest.raises(pytest.fail.Exception, match="compiled"):
        llvm.compile_module(SQUARE.replace("fmul", "fadd"))
    monkeypatch.setenv("PROBAD_CPU", "x86-64" if platform.machine() in ("x86_64", "AMD64") else "generic")
    with pytest.raises(pytest.fail.Exception, match="compiled"):
        llvm.compile_module(SQUARE)


def test_text_is_made_only_if_it_is_needed():
    made = []

    def text():
        made.append(1)
        return SQUARE

    for _ in range(3):
        assert UNARY(llvm.compile_module(text, key="a key").address("square"))(2.0) == 4.0
    assert made == [1]
    llvm.compile_module(text, key="another")
    assert made == [1, 1]


def test_a_damaged_object_is_compiled_again(own_cache):
    llvm.compile_module(SQUARE)
    (file,) = own_cache.glob("*.o")
    good = file.read_bytes()
    for bad in (good[:-1], good[:100], b"", good[:200] + b"x" + good[201:]):
        file.write_bytes(bad)
        assert UNARY(llvm.compile_module(SQUARE).address("square"))(3.0) == 9.0
        assert file.read_bytes() == good


def test_threads_compile_at_once():
    def work(k):
        native = llvm.compile_module(f"define double @f(double %x) {{\n %y = fadd double %x, {k}.0\n ret double %y\n}}")
        return UNARY(native.address("f"))(0.5)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [k + 0.5 for k in range(40)]


WIDE = """
define void @f(ptr %x) {
  %a = load <4 x double>, ptr %x, align 8
  %b = fmul <4 x double> %a, %a
  store <4 x double> %b, ptr %x, align 8
  ret void
}
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of one family")
def test_code_without_wide_registers(monkeypatch):
    host = llvm.target()
    plain = llvm.assembly(WIDE, target=llvm.Target(host.triple, "x86-64", ""))
    assert "ymm" not in plain
    assert "ymm" in llvm.assembly(WIDE, target=llvm.Target(host.triple, "x86-64-v3", ""))
    monkeypatch.setenv("PROBAD_CPU", "x86-64")
    assert llvm.target() == (host.triple, "x86-64", "")
    numbers = (ctypes.c_double * 4)(1.0, 2.0, 3.0, 4.0)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    native = llvm.compile_module(WIDE)
    function(native.address("f"))(ctypes.addressof(numbers))
    assert list(numbers) == [1.0, 4.0, 9.0, 16.0]


def test_code_for_another_processor():
    text = llvm.assembly(WIDE, target=llvm.Target("aarch64-unknown-linux-gnu", "generic", ""))
    assert "fmul\tv" in text
    with pytest.raises(CompileError, match="No available targets"):
        llvm.assembly(WIDE, target=llvm.Target("pdp11-unknown", "", ""))


def test_floor_without_an_instruction(monkeypatch):
    """The oldest processors call the C library for it, which LLVM does unasked."""
    monkeypatch.setenv("PROBAD_CPU", "x86-64" if platform.machine() in ("x86_64", "AMD64") else "generic")
    text = "declare double @llvm.floor.f64(double)\ndefine double @f(double %x) {\n"
    text += "  %y = call double @llvm.floor.f64(double %x)\n  ret double %y\n}"
    assert UNARY(llvm.compile_module(text).address("f"))(-1.5) == -2.0


def test_it_can_be_turned_off(monkeypatch):
    monkeypatch.delenv("PROBAD_COMPILE", raising=False)
    assert llvm.available()
    monkeypatch.setenv("PROBAD_COMPILE", "0")
    assert not llvm.available()


def test_nothing_is_available_without_llvmlite():
    code = "import sys\nsys.modules['llvmlite'] = None\nfrom probad.codegen import llvm\nprint(llvm.available())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_unwritable_cache_is_no_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROBAD_CACHE_DIR", str(tmp_path / "file" / "folder"))
    assert UNARY(llvm.compile_module(SQUARE).address("square"))(3.0) == 9.0
    assert cache.load("anything") is None


def test_processes_share_objects(own_cache):
    code = f"""
import ctypes, sys
from probad.codegen import llvm
if sys.argv[1] == "second":
    llvm._build = None  # it would be called
native = llvm.compile_module({SQUARE!r})
print(ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(native.address("square"))(1.5))
"""
    for turn in ("first", "second"):
        done = subprocess.run(
            [sys.executable, "-c", code, turn],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env=dict(os.environ),
        )
        assert float(done.stdout) == 2.25
