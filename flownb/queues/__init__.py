"""How does data cross loops? Named queues on Redis Streams."""
