"""Blocks of rows that stay in cache, and the standing threads that share them."""

from __future__ import annotations

import os
from _thread import allocate_lock, get_native_id, start_new_thread
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache, partial
from typing import Any

THREADED = 2**21  # bytes below which one thread is as fast as several
BLOCK = 0  # bytes of a block of rows; 0: from the machine's cache, when first needed
CACHES = "/sys/devices/system/cpu/cpu0/cache"  # where Linux tells of them
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_limiting = allocate_lock()


@cache
def cached() -> int:
    """Bytes of a block that stays in cache from the first pass to the last, with its gradient.

    A quarter of what a core has of its largest cache. Where that is 16 MiB, blocks of 4 and 8 MiB
    are equally fast; 1 MiB is a sixth slower, for the fixed cost of a block, and so the least.
    """
    from pathlib import Path  # not needed to import the package

    def share(kind: Path) -> int:
        size, cores = ((kind / name).read_text().strip() for name in ("size", "shared_cpu_map"))
        many = int(cores.replace(",", ""), 16).bit_count()
        return int(size[:-1]) * {"K": 2**10, "M": 2**20}[size[-1]] // many

    try:
        most = max(map(share, Path(CACHES).glob("index*")))
    except (OSError, ValueError, LookupError, ZeroDivisionError):  # not told, or not like this
        most = 2**24
    return min(max(most // 4, 2**20), 2**23)


def rows_at_once(rows: int, row: int) -> int:
    """How many rows of ``row`` bytes a thread takes at a time; all, if one thread is enough."""
    threads = CPUS if rows * row >= THREADED else 1
    return max(1, min((BLOCK or cached()) // row, -(-rows // threads)))


def in_threads(run: Callable[[int], None], starts: range) -> None:
    """Run blocks, on this thread and on standing workers, who start four times as fast as new ones.

    Each has the caller's context, NumPy's error handling in it. What no worker has taken up when
    this thread is done with the rest is withdrawn.
    """
    if len(starts) < 2:
        for start in starts:
            run(start)
        return
    todo, offers = deque(starts), []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while not errors:
                try:
                    start = todo.popleft()
                except IndexError:  # none is left
                    break
                run(start)
        except BaseException as error:
            errors.append(error)

    crew = _crew(os.getpid())
    crew.keep_off(_processor()())
    for _ in range(min(CPUS, len(starts)) - 1):
        offers.append(({"work": partial(copy_context().run, work)}, allocate_lock()))
        offers[-1][1].acquire()
        crew.offers.put(offers[-1])
    work()
    for offer, done in offers:
        if not offer.pop("work", None):
            done.acquire()
    if errors:
        raise errors[0]


class _Crew:
    """The standing workers of a process."""

    def __init__(self) -> None:
        from queue import SimpleQueue

        self.offers: Any = SimpleQueue()
        self.threads: list[int] = []
        self.off: tuple[int, int] | None = None
        for _ in range(CPUS - 1):
            start_new_thread(self.serve, ())

    def serve(self) -> None:
        self.threads.append(get_native_id())
        while True:
            offer, done = self.offers.get()
            if work := offer.pop("work", None):
                work()
                work = None  # it holds the arrays
                done.release()

    def keep_off(self, processor: int) -> None:
        """Keep the workers off the processor of the thread that they are to relieve.

        Linux may wake one there, where it waits for that thread, or that thread for it; and would
        do so every time.
        """
        if processor < 0 or (processor, len(self.threads)) == self.off:
            return
        self.off = processor, len(self.threads)
        if others := os.sched_getaffinity(0) - {processor}:
            for thread in self.threads:
                os.sched_setaffinity(thread, others)


@cache
def _crew(process: int) -> _Crew:
    """The workers of a process: threads do not survive a fork, so a child has its own."""
    return _Crew()


@cache
def _processor() -> Callable[[], int]:
    """What tells a thread the processor it is on; −1 where nothing does."""
    try:
        from ctypes import PyDLL

        found: Callable[[], int] = PyDLL(None).sched_getcpu
    except (ImportError, OSError, AttributeError, TypeError):
        return lambda: -1
    return found


@cache
def _blas() -> Any:
    """What sets the number of BLAS's own threads, or None."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def one_blas_thread() -> Iterator[int]:
    """Let BLAS use one thread, so that ours do not wait for its; tell how many ours may be.

    As many as BLAS had: whoever limits those, as joblib does in its processes, means ours too. One
    where BLAS takes no limit. The limit is the process's, so it is for one caller at a time.
    """
    if _blas() is None or not _limiting.acquire(blocking=False):
        yield 1
        return
    try:
        threads = max((library["num_threads"] for library in _blas().info()), default=1)
        with _blas().limit(limits=1):
            yield threads
    finally:
        _limiting.release()
