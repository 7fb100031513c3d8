"""A teaching autograd engine on NumPy: softmax and cross-entropy give p − t, before your eyes.

You write a loss as plain NumPy; the engine records it as a graph of `Value`s, derives the gradient
by the chain rule, and lets you check it. Seven rooms, each of which imports only those before it:

  engine/     `Value`, its operations, the chain rule: read this first
  losses/     softmax, cross-entropy and its relatives, `LogSoftmaxNLL` and its kernel
  programs/   a function and its gradient recorded, simplified, fused and printed as NumPy
  checks/     numeric derivatives, `gradcheck`, `diagnose`
  views/      pictures, numbered steps, their page
  training/   optimisers, modules, an estimator, calibration
  exercises/  derivations by hand, checked and explained

``python -m tinygrad_ce`` shows all of it at work.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from .checks.diagnosis import Diagnosis as Diagnosis
    from .checks.diagnosis import diagnose as diagnose
    from .checks.diagnosis import watching as watching
    from .checks.gradient_check import GradcheckError as GradcheckError
    from .checks.gradient_check import GradcheckReport as GradcheckReport
    from .checks.gradient_check import gradcheck as gradcheck
    from .checks.gradient_check import numeric_gradient as numeric_gradient
    from .engine.backward import topological as topological
    from .engine.data import StaleGraphError as StaleGraphError
    from .engine.operation import Primitive as Primitive
    from .engine.operation import primitive as primitive
    from .engine.transforms import grad as grad
    from .engine.transforms import grad_of as grad_of
    from .engine.transforms import hessian as hessian
    from .engine.transforms import hvp as hvp
    from .engine.transforms import jacobian as jacobian
    from .engine.transforms import value_and_grad as value_and_grad
    from .engine.transforms import vjp as vjp
    from .engine.value import Value as Value
    from .engine.value import detach as detach
    from .losses.activations import log_softmax as log_softmax
    from .losses.activations import logsumexp as logsumexp
    from .losses.activations import relu as relu
    from .losses.activations import sigmoid as sigmoid
    from .losses.activations import softmax as softmax
    from .losses.kernel import config as config
    from .losses.linear import linear_cross_entropy as linear_cross_entropy
    from .losses.losses import LogSoftmaxNLL as LogSoftmaxNLL
    from .losses.losses import binary_cross_entropy as binary_cross_entropy
    from .losses.losses import cross_entropy as cross_entropy
    from .losses.losses import logistic_loss as logistic_loss
    from .losses.losses import mse as mse
    from .losses.losses import nll as nll
    from .programs.compiled import Program as Program
    from .programs.compiled import program as program
    from .programs.fusion import fuse as fuse
    from .training.calibration import Reliability as Reliability
    from .training.calibration import reliability as reliability
    from .training.calibration import temperature_scale as temperature_scale
    from .training.estimator import SoftmaxRegression as SoftmaxRegression
    from .training.nn import MLP as MLP
    from .training.nn import Linear as Linear
    from .training.nn import Module as Module
    from .training.optimizers import SGD as SGD
    from .training.optimizers import Adam as Adam
    from .training.plots import plot_loss_curve as plot_loss_curve
    from .training.plots import plot_weights as plot_weights
    from .views.derivation import Derivation as Derivation
    from .views.derivation import DerivationStep as DerivationStep
    from .views.derivation import derive as derive
    from .views.drawing import draw as draw
    from .views.drawing import scope as scope
    from .views.picture import Drawing as Drawing
    from .views.steps import Step as Step
    from .views.steps import Steps as Steps
    from .views.walk import step_through as step_through

# Where each public name is found when it is first asked for: a program pays for what it uses.
_FOUND_IN = {
    "engine.backward": "topological",
    "engine.data": "StaleGraphError",
    "engine.operation": "Primitive primitive",
    "engine.transforms": "grad grad_of hessian hvp jacobian value_and_grad vjp",
    "engine.value": "Value detach",
    "losses.activations": "log_softmax logsumexp relu sigmoid softmax",
    "losses.kernel": "config",
    "losses.linear": "linear_cross_entropy",
    "losses.losses": "LogSoftmaxNLL binary_cross_entropy cross_entropy logistic_loss mse nll",
    "programs.compiled": "Program program",
    "programs.fusion": "fuse",
    "checks.diagnosis": "Diagnosis diagnose watching",
    "checks.gradient_check": "GradcheckError GradcheckReport gradcheck numeric_gradient",
    "views.derivation": "Derivation DerivationStep derive",
    "views.drawing": "draw scope",
    "views.picture": "Drawing",
    "views.steps": "Step Steps",
    "views.walk": "step_through",
    "training.calibration": "Reliability reliability temperature_scale",
    "training.estimator": "SoftmaxRegression",
    "training.nn": "MLP Linear Module",
    "training.optimizers": "SGD Adam",
    "training.plots": "plot_loss_curve plot_weights",
}
_HOME = {name: module for module, names in _FOUND_IN.items() for name in names.split()}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name from its room."""
    if name not in _HOME:
        from .engine.text import _

        problem = "module {module!r} has no attribute {name!r}"
        raise AttributeError(_(problem, module=__name__, name=name))
    found = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
