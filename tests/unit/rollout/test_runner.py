"""One rollout: how it goes, how it ends, and that nothing is left open."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from assay.endpoints import Reply
from assay.engines.engine import Sampling
from assay.environments.episode import Episode, EpisodeStep, SingleTurn
from assay.errors import ContextLengthError, DataError, EngineError, SandboxError
from assay.rollout import EpisodeLimits, run_rollout, world
from assay.scaffolds import Scaffolded
from assay.seeds import derive_seed
from assay.types import Ending, EndingKind, Message, Rollout, Score, Task, Tool

TASK = Task("test", (Message("user", "2+2?"),), "4")
SAMPLING = Sampling(max_new_tokens=8)
FINISHED = Ending(EndingKind.FINISHED)


@dataclass
class Chat(Episode):
    """Answers "again" to the first `num_turns` - 1 messages; fails where it is told to."""

    task: Task
    num_turns: int = 2
    reply: str = "again"
    fails_in: str = ""
    error: BaseException = field(default_factory=lambda: RuntimeError("the sandbox\ndied"))
    seen: list[str] = field(default_factory=list)
    num_closed: int = 0

    async def start(self) -> tuple[Message, ...]:
        self._maybe_fail("start")
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        self._maybe_fail("step")
        self.seen.append(message.content)
        if len(self.seen) == self.num_turns:
            return EpisodeStep(reward=1.0, done=True)
        return EpisodeStep((Message("user", self.reply),), reward=0.25) if self.reply else EpisodeStep()

    async def close(self) -> None:
        self.num_closed += 1
        self._maybe_fail("close")

    def _maybe_fail(self, where: str) -> None:
        if self.fails_in == where:
            raise self.error


def play(engine, renderer, env, *, max_turns=4, sampling=SAMPLING, task=TASK, **where):
    where = {"run_seed": 7, "group_id": 3, "member": 1, **where}
    return asyncio.run(run_rollout(task, lambda _: env, engine, renderer, sampling, max_turns=max_turns, **where))


def test_a_single_turn_task(engine, renderer):
    rollout = asyncio.run(run_rollout(TASK, SingleTurn, engine, renderer, SAMPLING, run_seed=7, group_id=3, member=1))
    (turn,) = rollout.turns
    assert rollout.ending == FINISHED
    assert (rollout.task_id, rollout.group_id, rollout.member) == (TASK.task_id, 3, 1)
    assert turn.new_token_ids == renderer.render(TASK.prompt)
    assert not turn.extends_previous
    assert turn.completion.token_ids[-1:] == renderer.stop_token_ids
    assert turn.message == Message("assistant", str(derive_seed(7, "request", 3, 1, 0) % 10))
    assert turn.env_messages == ()


NOW = Tool("now", "Tells the time.")
OFFERED = dataclasses.replace(TASK, tools=(NOW,))
CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


@pytest.mark.parametrize("around", [lambda episode: episode, Scaffolded])
def test_the_tools_of_a_task_are_told_and_calls_stay_in_the_answer(engine, renderer, around):
    engine = type(engine)(renderer, max_context=2000)  # the description of tools is long
    engine.answer = lambda prompt, seed: f"I look. {CALL}"
    sampling = SAMPLING.model_copy(update={"max_new_tokens": 200})
    rollout = play(engine, renderer, around(SingleTurn(OFFERED)), sampling=sampling, task=OFFERED)
    assert rollout.ending == FINISHED
    assert rollout.turns[0].new_token_ids == renderer.render(TASK.prompt, (NOW,))
    assert "Tells the time." in renderer.decode(rollout.turns[0].new_token_ids)
    assert rollout.response == f"I look. {CALL}"


def test_two_turns_append_to_what_was_sampled(engine, renderer):
    env = Chat(TASK)
    rollout = play(engine, renderer, env)
    first, second = rollout.turns
    assert rollout.ending == FINISHED
    assert env.seen == [first.message.content, second.message.content]
    assert first.env_messages == (Message("user", "again"),)
    assert (first.env_reward, second.env_reward) == (0.25, 1.0)
    assert second.extends_previous
    # The engine was shown exactly prompt + sampled + new, each request under its own id and seed.
    expected = (*first.new_token_ids, *first.completion.token_ids, *second.new_token_ids)
    assert engine.calls == [
        ("request/3/1/0", derive_seed(7, "request", 3, 1, 0), first.new_token_ids),
        ("request/3/1/1", derive_seed(7, "request", 3, 1, 1), expected),
    ]
    assert expected == renderer.render([*TASK.prompt, first.message, Message("user", "again")])
    assert env.num_closed == 1


def test_three_turns_keep_growing(engine, renderer):
    rollout = play(engine, renderer, Chat(TASK, num_turns=3))
    assert len(rollout.turns) == 3
    said = [m for turn in rollout.turns[:2] for m in (turn.message, *turn.env_messages)]
    assert engine.calls[2][2] == renderer.render([*TASK.prompt, *said])


def test_the_seed_label_keeps_an_evaluation_apart(engine, renderer):
    play(engine, renderer, Chat(TASK, num_turns=1), seed_label="evaluation")
    assert engine.calls[0][:2] == ("evaluation/3/1/0", derive_seed(7, "evaluation", 3, 1, 0))


def test_the_limit_of_turns(engine, renderer):
    env = Chat(TASK, num_turns=9)
    rollout = play(engine, renderer, env, max_turns=2)
    assert rollout.ending == Ending(EndingKind.TRUNCATED, "turns")
    assert len(rollout.turns) == 2
    assert len(env.seen) == 2


def test_a_completion_cut_at_the_token_limit_is_kept_and_never_acted_on(engine, renderer):
    engine.answer = lambda prompt, seed: "far too long"
    env = Chat(TASK)
    rollout = play(engine, renderer, env)
    assert rollout.ending == Ending(EndingKind.TRUNCATED, "length")
    assert rollout.response == "far too "
    assert env.seen == []
    assert env.num_closed == 1


def test_a_completion_cut_at_the_context_says_context(engine, renderer):
    engine.answer = lambda prompt, seed: "x" * 500
    rollout = play(engine, renderer, Chat(TASK), sampling=Sampling(max_new_tokens=1000))
    assert rollout.ending == Ending(EndingKind.TRUNCATED, "context")
    assert rollout.num_sampled_tokens == 400 - len(renderer.render(TASK.prompt))


def test_a_later_prompt_beyond_the_context_ends_the_rollout_with_what_was_said(engine, renderer):
    rollout = play(engine, renderer, Chat(TASK, reply="y" * 500))
    assert rollout.ending == Ending(EndingKind.TRUNCATED, "context")
    assert len(rollout.turns) == 1


def test_a_first_prompt_beyond_the_context_is_the_users_error_and_names_the_task(engine, renderer):
    task = Task("letters", (Message("user", "z" * 500),), "4")
    env = Chat(task)
    with pytest.raises(ContextLengthError, match=f"task {task.task_id} of 'letters' has 5[0-9][0-9] tokens"):
        play(engine, renderer, env, task=task)
    assert env.num_closed == 1
    task = dataclasses.replace(task, complexity=3, horizon=8)
    with pytest.raises(ContextLengthError, match=r"of 'letters' \(complexity 3, horizon 8\) has 5"):
        play(engine, renderer, Chat(task), task=task)


@pytest.mark.parametrize(("fails_in", "num_turns"), [("start", 0), ("step", 1)])
def test_an_environment_that_raises_breaks_the_rollout(engine, renderer, fails_in: str, num_turns: int):
    env = Chat(TASK, fails_in=fails_in)
    rollout = play(engine, renderer, env)
    assert rollout.ending == Ending(EndingKind.BROKEN, "WorldError: RuntimeError: the sandbox died", "environment")
    assert len(rollout.turns) == num_turns
    assert env.num_closed == 1


def test_an_environment_that_cannot_be_made_breaks_the_rollout(engine, renderer):
    def factory(task: Task):
        raise OSError("no space left")

    rollout = asyncio.run(run_rollout(TASK, factory, engine, renderer, SAMPLING, run_seed=0, group_id=0, member=0))
    assert rollout.ending == Ending(EndingKind.BROKEN, "WorldError: OSError: no space left", "environment")


def test_a_failure_to_close_is_logged_and_takes_nothing_away(engine, renderer, caplog):
    env = Chat(TASK, fails_in="close")
    rollout = play(engine, renderer, env)
    assert rollout.ending == FINISHED
    assert env.num_closed == 1
    assert "Chat did not close: RuntimeError: the sandbox died" in caplog.text


def test_an_environment_that_never_closes_is_left_behind(engine, renderer, caplog, monkeypatch):
    class Sticky(Chat):
        async def close(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(world, "CLOSE_TIMEOUT_SECONDS", 0.01)
    assert play(engine, renderer, Sticky(TASK)).ending == FINISHED
    assert "Sticky did not close: TimeoutError" in caplog.text


def test_an_error_for_a_person_passes_through(engine, renderer):
    env = Chat(TASK, fails_in="step", error=DataError("the gold answer is empty; repair the data"))
    with pytest.raises(DataError, match="repair the data"):
        play(engine, renderer, env)
    assert env.num_closed == 1


def test_an_environment_that_is_neither_done_nor_says_anything_breaks_the_rollout(engine, renderer):
    ending = play(engine, renderer, Chat(TASK, reply="")).ending
    assert (ending.kind, ending.boundary) == (EndingKind.BROKEN, "environment")
    assert "Chat.step answered no message and is not done" in ending.reason


class Answers(Chat):
    """Gives what a test says, right or wrong."""

    def __init__(self, step, score=None, tools=()):
        super().__init__(TASK)
        self._step, self._score, self._tools = step, score, tools

    @property
    def tools(self):
        return self._tools

    async def step(self, message):
        self.seen.append(message.content)
        return self._step

    async def score(self):
        return self._score


@pytest.mark.parametrize(
    ("world", "cause"),
    [
        (Answers(None), "step returned None"),
        (Answers(EpisodeStep("text")), "give a tuple of Message"),  # type: ignore[arg-type]
        (Answers(EpisodeStep((Message("user", "x" * 1_000_001),))), "characters at once; at most 1,000,000 are taken"),
        (Answers(EpisodeStep(reward=float("nan"), done=True)), "paid nan"),
        (Answers(EpisodeStep(done=True), score=1.0), "score returned 1.0"),
        (Answers(EpisodeStep(done=True), tools=("ls",)), "give a sequence of Tool"),
    ],
)
def test_what_an_environment_gives_wrong_breaks_the_rollout_and_says_so(engine, renderer, world, cause: str):
    ending = play(engine, renderer, world).ending
    assert (ending.kind, ending.boundary) == (EndingKind.BROKEN, "environment")
    assert cause in ending.reason
    assert world.num_closed == 1


def test_an_environment_that_hangs_breaks_the_rollout(engine, renderer):
    class Hangs(Chat):
        async def step(self, message):
            await asyncio.Event().wait()

    ending = play(engine, renderer, Hangs(TASK), limits=EpisodeLimits(step_timeout_seconds=0.01)).ending
    assert (ending.kind, ending.boundary) == (EndingKind.BROKEN, "environment")
    assert "Hangs.step did not answer in 0.01 seconds" in ending.reason


def test_a_timeout_of_the_environments_own_is_a_failure_of_its_own(engine, renderer):
    ending = play(engine, renderer, Chat(TASK, fails_in="step", error=TimeoutError("no lock"))).ending
    assert (ending.reason, ending.boundary) == ("WorldError: TimeoutError: no lock", "environment")


def test_a_failure_names_the_boundary_it_crossed(engine, renderer):
    ending = play(engine, renderer, Chat(TASK, fails_in="step", error=SandboxError("no namespace"))).ending
    assert (ending.reason, ending.boundary) == ("SandboxError: no namespace", "sandbox")


def test_the_limit_of_an_episodes_tokens_holds_over_turns(engine, renderer):
    whole = play(engine, renderer, Chat(TASK, num_turns=4))
    first = len(whole.turns[0].completion.token_ids)
    rollout = play(engine, renderer, Chat(TASK, num_turns=4), limits=EpisodeLimits(max_tokens=first))
    assert rollout.ending == Ending(EndingKind.TRUNCATED, "tokens")
    assert rollout.num_sampled_tokens == first
    cut = play(engine, renderer, Chat(TASK, num_turns=4), limits=EpisodeLimits(max_tokens=first + 1))
    assert cut.num_sampled_tokens == first + 1
    assert cut.ending == Ending(EndingKind.TRUNCATED, "tokens")


def test_the_limit_of_turns_in_a_recipe_goes_before_the_environments(engine, renderer):
    rollout = play(engine, renderer, Chat(TASK, num_turns=4), max_turns=4, limits=EpisodeLimits(max_turns=1))
    assert (len(rollout.turns), rollout.ending) == (1, Ending(EndingKind.TRUNCATED, "turns"))


def test_the_limit_of_the_context_ends_the_episode(engine, renderer):
    whole = play(engine, renderer, Chat(TASK, num_turns=3))
    used = len(whole.turns[0].new_token_ids) + len(whole.turns[0].completion.token_ids)
    rollout = play(engine, renderer, Chat(TASK, num_turns=3), limits=EpisodeLimits(max_context=used + 1))
    assert rollout.ending == Ending(EndingKind.TRUNCATED, "context")
    assert len(rollout.turns) == 1


def test_time_that_is_up_truncates_what_was_said_until_then(engine, renderer):
    engine.delay = lambda request_id: 10**9 if request_id.endswith("/1") else 1
    rollout = play(engine, renderer, Chat(TASK), limits=EpisodeLimits(max_seconds=0.2))
    assert rollout.ending == Ending(EndingKind.TRUNCATED, "time")
    assert len(rollout.turns) == 1
    assert engine.aborted == ["request/3/1/1"]


def test_an_episode_says_what_it_earned_also_when_it_was_truncated(engine, renderer):
    earned = Score.solved(0.5)
    world = Answers(EpisodeStep((Message("user", "more"),), state="s1"), score=earned)
    rollout = play(engine, renderer, world, max_turns=2)
    assert rollout.ending == Ending(EndingKind.TRUNCATED, "turns")
    assert rollout.score == earned
    assert [turn.state for turn in rollout.turns] == ["", "s1"]
    assert Rollout.from_dict(json.loads(json.dumps(rollout.to_dict()))) == rollout


class Counts:
    """A script that says how many messages it has seen."""

    def reply(self, messages, tools):
        return Message("assistant", str(len(messages)))


def test_a_script_plays_as_text_and_as_tokens(renderer):
    as_text = play(Counts(), None, Chat(TASK))
    assert [turn.message.content for turn in as_text.turns] == ["1", "3"]
    as_tokens = play(Counts(), renderer, Chat(TASK))
    assert [turn.message for turn in as_tokens.turns] == [turn.message for turn in as_text.turns]
    for turn in as_tokens.turns:
        assert renderer.parse(turn.completion.token_ids) == turn.message
    assert as_tokens.turns[1].extends_previous


def test_a_failed_request_is_tried_once_more_with_the_same_seed(engine, renderer):
    engine.failure = lambda request_id, attempt: EngineError("a worker died") if attempt == 0 else None
    rollout = play(engine, renderer, Chat(TASK, num_turns=1))
    assert rollout.ending == FINISHED
    first, second = engine.calls
    assert first == second


def test_an_engine_that_fails_twice_breaks_the_rollout(engine, renderer):
    engine.failure = lambda request_id, attempt: EngineError("a worker died") if request_id.endswith("/1") else None
    rollout = play(engine, renderer, Chat(TASK))
    assert rollout.ending == Ending(EndingKind.BROKEN, "EngineError: a worker died", "engine")
    assert len(rollout.turns) == 1
    assert len(engine.calls) == 3


def test_a_request_that_the_engine_gave_up_breaks_the_rollout(engine, renderer):
    engine.gives_up = True
    rollout = play(engine, renderer, Chat(TASK))
    assert rollout.ending == Ending(EndingKind.BROKEN, "the engine gave the request up", "engine")


def test_cancelling_takes_the_request_back_and_closes_the_environment(engine, renderer):
    engine.delay = lambda request_id: 10**9
    env = Chat(TASK)

    async def cancel() -> None:
        work = asyncio.create_task(
            run_rollout(TASK, lambda _: env, engine, renderer, SAMPLING, run_seed=0, group_id=5, member=2)
        )
        while not engine.under_way:
            await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(cancel())
    assert engine.aborted == ["request/5/2/0"]
    assert engine.under_way == set()
    assert env.num_closed == 1


# ---- a responder in the engine's place ----


@dataclass
class Echo:
    """Says how many messages it was shown, and the last of them."""

    reply: Reply = field(default_factory=lambda: Reply("?", output_tokens=3))
    seen: list[tuple[str, int, int]] = field(default_factory=list)

    async def respond(self, messages, sampling, *, request_id, seed):
        self.seen.append((request_id, seed, len(messages)))
        return dataclasses.replace(self.reply, text=f"{len(messages)} {messages[-1].content}")

    async def close(self) -> None:
        return None


def respond(echo: Echo, **options) -> Rollout:
    chat = options.pop("chat", Chat(TASK))
    options = {"run_seed": 5, "group_id": 2, "member": 1, "max_turns": 3, **options}
    return asyncio.run(run_rollout(TASK, lambda task: chat, echo, None, SAMPLING, **options))


def test_a_responder_plays_turns_in_text():
    echo = Echo()
    rollout = respond(echo)
    assert [turn.message.content for turn in rollout.turns] == ["1 2+2?", "3 again"]
    assert rollout.ending == FINISHED
    assert (rollout.num_tokens, rollout.num_sampled_tokens) == (6, 0), "known, and not to be trained on"
    expected = [(f"request/2/1/{turn}", derive_seed(5, "request", 2, 1, turn), 2 * turn + 1) for turn in (0, 1)]
    assert echo.seen == expected


@pytest.mark.parametrize(
    ("reply", "response"),
    [
        (Reply("I look.", remark="tool_calls", tool_calls=({"id": "1", "name": "now", "arguments": "{}"},)), CALL),
        (Reply(CALL), CALL),
        (Reply("It is noon."), "It is noon."),
    ],
)
def test_calls_that_a_server_took_apart_are_text_of_a_single_turn(reply: Reply, response: str):
    offered = []

    class Server(Echo):
        async def respond(self, messages, sampling, *, request_id, seed, tools=()):
            offered.extend(tools)
            return reply

    rollout = asyncio.run(run_rollout(OFFERED, SingleTurn, Server(), None, SAMPLING, run_seed=5, group_id=2, member=1))
    assert (rollout.ending, offered) == (FINISHED, [NOW])
    assert rollout.response == (f"I look.\n{response}" if reply.tool_calls else response)


@pytest.mark.parametrize(
    ("reply", "ending"),
    [
        (Reply("", "length", output_tokens=8), Ending(EndingKind.TRUNCATED, "length")),
        (Reply("", "length"), Ending(EndingKind.TRUNCATED, "length")),
        (Reply("", "length", output_tokens=7), Ending(EndingKind.TRUNCATED, "context")),
        (Reply("", "length", "content_filter"), Ending(EndingKind.TRUNCATED, "content_filter")),
        (Reply("", "stop", "refusal"), Ending(EndingKind.FINISHED, "refusal")),
    ],
)
def test_how_a_responder_ends(reply: Reply, ending: Ending):
    assert respond(Echo(reply), chat=Chat(TASK, num_turns=1)).ending == ending


def test_tokens_of_which_some_are_unknown_are_unknown():
    assert respond(Echo(Reply("", output_tokens=None))).num_tokens is None


def test_an_engine_needs_a_renderer(engine):
    with pytest.raises(ValueError, match="needs a renderer"):
        asyncio.run(run_rollout(TASK, SingleTurn, engine, None, SAMPLING, run_seed=0, group_id=0, member=0))


@pytest.mark.parametrize("turns", [0, -1, None, math.nan, 2.0, "3", 1 << 70])
def test_a_limit_of_turns_that_is_none_breaks_the_rollout(engine, renderer, turns: Any):
    env = Chat(TASK)
    rollout = play(engine, renderer, env, max_turns=lambda task: turns)
    if isinstance(turns, int) and turns > 0:
        assert rollout.ending == FINISHED
        return
    assert (rollout.ending.kind, rollout.ending.boundary) == (EndingKind.BROKEN, "environment")
    assert f"the turns of the task are {turns!r}" in rollout.ending.reason
    assert env.seen == []


def test_a_limit_of_turns_that_raises_breaks_the_rollout(engine, renderer):
    rollout = play(engine, renderer, Chat(TASK), max_turns=lambda task: 1 // 0)
    assert (rollout.ending.kind, rollout.ending.boundary) == (EndingKind.BROKEN, "environment")
    assert "ZeroDivisionError" in rollout.ending.reason
