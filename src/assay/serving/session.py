"""Sessions: what one agent asks and reports, by session key, until it reports its reward or is cut off."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.serving.conversation import Answer, Conversation, OverError
from assay.serving.wire import Ask, RequestRefusedError, read_json
from assay.types import Ending, EndingKind, Score, Verdict

KEY = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""Pattern of a session key."""
MAX_WAITING = 64
"""Requests of one session that wait for the one under way: one is answered after the other."""
MAX_TEXT = 500
"""Characters of a report's reason that are kept."""
MAX_PARTS = 32
"""Named parts of a reported reward."""
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,64}")


@dataclass(frozen=True)
class Report:
    """The reward that an agent reported for its session."""

    reward: float
    solved: bool | None
    """None where the reward is a number without a verdict."""
    reason: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> Score:
        """The report as a score."""
        verdict = {None: Verdict.GRADED, True: Verdict.SOLVED, False: Verdict.FAILED}[self.solved]
        return Score(verdict, self.reward, parts=dict(self.parts), reason=self.reason)


def read_report(content: bytes) -> Report:
    """Return the report in a request's body: {"reward": 0.5}, and beside it what is known of "solved", "reason" and
    "parts". Where "solved" is not given, a reward of 1 or more is a solved task, and any other is not; null says that
    the reward is a number without a verdict.

    Raises:
        RequestRefusedError: no finite reward, or a field that is wrong.
    """
    data = read_json(content)
    unknown = data.keys() - {"reward", "solved", "reason", "parts"}
    if unknown:
        raise RequestRefusedError(
            f"a report has reward, solved, reason and parts, and no {min(unknown)[:80]!r}", param="reward"
        )
    reward = _finite(data.get("reward"), "reward")
    solved, reason, parts = data.get("solved", reward >= 1.0), data.get("reason", ""), data.get("parts", {})
    if solved is not None and not isinstance(solved, bool):
        raise RequestRefusedError("solved must be true, false or null", param="solved")
    if not isinstance(reason, str):
        raise RequestRefusedError("reason must be a text", param="reason")
    if not isinstance(parts, dict) or len(parts) > MAX_PARTS or not all(map(_NAME.fullmatch, parts)):
        raise RequestRefusedError(
            f"parts must be an object of at most {MAX_PARTS} numbers by short name", param="parts"
        )
    return Report(
        reward, solved, reason[:MAX_TEXT], {name: _finite(value, f"parts.{name}") for name, value in parts.items()}
    )


