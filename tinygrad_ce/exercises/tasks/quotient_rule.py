"""The quotient rule, which the softmax's fraction needs."""

from ..framework import Exercise, nonzero

exercise = Exercise(
    file=__name__, level=20, title="The quotient rule", formula="L = Σᵢ xᵢ / (1 + xᵢ²)",
    task="x holds N numbers. Return ∂L/∂x, an array of the same shape.",
    loss=lambda x: (x / (1 + x * x)).sum(), inputs={"x": nonzero("N")}, wrt=["x"],
    hints=["Call the numerator u and the denominator v. What are u′ and v′?",
           "(u/v)′ = (u′v − uv′) / v².",
           "u′ = 1 and v′ = 2x, so the numerator is (1 + x²) − x · 2x."],
    result="∂L/∂xᵢ = (1 − xᵢ²) / (1 + xᵢ²)²", code="return (1 - x**2) / (1 + x**2) ** 2",
)  # fmt: skip
