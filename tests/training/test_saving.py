"""A model that was saved is, loaded, the same to the bit; a file that is none gives no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers import fits  # noqa: F401 - skips without scikit-learn
from helpers.files import mutated, same

from tinygrad_ce import SoftmaxRegression

need("safetensors")


def data(rng: np.random.Generator, classes: int = 3, dtype: str = "f8") -> tuple[Any, Any]:
    X = rng.standard_normal((60, 4)).astype(dtype)
    return X, np.argmax(X[:, :classes] + rng.gumbel(size=(60, classes)), axis=1)


LABELS = {
    "int64": np.array([-3, 5, 7]),
    "uint8": np.array([1, 2, 255], "u1"),
    "float": np.array([0.0, 1.0, 7.0]),
    "text": np.array(["ja", "nein", "vielleicht äöü"]),
    "objects": np.array(["a", "b", "c"], object),
}
FITS: dict[str, dict[str, Any]] = {
    "lbfgs": {"solver": "lbfgs", "alpha": np.float64(0.1)},
    "adam": {"solver": "adam", "penalty": "elasticnet", "max_iter": 3, "random_state": 7},
    "sgd": {"solver": "sgd", "momentum": 0.9, "nesterov": True, "max_iter": np.int64(3)},
    "mse": {"loss": "mse", "solver": "adam", "max_iter": 3, "tol": 0, "penalty": None},
    "no intercept": {"solver": "sgd", "fit_intercept": False, "max_iter": 3, "random_state": None},
    "balanced": {"solver": "adam", "class_weight": "balanced", "batch_size": "full", "max_iter": 3},
}


def check(model: SoftmaxRegression, path: Path, X: Any) -> SoftmaxRegression:
    """All that the model holds, the optimizer apart, comes back; and predicts the same."""
    model.save(path)
    back = SoftmaxRegression.load(path)
    mine, theirs = ({n: v for n, v in vars(m).items() if n[0] != "_"} for m in (model, back))
    assert mine.keys() == theirs.keys()
    for name in mine:
        plain = [x.item() if isinstance(x, np.generic) else x for x in (mine[name], theirs[name])]
        assert same(*plain), name
    for f in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert same(getattr(model, f)(X), getattr(back, f)(X))
    return back


@pytest.mark.filterwarnings("ignore:max_iter")
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_whatever_was_fitted(
    tmp_path: Path, rng: np.random.Generator, fit: str, dtype: str
) -> None:
    X, y = data(rng, dtype=dtype)
    check(SoftmaxRegression(**FITS[fit]).fit(X, y), tmp_path / "model.safetensors", X)


@pytest.mark.filterwarnings("ignore:max_iter")
@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("classes", [2, 3])
def test_whatever_the_labels(
    tmp_path: Path, rng: np.random.Generator, kind: str, classes: int
) -> None:
    X, y = data(rng, classes)
    weight = {label: float(i + 1) for i, label in enumerate(LABELS[kind][:classes].tolist())}
    model = SoftmaxRegression(solver="adam", max_iter=2, class_weight=weight)
    back = check(model.fit(X, LABELS[kind][y]), tmp_path / "model.safetensors", X)
    assert back.score(X, LABELS[kind][y]) == model.score(X, LABELS[kind][y])


@pytest.mark.filterwarnings("ignore:max_iter")
def test_labels_of_another_byte_order_come_back_in_the_machines(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    X, y = data(rng)
    model = SoftmaxRegression(solver="adam", max_iter=1).fit(X, np.array([1, 2, 3], ">i4")[y])
    model.save(tmp_path / "model")
    back = SoftmaxRegression.load(tmp_path / "model")
    assert same(back.classes_, np.array([1, 2, 3], np.int32))
    assert (back.predict(X) == model.predict(X)).all()


@pytest.mark.filterwarnings("ignore:max_iter")
def test_names_of_features(tmp_path: Path, rng: np.random.Generator) -> None:
    pd = need("pandas")
    X, y = data(rng)
    X = pd.DataFrame(X, columns=["a", "b", "ü", "d"])
    back = check(
        SoftmaxRegression(solver="adam", max_iter=1).fit(X, y), tmp_path / "m.safetensors", X
    )
    with pytest.raises(ValueError):
        back.predict(X[["b", "a", "ü", "d"]])


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "adam", "schedule": "invscaling"},
        {"solver": "adam", "fit_intercept": False},
        {"solver": "sgd", "momentum": 0.9, "penalty": "l1", "alpha": 0.01},
        {"solver": "sgd", "schedule": "invscaling", "power_t": 0.25},
    ],
)
def test_partial_fit_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, rng: np.random.Generator, options: dict[str, Any]
) -> None:
    X, y = data(rng)
    model = SoftmaxRegression(random_state=3, batch_size=7, **options)
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
        back = check(model, tmp_path / "model.safetensors", X)
        model.partial_fit(X, y)
        back.partial_fit(X, y)
        assert same(model.coef_, back.coef_)
        assert same(model.loss_curve_, back.loss_curve_)
        model = back


def test_the_callback_stays_behind_and_the_class_is_the_callers(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    class Mine(SoftmaxRegression):
        pass

    model = SoftmaxRegression(solver="adam", callback=lambda *_: None, tol=None, max_iter=1)
    model.fit(*data(rng)).save(tmp_path / "model.safetensors")
    back = Mine.load(tmp_path / "model.safetensors")
    assert type(back) is Mine
    assert back.callback is None
    assert back.max_iter == 1


def test_what_cannot_be_kept(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match="fitted"):
        SoftmaxRegression().save(path)
    options: dict[str, Any] = {"solver": "adam", "tol": None, "max_iter": 1}
    model = SoftmaxRegression(**options, random_state=np.random.default_rng(0)).fit(*data(rng))
    with pytest.raises(TypeError, match=r"^random_state: a Generator cannot be saved"):
        model.save(path)
    assert not path.exists()
    model.set_params(random_state=None).save(path)
    assert path.exists()


# ------------------------------------------------------------------ files that are none
@pytest.mark.slow
def test_mutated_files_give_the_model_or_none(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "model.safetensors"
    model = SoftmaxRegression(solver="adam").partial_fit(*data(rng), classes=[0, 1, 2])
    model.save(path)
    whole = path.read_bytes()
    refused = 0
    for _ in range(200):
        path.write_bytes(mutated(rng, whole, whole[::-1]))
        try:
            back = SoftmaxRegression.load(path)
        except ValueError:
            refused += 1
            continue
        for name in ("coef_", "intercept_", "classes_", "loss_curve_", "n_iter_", "t_"):
            assert same(getattr(model, name), getattr(back, name))
        assert model.get_params() == back.get_params()
        X, y = data(rng)
        assert same(model.partial_fit(X, y).coef_, back.partial_fit(X, y).coef_)
        model.save(path)
        whole = path.read_bytes()
    assert refused > 150
