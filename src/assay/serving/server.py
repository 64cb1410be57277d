"""Gateway: an OpenAI-compatible server over sessions, in the event loop of whoever samples.

    POST /sessions/KEY/v1/chat/completions    and /completions: answered by the session's conversation
    POST /sessions/KEY/reward                 {"reward": 1.0} ends the session
    GET  /sessions/KEY                        its turns in tokens
    POST /v1/chat/completions                 and /completions: answered, and not kept, where the gateway allows it
    GET  /v1/models, GET /health

Every path but /health wants the token. Nothing is read from or written to files here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from assay.errors import ConfigError, explain_place
from assay.serving import replies
from assay.serving.conversation import Answer, Conversation
from assay.serving.session import KEY, AgentSession
from assay.serving.wire import Ask, RequestRefusedError, read_chat, read_completion

MAX_BODY_BYTES = 4 * 2**20
"""Bytes of a request's body; a longer one is refused."""
BODY_SECONDS = 30.0
"""Seconds that a request's body may take to arrive."""
MAX_REMEMBERED = 10_000
"""Closed sessions that are still known as such."""
_PEEK_SECONDS = 0.02
"""Seconds between two looks at what a streamed answer has so far."""

ResultT = TypeVar("ResultT")
Opener = Callable[[str], AgentSession]
"""Makes the session of a key that is asked for the first time."""


