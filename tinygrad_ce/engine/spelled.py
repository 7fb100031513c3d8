"""NumPy's functions that other functions of NumPy spell: each reads as NumPy documents it.

They have no rules: on `Value`s the functions that they call are recorded, drawn and printed. To add
one, give `spell` its name and a function that takes what NumPy's takes.
"""

from __future__ import annotations

import numpy as np

from .operation import spell

spell(
    np,
    fabs=lambda x: np.absolute(x),
    ptp=lambda a, axis=None, *, keepdims=False: (
        np.max(a, axis, keepdims=keepdims) - np.min(a, axis, keepdims=keepdims)
    ),
    vdot=lambda a, b: np.dot(np.reshape(a, -1), np.reshape(b, -1)),
)
