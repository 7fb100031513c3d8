"""Seeds, and the rule for what a fresh machine may lack: skip there, fail in CI."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tinygrad_ce.primitive import TABLE

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


def need(module: str) -> ModuleType:
    """Import an optional peer; without it skip, unless TINYGRAD_CE_REQUIRE_ALL is set (CI)."""
    try:
        return importlib.import_module(module)
    except ImportError:
        if os.environ.get("TINYGRAD_CE_REQUIRE_ALL"):
            raise
        pytest.skip(f"{module} is not installed", allow_module_level=True)


@pytest.fixture(autouse=True)
def _table_as_it_was() -> Iterator[None]:
    """Take out of the table of operations what a test registers."""
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
