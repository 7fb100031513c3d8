"""The sigmoid: a derivative made of the function's own value."""

from ..framework import Exercise, scores, sigmoid

exercise = Exercise(
    file=__name__, level=30, title="The sigmoid", formula="L = Σᵢ σ(zᵢ),  σ(z) = 1 / (1 + exp(−z))",
    task="z holds N numbers of either sign. Return ∂L/∂z, an array of the same shape.",
    loss=lambda z: sigmoid(z).sum(),
    inputs={"z": scores("N")}, wrt=["z"],
    hints=["Write u = 1 + exp(−z), so that σ = 1/u, and use the chain rule.",
           "dσ/du = −1/u² and du/dz = −exp(−z). Multiply them.",
           "exp(−z)/u is 1 − σ: the derivative can be written with σ alone, as a product of two."],
    result="σ′(z) = σ(z) (1 − σ(z))", code="s = 1 / (1 + np.exp(-z))\nreturn s * (1 - s)",
)  # fmt: skip
