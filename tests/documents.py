"""Run the Python that the documentation shows, and compare it with the output that the documentation promises.

A fenced ``python`` block is run, all blocks of a page in one namespace, from top to bottom. If a ``text`` block follows
it, that is what the block must print; or, if the block fails, ``ErrorType: message``. White space counts as one blank,
and ``...`` stands for anything. Blocks in other languages are for reading only.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced ``python`` block, and the text that it promises to print."""

    page: str
    line: int
    code: str
    promised: str | None


def read_blocks(text: str, page: str = "page") -> list[Block]:
    """The ``python`` blocks of a page in order."""
    fences = list(FENCE.finditer(text))
    blocks = []
    for i, fence in enumerate(fences):
        if fence[1] != "python":
            continue
        after = fences[i + 1] if i + 1 < len(fences) else None
        promises = after is not None and after[1] == "text" and not text[fence.end() : after.start()].strip()
        line = text.count("\n", 0, fence.start()) + 2
        blocks.append(Block(page, line, fence[2], after[2] if promises else None))
    return blocks


def run_blocks(blocks: list[Block], namespace: dict) -> list[str]:
    """Run blocks in one namespace; what differs from what is promised, one text each."""
    differences = []
    for block in blocks:
        out = io.StringIO()
        code = compile("\n" * (block.line - 1) + block.code, block.page, "exec")
        with contextlib.redirect_stdout(out):
            try:
                exec(code, namespace)
            except Exception as error:
                if block.promised is None:
                    raise
                print(f"{type(error).__name__}: {error}")
        if block.promised is not None and not _agree(block.promised, out.getvalue()):
            differences.append(
                f"{block.page}:{block.line}: the page promises\n{block.promised}\nbut it prints\n{out.getvalue()}"
            )
    return differences


def broken_links(path: Path) -> list[str]:
    """Links of a page to files that do not exist."""
    text = FENCE.sub("", path.read_text())
    targets = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]
    return [f"{path.name}: {target}" for target in targets if target and not (path.parent / target).exists()]


def _agree(promised: str, printed: str) -> bool:
    pattern = ".*?".join(re.escape(" ".join(part.split())) for part in promised.split("..."))
    return re.fullmatch(pattern, " ".join(printed.split()), re.DOTALL) is not None
