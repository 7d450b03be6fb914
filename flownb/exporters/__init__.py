"""How do other tools watch a run? By observers, and by what they ask for.

Each needs its extra: `prometheus`, `opentelemetry`; records of the log need none.
"""
