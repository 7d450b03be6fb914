"""Who hears what happens? The one stream, history, metrics, logs."""
