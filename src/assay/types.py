"""The nouns of Assay. Frozen dataclasses; a type that gains something becomes the next type.

    Task --engine, env--> Rollout --verifier--> Group --to_samples--> Sample --credit--> CreditedSample --pack--> Batch

Shape letters: L tokens of one sample, G members of a group, T packed tokens of a micro-batch, N predicted (trained-on)
tokens of a micro-batch, S sequences of a micro-batch. No torch at run time: tensors appear in annotations only.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from assay.suite import Suite, read_suite

if TYPE_CHECKING:
    from torch import Tensor

FinishReason = Literal["stop", "length", "abort"]
Split = Literal["train", "validation", "test"]
SolvedAt = float | Literal["none"]
"""The reward from which on a task counts as solved; "none" where the reward is a number that says no verdict."""
NO_DIALS = "c- h-"
"""The level of a task that has neither dial."""
CANARY = "canary"
"""Key of the metadata of a task that no honest policy can solve: its group is played, watched, and never trained on."""
PROPOSAL = "propose"
"""Key of the metadata of a task that asks for a task, and the domain that it bears: what it earns is known once others
have attempted what was proposed."""
ENDPOINT_PREFIX = "openai:"
"""Prefix of the name of a model that is at an endpoint, not on this machine."""


@dataclass(frozen=True)
class Tool:
    """A tool that a model may call, described as models are told of it."""

    name: str
    """The name that a call gives."""
    description: str
    """Description of what the tool does, for the model to read."""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}}, hash=False)
    """JSON Schema of the arguments, which are always an object."""

    def to_dict(self) -> dict[str, Any]:
        """Return the tool as chat templates and servers take it."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tool:
        return cls(**data["function"])


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool, as it stands in an assistant's message."""

    id: str
    """The call's id, which the tool's message answers; empty where its source gives none."""
    name: str
    arguments: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Message:
    """A chat message."""

    role: str
    """"system", "user", "assistant" or "tool"."""
    content: str
    tool_calls: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    """The tools that an assistant's message calls, each call in the form of chat completions:
    {"type": "function", "function": {"name": ..., "arguments": {...}}}."""
    tool_call_id: str = ""
    """The id of the call that a tool's message answers; empty where its source gives none."""
    name: str = ""
    """The name of the tool, or of whoever speaks; empty where its source gives none."""
    call_errors: tuple[str, ...] = ()
    """Tool calls of an assistant's message that could not be read: what is wrong with each, in a sentence."""
    verbatim: str = field(default="", compare=False)
    """The text that `content` and `tool_calls` were read from, as it was sampled; empty where `content` is all of
    it."""

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls of `tool_calls`, as data; arguments that are no object are an empty one."""
        found = []
        for call in self.tool_calls:
            function = call.get("function", {})
            arguments = function.get("arguments")
            found.append(
                ToolCall(
                    str(call.get("id") or ""),
                    str(function.get("name") or ""),
                    arguments if isinstance(arguments, Mapping) else {},
                )
            )
        return tuple(found)

    @property
    def text(self) -> str:
        """The content, and after it each tool call as JSON: what people are shown, and what tells messages apart."""
        calls = (json.dumps(call, ensure_ascii=False, sort_keys=True) for call in self.tool_calls)
        return "\n".join([*filter(None, [self.content]), *calls])

    def to_dict(self) -> dict[str, Any]:
        """Return the message as chat templates and servers take it: empty fields left out, apart from the content."""
        more = {"tool_calls": list(self.tool_calls), "tool_call_id": self.tool_call_id, "name": self.name}
        return {"role": self.role, "content": self.content, **{key: value for key, value in more.items() if value}}

    def to_record(self) -> dict[str, Any]:
        """Return every field that is not empty, as JSON: what `from_dict` reads."""
        more = {"call_errors": list(self.call_errors), "verbatim": self.verbatim}
        return {**self.to_dict(), **{key: value for key, value in more.items() if value}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Message:
        lists = {key: tuple(data.get(key, ())) for key in ("tool_calls", "call_errors")}
        return cls(**{**data, **lists})

    def to_list(self) -> list[Any]:
        """[role, content], and last the other fields where there are any."""
        more = {key: value for key, value in self.to_record().items() if key not in ("role", "content")}
        return [self.role, self.content, *([more] if more else [])]


@dataclass(frozen=True)
class Task:
    """A task: one thing to do, as plain data."""

    domain: str
    """Name of the environment it comes from."""
    prompt: tuple[Message, ...]
    """Messages that the model is shown first."""
    answer: str
    """The gold answer, in the form that its environment's verifier reads. Of a task with tests: a program that passes
    them, or empty."""
    complexity: float | None = None
    """Intellectual difficulty on the environment's own dial; None where the source states none."""
    horizon: float | None = None
    """Number of dependent steps, in the environment's own unit; None where the source states none."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Further facts about the task, as JSON."""
    tools: tuple[Tool, ...] = ()
    """Tools that the prompt offers, where the task's data names some. An episode's tools are its own word."""
    suite: Suite | None = None
    """The tests that a program must pass, for the verifier `code`; None where responses are no programs."""

    @cached_property
    def task_id(self) -> str:
        """Content hash: the same task has the same id in every run and process. Of `metadata` only "world" counts: what
        the prompt does not show of the world that the task happens in."""
        content: list[Any] = [self.domain, [message.to_list() for message in self.prompt], self.gold_text]
        if self.tools:
            content.append({"tools": [tool.to_dict() for tool in self.tools]})
        if "world" in self.metadata:
            content.append(self.metadata["world"])
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def gold_text(self) -> str:
        """What is right, as the text that records, files and functions of other people's know as the answer: the tests
        as JSON where there are any, else the answer."""
        return self.answer if self.suite is None else self.suite.to_json()

    @property
    def level(self) -> str:
        """The two dials as a short name, for tables by level: "c2 h1"."""
        return " ".join(
            f"{letter}{'-' if dial is None else format(dial, 'g')}"
            for letter, dial in (("c", self.complexity), ("h", self.horizon))
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "domain": self.domain,
            "prompt": [message.to_list() for message in self.prompt],
            "answer": self.answer,
            "complexity": self.complexity,
            "horizon": self.horizon,
            "metadata": dict(self.metadata),
            **({"tools": [tool.to_dict() for tool in self.tools]} if self.tools else {}),
            **({} if self.suite is None else {"suite": self.suite.to_dict()}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Task:
        prompt = tuple(
            Message.from_dict({"role": role, "content": content, **(more[0] if more else {})})
            for role, content, *more in data["prompt"]
        )
        tools = tuple(map(Tool.from_dict, data.get("tools", ())))
        suite = read_suite(data["suite"], "a stored task") if data.get("suite") else None
        return cls(**{**data, "prompt": prompt, "tools": tools, "suite": suite})


@dataclass(frozen=True)
class Completion:
    """A completion that an engine sampled for one request: tokens in, tokens out."""

    token_ids: tuple[int, ...]
    """[L] the sampled tokens, the end token included where it was sampled."""
    logprobs: tuple[float, ...]
    """[L] natural-log probability of each token under the distribution it was sampled from (after temperature)."""
    finish_reason: FinishReason
    """"stop": an end token or stop string; "length": the token limit; "abort": taken back by the caller."""
    version_spans: tuple[tuple[int, int], ...]
    """(start, version): from sampled token `start` on, the weights of `version` were used."""

    def __post_init__(self) -> None:
        if len(self.token_ids) != len(self.logprobs):
            raise ValueError(f"{len(self.token_ids)} tokens but {len(self.logprobs)} log-probabilities")

    @property
    def version(self) -> int:
        """The oldest version that sampled any of these tokens."""
        return min(version for _, version in self.version_spans)

    @property
    def num_tokens(self) -> int | None:
        """Tokens sampled; None where whoever sampled them did not say."""
        return len(self.token_ids)


@dataclass(frozen=True)
class RemoteCompletion(Completion):
    """A completion that a server sampled and answered as text: no token of it is known, so nothing can be trained on
    it."""

    num_reported_tokens: int | None = None
    """Number of sampled tokens as the server counted them; None where it did not."""
    remark: str = ""
    """Remark of the server beside its text: "refusal", "content_filter", "tool_calls", "empty"."""

    @property
    def num_tokens(self) -> int | None:
        return self.num_reported_tokens


@dataclass(frozen=True)
class Turn:
    """A turn: one sampled completion and what the environment answered."""

    new_token_ids: tuple[int, ...]
    """Prompt tokens that this turn adds; the whole prompt where `extends_previous` is False."""
    extends_previous: bool
    """True where prompt = everything before + `new_token_ids`. False in the first turn, and where the chat template
    rewrote the prefix: then the rollout forks into a further sample."""
    completion: Completion
    message: Message
    """The completion as the assistant's message: what environments and verifiers read."""
    env_messages: tuple[Message, ...] = ()
    """The environment's messages that follow; empty at the end."""
    env_reward: float | None = None
    """The environment's reward for this turn; None where it pays nothing for turns."""
    state: str = ""
    """Name of the world's state that this turn started from: turns with the same one, of any rollout of the task, had
    the same choice before them."""


class EndingKind(enum.Enum):
    """Kinds of a rollout's ending: by itself, at a limit, or through something outside the response."""

    FINISHED = "finished"
    TRUNCATED = "truncated"
    BROKEN = "broken"


@dataclass(frozen=True)
class Ending:
    """The ending of a rollout: a fact about the rollout, not about what it earned."""

    kind: EndingKind
    reason: str = ""
    """TRUNCATED: which limit ("length", "turns", "tokens", "context", "time", "content_filter"). BROKEN: the cause.
    FINISHED: empty, or what a server remarked on the last turn ("refusal")."""
    boundary: str = ""
    """BROKEN: the boundary that the failure crossed (`errors.Boundary`), such as "environment" or "engine"; else
    empty."""


@dataclass(frozen=True)
class Rollout:
    """A rollout: one attempt at one task. Elsewhere: trajectory, trace, eval sample."""

    task_id: str
    group_id: int
    """Index of the group in issue order."""
    member: int
    """Number of the member in its group, from 0."""
    turns: tuple[Turn, ...]
    ending: Ending
    score: Score | None = None
    """The episode's own word on what was earned, which the verifier "episode" hands on; None where it has none."""

    @property
    def response(self) -> str:
        """The last thing the model said, as text; empty if it said nothing."""
        return self.turns[-1].message.content if self.turns else ""

    @property
    def num_sampled_tokens(self) -> int:
        """Number of sampled tokens that are here to be trained on."""
        return sum(len(turn.completion.token_ids) for turn in self.turns)

    @property
    def num_tokens(self) -> int | None:
        """Tokens sampled, by whoever sampled them; None where that is not known of some turn."""
        counts = [turn.completion.num_tokens for turn in self.turns]
        return None if None in counts else sum(count for count in counts if count is not None)

    @property
    def version(self) -> int:
        """The oldest weights that sampled any token of it."""
        return min((turn.completion.version for turn in self.turns), default=0)

    def to_dict(self) -> dict[str, Any]:
        data = dataclasses.asdict(self)
        data["ending"] = [self.ending.kind.value, self.ending.reason, self.ending.boundary]
        data["score"] = None if self.score is None else self.score.to_dict()
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rollout:
        def turn(d: Mapping[str, Any]) -> Turn:
            c = d["completion"]
            return Turn(
                new_token_ids=tuple(d["new_token_ids"]),
                extends_previous=d["extends_previous"],
                completion=Completion(
                    tuple(c["token_ids"]),
                    tuple(c["logprobs"]),
                    c["finish_reason"],
                    tuple((start, version) for start, version in c["version_spans"]),
                ),
                message=Message.from_dict(d["message"]),
                env_messages=tuple(map(Message.from_dict, d["env_messages"])),
                env_reward=d["env_reward"],
                state=d.get("state", ""),
            )

        kind, *reason = data["ending"]
        return cls(
            data["task_id"],
            data["group_id"],
            data["member"],
            tuple(turn(d) for d in data["turns"]),
            Ending(EndingKind(kind), *reason),
            Score.from_dict(data["score"]) if data.get("score") else None,
        )


class Verdict(enum.Enum):
    """A verifier's decision; NOT_MEASURED only where the cause lies outside the response. GRADED is none: the reward is
    a number, and nothing says from where on a task is solved."""

    SOLVED = "solved"
    FAILED = "failed"
    GRADED = "graded"
    NOT_MEASURED = "not_measured"


@dataclass(frozen=True)
class Score:
    """The score of a rollout, as its verifier gives it. Unknown is not zero: NOT_MEASURED has no value."""

    verdict: Verdict
    value: float | None
    """The reward; None exactly where the verdict is NOT_MEASURED."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Every named part of the value, for the record."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Factor of each part that the value is the sum of; empty where it is no weighted sum."""
    reason: str = ""
    """Reason in a word or two: the category of the failure, the cause of NOT_MEASURED."""
    evidence: str = ""
    """Text that the verifier read: the extracted answer, the failing test."""
    suspected: float | None = None
    """The value that counts where a measured sibling shows that the response may well be the cause; only of
    NOT_MEASURED. None where it cannot be."""

    def __post_init__(self) -> None:
        if (self.value is None) != (self.verdict is Verdict.NOT_MEASURED):
            raise ValueError(f"a {self.verdict.value} score has value {self.value}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"a score must be finite, got {self.value}")
        if self.suspected is not None and (self.measured or not math.isfinite(self.suspected)):
            raise ValueError(f"a {self.verdict.value} score has the suspected value {self.suspected}")
        if unknown := self.weights.keys() - self.parts.keys():
            raise ValueError(f"a score weights {min(unknown)!r}, which is none of its parts")

    @classmethod
    def solved(cls, value: float = 1.0, **details: Any) -> Score:
        return cls(Verdict.SOLVED, value, **details)

    @classmethod
    def failed(cls, reason: str = "", value: float = 0.0, **details: Any) -> Score:
        return cls(Verdict.FAILED, value, reason=reason, **details)

    @classmethod
    def graded(cls, value: float, **details: Any) -> Score:
        """Return a score that is a number without a verdict."""
        return cls(Verdict.GRADED, value, **details)

    @classmethod
    def at(cls, value: float, solved_at: SolvedAt, reason: str = "", **details: Any) -> Score:
        """Return the score of a value: SOLVED from `solved_at` on, FAILED for the reason below it; GRADED where that is
        "none"."""
        if solved_at == "none":
            return cls.graded(value, **details)
        return cls.solved(value, **details) if value >= solved_at else cls.failed(reason, value, **details)

    @classmethod
    def not_measured(cls, reason: str, **details: Any) -> Score:
        return cls(Verdict.NOT_MEASURED, None, reason=reason, **details)

    @property
    def measured(self) -> bool:
        return self.verdict is not Verdict.NOT_MEASURED

    @property
    def has_verdict(self) -> bool:
        """True where it is SOLVED or FAILED."""
        return self.verdict in (Verdict.SOLVED, Verdict.FAILED)

    def to_dict(self) -> dict[str, Any]:
        data = {**dataclasses.asdict(self), "verdict": self.verdict.value, "parts": dict(self.parts)}
        for name, is_given in (("suspected", self.suspected is not None), ("weights", bool(self.weights))):
            if not is_given:
                del data[name]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Score:
        return cls(**{**data, "verdict": Verdict(data["verdict"])})


@dataclass(frozen=True)
class Group:
    """A group: all attempts at one task, scored. Built after scoring, so no reward is ever missing its verdict."""

    group_id: int
    task: Task
    rollouts: tuple[Rollout, ...]
    """[G]"""
    scores: tuple[Score, ...]
    """[G], in the order of `rollouts`."""

    def __post_init__(self) -> None:
        if len(self.rollouts) != len(self.scores):
            raise ValueError(f"{len(self.rollouts)} rollouts but {len(self.scores)} scores")

    @property
    def measured(self) -> tuple[tuple[Rollout, Score, float], ...]:
        """(rollout, score, reward) of each measured member: the only ones that credit may see."""
        return tuple(
            (rollout, score, score.value)
            for rollout, score in zip(self.rollouts, self.scores, strict=True)
            if score.value is not None
        )

    @property
    def num_sampled_tokens(self) -> int:
        """Number of tokens sampled by all members, measured or not."""
        return sum(rollout.num_sampled_tokens for rollout in self.rollouts)

    @property
    def solved_share(self) -> float:
        """Solved members over members with a verdict; NaN where none has one."""
        verdicts = [score.verdict is Verdict.SOLVED for score in self.scores if score.has_verdict]
        return sum(verdicts) / len(verdicts) if verdicts else math.nan

    @property
    def is_graded(self) -> bool:
        """True where members were measured and none has a verdict."""
        return bool(self.measured) and not any(score.has_verdict for score in self.scores)

    def to_dict(self) -> dict[str, Any]:
        return {
            "group_id": self.group_id,
            "task": self.task.to_dict(),
            "rollouts": [r.to_dict() for r in self.rollouts],
            "scores": [s.to_dict() for s in self.scores],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Group:
        return cls(
            data["group_id"],
            Task.from_dict(data["task"]),
            tuple(map(Rollout.from_dict, data["rollouts"])),
            tuple(map(Score.from_dict, data["scores"])),
        )


ANNOTATIONS = ("proximal_logprobs", "reference_logprobs", "teacher_logprobs", "values")
"""Names of the annotations that the trainer may add to a sample before credit."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample: one token sequence to train on. A rollout is one sample, or several where its prompt was rewritten
    (forks)."""

    group_id: int
    member: int
    """Number of the member in its group, from 0; forks of one rollout have the same."""
    token_ids: Tensor
    """[L] int64"""
    loss_mask: Tensor
    """[L] bool, True only on tokens that the model itself sampled. Never on the first token."""
    sampling_logprobs: Tensor
    """[L] float32, the engine's; 0 where `loss_mask` is False."""
    turn_ids: Tensor | None = None
    """[L] int64, the turn of the rollout that sampled each token, from 0; -1 where `loss_mask` is False. None where
    there is one turn."""
    unit_id: int | None = None
    """The unit of its group that a loss is over, where that is more than one sample: both of a pair have the same.
    None: a unit of its own. Packing never splits a unit."""
    weight: float = 1.0
    """Share of its episode: 1 / number of forks."""
    version: int = 0
    """Version of the oldest weights that sampled any of its tokens."""
    proximal_logprobs: Tensor | None = None
    """[L] float32, the trainer's at the start of the update; None where nobody needed them."""
    reference_logprobs: Tensor | None = None
    """[L] float32, under the model that training began with; None where nobody needed them."""
    teacher_logprobs: Tensor | None = None
    """[L] float32, under another model, which is not trained; None where nobody needed them."""
    values: Tensor | None = None
    """[L] float32, the critic's value of the state before each trained-on token; None where there is no critic."""
    reference_point: float | None = None
    """KL divergence of the policy from the reference in nats, as estimated over all samples of the step, never below 0;
    None where nobody needed it."""

    def __post_init__(self) -> None:
        length = len(self.token_ids)
        for name in ("loss_mask", "sampling_logprobs", "turn_ids", *ANNOTATIONS):
            value = getattr(self, name)
            if value is not None and len(value) != length:
                raise ValueError(f"{name} has {len(value)} entries for {length} tokens")
        if length and bool(self.loss_mask[0]):
            raise ValueError("the first token has nothing before it to be predicted from")

    def replace(self, **changes: Any) -> Sample:
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, eq=False)
class CreditedSample(Sample):
    """A sample with its credit."""

    advantages: Tensor = None  # pyright: ignore[reportAssignmentType]
    """[L] float32; 0 where `loss_mask` is False."""
    returns: Tensor | None = None
    """[L] float32, what the critic should have said; None where there is no critic."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.advantages is None or len(self.advantages) != len(self.token_ids):
            raise ValueError(f"advantages must have {len(self.token_ids)} entries")

    @classmethod
    def of(cls, sample: Sample, advantages: Tensor) -> CreditedSample:
        fields = {f.name: getattr(sample, f.name) for f in dataclasses.fields(Sample)}
        return cls(**fields, advantages=advantages)


@dataclass(frozen=True, eq=False)
class Batch:
    """One packed micro-batch: segments laid end to end, what several samples begin with laid down once.

    Token i attends token j where j's segment is i's own, its prefix, the prefix of that, and so on, and position j <=
    position i. Predictions, which are trained on, are listed apart: the hidden state at packed index `predict_from[n]`
    predicts `target_ids[n]`. The last token of a shared prompt predicts the first token of each of its continuations,
    and a token that several samples sampled alike is predicted once for each.
    """

    token_ids: Tensor
    """[T] int64"""
    position_ids: Tensor
    """[T] int64, from 0 in each sample (a continuation goes on where its prefix ended)."""
    segment_ids: Tensor
    """[T] int64, which segment each token belongs to, ascending."""
    prefix_segments: Tensor
    """[num_segments] int64, the segment that each goes on from, always an earlier one; its own index where it has
    none."""
    predict_from: Tensor
    """[N] int64 into T."""
    target_ids: Tensor
    """[N] int64"""
    sequence_ids: Tensor
    """[N] int64 into S: which sample each prediction belongs to; ascending."""
    sampling_logprobs: Tensor
    """[N] float32"""
    advantages: Tensor
    """[N] float32; zeros where the samples carry no credit yet."""
    proximal_logprobs: Tensor | None
    """[N] float32"""
    reference_logprobs: Tensor | None
    """[N] float32"""
    values: Tensor | None
    """[N] float32, the critic's at the start of the step"""
    returns: Tensor | None
    """[N] float32, what the critic should have said"""
    sequence_lengths: Tensor
    """[S] int64, trained-on tokens of each sample."""
    sequence_weights: Tensor
    """[S] float32, share of its episode."""
    group_ids: Tensor
    """[S] int64"""
    unit_ids: Tensor
    """[S] int64, the same for samples of one unit (a pair, say); unique in the micro-batch, ascending from 0."""
    member_ids: Tensor
    """[S] int64, number of the member in its group."""
    sample_ids: Tensor
    """[S] int64, index of the sample in the list that was packed: where results go back to."""
    reference_points: Tensor | None = None
    """[S] float32, `Sample.reference_point` of each sample."""
    turn_lengths: Tensor | None = None
    """[N] int64, trained-on tokens of the turn that sampled each prediction; None where nobody said."""

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)

    @property
    def num_predictions(self) -> int:
        return len(self.target_ids)

    @property
    def num_turns(self) -> int:
        """Number of turns with a prediction; 0 where nobody said which turn sampled what."""
        # Each token is one of its turn's.
        return 0 if self.turn_lengths is None else round(float((1 / self.turn_lengths.double()).sum()))

    def to(self, device: Any) -> Batch:
        """The same batch on another device."""
        moved = {
            f.name: value.to(device, non_blocking=True)
            for f in dataclasses.fields(self)
            if (value := getattr(self, f.name)) is not None
        }
        return dataclasses.replace(self, **moved)