class AgentSession:
    """One agent's requests, one after the other, and its report.

    It is over when the agent has reported, when it was cut off, or when something outside the agent failed; then every
    request is refused. A limit of the episode ends it too, but a report may still come.
    """

    def __init__(self, key: str, conversation: Conversation, now: Callable[[], float]) -> None:
        self.key = key
        self.conversation = conversation
        self.report: Report | None = None
        self.failure: Exception | None = None
        """The failure outside the agent that ended it."""
        self.limit: Ending | None = None
        """The limit of the episode that it has reached."""
        self.changed = asyncio.Event()
        """Set once one of these three is there."""
        self.reported = asyncio.Event()
        self.num_asked = 0
        """Number of requests that came, refused ones included."""
        self.counts = conversation.counts
        self.refusals: Counter[str] = Counter()
        """Refused requests and reports, by why."""
        self.closed = False
        self._now = now
        self._last = now()
        self._lock = asyncio.Lock()
        self._num_open = 0

    @property
    def num_open(self) -> int:
        """Number of requests that are being answered or wait for it."""
        return self._num_open

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last request was answered; 0 while one is under way."""
        return 0.0 if self._num_open else self._now() - self._last

    async def ask(self, ask: Ask) -> Answer:
        """Answer a request once those before it are answered.

        Raises:
            RequestRefusedError: the session is over, too many wait, or the request cannot be answered.
        """
        self.num_asked += 1
        self._check_open()
        if self._num_open > MAX_WAITING:
            raise RequestRefusedError(
                f"{MAX_WAITING} requests of this session wait already; they are answered one after the other",
                status=429,
                code="too_many_requests",
            )
        self._num_open += 1
        try:
            async with self._lock:
                self._check_open()
                return await self.conversation.ask(ask)
        except OverError as over:
            self.limit = over.ending
            self.changed.set()
            self._check_open()
            raise AssertionError("a session at its limit is not open") from over
        except RequestRefusedError:
            raise
        except Exception as error:
            self.failure = error
            self.changed.set()
            raise RequestRefusedError(
                f"the model could not be sampled: {error}", status=500, code="engine_error"
            ) from error
        finally:
            self._num_open -= 1
            self._last = self._now()

    def take_report(self, content: bytes) -> Report:
        """Take the report of the session's reward, which ends it.

        Raises:
            RequestRefusedError: it was reported before, the session was closed, or the report cannot be read.
        """
        if self.report is not None:
            raise RequestRefusedError(
                f"the reward of this session was reported already: {self.report.reward:g}; it stays so",
                status=409,
                code="already_reported",
            )
        if self.closed:
            raise self._over("it was closed")
        self.report = read_report(content)
        self._last = self._now()
        self.reported.set()
        self.changed.set()
        return self.report

    @property
    def score(self) -> Score:
        """The reported reward as a score, with what was refused or overruled on the way; not measured without one."""
        if self.report is None:
            return Score.not_measured("no reward was reported", evidence=self.notes)
        return dataclasses.replace(self.report.score, evidence=self.notes)

    def refuse(self, refused: RequestRefusedError) -> None:
        """Count a refusal."""
        self.refusals[refused.code] += 1

    @property
    def notes(self) -> str:
        """Account of what was refused, overruled or aborted, in a line; empty where nothing was."""
        told = {name: number for name, number in self.counts.items() if name != "answered" and number}
        told |= {f"refused: {code}": number for code, number in self.refusals.items()}
        return ", ".join(f"{name} x{number}" for name, number in sorted(told.items()))

    def to_dict(self) -> dict[str, Any]:
        """Return the state of the session, with every turn in tokens, as JSON."""
        turns = []
        for turn in self.conversation.turns:
            sampled = turn.completion
            turns.append(
                {
                    "new_token_ids": turn.new_token_ids,
                    "extends_previous": turn.extends_previous,
                    "token_ids": sampled.token_ids,
                    "logprobs": sampled.logprobs,
                    "loss_mask": [False] * len(turn.new_token_ids) + [True] * len(sampled.token_ids),
                    "version_spans": sampled.version_spans,
                    "finish_reason": sampled.finish_reason,
                    "message": turn.message.to_dict(),
                }
            )
        return {
            "session": self.key,
            "over": self.report is not None or self.limit is not None or self.failure is not None or self.closed,
            "reward": None if self.report is None else self.report.reward,
            "counts": dict(self.counts),
            "refusals": dict(self.refusals),
            "turns": turns,
        }

    def _check_open(self) -> None:
        if self.report is not None:
            raise self._over("its reward was reported")
        if self.limit is not None:
            raise self._over(f"the limit of its {self.limit.reason} is reached; report its reward now")
        if self.failure is not None:
            raise self._over(f"sampling failed: {self.failure}")
        if self.closed:
            raise self._over("it was closed")

    def _over(self, why: str) -> RequestRefusedError:
        return RequestRefusedError(f"this session is over: {why}", status=410, code="session_over")


def ending_of(session: AgentSession) -> Ending | None:
    """Return how a session ended by its own doing; None while it has not.

    Raises:
        Exception: what failed outside the agent.
    """
    if session.failure is not None:
        raise session.failure
    if session.limit is not None:
        return session.limit
    return None if session.report is None else Ending(EndingKind.FINISHED)


def _finite(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(_as_float(value)):
        raise RequestRefusedError(
            f"{name} must be a finite number, not {str(value)[:80]}", code="invalid_reward", param=name
        )
    return float(value)


def _as_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
