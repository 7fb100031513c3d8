"""Text for users: whole-sentence templates with named fields, all through one function."""

from importlib import import_module


def _(template: str, **fields: object) -> str:
    """Fill a template's named fields, in the reader's language."""
    # Looked for when there is something to say: the import of the engine does not wait for it.
    language = import_module(".language", __package__)
    return str(language.filled(template, fields))


def require(
    holds: object, template: str, error: type[Exception] = ValueError, **fields: object
) -> None:
    """Raise an error, its text filled in, unless something holds."""
    if not holds:
        raise error(_(template, **fields))
