"""Progress: bars in a terminal, lines in a log, nothing when it is off."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from probad import progress


def test_off_is_silent(capsys):
    with progress.show_chains(False, 4) as callback:
        assert callback is None
    with progress.show_steps(False, "fit") as callback:
        assert callback is None
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_now_and_then(capsys, monkeypatch):
    now = {"t": 0.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: now["t"])
    with progress.show_chains(True, 2) as callback:
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
    with progress.ChainBars(console, 2) as callback:
        callback(0, 100, 200, False, 7, 0.25)
        callback(1, 20, 200, True, 0, 0.125)
    text = console.file.getvalue()
    assert "chain 0 draws" in text and "chain 1 warm-up" in text
    assert "100/200" in text and "divergent 7" in text and "step 0.25" in text


def test_a_terminal_gets_a_bar_for_a_fit():
    console = _terminal()
    with progress.StepBar(console, "mean-field") as callback:
        callback(10, 100, "ELBO -3.2")
    assert "ELBO -3.2" in console.file.getvalue()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_terminal_is_restored_after_an_exception(error):
    console = _terminal()
    with pytest.raises(error), progress.ChainBars(console, 1):
        raise error
    assert console.file.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is shown again
