"""What was learnt, as one safetensors file: read whole or refused, and nothing in it is ever run.

Arrays of numbers are tensors of the file. All else is JSON in its metadata, name by name, where
``{"tensor": "coef_"}`` stands for one of them. A SHA-256 of all that is there too, for the format
has no checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..engine.text import _
from ..engine.value import Value
from ..programs.files import replace_file
from .optimizers import SGD, Adam
from .validation import params_of

FORMAT = 2  # 1 was NumPy's .npz
Path = str | os.PathLike[str]


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        text = 'a saved model needs safetensors: pip install "tinygrad_ce[safetensors]"'
        raise ImportError(_(text)) from None
    return safetensors


def _checksum(texts: dict[str, str], tensors: dict[str, Any]) -> str:
    """Return the SHA-256 of all texts, and of each tensor's dtype, shape and numbers, by name."""
    sha = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name, x in sorted(tensors.items()):
        sha.update(f"{name} {x.dtype} {x.shape}".encode())
        sha.update(x.tobytes())
    return sha.hexdigest()


def write(path: Path, content: dict[str, Any]) -> None:
    """Save ``content`` in place of an old file: a crash leaves the old or the new, never a part.

    It is by name: None, numbers, text, arrays of such, lists of them and dicts by text.
    """
    tensors: dict[str, Any] = {}

    def pack(x: Any) -> Any:
        """Return what stands for ``x`` in JSON, and put an array of numbers into the tensors."""
        if isinstance(x, np.generic):
            return x.item()
        if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
            key = name if name not in tensors else f"{name}.{len(tensors)}"
            native = x.dtype.newbyteorder("=")
            tensors[key] = np.array(x, native, order="C")  # of others, it scrambles the numbers
            return {"tensor": key}
        if isinstance(x, np.ndarray) and x.dtype.kind in "UO":
            return {"array": x.tolist(), "dtype": x.dtype.str}
        text = "{name}: a {kind} cannot be saved; numbers, text and arrays of them can"
        raise TypeError(_(text, name=name, kind=getattr(x, "dtype", type(x).__name__)))

    texts = {"tinygrad_ce": str(FORMAT)}
    for name, x in content.items():
        texts[name] = json.dumps(x, default=pack)
    metadata = texts | {"sha256": _checksum(texts, tensors)}
    replace_file(path, _safetensors().numpy.save(tensors, metadata))


def read(path: Path) -> dict[str, Any]:
    """Return the content that `write` saved, its arrays new; refuse any other file in one line."""
    with open(path, "rb") as file:
        if file.read(4) == b"PK\x03\x04":
            why = "an .npz file of tinygrad_ce 0.1, which this version does not read: fit anew"
            raise _refusal(path, _(why))
    texts, tensors = _parts(path)
    if "tinygrad_ce" not in texts:
        raise _refusal(path, _("a safetensors file, but not one that tinygrad_ce wrote"))
    if (version := texts["tinygrad_ce"]) != str(FORMAT):
        why = "format {version}, of a newer tinygrad_ce: pip install --upgrade tinygrad_ce"
        raise _refusal(path, _(why, version=version))
    if texts.pop("sha256", "") != _checksum(texts, tensors):
        raise _refusal(path, _("damaged: its content is not what was saved"))

    def unpack(x: dict[str, Any]) -> Any:
        if "tensor" in x:
            return tensors[x["tensor"]].copy()
        return np.array(x["array"], x["dtype"]) if "array" in x else x

    del texts["tinygrad_ce"]
    return {name: json.loads(text, object_hook=unpack) for name, text in texts.items()}


def _parts(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the metadata and, if they are ours, the tensors of a safetensors file."""
    safe_open = _safetensors().safe_open
    try:
        with safe_open(path, "numpy") as file:
            texts = file.metadata() or {}
            names = file.keys() if "tinygrad_ce" in texts else []
            return texts, {name: file.get_tensor(name) for name in names}
    except Exception as error:  # whatever a damaged header trips over
        why = _("damaged, or no safetensors file ({error})", error=error)
        raise _refusal(path, why) from None


def _refusal(path: Path, why: str) -> ValueError:
    return ValueError(_("{path}: {why}", path=os.fspath(path), why=why))


class PersistenceMixin:
    """`save` and `load` of a model: its parameters, what was fitted, the optimizer's state."""

    def save(self, path: Path) -> None:
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
            content["optimizer"] = {n: x for n, x in vars(optimizer).items() if n != "params"}
        write(path, content)

    @classmethod
    def load(cls, path: Path) -> Any:
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
        content, model = read(path), cls()
        optimizer = content.pop("optimizer", None)
        vars(model).update(content)
        if isinstance(content["class_weight"], list):
            vars(model)["class_weight"] = dict(content["class_weight"])
        if optimizer is not None:
            state = optimizer.pop("state")
            values = [Value(p) for p in params_of(model)]
            made = (SGD if content["solver_"] == "sgd" else Adam)(values, **optimizer)
            made.state = state
            vars(model)["_optimizer"] = made
        return model
