"""In which words does a run report? Spans, events, metrics, timelines, results."""
