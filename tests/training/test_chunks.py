"""Sums over Dask's chunks: the same as in memory, whatever the chunks, the scheduler, the types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers import fits  # noqa: F401 - skips without scikit-learn
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_ce.training.objective import ChunkedRows
from tinygrad_ce.training.validation import aligned

dask = need("dask")
da = need("dask.array")
pd = need("pandas")
dd = need("dask.dataframe")

X = np.arange(60.0).reshape(20, 3) ** 1.5
Y = np.arange(20) % 4
WEIGHT = np.linspace(0, 1, 20)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y, w=WEIGHT)


def products(rows: Any) -> Any:
    return [2.0 * rows.X.T @ (rows.weight * rows.y), np.sum(rows.weight)]


def summed(x: Any, y: Any, weight: Any = None) -> Any:
    """The sum over chunks, and how many rows each has."""
    arrays = aligned(x, y, weight)
    assert len({a.chunks[0] for a in arrays}) == 1
    return ChunkedRows(*arrays, "").sum(products, 1), arrays[0].chunks[0]


def check(x: Any, y: Any, weight: Any = None, w: Any = WEIGHT) -> None:
    (product, total), rows = summed(x, y, weight)
    assert sum(rows) == 20
    np.testing.assert_allclose(product, 2.0 * X.T @ (w * Y), rtol=1e-14)
    np.testing.assert_allclose(total, np.sum(w), rtol=1e-14)


CUTS = st.lists(st.integers(1, 19), max_size=19, unique=True).map(sorted)


def cut(cuts: list[int]) -> tuple[int, ...]:
    return tuple(np.diff([0, *cuts, 20]).tolist())


@pytest.mark.slow
@settings(max_examples=25)
@given(CUTS, CUTS, CUTS, st.sampled_from([(3,), (1, 2), (1, 1, 1)]))
def test_the_sum_does_not_depend_on_the_chunks(
    rows: list[int], labels: list[int], weights: list[int], columns: Any
) -> None:
    x = da.from_array(X, chunks=(cut(rows), columns))
    y, w = da.from_array(Y, chunks=(cut(labels),)), da.from_array(WEIGHT, chunks=(cut(weights),))
    with dask.config.set(scheduler="sync"):
        check(x, y, w)
        check(x, Y, WEIGHT)
        check(x, y, w=np.ones(20))
        check(x, y, 2.0, np.full(20, 2.0))
        assert aligned(x, Y, None)[0].chunks == (cut(rows), (3,))


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_data_frames_whose_chunks_have_unknown_sizes(scheduler: str) -> None:
    frame = dd.from_pandas(FRAME, npartitions=4)
    columns = frame[["a", "b", "c"]]
    with dask.config.set(scheduler=scheduler):
        for x in (columns, columns.values, da.from_array(X, chunks=(6, 3))):
            check(x, frame.y, frame.w)
            check(x, frame.y.values, WEIGHT)
            check(x, Y, da.from_array(WEIGHT, chunks=3))


def test_chunks_that_a_filter_left_empty_are_passed_over() -> None:
    frame = dd.from_pandas(FRAME, npartitions=5)
    frame = frame[(frame.a < 20) | (frame.a > 200)]
    kept = frame.compute()
    (product, _), rows = summed(frame[["a", "b", "c"]], frame.y, np.ones(len(kept)))
    assert 0 < len(rows) < 5
    assert sum(rows) == len(kept)
    wanted = 2.0 * kept[["a", "b", "c"]].to_numpy().T @ kept.y.to_numpy()
    np.testing.assert_allclose(product, wanted, rtol=1e-14)


def test_each_chunk_gives_its_own_and_some_may_be_asked() -> None:
    rows = ChunkedRows(*aligned(da.from_array(X, chunks=(7, 3)), Y, None), "")
    assert rows.count == 20
    assert [told.compute() for told in rows.each(lambda rows: rows.count)] == [7, 7, 6]
    [told] = rows.each(lambda rows, k: (rows.y * k).tolist(), 2, only=slice(1, 2))
    assert told.compute() == (2 * Y[7:14]).tolist()


def test_what_x_and_y_share_is_computed_once() -> None:
    read = []

    def chunk(block_info: Any = None) -> Any:
        read.append(block_info[None]["chunk-location"])
        return np.ones((5, 3))

    x = da.map_blocks(chunk, chunks=((5, 5), (3,)), meta=np.ones((0, 0)))
    rows = ChunkedRows(*aligned(x, x[:, 0] * 2, None), "")
    assert not read
    rows.sum(products, 1)
    assert sorted(read) == [(0, 0), (1, 0)]


def test_nothing_of_the_data_comes_back_but_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every task's result that the scheduler hands out is counted."""
    handed = []
    get = dask.local.get_sync

    def counted(graph: Any, keys: Any, **options: Any) -> Any:
        handed.append(np.size(keys))
        return get(graph, keys, **options)

    with dask.config.set(scheduler=counted):
        summed(da.from_array(X, chunks=(1, 3)), da.from_array(Y, chunks=1))
    assert handed == [1]


@pytest.mark.parametrize("lazy", [False, True])
def test_lengths_and_axes_that_do_not_fit_are_told(lazy: bool) -> None:
    x = da.from_array(X, chunks=(6, 3))
    short = da.from_array(Y[:-1], chunks=4) if lazy else Y[:-1]
    with pytest.raises(ValueError, match=r"^y: got shape \(19,\) for the 20 rows of X$"):
        aligned(x, short, None)
    with pytest.raises(ValueError, match=r"^sample_weight: got shape \(19,\)"):
        aligned(x, Y, short)
    with pytest.raises(ValueError, match=r"^y: got shape \(20, 3\) for the 20 rows"):
        aligned(x, x, None)
    with pytest.raises(ValueError, match=r"^X: got a Dask array of shape \(20,\), wanted two axes"):
        aligned(x[:, 0], Y, None)
