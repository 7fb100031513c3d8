"""The order in which an engine goes through a graph."""

from .. import engines

exercise = engines.EngineExercise(
    file=__name__, level=52, title="Write an engine: the order of the nodes",
    task="Each node of a graph has .parents, the nodes that it is computed from; a leaf has none. "
    "Return a list of all nodes that the loss is computed from, itself included, each once and "
    "after all of its parents. Graphs may be deep: 3,000 nodes in a row.",
    formula="order(loss) = [leaves, …, loss]",
    asks="order(loss)", through=engines.in_order,
    mistakes={
        text: engines.on_graphs(engines.engine(f), deep=False)
        for text, f in engines.ORDERS.items()},
    hints=["A node can be put into the list once all of its parents are in it.",
           "Depth first: see the parents of a node, then put the node itself behind them. A set of "
           "what was seen keeps each to one visit.",
           "3,000 calls inside each other are too many for Python: keep a list of what is to do, "
           "and note for each node whether its parents were done."],
    result="depth first, a node behind its parents",
    code=engines.ORDER + "return nodes",
)  # fmt: skip
