"""Source is parsed by one thread at a time, and once more if some other code came between."""

from __future__ import annotations

import ast
import threading
import time

import pytest

from probad.parsing import parse


def test_threads_do_not_parse_at_the_same_time(monkeypatch):
    inside, most = [], []
    real = ast.parse

    def slow(*args, **options):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return real(*args, **options)

    monkeypatch.setattr(ast, "parse", slow)
    threads = [threading.Thread(target=parse, args=(f"x = {k}",)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_a_race_with_other_code_is_run_again(monkeypatch):
    real, calls = ast.parse, []

    def once_disturbed(*args, **options):
        calls.append(args)
        if len(calls) == 1:
            raise SystemError("AST constructor recursion depth mismatch (before=216, after=224)")
        return real(*args, **options)

    monkeypatch.setattr(ast, "parse", once_disturbed)
    assert ast.unparse(parse("a+b", mode="eval")) == "a + b"


def test_what_is_no_python_is_an_error():
    with pytest.raises(SyntaxError):
        parse("a +")
