"""These two are read by a type checker and never run, so not searched for doctests either."""

collect_ignore = ["mistakes.py", "uses.py"]
