"""Build workflow loops in a notebook, run them live, see who waits for whom."""
