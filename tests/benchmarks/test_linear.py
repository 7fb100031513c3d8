"""The linear layer with many classes and its loss: time and memory, ours and PyTorch's."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from conftest import ROWS, Row, find
from test_speed import python

import tinygrad_ce as tg
from tinygrad_ce.losses.threads import CPUS

torch = find("torch")
if torch:
    torch.set_num_threads(CPUS)  # as many as ours

FEATURES, CLASSES = 256, 50257  # GPT-2's vocabulary


@pytest.mark.parametrize(("samples", "rounds"), [(2048, 5), (8192, 3)])
def test_linear_cross_entropy(compare: Any, samples: int, rounds: int) -> None:
    rng = np.random.default_rng(0)
    shapes = ((samples, FEATURES), (FEATURES, CLASSES), (CLASSES,))
    arrays = [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
    arrays[1] *= np.float32(FEATURES**-0.5)
    target = rng.integers(0, CLASSES, samples)
    values = [tg.Value(a) for a in arrays]

    def ours() -> list[Any]:
        for v in values:
            v.grad = None
        tg.linear_cross_entropy(*values, target).backward()
        return [v.grad for v in values]

    peers: dict[str, Any] = {}
    if torch:
        x, w, b = arrays
        tensors = [torch.tensor(a, requires_grad=True) for a in (x, w.T.copy(), b)]
        tt = torch.tensor(target)

        def slopes(loss: Any) -> list[Any]:
            for v in tensors:
                v.grad = None
            loss().backward()
            return [tensors[0].grad.numpy(), tensors[1].grad.numpy().T, tensors[2].grad.numpy()]

        def naive() -> Any:
            return nn.functional.cross_entropy(nn.functional.linear(*tensors), tt)

        def chunked() -> Any:
            x, w, b = tensors
            options = nn.LinearCrossEntropyOptions()
            return nn.functional.linear_cross_entropy(x, w, tt, linear_bias=b, options=options)

        nn = torch.nn
        peers["PyTorch"] = lambda: slopes(naive)
        if hasattr(nn, "LinearCrossEntropyOptions") and samples < 4096:  # from 2.13 on; it is slow
            peers["PyTorch, in chunks"] = lambda: slopes(chunked)
        for peer in peers.values():
            for mine, theirs in zip(ours(), peer()):
                np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5 * abs(theirs).max())
    name = f"linear_cross_entropy {samples}×{FEATURES} to {CLASSES} float32"
    compare(name, ours, peers, dict.fromkeys(peers, 1.6), rounds=rounds)


# VmHWM is this program's own; the gradients, and nothing else, are not counted. The first, small
# call brings in what is there once: imports, threads, the buffers of the BLAS.
PEAK = """
import re, sys
import numpy as np
n, d, c = 8192, 256, 50257
rng = np.random.default_rng(0)
x, W, b = (rng.standard_normal(s, dtype=np.float32) for s in ((n, d), (d, c), (c,)))
t = rng.integers(0, c, n)
if sys.argv[1] == "ours":
    import tinygrad_ce as tg
    make, loss = tg.Value, lambda x, W, b, t: tg.linear_cross_entropy(x, W, b, t)
else:
    import torch
    make = lambda a: torch.from_numpy(a).requires_grad_()
    loss = lambda x, W, b, t: torch.nn.functional.cross_entropy(x @ W + b, t)
    t = torch.tensor(t)
loss(make(x[:256]), make(W[:, :64].copy()), make(b[:64]), t[:256] % 64).backward()  # for Numba
values = [make(a) for a in (x, W, b)]
status = lambda what: int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
before = status("VmRSS")
loss(*values, t).backward()
print((status("VmHWM") - before - (x.nbytes + W.nbytes + b.nbytes) // 1024) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_peak_memory(benchmark: Any) -> None:
    benchmark.pedantic(lambda: None)
    ours = python(PEAK, "ours")
    assert ours > -1, "the gradients themselves were not seen, so the peak was not either"
    peers = {"PyTorch": f"{python(PEAK, 'torch'):.0f} MiB"} if torch else {}
    name = "the same, peak memory beyond the gradients (VmHWM)"
    ROWS.append(Row(name, f"{ours:.1f} MiB", peers, "≤ 64 MiB", ours <= 64))
