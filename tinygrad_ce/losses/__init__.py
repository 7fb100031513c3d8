"""The losses: softmax, cross-entropy and its relatives, composed and fused.

  activations.py  logsumexp, softmax, log_softmax, sigmoid, relu
  threads.py      blocks of rows that stay in cache, and the threads that share them
  targets.py      what a loss is to aim at: class indices or probabilities, each with its weight
  compiled_kernel.py  the fused loss and gradient compiled by Numba, where the extra ``fast`` is
  kernel.py       the same in NumPy, nothing cancelled, and which of the two is used
  losses.py       cross-entropy and its relatives; LogSoftmaxNLL, the fused node
  linear.py       the cross-entropy of a linear layer, without ever holding all its logits
  special.py      SciPy's special functions, where SciPy is there

Each imports only those before it.
"""
