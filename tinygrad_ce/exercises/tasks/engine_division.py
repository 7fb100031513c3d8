"""The rule of division, as an engine has it: what the two arguments receive."""

from ..framework import Exercise, nonzero, real

exercise = Exercise(
    file=__name__, level=50, title="Write an engine: the rule of division", formula="q = x / y",
    task="A node q = x / y of N numbers has received g = ∂L/∂q. Return what it hands on: ∂L/∂x and "
    "∂L/∂y, each of N numbers.",
    loss=lambda g, x, y: (g * (x / y)).sum(),
    inputs={"g": real("N"), "x": nonzero("N"), "y": nonzero("N")}, wrt=["x", "y"],
    hints=["What would you hand on if g were 1? Then each share is a slope.",
           "By x, q is a line with slope 1 / y. By y it is x times 1 / y.",
           "The slope of 1 / y is −1 / y². Each share is g times the slope."],
    result="∂L/∂x = g / y,  ∂L/∂y = −g x / y²", code="return g / y, -g * x / y**2",
)  # fmt: skip
