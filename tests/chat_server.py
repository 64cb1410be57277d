"""A chat-completions server for tests: it answers what it is told to, badly where it is told to, and counts."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Answer:
    """What the server does with one request."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    seconds: float = 0.0
    """Before the first byte."""
    closes: bool = False
    """Closes the connection and says nothing."""
    cut_at: int | None = None
    """Closes the connection after this many bytes."""


def completion(text: str | None, *, seconds: float = 0.0, **changes: Any) -> Answer:
    """A good answer. `finish_reason`, `usage` and `message` may be given."""
    message = changes.get("message", {"role": "assistant", "content": text})
    usage = changes.get("usage", {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
    choice = {"index": 0, "message": message, "finish_reason": changes.get("finish_reason", "stop")}
    data = {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}
    return Answer(json.dumps(data).encode(), seconds=seconds)


def failure(status: int, message: str = "no", code: str = "", **headers: str) -> Answer:
    """An error in OpenAI's form."""
    content = json.dumps({"error": {"message": message, "code": code}}).encode()
    return Answer(content, status, {"Content-Type": "application/json", **headers})


class ChatServer:
    """`answer(body, number of the request)` says what each request gets."""

    def __init__(self, port: int = 0) -> None:
        self.answer: Callable[[dict[str, Any], int], Answer] = lambda body, number: completion("7")
        self.bodies: list[dict[str, Any]] = []
        """Of every request, in the order in which they came."""
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.num_answered: Counter[str] = Counter()
        """Good answers sent whole, by the JSON of their request."""
        self.num_at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server._serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *details: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            self.times.append(time.monotonic())
            self.num_at_once += 1
            self.most_at_once = max(self.most_at_once, self.num_at_once)
        try:
            answer = (
                self.answer(body, number) if request.path == "/v1/chat/completions" else failure(404, "no such path")
            )
            time.sleep(answer.seconds)
        finally:
            with self._lock:
                self.num_at_once -= 1
        if answer.closes:
            request.close_connection = True
            return
        good = json.dumps(body, sort_keys=True) if answer.status == 200 else None
        self._count(good, 1)  # before it is sent: whoever has it finds it counted
        try:
            request.send_response(answer.status)
            for name, value in answer.headers.items():
                request.send_header(name, value)
            request.send_header("Content-Length", str(len(answer.content)))
            request.end_headers()
            request.wfile.write(answer.content[: answer.cut_at])
            if answer.cut_at is not None:
                request.close_connection = True
        except OSError:
            self._count(good, -1)

    def _count(self, good: str | None, change: int) -> None:
        if good is not None:
            with self._lock:
                self.num_answered[good] += change
                self.num_answered += Counter()
