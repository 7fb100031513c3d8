"""What was learnt, as a file: NumPy's .npz, read whole or refused, and nothing in it is ever run.

The file is a zip of .npy arrays, none compressed. ``header`` holds JSON: the format's version, the
kind of thing that was kept, and its content, in which ``{"array": "coef_"}`` stands for an array
of the file. `numpy.load` opens it too; but that believes what a file says of its own sizes, and
leaves what the arrays mean to the caller. `read` believes nothing: no size is used before it is
held against the bytes that are there, and no Python expression is parsed.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import zipfile
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..programs.files import replace_file

FORMAT = 1
PLAIN = "biufU"  # kinds of dtype that are kept as they are: numbers, booleans, text
NPY = b"\x93NUMPY\x01\x00"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]*(?<!\.npy)")  # of an array, as a zip and savez take it
LAYOUT = re.compile(
    r"\{'descr': '([<>|][biufU][0-9]{1,9})', 'fortran_order': False, "
    r"'shape': \(([0-9, ]*)\), \} *\n"
)
Path = str | os.PathLike[str]
T = TypeVar("T")


def write(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Keep ``content`` in a file, in the place of an old one: a crash leaves either, never a part.

    Parameters
    ----------
    path : the file's name, taken as it is
    kind : what the content is, for `read` to compare
    content : None, booleans, numbers, strings and arrays of such, under names; and lists, tuples
        and dicts of them

    Raises
    ------
    TypeError
        If something in it is none of these; it says which.
    OSError
        If the file cannot be written.
    """
    arrays: dict[str, Any] = {}
    told = {"tinygrad_ce": FORMAT, "kind": kind, "content": _pack(content, "", arrays)}
    file = io.BytesIO()
    np.savez(file, header=np.array(json.dumps(told)), **arrays)
    replace_file(path, file.getvalue())


def _pack(x: Any, name: str, arrays: dict[str, Any]) -> Any:
    """What stands for ``x`` in the header; its arrays are put into ``arrays``."""
    if isinstance(x, np.generic):
        x = x.item()
    if x is None or isinstance(x, bool | int | float | str):
        return x
    if isinstance(x, np.ndarray) and x.dtype.kind in PLAIN:
        if not NAME.fullmatch(name):
            name = "array"
        while name in (*arrays, "header", "file", "allow_pickle"):  # the last two of np.savez
            name += "_"
        arrays[name] = np.asarray(x, order="C")
        return {"array": name}
    if isinstance(x, np.ndarray) and x.dtype.kind == "O" and x.ndim == 1:
        return {"objects": _pack(x.tolist(), name, arrays)}
    if isinstance(x, dict):
        pairs = [[_pack(k, name, arrays), _pack(v, _in(name, k), arrays)] for k, v in x.items()]
        return {"dict": pairs}
    if isinstance(x, list | tuple):
        items = [_pack(v, _in(name, i), arrays) for i, v in enumerate(x)]
        return items if isinstance(x, list) else {"tuple": items}
    what = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
    raise TypeError(
        f"{name}: {what} cannot be kept in a file; numbers, text and arrays of them can"
    )


def _in(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


class _Other(Exception):
    """A whole file, but not one to read here."""


def read(path: Path, kind: str, make: Callable[[dict[str, Any]], T]) -> T:
    """Return ``make(content)`` of the content that `write` kept, its arrays new and writeable.

    Parameters
    ----------
    path, kind : as in `write`
    make : what makes the thing of its content, and raises where that cannot be; it need not name
        the file

    Raises
    ------
    ValueError
        If the file is cut, damaged, of a newer version, of another kind or none of ours: one line
        that says which. Nothing of it has run, and no more memory was taken than a few times its
        length.
    OSError
        If there is no such file, or it cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            return make(_content(file, kind))
        except _Other as error:
            why = str(error)
        except Exception as error:  # whatever a damaged file trips over, in zipfile, json or make
            why = f"damaged, or not written by tinygrad_ce ({type(error).__name__}: {error})"
    raise ValueError(f"{os.fspath(path)}: {why}")


def _content(file: Any, kind: str) -> dict[str, Any]:
    length = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as parts:
        members = {m.filename.removesuffix(".npy"): m for m in parts.infolist()}
        if (
            len(members) < len(parts.infolist())
            or any(m.compress_type != zipfile.ZIP_STORED for m in members.values())
            or any(m.file_size != m.compress_size for m in members.values())  # it reads the latter
            or sum(m.file_size for m in members.values()) > length
        ):
            raise ValueError("its parts are compressed, overlap or come twice")
        told = json.loads(str(_array(parts.read(members.pop("header")))))
        version = told["tinygrad_ce"]
        if type(version) is not int or version < 1:
            raise ValueError(f"version {version!r}")
        if version > FORMAT:
            raise _Other(
                f"written by a newer tinygrad_ce: format {version}, this one reads up to {FORMAT}; "
                "pip install --upgrade tinygrad_ce"
            )
        if told["kind"] != kind:
            raise _Other(f"got a file of a {str(told['kind'])[:80]}, wanted a {kind}")
        arrays = {name: _array(parts.read(member)) for name, member in members.items()}
    content = _unpack(told["content"], arrays)
    if arrays or not isinstance(content, dict):
        raise ValueError("its header and its arrays do not belong together")
    return content


def _array(data: bytes) -> Any:
    """One .npy file; `numpy.lib.format` would evaluate its header, and warn of some."""
    start = 10 + int.from_bytes(data[8:10], "little")
    found = LAYOUT.fullmatch(data[10:start].decode("latin-1"))
    if not data.startswith(NPY) or not found:
        raise ValueError("a part of it is not an array of numbers or text")
    dtype, shape = np.dtype(found[1]), tuple(int(n) for n in found[2].split(",") if n.strip())
    if not dtype.itemsize or math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError("an array in it is longer or shorter than it says")
    array = np.ndarray(shape, dtype, data, start).astype(dtype.newbyteorder("="))
    if dtype.kind == "U":
        array.tolist()  # raises ValueError for numbers that are no characters
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise ValueError("an array of booleans in it holds something else")
    return array


def _unpack(told: Any, arrays: dict[str, Any]) -> Any:
    """What the header's ``told`` stands for; takes each array out of ``arrays``, once."""
    if isinstance(told, list):
        return [_unpack(v, arrays) for v in told]
    if not isinstance(told, dict):
        return told
    if len(told) != 1:
        raise ValueError("an entry of its header is not one that tinygrad_ce writes")
    tag, x = told.popitem()
    if tag == "array":
        return arrays.pop(x)
    if tag == "dict":
        return {_unpack(k, arrays): _unpack(v, arrays) for k, v in x}
    items = [_unpack(v, arrays) for v in x]
    if tag == "tuple":
        return tuple(items)
    if tag != "objects":
        raise ValueError(f"the header has an unknown {tag[:80]!r}")
    array = np.empty(len(items), object)
    array[:] = items
    return array
