from .backward import topological
from .losses import LogSoftmaxNLL, binary_cross_entropy, cross_entropy, logistic_loss, mse, nll
from .ops import primitive
from .transforms import grad, hessian, hvp, jacobian, value_and_grad, vjp
from .softmax import log_softmax, logsumexp, relu, sigmoid, softmax
from .gradcheck import GradcheckError, GradcheckReport, gradcheck
from .value import StaleGraphError, Value, detach
