"""Every public function of NumPy: with a gradient, plain (read from the data), or refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tinygrad_ce import Value
from tinygrad_ce.engine.operation import SPELLINGS, TABLE

# Why there is no gradient, and of which functions. What a later NumPy brings belongs into one.
NOT_HANDED_OVER = """arange array asanyarray asarray asarray_chkfinite ascontiguousarray
    asfortranarray asmatrix empty eye from_dlpack frombuffer fromfunction fromiter full identity
    ones require zeros"""
NOT_OF_ARRAYS = """bartlett base_repr binary_repr blackman broadcast_shapes datetime_data
    diag_indices tri format_float_positional format_float_scientific fromfile fromregex
    fromstring frompyfunc genfromtxt get_include get_printoptions getbufsize geterr geterrcall
    hamming hanning indices info isdtype isfortran isscalar issubdtype iterable kaiser load
    loadtxt mask_indices mintypecode nested_iters printoptions promote_types set_printoptions
    setbufsize seterr seterrcall show_config show_runtime test tril_indices triu_indices
    typename"""
WHOLE_NUMBERS_AND_DATES = """bitwise_count bitwise_left_shift bitwise_right_shift busday_count
    busday_offset datetime_as_string gcd is_busday isnat lcm left_shift packbits
    ravel_multi_index right_shift unpackbits unravel_index ix_"""
SETS_AND_COUNTS = """bincount histogram histogram2d histogram_bin_edges histogramdd intersect1d
    setdiff1d setxor1d trim_zeros union1d unique unique_all unique_counts unique_inverse
    unique_values"""
WRITES = "copyto fill_diagonal place put put_along_axis putmask"
OLD_NAMES = "bmat row_stack in1d trapz"
FILES = "save savetxt savez savez_compressed"
COMPLEX = "roots sort_complex unwrap eig eigvals"
FUNCTIONS = "apply_along_axis apply_over_axes"  # called on parts of the data
BITS = "frexp ldexp"  # of a float, whose scaling is x * 2.0**n
RARE = """block cond copysign corrcoef cov cumulative_prod cumulative_sum ediff1d einsum_path
    float_power fmod geomspace i0 insert logspace meshgrid modf nancumprod nancumsum
    nanmedian nanpercentile nanquantile poly polyadd polyder polydiv polyfit polyint polymul
    polysub polyval tensorinv tensorsolve vander"""
CALLED = [NOT_HANDED_OVER, WHOLE_NUMBERS_AND_DATES, SETS_AND_COUNTS, WRITES, COMPLEX, BITS, RARE]
CALLED += [FUNCTIONS]
REFUSED = {*" ".join([*CALLED, NOT_OF_ARRAYS, FILES, OLD_NAMES]).split()}
ONLY_IN_A_LIST = {"from_dlpack", "frombuffer"}


def public(module: ModuleType) -> dict[str, Any]:
    names = [name for name in dir(module) if not name.startswith("_")]
    found = {name: getattr(module, name) for name in names}
    return {name: f for name, f in found.items() if callable(f) and not inspect.isclass(f)}


KNOWN = {*TABLE, *SPELLINGS}
EVERY = [(m, name, f) for m in (np, np.linalg) for name, f in public(m).items()]


@pytest.mark.parametrize("module", [np, np.linalg], ids=lambda m: m.__name__)
def test_every_function_of_numpy_is_known(module: ModuleType) -> None:
    """Where this fails with a new NumPy: give a function a spelling, a record, or a reason."""
    unknown = [name for name, f in public(module).items() if f not in KNOWN and name not in REFUSED]
    assert not unknown


def test_no_reason_is_given_for_what_has_a_record() -> None:
    assert not REFUSED & {name for _module, name, f in EVERY if f in KNOWN}


UNSAID = (inspect.Parameter.empty, np._NoValue)
SPELLED = [f for _m, _name, f in EVERY if f in SPELLINGS and SPELLINGS[f] not in KNOWN]
OURS = {f: inspect.signature(SPELLINGS[f]) for f in SPELLED}
RECORDED = [f for *_names, f in EVERY if f in TABLE and f not in SPELLINGS and not TABLE[f].plain]
OURS |= {f: TABLE[f].signature for f in RECORDED}


@pytest.mark.parametrize("f", OURS, ids=lambda f: f.__name__)
def test_an_option_left_out_is_what_it_is_in_numpy(f: Any) -> None:
    try:
        theirs = inspect.signature(f).parameters
    except (TypeError, ValueError):  # NumPy does not say
        return
    for name, option in OURS[f].parameters.items():
        if name in theirs and not {option.default, theirs[name].default} & {*UNSAID}:
            assert option.default == theirs[name].default


V, W = Value([[2.0, 1.0], [1.0, 3.0]]), Value([1.0, 2.0])
ARGUMENTS: list[Any] = [(V,), (V, V), (V, 1), (V, V, V), (V, 1, 1), (W, W), (W, 1, V), ([V],)]
ARGUMENTS += [(V, V, V, 0), (V, [True, False], W)]


def refused(f: Callable[..., Any]) -> list[str]:
    """What is said of arguments with Values; a function that gives a result instead has failed."""
    said = []
    for args in ARGUMENTS:
        try:
            result = f(*args)
        except (IndexError, TypeError, NotImplementedError, ValueError, AttributeError) as error:
            said.append(str(error))
        else:
            assert not isinstance(result, Value)
            said.append(f"RESULT {result}")
    return said


NAMES = {*" ".join(CALLED).split()} - ONLY_IN_A_LIST
REFUSALS = {f"{m.__name__}.{name}": f for m, name, f in EVERY if name in NAMES and f not in KNOWN}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("f", REFUSALS.values(), ids=REFUSALS)
def test_what_is_refused_says_the_way(f: Any) -> None:
    said = refused(f)
    assert not [text for text in said if text.startswith("RESULT")]
    ways = ("v.data", "primitive", "np.stack", "np.where(mask")
    assert any(way in text for text in said for way in ways), said


def test_a_function_that_numpy_may_bring_is_refused() -> None:
    def later_dispatcher(x: Any) -> Any:
        return (x,)

    later = np._core.overrides.array_function_dispatch(later_dispatcher, module="numpy")(
        lambda x: x
    )
    with pytest.raises(NotImplementedError, match="has no rule"):
        later(V)
