"""What was learnt, as one safetensors file: read whole or refused, and nothing in it is ever run.

Arrays of numbers are its tensors; all else is JSON in its metadata, name by name, where
``{"tensor": "coef_"}`` stands for one of them; and a SHA-256 of both.
"""

import hashlib
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..engine.text import _, require
from ..programs.files import AnyPath, replace_file
from .solvers import new_optimizer
from .validation import params_of

FORMAT = "2"  # 1 was NumPy's .npz


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        text = 'a saved model needs safetensors: pip install "tinygrad_ce[safetensors]"'
        raise ImportError(_(text)) from None
    return safetensors.numpy


def _checksum(texts: dict[str, str], tensors: dict[str, Any]) -> str:
    """Return the SHA-256 of all texts, and of each tensor's dtype, shape and numbers, by name."""
    sha = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name, x in sorted(tensors.items()):
        sha.update(f"{name} {x.dtype} {x.shape}".encode() + x.tobytes())
    return sha.hexdigest()


def _pack(x: Any, name: str, tensors: dict[str, Any]) -> Any:
    """Return what stands for ``x`` in JSON; an array of numbers goes into the tensors."""
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
        key = name if name not in tensors else f"{name}.{len(tensors)}"
        native = x.dtype.newbyteorder("=")
        tensors[key] = np.array(x, native, order="C")  # safetensors scrambles other layouts
        return {"tensor": key}
    if isinstance(x, np.ndarray) and x.dtype.kind in "UO":
        return {"array": x.tolist(), "dtype": x.dtype.str}
    text = "{name}: a {kind} cannot be saved; numbers, text and arrays of them can"
    raise TypeError(_(text, name=name, kind=getattr(x, "dtype", type(x).__name__)))


def write(path: AnyPath, content: dict[str, Any]) -> None:
    """Save ``content`` in place of an old file: a crash leaves the old or the new, never a part.

    It is by name: None, numbers, text, arrays of such, lists of them and dicts by text.
    """
    tensors: dict[str, Any] = {}
    texts = {
        name: json.dumps(x, default=partial(_pack, name=name, tensors=tensors))
        for name, x in content.items()
    }
    metadata = texts | {"tinygrad_ce": FORMAT, "sha256": _checksum(texts, tensors)}
    replace_file(path, _safetensors().save(tensors, metadata))


def read(path: AnyPath) -> dict[str, Any]:
    """Return the content that `write` saved, its arrays new; refuse any other file in one line."""
    safetensors = _safetensors()
    data = Path(os.fsdecode(path)).read_bytes()
    try:
        require(data[:4] != b"PK\x03\x04", "an .npz file of tinygrad_ce 0.1: fit anew")
        tensors = safetensors.load(data)
        texts = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
        version, sha = texts.pop("tinygrad_ce", None), texts.pop("sha256", "")
        text = "format {version}, foreign or newer: pip install --upgrade tinygrad_ce"
        require(version == FORMAT, text, version=version)
        require(sha == _checksum(texts, tensors), "its content is not what was saved")
    except Exception as why:  # ours, and whatever a damaged header trips over
        text = "{path}: damaged, or no model of this tinygrad_ce: {why}"
        raise ValueError(_(text, path=os.fsdecode(path), why=why)) from None

    def unpack(x: dict[str, Any]) -> Any:
        if "tensor" in x:
            return tensors[x["tensor"]].copy()
        return np.array(x["array"], x["dtype"]) if "array" in x else x

    return {name: json.loads(text, object_hook=unpack) for name, text in texts.items()}


class PersistenceMixin:
    """`save` and `load` of a model: its parameters, what was fitted, the optimizer's state."""

    def save(self, path: AnyPath) -> None:
        """Save the fitted model as a safetensors file; `load` gives it back, equal to the bit.

        Parameters, attributes and the state of `partial_fit` are kept; the callback is not, and a
        random generator is refused with a TypeError. An old file of that name is replaced at once:
        a crash leaves the old or the new one.
        """
        check_is_fitted(self)
        content = {name: x for name, x in vars(self).items() if name != "callback"}
        if isinstance(content["class_weight"], dict):
            content["class_weight"] = list(content["class_weight"].items())
        if optimizer := content.pop("_optimizer", None):
            content["optimizer"] = [optimizer.lr, optimizer.state]
        write(path, content)

    @classmethod
    def load(cls, path: AnyPath) -> Any:
        """Return the model that `save` saved; nothing in the file is run.

        A file that is damaged, of an older or a newer version, or holds anything else is refused
        with a ValueError.

        Examples
        --------
        >>> import tempfile
        >>> from tinygrad_ce import SoftmaxRegression
        >>> model = SoftmaxRegression().fit([[0.0], [1.0]], ["no", "yes"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.safetensors")
        ...     SoftmaxRegression.load(f"{folder}/model.safetensors").predict([[0.9]]).tolist()
        ['yes']
        """
        model: Any = cls()
        content = read(path)
        state = content.pop("optimizer", None)
        vars(model).update(content)
        if isinstance(model.class_weight, list):
            model.class_weight = dict(model.class_weight)
        if state is not None:
            model._optimizer = new_optimizer(model, params_of(model))
            model._optimizer.lr, model._optimizer.state = state
        return model
