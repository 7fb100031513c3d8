"""The chain rule over a whole graph: `backward` itself."""

from .. import engines

exercise = engines.EngineExercise(
    file=__name__, level=54, title="Write an engine: backward()",
    task="Each node has .parents, the nodes it is computed from, .slopes, its derivative by each, "
    "and .grad, 0.0 at first. Set .grad of every node to ∂loss/∂node. Called again, leaves (they "
    "have no parents) add up what they receive; other nodes start anew. Return nothing.",
    formula="∂L/∂p = Σ over the nodes n that p is a parent of:  ∂L/∂n · ∂n/∂p",
    asks="backward(loss)", through=engines.on_graphs,
    mistakes={text: engines.on_graphs(f, deep=False) for text, f in engines.BACKWARDS.items()},
    hints=["Which gradient is known at once? From there, go against the arrows.",
           "A node may hand on its gradient only when all its own shares are there: go through the "
           "nodes in the reverse of an order in which parents come first.",
           "For each node, each parent and slope: parent.grad += slope * node.grad. Before that, "
           "set the .grad of all nodes that have parents to 0.0, and that of the loss to 1.0."],
    result="newest node first: parent.grad += slope · node.grad",
    code=engines.ORDER + "for node in nodes:\n    node.grad = 0.0 if node.parents else node.grad\n"
    "loss.grad += 1.0\nfor node in reversed(nodes):\n"
    "    for parent, slope in zip(node.parents, node.slopes):\n"
    "        parent.grad += slope * node.grad",
)  # fmt: skip
