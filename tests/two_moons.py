"""micrograd's demo, line by line, with tensors: two moons, told apart by a small network.

https://github.com/karpathy/micrograd/blob/master/demo.ipynb is the original, in scalars. Each
``# %%`` begins what is a cell there. It is run by test_nn.py, and as a script.
"""

# %% the imports
import numpy as np

from tinygrad_ce import MLP, SGD, relu

rng = np.random.default_rng(1)

# %% a dataset: 50 points on a half circle, 50 on another, turned over and moved into the first
turn = np.linspace(0.0, np.pi, 50)
outer = np.stack([np.cos(turn), np.sin(turn)], axis=1)
inner = np.stack([1.0 - np.cos(turn), 0.5 - np.sin(turn)], axis=1)
X = np.concatenate([outer, inner]) + rng.normal(0.0, 0.1, (100, 2))
y = np.repeat([-1.0, 1.0], 50)

# %% the model: 2 inputs, two hidden layers of 16, one output
model = MLP(2, [16, 16, 1], rng)
print(model)
print("number of parameters", sum(p.size for p in model.parameters()))


# %% the loss
def loss(batch_size=None):
    # the batch
    if batch_size is None:
        Xb, yb = X, y
    else:
        ri = rng.permutation(len(X))[:batch_size]
        Xb, yb = X[ri], y[ri]
    # forward the model to get scores: one call for the whole batch
    scores = model(Xb)[:, 0]
    # the max-margin loss of a support vector machine
    data_loss = relu(1.0 - yb * scores).mean()
    # L2 regularization
    alpha = 1e-4
    reg_loss = alpha * sum((p * p).sum() for p in model.parameters())
    # also the accuracy
    accuracy = ((yb > 0) == (scores.data > 0)).mean()
    return data_loss + reg_loss, accuracy


total_loss, acc = loss()
print(f"before: loss {total_loss:.4f}, accuracy {acc:.0%}")

# %% the optimization: gradient descent with a decaying rate
optimizer = SGD(model.parameters(), lr=1.0)
for k in range(100):
    # forward
    total_loss, acc = loss()
    # backward
    model.zero_grad()
    total_loss.backward()
    # update
    optimizer.lr = 1.0 - 0.9 * k / 100
    optimizer.step()
    if k % 10 == 0:
        print(f"step {k} loss {total_loss:.4f}, accuracy {acc:.0%}")

total_loss, acc = loss()
print(f"after: loss {total_loss:.4f}, accuracy {acc:.0%}")

# %% the decision boundary: the sign of the score on a grid
h = 0.25
x_min, x_max = X[:, 0].min() - 1, X[:, 0].max() + 1
y_min, y_max = X[:, 1].min() - 1, X[:, 1].max() + 1
xx, yy = np.meshgrid(np.arange(x_min, x_max, h), np.arange(y_min, y_max, h))
scores = model(np.stack([xx.ravel(), yy.ravel()], axis=1)).data
Z = (scores > 0).reshape(xx.shape)
print("\n".join("".join("#" if side else "." for side in row) for row in Z[::-1]))
