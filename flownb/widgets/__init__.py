"""How does it move?

Flat on purpose: each Python file stands beside its JavaScript.
"""
