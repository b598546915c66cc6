"""Progress: bars in a terminal, lines in a log, nothing when it is off."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from probad import progress


def test_off_is_silent(capsys):
    with progress.show_chains(False) as callback:
        assert callback is None
    with progress.show_steps(False, "fit") as callback:
        assert callback is None
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_now_and_then(capsys, monkeypatch):
    now = {"t": 0.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: now["t"])
    with progress.show_chains(True) as callback:
        assert callback.__self__.__class__ is progress.ChainLines
        for done in range(100):
            now["t"] += 0.25
            callback(done % 2, done, 200, done < 50, 3, 0.1)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert lines[0] == "probad: chain 0: 38/200, chain 1: 39/200, 6 divergent"
    with progress.show_steps(True, "mean-field") as callback:
        now["t"] += 11
        callback(10, 100, "ELBO -3.2")
    assert capsys.readouterr().err == "probad: mean-field 10/100 ELBO -3.2\n"


def _terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def test_a_terminal_gets_a_bar_per_chain():
    console = _terminal()
    with progress.show_chains(True, console=console) as callback:
        callback(0, 100, 200, False, 7, 0.25)
        callback(1, 20, 200, True, 0, 0.125)
    text = console.file.getvalue()
    assert "chain 0 draws" in text and "chain 1 warm-up" in text
    assert "100/200" in text and "divergent 7" in text and "step 0.25" in text


def test_a_terminal_gets_a_bar_for_a_fit():
    console = _terminal()
    with progress.show_steps(True, "mean-field", console=console) as callback:
        callback(10, 100, "ELBO -3.2")
    assert "ELBO -3.2" in console.file.getvalue()


def test_the_bars_are_not_drawn_more_often_than_eyes_need(monkeypatch):
    now = {"t": 0.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: now["t"])
    bars = progress.ChainBars(_terminal())
    frames = []
    monkeypatch.setattr(bars.progress, "refresh", lambda: frames.append(now["t"]))
    for done in range(100):
        now["t"] += 0.01
        bars.report(0, done, 100, False, 0, 0.1)
    assert 9 <= len(frames) <= 11


def test_a_terminal_that_cannot_move_the_cursor_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), force_terminal=True)
    assert isinstance(progress.show_chains(True, console=console), progress.ChainLines)


@pytest.mark.parametrize("installed", [True, False])
def test_a_notebook_gets_bars_where_it_can_draw_them(installed, monkeypatch):
    monkeypatch.setattr(progress, "find_spec", lambda name: object() if installed else None)
    console = Console(file=io.StringIO(), force_jupyter=True)
    kind = progress.ChainBars if installed else progress.ChainLines
    assert isinstance(progress.show_chains(True, console=console), kind)


class Closed(io.StringIO):
    """Standard error after its reader has gone."""

    def __init__(self, terminal: bool):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("stream", [None, Closed(False), Closed(True)], ids=["none", "log", "terminal"])
def test_a_closed_standard_error_does_not_stop_a_run(stream, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    for show in (progress.show_chains, lambda on: progress.show_steps(on, "fit")):
        with show(True) as callback:
            for done in range(3):
                callback(*((0, done, 3, False, 0, 0.1) if show is progress.show_chains else (done, 3, "ELBO")))
    print("still here")
    assert capsys.readouterr().out == "still here\n"


def test_bars_that_cannot_start_give_way_to_lines(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    monkeypatch.setattr("rich.progress.Progress.start", _fail)
    with progress.show_chains(True, console=_terminal()) as callback:
        callback(0, 1, 2, False, 0, 0.1)
    assert "chain 0: 1/2" in capsys.readouterr().err


def test_bars_that_fail_on_the_way_fall_silent(monkeypatch):
    with progress.show_chains(True, console=_terminal()) as callback:
        callback(0, 1, 2, False, 0, 0.1)
        monkeypatch.setattr("rich.progress.Progress.update", _fail)
        callback(0, 2, 2, False, 0, 0.1)
        callback(0, 2, 2, False, 0, 0.1)


def _fail(*args, **options):
    raise ValueError("out of order")


def test_an_interrupt_while_drawing_reaches_the_run(monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    console = _terminal()
    monkeypatch.setattr("rich.progress.Progress.update", interrupt)
    with pytest.raises(KeyboardInterrupt), progress.show_chains(True, console=console) as callback:
        callback(0, 1, 2, False, 0, 0.1)
    assert console.file.getvalue().rstrip().endswith("\x1b[?25h")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_terminal_is_restored_after_an_exception(error):
    console = _terminal()
    with pytest.raises(error), progress.show_chains(True, console=console):
        raise error
    assert console.file.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is shown again
