"""Text for users: whole-sentence templates with named fields, all through one function."""

from __future__ import annotations


def _(template: str, **fields: object) -> str:
    """Fill a template's named fields; a translation would be looked up here.

    Examples
    --------
    >>> _("{name}: got {got}, wanted a function", name="program", got="int")
    'program: got int, wanted a function'
    """
    return template.format(**fields)
