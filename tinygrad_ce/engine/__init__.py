"""The engine: `Value`, its operations, and the chain rule. It needs NumPy alone.

Read `value.py`, `ops.py` and `backward.py`, in this order. Then, as you need them:

  text.py             the function that all text for users goes through
  operation.py        what an operation is: one record of its function and rules; @primitive
  rules.py            the derivative rules that take more than a line
  data.py             what goes into an operation and comes out of a rule, checked
  arraylike.py        what a `Value` shares with an ndarray, and what it refuses
  numpy_functions.py  NumPy functions that are other spellings of the primitives
  transforms.py       grad, value_and_grad, vjp, jacobian, hvp, hessian
  names.py            a readable name for every node of a graph; scopes
"""
