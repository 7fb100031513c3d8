"""Blocks of rows that stay in cache, and the threads that share them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import cache, partial
from typing import Any

THREADED = 2**20  # bytes below which one thread is as fast as several
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# Bytes of a block, which with its gradient is to stay in cache. Where a core has 2 MiB of cache,
# half of this is a tenth faster; where it has 16, twice as much is.
BLOCK = 2**21


def rows_at_once(rows: int, row: int) -> int:
    """How many rows of ``row`` bytes a thread takes at a time; all, if one thread is enough."""
    threads = CPUS if rows * row >= THREADED else 1
    return max(1, min(BLOCK // row, -(-rows // threads)))


def in_threads(run: Callable[[int], None], starts: range) -> None:
    """Run blocks on this thread and on others; whichever is free takes the next.

    Each thread has the caller's context, NumPy's error handling in it. A block that fails ends the
    others' work, and its error is raised here.
    """
    threads = min(CPUS, len(starts))
    if threads < 2:
        for start in starts:
            run(start)
        return
    # None: no more for this thread. Only blocks still to do hold arrays: withdrawn work, which
    # stays in the pool until a thread is free to drop it, holds none.
    todo = deque([*(partial(run, start) for start in starts), *[None] * threads])

    def work() -> None:
        try:
            for block in iter(todo.popleft, None):
                block()
        except BaseException:
            todo.extendleft([None] * threads)
            raise

    others = []
    with suppress(RuntimeError):  # there are no threads (Emscripten), or none any more at exit
        for _ in range(threads - 1):
            others.append(_pool(os.getpid()).submit(copy_context().run, work))
    try:
        work()
    finally:  # a thread may be busy with other callers' blocks: what it has not begun is withdrawn
        errors = [other.exception() for other in others if not other.cancel()]
    for error in filter(None, errors):
        raise error


@cache
def _pool(process: int) -> Any:
    """The standing threads of a process: a forked child has none of its parent's."""
    from concurrent.futures import ThreadPoolExecutor  # not needed to import the package

    return ThreadPoolExecutor(CPUS - 1)
