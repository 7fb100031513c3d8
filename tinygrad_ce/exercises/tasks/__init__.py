"""The exercises, one a file; ``log_derivative.py`` is the first to read."""
