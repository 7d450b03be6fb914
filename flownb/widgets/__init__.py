"""How does it move? Live views of what runs, for every front end that knows anywidget.

A *part* (the graph, the dashboard, the timeline, the logs) is Python that says what is
to be seen, JavaScript that shows it, and CSS: `dag.py`, `dag.js`, `dag.css`. A widget
shows one part or several; `base` carries it to the browser.
"""
