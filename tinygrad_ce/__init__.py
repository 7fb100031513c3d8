"""A teaching autograd engine on NumPy: softmax and cross-entropy give p − t, before your eyes.

You write a loss as plain NumPy; the engine records it as a graph of `Value`s, derives the gradient
by the chain rule, and lets you check it. To read it, in this order, each from the ones before:

  rules.py       the derivative rules that take more than a line
  primitive.py   what an operation is: one record of its function and rules; @primitive
  ops.py         the table of primitives: name, NumPy function, derivative rules
  composed.py    NumPy functions that are other spellings of the primitives, or carry no gradient
  arguments.py   what goes into an operation and comes out of a rule, checked
  arraylike.py   what a `Value` shares with an ndarray, and what it refuses
  value.py       `Value`: data, gradient, operation, parents; operators, NumPy's protocols
  backward.py    order the graph, sweep it in reverse, accumulate
  transforms.py  grad, value_and_grad, vjp, jacobian, hvp, hessian
  softmax.py     logsumexp, softmax, log_softmax, sigmoid, relu
  threads.py     blocks of rows that stay in cache, and the threads that share them
  targets.py     what a loss is to aim at: class indices or probabilities, each with its weight
  kernel.py      the fused loss and gradient of rows of logits, nothing cancelled
  losses.py      cross-entropy and its relatives; LogSoftmaxNLL, the fused node
  linear.py      the cross-entropy of a linear layer, without ever holding all its logits
  optim.py       gradient descent: SGD, Adam
  nn.py          modules with parameters: a linear layer, a multi-layer perceptron
  calibration.py whether probabilities mean what they say, and one temperature that helps
  plots.py       a fitted classifier in pictures: loss, confusion, regions, weights, reliability
  names.py       a readable name for every node of a graph; scopes
  numeric.py     derivatives estimated from function values alone
  gradcheck.py   the gradient against those, as a report that blames the wrong node
  reading.py     how operations and their rules read, with names or numbers filled in
  render.py      from Graphviz's language to a picture, by whichever Graphviz there is
  draw.py        a graph as a picture, or as indented text
  steps.py       a graph as numbered steps, forward and backward
  page.py        those steps as one HTML page (page.html) that loads nothing
  rewrite.py     the textbook's loss found in a graph, and the stable one put in its place
  tracing.py     arrays that record what NumPy does with them
  fusing.py      the stable loss in what is recorded
  recording.py   a function and its backward pass, recorded once
  cleaning.py    that record, simplified
  algebra.py     the same of numbers, in fewer operations
  terms.py       sums of products in index notation: δ_ij p_j − p_i p_j
  products.py    derivatives as such sums, simplified
  blocks.py      those in NumPy: diag(p) − p pᵀ
  lifting.py     the rows of a derivative as one block
  literals.py    constants and structures as source text
  memory.py      which array a result can be written into
  writing.py     the record in operations that can all write into an array
  expressions.py a node of it as an expression
  printing.py    the record as source, a line a node
  program.py     a function and its gradient as NumPy source, compiled
  keeping.py     what was learnt, as a file that is read whole or refused
  chunks.py      rows in Dask's chunks, and sums over them computed where they are
  estimator.py   scikit-learn's conventions, with it or without
  watch.py       what goes on beside a fit: curve, progress bar, Ctrl-C
  rows.py        rows to fit, in memory or in Dask's chunks: loss and gradient summed over them
  regression.py  SoftmaxRegression: a linear classifier trained with all this

The core is ops, value and backward; on top of it all are the exercises, derivations by hand.
``python -m tinygrad_ce`` shows all of it at work.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .arguments import StaleGraphError
from .backward import topological
from .draw import Drawing, draw
from .gradcheck import GradcheckError, GradcheckReport, gradcheck, numeric_gradient
from .losses import LogSoftmaxNLL, binary_cross_entropy, cross_entropy, logistic_loss, mse, nll
from .names import scope
from .primitive import Primitive, primitive
from .softmax import log_softmax, logsumexp, relu, sigmoid, softmax
from .transforms import grad, grad_of, hessian, hvp, jacobian, value_and_grad, vjp
from .value import Value, detach

if TYPE_CHECKING:
    from .calibration import Reliability, reliability, temperature_scale
    from .linear import linear_cross_entropy
    from .nn import MLP, Linear, Module
    from .optim import SGD, Adam
    from .plots import (
        plot_confusion_matrix,
        plot_decision_regions,
        plot_loss_curve,
        plot_reliability,
        plot_weights,
    )
    from .program import Program, program
    from .regression import SoftmaxRegression
    from .rewrite import fuse
    from .steps import Step, Steps, step_through

__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "Drawing",
    "GradcheckError",
    "GradcheckReport",
    "Linear",
    "LogSoftmaxNLL",
    "Module",
    "Primitive",
    "Program",
    "Reliability",
    "SoftmaxRegression",
    "StaleGraphError",
    "Step",
    "Steps",
    "Value",
    "binary_cross_entropy",
    "cross_entropy",
    "detach",
    "draw",
    "fuse",
    "grad",
    "grad_of",
    "gradcheck",
    "hessian",
    "hvp",
    "jacobian",
    "linear_cross_entropy",
    "log_softmax",
    "logistic_loss",
    "logsumexp",
    "mse",
    "nll",
    "numeric_gradient",
    "plot_confusion_matrix",
    "plot_decision_regions",
    "plot_loss_curve",
    "plot_reliability",
    "plot_weights",
    "primitive",
    "program",
    "reliability",
    "relu",
    "scope",
    "sigmoid",
    "softmax",
    "step_through",
    "temperature_scale",
    "topological",
    "value_and_grad",
    "vjp",
]


_LATER = {
    "Adam": "optim",
    "SGD": "optim",
    "Linear": "nn",
    "MLP": "nn",
    "Module": "nn",
    "Reliability": "calibration",
    "reliability": "calibration",
    "temperature_scale": "calibration",
    "fuse": "rewrite",
    "linear_cross_entropy": "linear",
    "plot_confusion_matrix": "plots",
    "plot_decision_regions": "plots",
    "plot_loss_curve": "plots",
    "plot_reliability": "plots",
    "plot_weights": "plots",
    "Program": "program",
    "program": "program",
    "SoftmaxRegression": "regression",
    "Step": "steps",
    "Steps": "steps",
    "step_through": "steps",
}


def __getattr__(name: str) -> Any:
    """Import a room that not every program needs when asked for: it costs what the core costs."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = found  # over the module of that name, which the import left here
    return found
