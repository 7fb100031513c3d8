"""Views: a graph as formulas, pictures and numbered steps.

  flow.py      what flows along an edge: upstream, times local derivative, is the share
  formulas.py  how data, operations and their rules read, as text and as LaTeX
  render.py    from Graphviz's language to a picture, by whichever Graphviz there is
  picture.py   a picture as data, and what it becomes: SVG, PNG, PDF, indented text
  scopes.py    named groups of nodes
  drawing.py   from a graph to a picture of it
  walk.py      what happens in the two passes over a graph, step by step
  page.py      a walk as one HTML page (page.html) that loads nothing
  steps.py     a walk as what `step_through` returns: a table, LaTeX, that page

Each imports only those before it.
"""
