"""Seeds, and the rule for what a fresh machine may lack: skip there, fail in CI."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

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


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
