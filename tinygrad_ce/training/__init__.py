"""Training: optimisers, modules, and `SoftmaxRegression`, an estimator of scikit-learn's kind.

  optimizers.py   gradient descent: SGD, Adam
  nn.py           modules with parameters: a linear layer, a multi-layer perceptron
  calibration.py  whether probabilities mean what they say, and one temperature that helps
  plots.py        a loss curve and a classifier's weights in pictures
  objective.py    the loss and its gradient, summed over rows in memory or in Dask's chunks
  validation.py   what a fit takes: parameters, and rows with their labels and weights
  solvers.py      what iterates: L-BFGS by SciPy, epochs of SGD or Adam; curve, bar, early stopping
  persistence.py  a model as one safetensors file
  estimator.py    SoftmaxRegression: its parameters, fit, partial_fit, predict

Each imports only those before it.
"""
