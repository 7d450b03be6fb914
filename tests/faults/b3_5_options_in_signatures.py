"""B3-5: set_loop and the decorators have their options in their signatures."""

import inspect

from flownb import Graph

for verb in (Graph.set_loop, Graph.node, Graph.producer, Graph.resume, Graph.sweep):
    parameters = inspect.signature(verb).parameters.values()
    print(verb.__name__, "takes anything" if any(p.kind == p.VAR_KEYWORD for p in parameters) else
          "names its options")  # fmt: skip

# prints
# set_loop names its options
# node names its options
# producer names its options
# resume names its options
# sweep names its options
