"""Views: a graph as formulas, pictures and numbered steps.

  flow.py      what flows along an edge: upstream, times local derivative, is the share
  formulas.py  how data, operations and their rules read, as text and as LaTeX
  picture.py   a picture as data, and what it becomes: SVG, PNG, PDF (by whichever
               Graphviz there is), indented text
  scopes.py    named groups of nodes
  drawing.py   from a graph to a picture of it
  steps.py     steps as data, and what they become: a table, LaTeX, one HTML page (page.html)
  walk.py      the two passes over a graph, step by step: `step_through`

Each imports only those before it.
"""
