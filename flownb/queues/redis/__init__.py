"""How are commands sent to Redis? Keys, jobs, exchanges, replies."""
