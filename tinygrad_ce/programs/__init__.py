"""Programs: a function and its backward pass, recorded, simplified and printed as NumPy.

  files.py        a file written whole, or not at all
  lines.py        a program: an ordered list of lines
  recorder.py     arrays that write down what NumPy is asked to do
  simplifier.py   the program in fewer operations
  captured.py     arrays from outside as symbols, and back
  log_sums.py     logarithms taken apart into sums of logits and logsumexps
  fusion.py       the textbook's loss found in a graph, and the stable one put in its place
  literals.py     constants and long statements as source text
  recording.py    a function and its backward pass, written down once
  index_notation.py  sums of products, δ_ij p_j − p_i p_j, and such sums in NumPy: diag(p) − p pᵀ
  batching.py     the rows of a derivative as one block
  collecting.py   gradients as sums of products over indices, down to p - t
  stability.py    whether a program is as good as another where its arguments are large
  expressions.py  a line as an expression
  printing.py     a program as source
  sizes.py        constants that depend on the number of rows, and for which it holds
  compiled.py     a function and its gradient as NumPy source, compiled
  derivation.py   the chain rule, then what the simplifier does, by steps that are checked

Each imports only those before it.
"""