class Gateway:
    """Serves sessions over HTTP. Used as `async with`, or started and closed.

    Args:
        token: what every request must bring as "Authorization: Bearer TOKEN".
        model: the name that /v1/models lists.
        host, port: where to listen; port 0 for any that is free.
        open_session: makes the session of a key that nobody has asked with yet; None where sessions are opened by
            `add` only, and other keys are refused.
        plain: makes a conversation for a request without a session key, which is not kept; None to refuse those.
    """

    def __init__(
        self,
        token: str,
        *,
        model: str = "assay",
        host: str = "127.0.0.1",
        port: int = 0,
        open_session: Opener | None = None,
        plain: Callable[[], Conversation] | None = None,
    ) -> None:
        self.token = token
        self.model = model
        self.host = host
        self.port = port
        self._open_session = open_session
        self._plain = plain
        self._sessions: dict[str, AgentSession] = {}
        self._closed: dict[str, None] = {}
        """Keys of closed sessions, the oldest first."""
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    # ---- sessions ----

    @property
    def url(self) -> str:
        """The address, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def base_url(self, key: str) -> str:
        """The base_url that an agent of this session is given."""
        return f"{self.url}/sessions/{key}/v1"

    def reward_url(self, key: str) -> str:
        """The address at which the reward of this session is reported."""
        return f"{self.url}/sessions/{key}/reward"

    @property
    def sessions(self) -> tuple[AgentSession, ...]:
        """The sessions that are open."""
        return tuple(self._sessions.values())

    def add(self, session: AgentSession) -> None:
        """Open a session."""
        self._sessions[session.key] = session

    def remove(self, session: AgentSession) -> None:
        """Close a session: whoever still asks with its key is told that it is over."""
        session.closed = True
        self._sessions.pop(session.key, None)
        self._closed[session.key] = None
        while len(self._closed) > MAX_REMEMBERED:
            del self._closed[next(iter(self._closed))]

    # ---- starting and closing ----

    async def start(self) -> None:
        """Listen. Does nothing where it listens already.

        Raises:
            ConfigError: the address cannot be listened at.
        """
        async with self._starting:
            if self._serving is not None:
                return
            listener = _listen(self.host, self.port)
            self.port = listener.getsockname()[1]
            settings = uvicorn.Config(
                self._app(),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=1,
                server_header=False,
            )
            self._server = _Server(settings)
            self._serving = asyncio.create_task(self._server.serve([listener]), name="gateway")
            while not self._server.started and not self._serving.done():
                await asyncio.sleep(0.005)
            if self._serving.done():
                self._serving.result()

    async def close(self) -> None:
        """Refuse what is still asked, and stop listening."""
        for session in self.sessions:
            self.remove(session)
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            # Where the event loop it was serving in has ended, it has ended with it.
            if self._serving.get_loop() is asyncio.get_running_loop():
                await self._serving
            self._server = self._serving = None

    async def __aenter__(self) -> Gateway:
        await self.start()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.close()

    # ---- requests ----

    def _app(self) -> Starlette:
        asking = [
            Route(f"{prefix}/v1/{path}", endpoint, methods=["POST"])
            for prefix in ("", "/sessions/{key}")
            for path, endpoint in (("chat/completions", self._chat), ("completions", self._completion))
        ]
        models = [Route(f"{p}/v1/models", self._models, methods=["GET"]) for p in ("", "/sessions/{key}")]
        return Starlette(
            routes=[
                *asking,
                *models,
                Route("/sessions/{key}/reward", self._reward, methods=["POST"]),
                Route("/sessions/{key}", self._session, methods=["GET"]),
                Route("/health", self._health, methods=["GET"]),
            ],
            exception_handlers={RequestRefusedError: _refused, 404: _no_path, 405: _no_path, ClientDisconnect: _gone},
        )

    async def _chat(self, request: Request) -> Response:
        return await self._ask(request, read_chat)

    async def _completion(self, request: Request) -> Response:
        return await self._ask(request, read_completion)

    async def _ask(self, request: Request, read: Callable[[bytes], Ask]) -> Response:
        self._check_token(request)
        session = self._session_of(request) if "key" in request.path_params else None
        with _counted(session):
            ask = read(await _body(request))
            if session is None:
                if self._plain is None:
                    raise RequestRefusedError(
                        f"this server keeps what is said by session: put a key of yours in the base_url, as in "
                        f"{self.base_url('KEY')}",
                        code="session_needed",
                    )
                session = AgentSession("none", self._plain(), time.monotonic)
            answering = asyncio.create_task(session.ask(ask))
            name = ask.model or self.model
            about = replies.About(f"{session.key[:32]}-{time.time_ns():x}", int(time.time()), name)
            if not ask.stream:
                answer = await _unless_gone(request, answering)
                return _Json(replies.whole(about, ask, answer, session.conversation.decode))
            await _unless_gone(request, _first_of(answering, session, ask))
            return _Stream(_chunks(about, ask, session, answering), answering)

    async def _reward(self, request: Request) -> Response:
        self._check_token(request)
        session = self._session_of(request)
        with _counted(session):
            report = session.take_report(await _body(request))
        return _Json({"session": session.key, "reward": report.reward, "solved": report.solved})

    async def _session(self, request: Request) -> Response:
        self._check_token(request)
        return _Json(self._session_of(request, opens=False).to_dict())

    async def _models(self, request: Request) -> Response:
        self._check_token(request)
        listed = {"id": self.model, "object": "model", "created": 0, "owned_by": "assay"}
        return _Json({"object": "list", "data": [listed]})

    async def _health(self, request: Request) -> Response:
        return _Json({"status": "ok"})

    def _check_token(self, request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
            raise RequestRefusedError(
                "the token is wrong or missing: send it as api_key (Authorization: Bearer TOKEN)",
                status=401,
                code="invalid_api_key",
            )

    def _session_of(self, request: Request, *, opens: bool = True) -> AgentSession:
        key = request.path_params["key"]
        if session := self._sessions.get(key):
            return session
        if key in self._closed:
            raise RequestRefusedError("this session is over", status=410, code="session_over")
        if self._open_session is None or not opens or request.url.path.endswith("/reward"):
            raise RequestRefusedError("there is no session with this key", status=404, code="unknown_session")
        if not KEY.fullmatch(key):
            raise RequestRefusedError(f"a session key matches {KEY.pattern}", code="invalid_session")
        session = self._open_session(key)
        self.add(session)
        return session


class _Json(JSONResponse):
    """JSON in ASCII: what clients sent and models said may hold half of a surrogate pair, which is no UTF-8."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs the event loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Stream(Response):
    """Server-sent events; what they come from is cancelled where the client goes away."""

    def __init__(self, chunks: AsyncIterator[str], answering: asyncio.Task[Answer]) -> None:
        super().__init__(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._chunks = chunks
        self._answering = answering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        gone = asyncio.create_task(_until_gone(receive))
        sending = asyncio.create_task(self._send(send, headers))
        try:
            await asyncio.wait((gone, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (gone, sending, self._answering):
                task.cancel()
            await asyncio.gather(gone, sending, self._answering, return_exceptions=True)

    async def _send(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _chunks(
    about: replies.About, ask: Ask, session: AgentSession, answering: asyncio.Task[Answer]
) -> AsyncIterator[str]:
    """The events of a streamed answer: text as it is sampled, then the rest of it."""
    shown = ""
    yield replies.event(replies.opening(about, ask))
    while not answering.done():
        text = session.conversation.so_far(ask)
        if len(text) > len(shown) and text.startswith(shown):
            yield replies.event(replies.delta(about, ask, text[len(shown) :]))
            shown = text
        await asyncio.wait((answering,), timeout=_PEEK_SECONDS)
    try:
        answer = answering.result()
    except RequestRefusedError as refused:
        session.refuse(refused)
        yield replies.event(refused.body)
        return
    for chunk in replies.closing(about, ask, answer, shown, session.conversation.decode):
        yield replies.event(chunk)
    yield replies.DONE


async def _first_of(answering: asyncio.Task[Answer], session: AgentSession, ask: Ask) -> None:
    """Wait until there is something to stream, so that a refusal is still an HTTP error."""
    try:
        while not answering.done() and not session.conversation.so_far(ask):
            await asyncio.wait((answering,), timeout=_PEEK_SECONDS)
    except asyncio.CancelledError:
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        raise
    if answering.done():
        answering.result()


async def _unless_gone(request: Request, work: Awaitable[ResultT]) -> ResultT:
    """The result of some work, which is cancelled where the client goes away.

    Raises:
        ClientDisconnect: it went away.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.create_task(_until_gone(request.receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> bytes:
    """The body of a request.

    Raises:
        RequestRefusedError: it is too long, or takes too long to arrive.
    """
    pieces: deque[bytes] = deque()
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                size += len(piece)
                if size > MAX_BODY_BYTES:
                    raise RequestRefusedError(
                        f"the body is longer than {MAX_BODY_BYTES} bytes", status=413, code="body_too_long"
                    )
                pieces.append(piece)
    except TimeoutError:
        raise RequestRefusedError("the body took too long to arrive", status=400, code="body_too_slow") from None
    return b"".join(pieces)


@contextlib.contextmanager
def _counted(session: AgentSession | None) -> Iterator[None]:
    try:
        yield
    except RequestRefusedError as refused:
        if session is not None:
            session.refuse(refused)
        raise


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefusedError)
    return _Json(error.body, status_code=error.status)


async def _no_path(request: Request, error: Exception) -> Response:
    return await _refused(
        request,
        RequestRefusedError(
            f"{request.method} {request.url.path[:200]} is not served", status=404, code="no_such_path"
        ),
    )


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConfigError: that address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{host} port {port} cannot be listened at ({explain_place(error) or error.strerror or error}); choose "
            "another port, or 0 for any that is free"
        ) from None
    return listener


def is_loopback(host: str) -> bool:
    """Return True where only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
