"""Python's parser, for several threads at once.

Before 3.11.8 Python counts the depth of what it parses in one place for all threads, and raises SystemError when two
of them parse at the same time (issue 106905 of CPython).
"""

from __future__ import annotations

import ast
import threading

_LOCK = threading.Lock()


def parse(source: str, mode: str = "exec") -> ast.AST:
    """The syntax tree of some source; see `ast.parse`."""
    with _LOCK:
        try:
            return ast.parse(source, mode=mode)
        except SystemError:  # some other code parsed meanwhile
            return ast.parse(source, mode=mode)
