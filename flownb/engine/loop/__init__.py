"""How does one loop run? Make, let flow, wait for the release, settle."""
