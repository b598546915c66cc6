"""What lies on the stack of a call in progress, as far as the code tells: the part of its state that is in no variable.

The bytecode of a function is followed without running it, along all branches, and for each place in it is told what is
on the stack there. Source: the documentation of the module `dis`; only effects on the height of the stack are used.
"""

from __future__ import annotations

import dis
from functools import lru_cache
from types import CodeType

# How many results an instruction leaves on the stack that may call code in Python; none of the others do.
RESULTS = {"POP_JUMP": 0, "STORE_SUBSCR": 0, "STORE_ATTR": 0, "DELETE_SUBSCR": 0, "JUMP_IF": 0, "TO_BOOL": 1,
           "UNARY": 1, "BINARY": 1, "COMPARE": 1, "CONTAINS": 1, "CALL": 1, "LOAD_ATTR": 1, "FOR_ITER": 1,
           "SEND": 1}  # fmt: skip
# What is known of a value on the stack: that it is that of a variable, a constant or a function, told by the
# instruction that has put it there; an iterator of a loop, whose place is told by the passes of the loop; or less.
ITERATOR, RESULT, EITHER = "iterator", "result", "one of several"
Stack = tuple  # of these, from the bottom
COPIES = ("LOAD_FAST", "LOAD_CONST", "PUSH_NULL")
SHARED = ("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_CLOSURE", "LOAD_NAME")  # a function that is called may set them
ENDS = ("RETURN_VALUE", "RETURN_CONST", "RAISE", "RERAISE", "JUMP_FORWARD", "JUMP_BACKWARD")
TAKES = ("POP", "JUMP", "RESUME", "NOP", "PRECALL", "KW_NAMES", "CACHE", "TO_BOOL", "END", "STORE", "RETURN",
         "LIST_APPEND", "LIST_EXTEND", "SET_ADD", "SET_UPDATE", "MAP_ADD", "DICT_")  # fmt: skip
CHANGES = ("STORE_FAST", "STORE_DEREF", "STORE_GLOBAL", "STORE_NAME", "DELETE")


@lru_cache(maxsize=4096)
def stack_at(code: CodeType, place: int) -> tuple[str, int]:
    """The instruction at a place of the code, and how many values below its operands are told by nothing else.

    The number is positive also if that is not known.
    """
    instructions, stacks = _stacks(code)
    at = max((offset for offset in instructions if offset <= place), default=None)
    if at is None or at not in stacks:
        return "", 1
    instruction, stack = instructions[at], stacks[at]
    results = next((n for start, n in RESULTS.items() if instruction.opname.startswith(start)), None)
    if results is None:
        return instruction.opname, 1
    n_operands = results - _effect(instruction, jump=False)
    below = stack[: len(stack) - n_operands]
    return instruction.opname, sum(tag in (RESULT, EITHER) for tag in below)


@lru_cache(maxsize=4096)
def loops_around(code: CodeType, place: int) -> list[tuple[int, int]]:
    """The `for` loops around a place in the code, from the outermost on: where they begin and end."""
    instructions, _ = _stacks(code)
    loops = [(i.offset, i.argval) for i in instructions.values() if i.opname == "FOR_ITER"]
    return sorted((start, end) for start, end in loops if start <= place < end)


def _effect(instruction: dis.Instruction, *, jump: bool) -> int:
    """By how much an instruction makes the stack higher."""
    opcode = instruction.opcode
    return dis.stack_effect(opcode, instruction.arg if opcode >= dis.HAVE_ARGUMENT else None, jump=jump)


@lru_cache(maxsize=256)
def _stacks(code: CodeType) -> tuple[dict[int, dis.Instruction], dict[int, Stack]]:
    """The instructions of a function by their offset, and the stack before each that is reached without an error."""
    listed = list(dis.get_instructions(code))
    instructions = {i.offset: i for i in listed}
    following = {a.offset: b.offset for a, b in zip(listed, listed[1:], strict=False)}
    stacks: dict[int, Stack] = {}
    todo: list[tuple[int, Stack]] = [(listed[0].offset, ())]
    while todo:
        offset, stack = todo.pop()
        known = stacks.get(offset)
        if known is not None:
            stack = tuple([a if a == b else EITHER for a, b in zip(known, stack, strict=False)])
            if stack == known:
                continue
        stacks[offset] = stack
        instruction = instructions[offset]
        if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
            todo.append((instruction.argval, _after(instruction, stack, jump=True)))
        if not instruction.opname.startswith(ENDS) and offset in following:
            todo.append((following[offset], _after(instruction, stack, jump=False)))
    return instructions, stacks


def _after(instruction: dis.Instruction, stack: Stack, *, jump: bool) -> Stack:
    """The stack after an instruction."""
    name = instruction.opname
    height = len(stack) + (1 if name == "RETURN_GENERATOR" else _effect(instruction, jump=jump))
    if name.startswith(COPIES):
        return stack + ((name, instruction.arg),) * (height - len(stack))
    if name.startswith(SHARED):
        return stack + (RESULT,) * (height - len(stack))
    if name == "GET_ITER":
        return (*stack[:-1], RESULT if stack[-1] == EITHER else ITERATOR)
    if name.startswith("FOR_ITER"):
        return stack[:height] + (RESULT,) * (height - len(stack))
    if name.startswith(CHANGES):
        stack = tuple([tag if tag in (ITERATOR, RESULT, EITHER) else RESULT for tag in stack])
        return stack[:height]
    if name.startswith(TAKES):
        return stack[:height]
    kept = max(0, min(len(stack), height) - 1)  # its results lie on what it leaves; a pair is exchanged by SWAP
    if name in ("SWAP", "COPY", "ROT"):
        kept = max(0, len(stack) - (instruction.arg or 2))
    return stack[:kept] + (RESULT,) * (height - kept)
