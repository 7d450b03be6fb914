"""How is one node called? Inline, in a thread, as a task, several in a chain."""
