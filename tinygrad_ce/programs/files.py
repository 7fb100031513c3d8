"""A file written whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from threading import get_ident


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file and put it in the place of an old one: who reads sees either, never a part.

    That holds when the program is killed at any moment (a file that ends in .part may stay), and
    when the power goes: content reaches the disk before the name does.
    """
    part = f"{os.fspath(path)}.{os.getpid()}.{get_ident()}.part"
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from None
    finally:
        Path(part).unlink(missing_ok=True)
