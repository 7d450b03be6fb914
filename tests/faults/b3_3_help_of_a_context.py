"""B3-3: help(Context) shows all that a node finds in its ctx, and which keys ctx.meta has."""

import pydoc

from flownb import Context, SyncContext

KEYS = ("loop", "node", "iteration", "visit", "attempt", "message_id", "deliveries")
for context in (Context, SyncContext):
    text = pydoc.plain(pydoc.render_doc(context))
    print([name for name in ("meta", "state", "rng", "config") if f"\n |  {name}\n" not in text])
    print([key for key in KEYS if f"`{key}`" not in text])

# prints
# []
# []
# []
# []
