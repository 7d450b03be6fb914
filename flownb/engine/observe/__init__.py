"""Who observes what happens? The one stream, history, metrics, logs."""
