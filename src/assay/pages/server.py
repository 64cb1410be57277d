"""A local server for pages: on this machine alone, with a secret in the address, and nothing that asks the outside."""

from __future__ import annotations

import contextlib
import errno
import hmac
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from assay.errors import ConfigError

if TYPE_CHECKING:
    from fastapi import FastAPI

HOST = "127.0.0.1"
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws://127.0.0.1:* ws://localhost:*; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-src 'none'; frame-ancestors 'none'"
)
"""What a browser may load: NiceGUI's own files from here, and nothing from anywhere else. Vue compiles templates, which
takes 'unsafe-eval'; that is why nothing a model wrote ever becomes an element of NiceGUI's."""
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def require_pages(command: str) -> None:
    """Refuse where NiceGUI is not installed, with how to install it.

    Raises:
        ConfigError: it is not.
    """
    from importlib.util import find_spec

    missing = [name for name in ("nicegui", "mdit_py_plugins", "latex2mathml") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"{command} needs {', '.join(missing)}; install it with: pip install 'assay[pages]'")


def is_secret(given: str, secret: str) -> bool:
    """Return whether a secret is the right one, in a time that says nothing about it."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode())


def listening(port: int) -> socket.socket:
    """Return a socket that listens on this machine alone; port 0 is any that is free.

    Raises:
        ConfigError: the port is taken.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
    except OSError as error:
        found.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise ConfigError(f"port {port} cannot be used ({error.strerror}); give another --port, or 0") from None
        raise
    return found


def serve_pages(listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve the pages that were registered with NiceGUI until somebody stops it (Ctrl-C).

    Args:
        on_ready: called when a browser can be sent to the address.
    """
    import uvicorn
    from fastapi import FastAPI
    from nicegui import ui

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # The newest picture of what is on the page is on the server: a tab that was away asks for it anew.
    ui.run_with(app, title="Assay", show_welcome_message=False, reconnect_timeout=20.0, tailwind=False)
    _guard(app)
    logging.getLogger("nicegui").setLevel(logging.ERROR)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_ready()

    server = Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    # uvicorn ends in order, and then raises it once more.
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _guard(app: FastAPI) -> None:
    """Requests for another host (a name that somebody pointed here) are refused; answers say what may be loaded."""
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app.add_middleware(_Headers)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])


class _Headers:
    """Adds the headers above to every answer."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        async def with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    *((name.lower().encode(), value.encode()) for name, value in _HEADERS.items()),
                ]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
