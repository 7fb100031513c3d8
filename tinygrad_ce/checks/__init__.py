"""Checks: gradients held against derivatives that are estimated from function values alone.

  numeric.py         central differences and the complex step
  gradient_check.py  `gradcheck`: a report that blames the wrong node

Each imports only those before it.
"""
