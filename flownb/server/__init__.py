"""How is flownb reached over HTTP? An app, live streams, and a page.

`create_app` gives the ASGI app, `serve` puts it on a port. They need the extra `server`.
"""

from flownb.server.app import create_app
from flownb.server.serving import Server, serve

__all__ = ["Server", "create_app", "serve"]
