"""How does a workflow run? Plans, loops, hosts and the one event stream."""
