"""B2-14: a number that is none is refused where it is given, with what to give instead."""

from datetime import timedelta

from flownb import Graph, Limit, Retry

INF, NAN = float("inf"), float("nan")
graph = Graph("i").add_producer("P", [1])
given = {
    "takes": lambda: graph.add_node("a", takes=INF),
    "every": lambda: graph.add_producer("Q", every="1"),
    "timeout": lambda: graph.add_node("a", timeout=timedelta(seconds=90)),
    "concurrency": lambda: Limit("3"),
    "attempts": lambda: Retry(OSError, "3"),
    "wait_initial": lambda: Retry(OSError, wait_initial=NAN),
    "fail": lambda: graph.add_node("a", fail=2.0),
    "max_iterations": lambda: graph.add_node("a", max_iterations=2.5),
    "iterations": lambda: graph.simulate(iterations="3"),
}
for name, give in given.items():
    try:
        give()
        print(name, "is taken")
    except Exception as error:
        print(f"{name}=" in str(error), error)

# prints
# True node 'a': takes=inf: give a number of seconds, at least 0, or a function of the random numbers, or None; what has no limit is left out
# True node 'Q': every='1': give a number of seconds, above 0, or None
# True node 'a': timeout=datetime.timedelta(seconds=90): give a number of seconds, above 0, or None: 90, its .total_seconds()
# True Limit(): concurrency='3': give a whole number of calls at once, at least 1, or None
# True Retry(): attempts='3': give a whole number of attempts, the first try counts, at least 1
# True Retry(): wait_initial=nan: give a number of seconds, at least 0
# True node 'a': fail=2.0: give a number of failures per call, at least 0, at most 1, or a set of item numbers, or a function of the random numbers, or None
# True node 'a': max_iterations=2.5: give a whole number of runs of the node, at least 1, or None
# True simulate(): iterations='3': give a whole number of items of each source loop, at least 1, or None
