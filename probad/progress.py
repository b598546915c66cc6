"""Show how far a run has come: bars in terminals and notebooks, a line now and then in logs.

A display never stops a run: when it fails (a closed pipe, say) it falls silent. Everything goes to standard error.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

LOG_SECONDS = 10.0  # between lines when the output is a file
REFRESH_SECONDS = 0.1  # between frames of the bars


class Silent:
    """No progress at all."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc_info) -> None:
        return None


class Display:
    """A context manager that gives a callback, and keeps its own failures to itself.

    Subclasses give `update`, and `start` and `stop` where there is something to do.
    """

    def __init__(self) -> None:
        self.alive = True

    def __enter__(self) -> Callable[..., None]:
        self._attempt(self.start)
        return self.report

    def __exit__(self, *exc_info) -> None:
        self._attempt(self.stop)  # even after a failure: the terminal wants its cursor back

    def report(self, *state) -> None:
        """Show a new state, as long as the display works."""
        if self.alive:
            self._attempt(self.update, *state)

    def start(self) -> None:
        """Take over the terminal."""

    def update(self, *state) -> None:
        """Show a state."""
        raise NotImplementedError

    def stop(self) -> None:
        """Give the terminal back."""

    def _attempt(self, action, *arguments) -> None:
        try:
            action(*arguments)
        except Exception:  # whatever it is, the draws matter more
            self.alive = False


def show_chains(enabled: bool, *, console=None):
    """A context manager that gives the progress callback of a run of chains, or None."""
    return _choose(enabled, console, ChainBars, ChainLines)


def show_steps(enabled: bool, what: str, *, console=None):
    """A context manager that gives a callback ``(done, total, text)`` for a single loop, or None."""
    return _choose(enabled, console, lambda live: StepBar(live, what), lambda: StepLines(what))


def _choose(enabled: bool, console, bars, lines):
    """Bars where they can be drawn, else lines."""
    if not enabled:
        return Silent()
    console = _console() if console is None else console
    # rich draws in notebooks through ipywidgets; without it, it would warn and draw nothing
    notebook = console.is_jupyter and find_spec("ipywidgets") is not None
    if not (notebook or (console.is_terminal and not console.is_dumb_terminal)):
        return lines()
    display = bars(console)
    display.fallback = lines()
    return display


def _console():
    from rich.console import Console

    class StandardError(Console):
        """Rich answers a closed pipe by closing standard output too and leaving the program; here it is no reason."""

        def on_broken_pipe(self) -> None:
            self.quiet = True

    return StandardError(stderr=True)


class Bars(Display):
    """A table of rich's progress bars, drawn when there is news and not by a thread of its own.

    Where they cannot start, as inside another display of rich's, `fallback` takes over.
    """

    fallback: Display

    def __init__(self, console, *texts: str):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as RemainingColumn

        super().__init__()
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
        columns += [*map(TextColumn, texts), TimeElapsedColumn(), RemainingColumn()]
        self.progress = Progress(*columns, console=console, auto_refresh=False)
        self.tasks: dict[int, int] = {}  # rich's number of each row
        self.drawn = -REFRESH_SECONDS

    def __enter__(self) -> Callable[..., None]:
        report = super().__enter__()
        return report if self.alive else self.fallback.report

    def start(self) -> None:
        """Hide the cursor."""
        self.progress.start()

    def draw(self, row: int, description: str, done: int, total: int, **fields) -> None:
        """Set the state of one row."""
        if row not in self.tasks:
            self.tasks[row] = self.progress.add_task(description, total=total, **fields)
        self.progress.update(self.tasks[row], description=description, completed=done, total=total, **fields)
        now = time.monotonic()
        if now - self.drawn >= REFRESH_SECONDS:
            self.drawn = now
            self.progress.refresh()

    def stop(self) -> None:
        """Draw the last state and show the cursor."""
        self.progress.stop()


class ChainBars(Bars):
    """One bar per chain."""

    def __init__(self, console):
        super().__init__(console, "step {task.fields[step]:.3g}", "divergent {task.fields[divergent]}")

    def update(self, chain, done, total, warming_up, n_divergent, step_size) -> None:
        """Move the bar of one chain."""
        name = f"chain {chain} {'warm-up' if warming_up else 'draws'}"
        self.draw(chain, name, done, total, step=step_size, divergent=n_divergent)


class StepBar(Bars):
    """One bar for one loop."""

    def __init__(self, console, what: str):
        super().__init__(console, "{task.fields[text]}")
        self.what = what

    def update(self, done: int, total: int, text: str) -> None:
        """Move the bar."""
        self.draw(0, self.what, done, total, text=text)


class Lines(Display):
    """A line every ten seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.last = time.monotonic()

    def is_time(self) -> bool:
        """Whether the last line is long enough ago."""
        now = time.monotonic()
        if now - self.last < LOG_SECONDS:
            return False
        self.last = now
        return True

    def write(self, text: str) -> None:
        """Write a line, where there is anything to write to."""
        sys.stderr.write(f"probad: {text}\n")
        sys.stderr.flush()


class ChainLines(Lines):
    """All chains in a line."""

    def __init__(self) -> None:
        super().__init__()
        self.state: dict[int, tuple[int, int, int]] = {}

    def update(self, chain, done, total, warming_up, n_divergent, step_size) -> None:
        """Take note, and write if it is time."""
        self.state[chain] = (done, total, n_divergent)
        if self.is_time():
            parts = ", ".join(f"chain {i}: {d}/{t}" for i, (d, t, _) in sorted(self.state.items()))
            n = sum(k for _, _, k in self.state.values())
            self.write(f"{parts}{f', {n} divergent' if n else ''}")


class StepLines(Lines):
    """One loop in a line."""

    def __init__(self, what: str):
        super().__init__()
        self.what = what

    def update(self, done: int, total: int, text: str) -> None:
        """Write if it is time."""
        if self.is_time():
            self.write(f"{self.what} {done}/{total} {text}")
