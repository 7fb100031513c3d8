"""Text for users: whole-sentence templates with named fields, all through one function."""


def _(template: str, **fields: object) -> str:
    """Fill a template's named fields; a translation would be looked up here."""
    return template.format(**fields)


def require(
    holds: object, template: str, error: type[Exception] = ValueError, **fields: object
) -> None:
    """Raise an error, its text filled in, unless something holds."""
    if not holds:
        raise error(_(template, **fields))
