"""One address for a function with several traces: it tries them in turn, and asks Python when none of them fits.

A trace is compiled code for one path through the function. It returns `MISS` where the conditions of its path do not
hold. The dispatcher then tries the next one; if there is none it calls back into Python, which evaluates by the tape
and may add a trace for the new path. It also calls back now and then for a spot check. Algorithms see none of this.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import numpy as np

from probad.codegen.llvm import Native, compile_module
from probad.codegen.places import aligned

OK, NOT_FINITE, FATAL, MISS, CARE = 0, 1, 2, 3, 4  # the last two never leave the dispatcher
MAX_TRACES = 64
N_TRACES, CALLBACK, COUNTDOWN, FIRST = 0, 1, 2, 3  # places in the table: then address and context of each trace
NEVER = 2**62

SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)

TEXT = f"""
define i32 @dispatch(ptr %table, ptr %z, ptr %value, ptr %result) {{
entry:
  %p_countdown = getelementptr i64, ptr %table, i64 {COUNTDOWN}
  %before = load i64, ptr %p_countdown
  %after = sub i64 %before, 1
  store i64 %after, ptr %p_countdown
  %check = icmp sle i64 %after, 0
  br i1 %check, label %ask, label %first
first:
  %p_address_0 = getelementptr i64, ptr %table, i64 {FIRST}
  %address_0 = load ptr, ptr %p_address_0
  %p_context_0 = getelementptr i64, ptr %table, i64 {FIRST + 1}
  %context_0 = load ptr, ptr %p_context_0
  %status_0 = call i32 %address_0(ptr %context_0, ptr %z, ptr %value, ptr %result)
  %missed_0 = icmp sge i32 %status_0, {MISS}
  br i1 %missed_0, label %others, label %done_0
done_0:
  ret i32 %status_0
others:
  %n = load i64, ptr %table
  br label %head
head:
  %k = phi i64 [ 1, %others ], [ %k_next, %next ]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %try, label %ask
try:
  %double = shl i64 %k, 1
  %place = add i64 %double, {FIRST}
  %p_address = getelementptr i64, ptr %table, i64 %place
  %address = load ptr, ptr %p_address
  %p_context = getelementptr i64, ptr %p_address, i64 1
  %context = load ptr, ptr %p_context
  %status = call i32 %address(ptr %context, ptr %z, ptr %value, ptr %result)
  %missed = icmp sge i32 %status, {MISS}
  br i1 %missed, label %next, label %done
next:
  %k_next = add i64 %k, 1
  br label %head
done:
  ret i32 %status
ask:
  %p_callback = getelementptr i64, ptr %table, i64 {CALLBACK}
  %callback = load ptr, ptr %p_callback
  %answer = call i32 %callback(ptr %table, ptr %z, ptr %value, ptr %result)
  ret i32 %answer
}}
"""

_native: list[Native] = []
_lock = threading.Lock()


def dispatcher() -> int:
    """The address of the dispatcher, the same for all functions."""
    with _lock:
        if not _native:
            _native.append(compile_module(TEXT))
        return _native[0].address("dispatch")


class Table:
    """The table of one dispatched function for one thread: the context that goes with the dispatcher's address.

    Parameters
    ----------
    ask : callable
        ``ask(z, value, result) -> int``, three addresses: evaluates in Python and returns a status.
    """

    def __init__(self, ask: Callable[[int, int, int], int]):
        self._memory = aligned(FIRST + 2 * MAX_TRACES).view(np.int64)  # threads must not share a line of the cache
        self._memory[:] = 0
        self._callback = SIGNATURE(lambda table, z, value, result: ask(z, value, result))
        self._kept: list = []
        self._memory[CALLBACK] = ctypes.cast(self._callback, ctypes.c_void_p).value
        self._memory[COUNTDOWN] = NEVER

    @property
    def address(self) -> int:
        """Of the table."""
        return self._memory.ctypes.data

    @property
    def n_traces(self) -> int:
        """How many traces it has."""
        return int(self._memory[N_TRACES])

    def add(self, address: int, context: int, kept: object) -> None:
        """Add a trace; `kept` is kept alive with the table."""
        n = self.n_traces
        self._kept.append(kept)
        self._memory[FIRST + 2 * n : FIRST + 2 * n + 2] = address, context
        self._memory[N_TRACES] = n + 1

    def clear(self) -> None:
        """Take all traces out."""
        self._memory[N_TRACES] = 0
        self._kept.clear()

    def check_after(self, n_calls: int) -> None:
        """Ask Python at the `n_calls`-th call from now on."""
        self._memory[COUNTDOWN] = n_calls
