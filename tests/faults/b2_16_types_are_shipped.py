"""B2-16: the types are there for a program outside, and a decorator keeps its function's."""

from importlib.resources import files
from typing import get_overloads

from flownb import Graph

print((files("flownb") / "py.typed").is_file())
print([form.__annotations__["return"] for form in get_overloads(Graph.node)])

# prints
# True
# ['F', 'Callable[[F], F]']
