"""Views: a graph as formulas, pictures and numbered steps.

  formulas.py  what flows along an edge, and how it, names, data and rules read
  picture.py   a picture as data, and what it becomes: SVG, PNG, PDF (by whichever
               Graphviz there is), indented text
  drawing.py   from a graph, and the scopes its nodes were made in, to a picture of it
  live.py      a walk's numbers as JavaScript, for a page in which they can be changed
  steps.py     steps as data, and what they become: a table, LaTeX, one HTML page (page.html)
  line_formulas.py  the lines of a program as formulas
  derivation.py     a gradient line by line, down to p − t: `derive`
  walk.py      the two passes over a graph, step by step: `step_through`

Each imports only those before it.
"""
