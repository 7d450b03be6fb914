"""How is it said to Redis? Keys, commands, jobs, replies."""
