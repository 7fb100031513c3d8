"""Training: optimisers, modules, and `SoftmaxRegression`, an estimator.

  optimizers.py   gradient descent: SGD, Adam
  nn.py           modules with parameters: a linear layer, a multi-layer perceptron
  calibration.py  whether probabilities mean what they say, and one temperature that helps
  plots.py        a fitted classifier in pictures
  persistence.py  what was learnt, as a file that is read whole or refused
  chunks.py       rows in Dask's chunks, and sums over them computed where they are
  estimator.py    scikit-learn's conventions
  monitor.py      what goes on beside a fit: curve, progress bar, Ctrl-C
  objective.py    rows to fit, in memory or in Dask's chunks: loss and gradient summed over them
  regression.py   SoftmaxRegression: a linear classifier trained with all this

Each imports only those before it.
"""
