"""What NumPy allocates: every array made in a call, also those that are gone again."""

from __future__ import annotations

import ctypes as c
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# NumPy calls these with the interpreter's lock held, and expects it held where it is called.
MALLOC = c.PYFUNCTYPE(c.c_void_p, c.c_void_p, c.c_size_t)
CALLOC = c.PYFUNCTYPE(c.c_void_p, c.c_void_p, c.c_size_t, c.c_size_t)
REALLOC = c.PYFUNCTYPE(c.c_void_p, c.c_void_p, c.c_void_p, c.c_size_t)
FREE = c.PYFUNCTYPE(None, c.c_void_p, c.c_void_p, c.c_size_t)


class Handler(c.Structure):
    """NumPy's PyDataMem_Handler (NEP 49): who gives arrays their memory."""

    _fields_ = [
        ("name", c.c_char * 127), ("version", c.c_uint8), ("context", c.c_void_p),
        ("malloc", MALLOC), ("calloc", CALLOC), ("realloc", REALLOC), ("free", FREE),
    ]  # fmt: skip


@contextmanager
def allocations() -> Iterator[list[int]]:
    """The size of every array made meanwhile, in bytes, also of those that are gone again."""
    pointer, capsule = c.pythonapi.PyCapsule_GetPointer, c.pythonapi.PyCapsule_New
    pointer.restype, pointer.argtypes = c.c_void_p, [c.py_object, c.c_char_p]
    capsule.restype, capsule.argtypes = c.py_object, [c.c_void_p, c.c_void_p, c.c_void_p]
    table = c.cast(pointer(np._core.multiarray._ARRAY_API, None), c.POINTER(c.c_void_p))
    set_handler = c.PYFUNCTYPE(c.py_object, c.py_object)(table[304])
    get_handler = c.PYFUNCTYPE(c.py_object)(table[305])
    old = Handler.from_address(pointer(get_handler(), b"mem_handler"))
    sizes: list[int] = []

    def malloc(_: Any, size: int) -> Any:
        sizes.append(size)
        return old.malloc(old.context, size)

    def calloc(_: Any, many: int, size: int) -> Any:
        sizes.append(many * size)
        return old.calloc(old.context, many, size)

    def realloc(_: Any, old_one: int, size: int) -> Any:
        sizes.append(size)
        return old.realloc(old.context, old_one, size)

    def free(_: Any, gone: int, size: int) -> None:
        old.free(old.context, gone, size)

    name = c.create_string_buffer(b"mem_handler")
    new = Handler(
        b"counting", 1, None, MALLOC(malloc), CALLOC(calloc), REALLOC(realloc), FREE(free)
    )
    ALIVE.append((name, new))  # an array is freed by the handler that it was made by
    before = set_handler(capsule(c.addressof(new), c.addressof(name), None))
    try:
        yield sizes
    finally:
        set_handler(before)


ALIVE: list[Any] = []


def arrays(tree: Any) -> list[Any]:
    if isinstance(tree, dict | list | tuple):
        return [a for x in (tree.values() if isinstance(tree, dict) else tree) for a in arrays(x)]
    return [tree] if isinstance(tree, np.ndarray) else []


def extra(run: Callable[..., Any], args: Any) -> list[int]:
    """Arrays over 1 kB that a third call makes besides its results."""
    with np.errstate(all="ignore"):
        run(*args)
        run(*args)
        with allocations() as sizes:
            results = run(*args)
    found = Counter(n for n in sizes if n > 1024)
    found -= Counter(a.nbytes for a in arrays(results) if a.nbytes > 1024)
    return sorted(found.elements())
