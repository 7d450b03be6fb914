"""Which live views show a run, and steer it?

Flat on purpose: each Python file stands beside its JavaScript.
"""
