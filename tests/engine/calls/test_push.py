"""Is the label of a push the JSON of its call?"""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from flownb.engine.calls.push import Label
from flownb.queues import Message

NUMBERS = st.integers(0, 1 << 50)


@given(st.text(), st.text(), NUMBERS, st.none() | st.tuples(NUMBERS, NUMBERS))
def test_a_label_is_json_whatever_the_names(loop, node, iteration, came):
    message = None if came is None else Message("7-0", "q", None, came[0], {"hops": came[1]})
    said = {"loop": loop, "node": node, "iteration": iteration, "visit": 0, "attempt": 1}
    if came is not None:
        said |= {"message_id": "7-0", "deliveries": came[0], "hops": came[1] + 1}
    assert json.loads(Label(loop, node).text(iteration, message)) == said
