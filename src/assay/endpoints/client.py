"""EndpointClient: asks a server, paces itself, tries again, keeps every reply, and stops before it costs too much."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2

from assay.endpoints.attempt import (
    BROKEN_OFF,
    MAX_INVALID,
    NO_REPLY,
    TIMEOUT,
    TOO_LARGE,
    AttemptError,
    Remedy,
    backoff_seconds,
    error_of,
    exhausted_seconds,
)
from assay.endpoints.chat import InvalidReplyError, most_tokens, parse_reply, request_body, request_key
from assay.endpoints.endpoint import Endpoint
from assay.endpoints.pace import Pace
from assay.endpoints.replies import Replies
from assay.endpoints.responder import Reply
from assay.endpoints.tally import Tally
from assay.errors import ContextLengthError, EndpointError, EngineError, UnansweredError
from assay.types import Message, Tool

if TYPE_CHECKING:
    from assay.engines.engine import Sampling

MAX_BODY_BYTES = 8 * 2**20
"""Largest body of an answer, in bytes; what is longer is not read to its end."""
CONNECT_SECONDS = 10.0
"""Longest wait for a connection, and at most half of a try's time: a server that does not even take the call is not
there."""
SHORTEST_SECRET = 16
"""Length, in characters, of the shortest key that is treated as a secret. What local servers are given in place of a
key ("EMPTY") is a word that answers may contain."""
ABSENT_RETRIES = 3
"""Retries where nothing has ever answered: the server is more likely not there than busy."""


class EndpointClient:
    """A `Responder` over HTTP. Belongs to the event loop that first uses it.

    A reply is in `replies` before anybody sees it, and a request that is kept there is not sent. A caller that is
    cancelled leaves its request under way: `close` takes its reply in, since it will be paid for.

    Args:
        tally: to count on; its `before` are the tokens that earlier legs have paid for. A new one where none is given.

    Raises:
        ConfigError: no key where one is needed.
    """

    def __init__(self, endpoint: Endpoint, replies: Replies, *, tally: Tally | None = None) -> None:
        self.endpoint = endpoint
        self.tally = tally or Tally(endpoint)
        self._replies = replies
        self._key = endpoint.api_key()
        self._url = f"{endpoint.url}/chat/completions"
        self._http = httpx2.AsyncClient(
            headers={"Accept": "application/json", "Accept-Encoding": "identity"}
            | ({"Authorization": f"Bearer {self._key}"} if self._key else {}),
            timeout=httpx2.Timeout(
                endpoint.timeout_seconds, connect=min(CONNECT_SECONDS, endpoint.timeout_seconds / 2)
            ),
            limits=httpx2.Limits(max_connections=endpoint.max_concurrent),
        )
        self._slots = asyncio.Semaphore(endpoint.max_concurrent)
        self._requests = Pace(endpoint.requests_per_minute)
        self._tokens = Pace(endpoint.tokens_per_minute)
        self._not_before = 0.0
        """Earliest time of the next request, on the monotonic clock: when the server wants to hear from us again."""
        self._under_way: dict[str, asyncio.Task[Reply]] = {}
        self._closing = asyncio.Event()
        self._settled = asyncio.Event()
        """Event that is set whenever a request has ended, and with it what was set aside for it."""
        self._set_aside = 0.0
        self._not_reported = endpoint.cost(*self.tally.unknown_before) or 0.0
        """Cost that replies without usage, and failed tries, may have had."""
        self._failures_in_a_row = 0
        self._random = random.Random()

    async def respond(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        request_id: str,
        seed: int,
        tools: Sequence[Tool] = (),
    ) -> Reply:
        """See `Responder.respond`."""
        body = request_body(self.endpoint, messages, sampling, seed, tools)
        key = request_key(self.endpoint, body, seed)
        kept = self._replies.get(key)
        if kept is not None:
            kept = self._understood(kept)
            self.tally.add(kept, from_file=True)
            return kept
        asked = self._under_way.get(key)
        if asked is None:
            asked = self._under_way[key] = asyncio.create_task(self._ask(key, body), name=request_id)
            asked.add_done_callback(lambda task: self._forget(key, task))
        return await asyncio.shield(asked)

    @property
    def num_under_way(self) -> int:
        """Number of requests that were sent, or wait to be."""
        return len(self._under_way)

    async def close(self) -> None:
        """Takes in the replies under way; requests that wait to be sent are not sent."""
        self._closing.set()
        under_way = list(self._under_way.values())
        try:
            if under_way:
                await asyncio.wait(under_way)
        finally:
            for task in under_way:
                task.cancel()
            with _from_a_closed_loop():
                await self._http.aclose()

    async def _ask(self, key: str, body: dict[str, Any]) -> Reply:
        """Ask one request until it is answered or given up."""
        async with self._slots:
            try:
                reply = await self._try(key, body)
            except AttemptError as failure:
                raise self._given_up(failure) from None
        self._failures_in_a_row = 0
        return reply

    async def _try(self, key: str, body: dict[str, Any]) -> Reply:
        """Sends until an answer can be used, and keeps that.

        Raises:
            AttemptError: the last one, once it is not worth another try.
            EndpointError: one more try could cost more than is left.
        """
        content = json.dumps(body).encode()
        num_invalid = 0
        for attempt in itertools.count():
            try:
                with await self._afford(body) as most:
                    return await self._once(key, body, content, most)
            except AttemptError as error:
                failure = error
            self.tally.causes[failure.cause] += 1
            num_invalid += failure.remedy is Remedy.RETRY_BRIEFLY
            if not self._worth_retrying(failure, attempt, num_invalid):
                raise failure
            self.tally.num_retries += 1
            wait = backoff_seconds(attempt, self.endpoint.backoff_seconds, failure.wait_seconds, self._random)
            if failure.wait_seconds is not None:
                # What the server asks of one request, it asks of all.
                self._not_before = max(self._not_before, time.monotonic() + failure.wait_seconds)
            await self._sleep(wait)
        raise AssertionError("unreachable")

    async def _once(self, key: str, body: dict[str, Any], content: bytes, most: float) -> Reply:
        """Try a request once.

        Args:
            content: the body as JSON.
            most: what the try can cost.
        """
        prompt_bytes, max_new_tokens = most_tokens(body)
        expected_tokens = prompt_bytes // 4 + max_new_tokens
        await self._turn(expected_tokens)
        try:
            try:
                reply = parse_reply(await self._send(content), max_new_tokens)
            except InvalidReplyError as error:
                raise AttemptError(Remedy.RETRY_BRIEFLY, NO_REPLY, f"the server {error}") from None
        except AttemptError as failure:
            self._tokens.take(-expected_tokens)
            if failure.may_have_cost:
                self._not_reported += most
                self.tally.num_without_usage += 1
                self._replies.put_failed(self.endpoint.url, body)
            raise
        if reply.input_tokens is None or reply.output_tokens is None:
            self._not_reported += most
        else:
            self._tokens.take(reply.input_tokens + reply.output_tokens - expected_tokens)
        self._replies.put(key, body, reply, self.endpoint.url)
        reply = self._understood(reply)
        self.tally.add(reply, from_file=False)
        return reply

    def _understood(self, reply: Reply) -> Reply:
        """The reply with a finish reason that nobody here knows read as the endpoint's settings say."""
        meaning = self.endpoint.finish_reasons.get(reply.remark) if reply.finish_reason == "unknown" else None
        return reply if meaning is None else replace(reply, finish_reason=meaning, remark="" if reply.text else "empty")

    def _worth_retrying(self, failure: AttemptError, attempt: int, num_invalid: int) -> bool:
        if failure.remedy is Remedy.RETRY_BRIEFLY:
            return num_invalid <= MAX_INVALID
        most = self.endpoint.max_retries
        if failure.cause == "connection" and not self._has_answered:
            most = min(most, ABSENT_RETRIES)
        return failure.remedy is Remedy.RETRY and attempt < most

    async def _send(self, content: bytes) -> bytes:
        """The body of one good answer.

        Raises:
            AttemptError: there was none.
        """
        self.tally.num_sent += 1
        try:
            async with (
                asyncio.timeout(self.endpoint.timeout_seconds),
                self._http.stream(
                    "POST", self._url, content=content, headers={"Content-Type": "application/json"}
                ) as response,
            ):
                received = await _read(response)
        except TimeoutError:
            message = f"no whole answer in {self.endpoint.timeout_seconds:g} seconds"
            raise AttemptError(Remedy.RETRY, TIMEOUT, message) from None
        except httpx2.ConnectTimeout:
            message = f"no answer from {self.endpoint.url} (nobody took the call)"
            raise AttemptError(Remedy.RETRY, "connection", message) from None
        except httpx2.TimeoutException:
            raise AttemptError(Remedy.RETRY, TIMEOUT, "the server did not answer in time") from None
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            text = " ".join(str(error).split())[:200] or type(error).__name__
            cause = "connection" if isinstance(error, httpx2.ConnectError) else BROKEN_OFF
            raise AttemptError(Remedy.RETRY, cause, f"no answer from {self.endpoint.url} ({text})") from None
        self._not_before = max(self._not_before, time.monotonic() + exhausted_seconds(response.headers))
        if len(self._key) >= SHORTEST_SECRET:
            # A server that says the key back must not get it into anybody's files.
            received = received.replace(self._key.encode(), b"[key]")
        if response.status_code != 200:
            raise error_of(response.status_code, response.headers, received, answered_before=self._has_answered)
        return received

    async def _turn(self, expected_tokens: int) -> None:
        """Waits until the rate limits, and the server, allow one more try."""
        while True:
            if self._closing.is_set():
                raise EngineError("stopped before this request was sent")
            asked = self._not_before - time.monotonic()
            wait = max(asked, self._requests.wait_seconds, self._tokens.wait_seconds)
            if wait <= 0:
                self._requests.take(1)
                self._tokens.take(expected_tokens)
                return
            await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        """Wait so long, or less where everything is being closed."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    async def _afford(self, body: dict[str, Any]) -> Any:
        """Sets the most that a try can cost aside, once that fits beside what is under way.

        Raises:
            EndpointError: it does not fit in what is left, whatever becomes of the others.
        """
        limit = self.endpoint.max_cost
        most = self.endpoint.cost(*most_tokens(body)) or 0.0
        while limit is not None:
            spent = (self.tally.cost or 0.0) + self._not_reported
            if spent + most > limit:
                raise EndpointError(
                    f"stopped at a cost of {spent:.4f}: one more request could cost {most:.4f}, which is over "
                    f"max_cost, {limit:g}. What was answered is kept: the same command with a higher limit goes on"
                )
            if spent + self._set_aside + most <= limit:
                break
            self._settled.clear()
            await self._settled.wait()
        return self._holding(most)

    @contextmanager
    def _holding(self, amount: float) -> Iterator[float]:
        self._set_aside += amount
        try:
            yield amount
        finally:
            self._set_aside -= amount
            self._settled.set()

    def _given_up(self, failure: AttemptError) -> Exception:
        """The error of a request that failed for good."""
        self.tally.num_failed += 1
        if failure.remedy is Remedy.TOO_LONG:
            return ContextLengthError(str(failure))
        if failure.remedy is Remedy.STOP:
            return EndpointError(f"{self.endpoint.url}, model {self.endpoint.model!r}: {failure}")
        if failure.cause == "connection" and not self._has_answered:
            return EndpointError(f"{failure}; is the server running, and the base URL right?")
        if failure.remedy is Remedy.GIVE_UP:
            # About this request alone: what somebody makes a judge read must not stop everything.
            return UnansweredError(str(failure))
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= self.endpoint.max_failures:
            return EndpointError(
                f"{self._failures_in_a_row} requests to {self.endpoint.url} failed one after the other, the last "
                f"because: {failure}. What was answered is kept: the same command goes on once the server is well"
            )
        return UnansweredError(str(failure))

    @property
    def _has_answered(self) -> bool:
        return self.tally.num_replies > 0 or self.tally.num_from_file > 0

    def _forget(self, key: str, task: asyncio.Task[Reply]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more


async def _read(response: httpx2.Response) -> bytes:
    """The body, up to its bound, and not decompressed: a small body that grows without end is nobody's answer.

    Raises:
        AttemptError: it is longer, or compressed though nobody asked for that.
    """
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise AttemptError(Remedy.RETRY_BRIEFLY, NO_REPLY, "the server compressed its answer, unasked")
    received = bytearray()
    async for chunk in response.aiter_raw():
        received += chunk
        if len(received) > MAX_BODY_BYTES:
            raise AttemptError(Remedy.GIVE_UP, TOO_LARGE, f"the server answered more than {MAX_BODY_BYTES:,} bytes")
    return bytes(received)


@contextmanager
def _from_a_closed_loop() -> Iterator[None]:
    """Lets connections be whose event loop is closed: asyncio says nothing of that but these words."""
    try:
        yield
    except RuntimeError as error:
        if str(error) != "Event loop is closed":
            raise
