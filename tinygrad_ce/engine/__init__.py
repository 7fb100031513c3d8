"""The engine: `Value`, its operations, and the chain rule. It needs NumPy alone.

Read `value.py`, `ops.py` and `backward.py`, in this order. What they are made of, and what is made
of them, in the order of the imports:

  text.py             the function that all text for users goes through
  particles.py        Korean particles after an inserted name
  language.py         the reader's language, and its catalogue (``ko.po``)
  operation.py        what an operation is: one record of all that is known of it; @primitive
  origin.py           where a node was written: the learner's line, and the names in it
  rules.py            the derivative rules of `ops.py` that take more than a line
  data.py             what a `Value` can hold, and what may flow back to it
  calls.py            calls as NumPy documents them
  arraylike.py        what a `Value` shares with an ndarray, and what it refuses
  numpy_functions.py  NumPy's other functions: their rules and records
  reductions.py       sums, means, products and extrema, with all that NumPy's take
  spelled.py          NumPy's functions that other functions of NumPy spell
  linalg.py           numpy.linalg: its rules, and what is spelled
  pickling.py         pickled graphs
  transforms.py       grad, value_and_grad, vjp, jacobian, hvp, hessian
  names.py            a readable name for every node of a graph
"""

# All of NumPy is in the table from the start, and what pickle has to know is told.
from . import linalg as linalg
from . import numpy_functions as numpy_functions
from . import pickling as pickling
from . import reductions as reductions
from . import spelled as spelled
