"""The logistic loss with classes −1 and 1."""

from ..framework import Exercise, scores, signs, softplus

exercise = Exercise(
    file=__name__, level=110, title="The logistic loss",
    task="z (N,) are scores, y (N,) the classes, −1 or 1; L is a mean. Return ∂L/∂z (N,).",
    formula="L = (1/N) Σᵢ log(1 + exp(−yᵢ zᵢ))",
    loss=lambda z, y: softplus(-(y * z)).mean(),
    inputs={"z": scores("N"), "y": signs("N")}, wrt=["z"],
    hints=["Call the margin m = y z, and differentiate log(1 + exp(−m)) by m first.",
           "That slope is −exp(−m) / (1 + exp(−m)), which is −σ(−m). How does m move with z?",
           "Multiply by y, and keep the mean's 1/N."],
    result="∂L/∂zᵢ = −1/N yᵢ σ(−yᵢ zᵢ)", code="return -y / (1 + np.exp(y * z)) / len(z)",
)  # fmt: skip
