"""What a `Value` shares with an ndarray, and what it refuses to do as one."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from .data import lost
from .operation import SPELLINGS, TABLE
from .origin import callee, library_call
from .text import _


def _method(function: Any) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **options: Any) -> Any:
        return function(self, *args, **options)

    method.__name__, method.__doc__ = function.__name__, f"np.{function.__name__}(self, ...)"
    return method


_WAYS = {  # what keeps the gradient where NumPy's function is called so, or another of that module
    "full full_like": "np.broadcast_to(v, shape)",
    "pad": "np.concatenate",
    "nan_to_num": "np.where(np.isnan(x), v, x)",
    "arange": "v * np.arange(n)",
    "scipy.special.softmax scipy.special.log_softmax scipy.special.logsumexp": "tinygrad_ce.{name}",
    "normal": "v + scale * rng.normal(size=n)",
}


def as_called(what: str, instead: str, direct: bool = True) -> tuple[str, str]:
    """What is refused and what to do, by the function that the learner's line calls.

    With ``direct`` that may be what refuses; else it is one of another library that calls this one.
    """
    called = callee() if direct else library_call()
    if not called:
        return what, instead
    name = called.rpartition(".")[2]
    way = next((way for names, way in _WAYS.items() if {called, name} & {*names.split()}), "")
    if "." in called and not called.startswith(("np.", "numpy.")) and takes_values(name):
        way = "np.{name}"  # of math.log(v), and of an array's own A.dot(v)
    instead = _("Use {way}. Its data is v.data.", way=way.format(name=name)) if way else instead
    return _("{called}, which takes plain numbers,", called=called), instead


def takes_values(name: str) -> bool:
    """Whether a function of NumPy's that is called so takes `Value`s."""
    function = getattr(np, name, None)
    return function in TABLE or function in SPELLINGS


def _refusal(function: Any, what: str, instead: str, convert: bool = False) -> Callable[..., Any]:
    """A method that refuses; in a `program` the data does, naming the line that calls it."""

    def method(self: Any, *args: Any, **_options: Any) -> Any:
        if hasattr(self._array, "apply_primitive"):
            function(self._array, *args)
        lost(*as_called(what, instead) if convert else (what, instead))

    return method


_conversion = partial(_refusal, convert=True)


def _absent(name: str, way: str) -> property:
    """What other libraries' arrays have: not there, for hasattr too, but the error says the way."""

    def missing(_self: Any) -> Any:
        raise AttributeError(_("a Value has no {name}: {way}", name=_(name), way=_(way)))

    return property(missing)


class ArrayLike:
    """Attributes and methods of ndarray, each by the NumPy function of its name.

    They stand here one by one: with a ``__getattr__`` every attribute would take twice the time.
    """

    __slots__ = ()
    _array: Any

    # fmt: off
    @property
    def shape(self) -> tuple[int, ...]: return getattr(self._array, "shape", ())
    @property
    def ndim(self) -> int: return len(self.shape)
    @property
    def size(self) -> int: return math.prod(self.shape)
    @property
    def dtype(self) -> Any: return getattr(self._array, "dtype", np.dtype(float))
    @property
    def T(self) -> Any: return np.transpose(self)
    @property
    def mT(self) -> Any: return np.matrix_transpose(self)
    @property
    def real(self) -> Any: return np.real(self)
    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        return np.reshape(self, _unpack(shape), order=order)
    def transpose(self, *axes: Any) -> Any: return np.transpose(self, _unpack(axes) or None)
    def ravel(self, order: Any = "C") -> Any: return np.reshape(self, -1, order=order)
    flatten = ravel
    def clip(self, min: Any = None, max: Any = None) -> Any: return np.clip(self, min, max)
    # fmt: on
    sum, mean, max, min = map(_method, (np.sum, np.mean, np.max, np.min))
    prod, var, std, conj = map(_method, (np.prod, np.var, np.std, np.conj))
    trace, diagonal, repeat, nonzero = map(_method, (np.trace, np.diagonal, np.repeat, np.nonzero))
    astype = _method(np.astype)
    take, compress, cumsum, cumprod = map(_method, (np.take, np.compress, np.cumsum, np.cumprod))
    squeeze, swapaxes, dot, copy = map(_method, (np.squeeze, np.swapaxes, np.dot, np.copy))
    exp, log, tanh, sqrt = map(_method, (np.exp, np.log, np.tanh, np.sqrt))
    any, all, argmax, argmin = map(_method, (np.any, np.all, np.argmax, np.argmin))
    round = __round__ = _method(np.round)
    item = _absent("item()", "float(v.data) is its number")
    detach = _absent("detach()", "v.data is its data, without the graph")
    numpy = cpu = _absent("numpy() or cpu()", "v.data is its array")
    zero_grad = _absent("zero_grad()", "v.grad = None does it, or an optimiser's zero_grad()")
    __pandas_priority__ = 5000  # above DataFrame's, so that in df * v the Value is asked

    # A gradient is never lost in silence: what would drop it says so, and what keeps it.
    __float__ = _conversion(
        float,
        "float(v), which r[i] = v and math.log(v) call,",
        "For r[i] = v: collect in a list, then np.stack. For math.log(v): np.log(v), likewise "
        "np.exp. Its number, for '%.3f' too, is v.data.",
    )
    __int__ = _conversion(int, "int(v)", "Use int(v.data).")
    __complex__ = _conversion(complex, "complex(v)", "Use v.data; Values are real.")
    __index__ = _conversion(operator.index, "v as an index", "Use int(v.data).")
    __array__ = _conversion(
        np.asarray,
        "An array made from a Value",
        "For r[i] = v or np.array([v, w]): collect in a list, then np.stack([v, w]). Beside what "
        "pandas, SciPy and np.ma have: df.to_numpy(), S.toarray(), m.filled(0.0). For others: "
        "@primitive. Its data is v.data.",
    )
    __setitem__ = __delitem__ = _refusal(
        operator.setitem,
        "Writing into a Value",
        "Use np.where(mask, new, v), or collect in a list, then np.stack. A leaf's data can be "
        "written to, v.data[0] = 5, before it is used.",
    )

    sort = partition = _refusal(
        lambda a, *args: a.sort(*args), "v.sort(), which writes into it,", "Use np.sort(v)."
    )

    def __bool__(self) -> bool:
        if self.shape:
            what = _("The truth of a Value of shape {shape}", shape=self.shape)
            _refusal(bool, what, "Use v.data.any() or v.data.all().")(self)
        return bool(self._array)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))  # type: ignore[index]

    def __len__(self) -> int:
        if not self.shape:
            text = "{value} is a scalar: it has no length and no entries; its number is v.data"
            raise TypeError(_(text, value=repr(self)))
        return int(self.shape[0])

    def __format__(self, spec: str) -> str:
        if not spec or not self.shape:
            return format(self._array if self.shape else float(self._array), spec)
        return np.array2string(self._array, formatter={"float_kind": lambda x: format(x, spec)})


def _unpack(args: tuple[Any, ...]) -> Any:
    """The shape of ``v.reshape(2, 3)`` and of ``v.reshape((2, 3))`` alike."""
    return args[0] if len(args) == 1 and not isinstance(args[0], int) else args
