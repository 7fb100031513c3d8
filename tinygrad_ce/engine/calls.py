"""Calls as NumPy documents them, brought to what a record or a spelling takes."""

from __future__ import annotations

from inspect import Signature, signature
from typing import Any

from .operation import SPELLINGS, Primitive
from .text import _


def arrays_and_options(op: Primitive, args: Any, options: Any) -> tuple[Any, Any]:
    """Tell arrays from options given by position, and refuse options that no rule takes."""
    call = _bound(op.name, op.signature, args, options, op.function)
    if op.arity is None:
        return call.args, call.kwargs
    given = list(call.arguments.items())
    return tuple(x for _name, x in given[: op.arity]), dict(given[op.arity :])


def spelled(function: Any, args: Any, options: Any) -> Any:
    """Call what spells a function, and refuse options that this does not take."""
    spelling = SPELLINGS[function]
    try:
        return spelling(*args, **options)
    except TypeError:
        if (plain := _plainly(function, args, options)) is None:
            _bound(function.__name__, signature(spelling), args, options)
            raise
    return spelled(function, *plain)


def _bound(name: str, taken: Signature, args: Any, options: Any, function: Any = None) -> Any:
    """Arguments by their names, or the error of a call that does not fit."""
    try:
        return taken.bind(*args, **options)
    except TypeError as error:
        if function and (plain := _plainly(function, args, options)):
            return _bound(name, taken, *plain)
        named = Signature([p.replace(annotation=p.empty) for p in taken.parameters.values()])
        text = "{op}: {error}. On Values it takes {named}"
        raise TypeError(_(text, op=name, error=error, named=named)) from None


def _plainly(function: Any, args: Any, options: Any) -> tuple[Any, Any] | None:
    """A call with what it needs in front, without what says what holds anyway (``out=None``).

    None where that is how it stands already.
    """
    front, named = list[Any](), dict[str, Any]()
    try:
        call = signature(function).bind(*args, **options)
        for name, x in call.arguments.items():
            p = call.signature.parameters[name]
            if p.kind is p.VAR_POSITIONAL:
                front += x
            elif p.kind is p.VAR_KEYWORD:
                named |= x
            elif p.default is p.empty:
                front.append(x)
            elif x is not p.default:
                named[name] = x
    except (TypeError, ValueError):  # an older NumPy does not tell what its C functions take
        front = [x for x in args if x is not None]
        named = {name: x for name, x in options.items() if x is not None and x is not True}
    return None if (len(front), named.keys()) == (len(args), options.keys()) else (front, named)
