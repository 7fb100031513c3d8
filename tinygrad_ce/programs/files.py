"""A file written whole, or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def replace_file(path: AnyPath, content: bytes) -> None:
    """Write a file and put it in the place of an old one: who reads sees either, never a part.

    That holds when the program is killed at any moment (a file that ends in .part may stay), and
    when the power goes: content reaches the disk before the name does. The old file's mode stays;
    one that may not be written to is refused. A symbolic link stays one, and what it names is
    replaced; other hard links keep the old file.
    """
    name = os.fsdecode(path)
    target = Path(os.path.realpath(name))
    part = target.parent / f"{os.urandom(8).hex()}.part"  # however long the name is
    try:
        if os.path.exists(name) and not target.is_file():  # a device or a pipe stays one as well
            Path(name).write_bytes(content)
            return
        with suppress(FileNotFoundError):
            target.open("r+b").close()
        with part.open("xb") as file:
            with suppress(FileNotFoundError):
                part.chmod(S_IMODE(os.stat(name).st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, name) from None
    finally:
        part.unlink(missing_ok=True)
