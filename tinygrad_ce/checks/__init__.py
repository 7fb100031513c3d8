"""Checks: gradients held against function values alone; and what is wrong with a loss.

  numeric.py         central differences and the complex step
  wording.py         what nodes and numbers are called in a sentence
  births.py          where nan and inf begin, forward and on the way back
  digits.py          how many digits are right
  forms.py           what loses numbers as one writes it, and the form that keeps them
  habits.py          what gives wrong numbers without a nan
  cures.py           what makes them finite, tried before it is told
  telling.py         all of it in sentences
  diagnosis.py       `diagnose`: the report; `watching`, for loops that run for hours
  gradient_check.py  `gradcheck`: a report that blames the wrong node

Each imports only those before it.
"""
