"""S3.23: `FLOWNB_STORE` names the store of runs, and `run` does not read it."""

import os
from pathlib import Path

from flownb import Graph

os.environ["FLOWNB_STORE"] = "runs.sqlite"
Graph("es").add_node("a").run({})
print(Path("runs.sqlite").exists())
del os.environ["FLOWNB_STORE"]

# prints
# True
