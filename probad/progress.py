"""Show how far a run has come: bars in terminals and notebooks, a line now and then in logs."""

from __future__ import annotations

import sys
import time

LOG_SECONDS = 10.0  # between lines when the output is a file


class Silent:
    """No progress at all."""

    def __enter__(self):
        return None

    def __exit__(self, *exc_info):
        return None


def show_chains(enabled: bool, n_chains: int):
    """A context manager that gives the progress callback of a run of chains, or None."""
    if not enabled:
        return Silent()
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal or console.is_jupyter:
        return ChainBars(console, n_chains)
    return ChainLines(n_chains)


def show_steps(enabled: bool, what: str):
    """A context manager that gives a callback ``(done, total, text)`` for a single loop, or None."""
    if not enabled:
        return Silent()
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal or console.is_jupyter:
        return StepBar(console, what)
    return StepLines(what)


def _columns(*texts: str):
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    extra = [TextColumn(text) for text in texts]
    return [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *extra,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]


class ChainBars:
    """One bar per chain."""

    def __init__(self, console, n_chains: int):
        from rich.progress import Progress

        self.progress = Progress(
            *_columns("step {task.fields[step]:.3g}", "divergent {task.fields[divergent]}"), console=console
        )
        self.tasks = [
            self.progress.add_task(f"chain {i} warm-up", total=None, step=0.0, divergent=0) for i in range(n_chains)
        ]

    def __enter__(self):
        self.progress.start()
        return self.update

    def __exit__(self, *exc_info):
        self.progress.stop()

    def update(self, chain, done, total, warming_up, n_divergent, step_size) -> None:
        """Move the bar of one chain."""
        self.progress.update(
            self.tasks[chain],
            description=f"chain {chain} {'warm-up' if warming_up else 'draws'}",
            completed=done,
            total=total,
            step=step_size,
            divergent=n_divergent,
        )


class ChainLines:
    """A line every ten seconds, over all chains."""

    def __init__(self, n_chains: int):
        self.state = dict.fromkeys(range(n_chains), (0, 1, 0))
        self.last = time.monotonic()

    def __enter__(self):
        return self.update

    def __exit__(self, *exc_info):
        return None

    def update(self, chain, done, total, warming_up, n_divergent, step_size) -> None:
        """Take note, and print if it is time."""
        self.state[chain] = (done, total, n_divergent)
        now = time.monotonic()
        if now - self.last >= LOG_SECONDS:
            self.last = now
            parts = ", ".join(f"chain {i}: {d}/{t}" for i, (d, t, _) in self.state.items())
            n = sum(k for _, _, k in self.state.values())
            print(f"probad: {parts}{f', {n} divergent' if n else ''}", file=sys.stderr, flush=True)


class StepBar:
    """One bar for one loop."""

    def __init__(self, console, what: str):
        from rich.progress import Progress

        self.progress = Progress(*_columns("{task.fields[text]}"), console=console)
        self.task = self.progress.add_task(what, total=None, text="")

    def __enter__(self):
        self.progress.start()
        return self.update

    def __exit__(self, *exc_info):
        self.progress.stop()

    def update(self, done: int, total: int, text: str) -> None:
        """Move the bar."""
        self.progress.update(self.task, completed=done, total=total, text=text)


class StepLines:
    """A line every ten seconds for one loop."""

    def __init__(self, what: str):
        self.what = what
        self.last = time.monotonic()

    def __enter__(self):
        return self.update

    def __exit__(self, *exc_info):
        return None

    def update(self, done: int, total: int, text: str) -> None:
        """Print if it is time."""
        now = time.monotonic()
        if now - self.last >= LOG_SECONDS:
            self.last = now
            print(f"probad: {self.what} {done}/{total} {text}", file=sys.stderr, flush=True)
