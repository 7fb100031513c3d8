"""Views: a graph as formulas, pictures and numbered steps.

  formulas.py  how operations and their rules read, with names or numbers filled in
  render.py    from Graphviz's language to a picture, by whichever Graphviz there is
  drawing.py   a graph as a picture, or as indented text
  page.py      numbered steps as one HTML page (page.html) that loads nothing
  steps.py     a graph as numbered steps, forward and backward

Each imports only those before it.
"""
