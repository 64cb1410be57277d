"""Scaffolds: what the world sees, what the model sees, and what becomes of the tokens."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from assay.batching import to_samples
from assay.engines.engine import Sampling
from assay.environments import Episode, EpisodeStep, check_episode, make_environment
from assay.environments.chain import Chain
from assay.errors import ConfigError
from assay.render import load_renderer
from assay.rollout import run_rollout
from assay.run.scaffolding import SCAFFOLD, Scaffolding
from assay.scaffolds import Notes, Plain, Plan, React, Reflect, Scaffold, make_scaffold
from assay.types import Group, Message, Rollout, Score, Task

NAMES = ("plain", "react", "plan", "reflect", "notes")
TASK = Task("echo", (Message("system", "Be brief."), Message("user", "Go.")), "x")


class Echo(Episode):
    """Says what it heard, and ends after `num_turns`."""

    def __init__(self, num_turns: int = 3) -> None:
        self.num_turns = num_turns
        self.heard: list[Message] = []
        self.num_closed = 0

    async def start(self) -> tuple[Message, ...]:
        return TASK.prompt

    async def step(self, message: Message) -> EpisodeStep:
        self.heard.append(message)
        if len(self.heard) == self.num_turns:
            return EpisodeStep(done=True)
        return EpisodeStep((Message("user", f"heard {message.content!r}"),), state=str(len(self.heard)))

    async def score(self) -> Score:
        return Score.solved(evidence=str(len(self.heard)))

    async def close(self) -> None:
        self.num_closed += 1


class Says:
    def __init__(self, *said: str) -> None:
        self._said = list(said)
        self.seen: list[list[Message]] = []

    def reply(self, messages, tools) -> Message:
        self.seen.append(list(messages))
        return Message("assistant", self._said.pop(0))


def play(scaffold: Scaffold, world: Echo, script: Says, renderer=None) -> Rollout:
    turns = scaffold.max_turns(world.num_turns)
    return asyncio.run(
        run_rollout(
            TASK,
            lambda task: scaffold.around(world, task),
            script,
            renderer,
            Sampling(),
            run_seed=0,
            group_id=0,
            member=0,
            max_turns=turns,
        )
    )


def heard(world: Echo) -> list[str]:
    return [message.content for message in world.heard]


def test_plain_changes_nothing() -> None:
    world = Echo()
    assert Plain().around(world, TASK) is world


def test_react_lets_the_world_see_the_action_alone() -> None:
    world, script = Echo(2), Says("Thought: hm\nAction: left", "no action", "Thought: Action: a trap\nACTION: right ")
    scaffold = React()
    script.seen = []
    rollout = asyncio.run(
        run_rollout(
            TASK,
            lambda task: scaffold.around(world, task),
            script,
            None,
            Sampling(),
            run_seed=0,
            group_id=0,
            member=0,
            max_turns=5,
        )
    )
    assert heard(world) == ["left", "right"]
    assert "Thought:" in script.seen[0][-1].content
    assert script.seen[1][-1].content == "Observation: heard 'left'"
    assert "Action:" in script.seen[2][-1].content  # it is told what was missing
    assert rollout.score == Score.solved(evidence="2")
    assert world.num_closed == 1


def test_react_passes_calls_of_tools_on() -> None:
    world = Echo(1)
    episode = React().around(world, TASK)
    call = {"type": "function", "function": {"name": "ls", "arguments": {}}}

    async def go() -> EpisodeStep:
        await episode.start()
        return await episode.step(Message("assistant", "I look.", (call,)))

    assert asyncio.run(go()).done
    assert world.heard == [Message("assistant", "I look.", (call,))]


def test_plan_shows_its_steps_and_ticks_them_off() -> None:
    world, script = Echo(2), Says("1. look\n2) act\nthat is all", "Done: 1\nleft", "right")
    play(Plan(), world, script)
    assert heard(world) == ["left", "right"]
    assert "[ ] 1. look\n[ ] 2. act" in script.seen[1][-1].content
    assert script.seen[2][-1].content == "heard 'left'\n\nYour plan:\n[x] 1. look\n[ ] 2. act"


def test_a_plan_of_no_steps_is_none() -> None:
    world, script = Echo(2), Says("I have no plan", "left", "right")
    play(Plan(), world, script)
    assert script.seen[2][-1].content == "heard 'left'"


def test_reflect_passes_on_what_is_said_after_the_check() -> None:
    world, script = Echo(2), Says("a", "b", "c", "d", "e", "f")
    play(Reflect(rounds=2), world, script)
    assert heard(world) == ["c", "f"]


def test_notes_stay_when_turns_leave_the_context() -> None:
    world, script = Echo(4), Says("note: key is red\nleft", "on", "Note: door shut\non", "on")
    rollout = play(Notes(last_turns=1), world, script)
    assert heard(world) == ["left", "on", "on", "on"]
    assert [message.role for message in script.seen[1]] == ["system", "user", "assistant", "user"]
    system, opening, said, told = script.seen[3]
    assert (system.content, said.content, told.content) == ("Be brief.", "Note: door shut\non", "heard 'on'")
    assert "Your notes:\n- key is red\n- door shut" in opening.content
    assert opening.content.endswith("heard 'on'")  # what the world said before the turn that is kept
    assert "left" not in "".join(message.content for message in script.seen[3])
    assert len(rollout.turns) == 4


def test_the_prompt_of_notes_does_not_grow_with_the_episode() -> None:
    script = Says(*["on"] * 40)
    play(Notes(last_turns=1), Echo(40), script)
    assert {len(seen) for seen in script.seen[2:]} == {4}
    assert len({sum(len(message.content) for message in seen) for seen in script.seen[2:]}) == 1


def test_turns_that_left_the_context_are_samples_of_their_own(tiny_model: Path) -> None:
    """Every token that the model said is trained on once, whatever the context of its turn."""
    renderer = load_renderer(tiny_model)
    rollout = play(Notes(last_turns=1), Echo(4), Says("Note: a\nb", "c", "d", "e"), renderer)
    assert [turn.extends_previous for turn in rollout.turns] == [False, True, False, False]
    samples = to_samples([Group(0, TASK, (rollout,), (Score.solved(),))])
    assert [sample.weight for sample in samples] == [1 / 3] * 3
    said = [renderer.parse(sample.token_ids[sample.loss_mask].tolist()).content for sample in samples]
    assert said == ["Note: a\nb", "d", "e"]  # the first sample holds two turns: parse stops at the first
    num_sampled = sum(int(sample.loss_mask.sum()) for sample in samples)
    assert num_sampled == rollout.num_sampled_tokens


@pytest.mark.parametrize("name", NAMES)
def test_an_episode_in_a_scaffold_keeps_the_promises_of_episodes(name: str) -> None:
    chain = Chain(horizon=3)
    task = next(chain.tasks("train"))
    asyncio.run(check_episode(make_scaffold(name).episodes(chain), task, max_turns=12))


@pytest.mark.parametrize("name", NAMES)
def test_messages_of_any_length_are_taken(name: str) -> None:
    async def go() -> None:
        episode = make_scaffold(name).around(Echo(3), TASK)
        await episode.start()
        for text in ("Note: x\n" * 50_000, "1. step\n" * 50_000, "Done: 1\n" * 50_000 + "Action:"):
            step = await episode.step(Message("assistant", text))
            assert step.done or sum(len(message.content) for message in step.messages) < 10 * len(text)

    asyncio.run(go())


def test_a_share_of_the_groups_has_the_scaffold_and_fades() -> None:
    chain = Chain()
    tasks = list(itertools.islice(chain.tasks("train"), 400))
    scaffolding = Scaffolding(Reflect(share=1.0, final_share=0.0), chain, seed=3, num_groups=400)
    marked = [SCAFFOLD in scaffolding.marked(tasks.__getitem__)(i).metadata for i in range(400)]
    early, late = sum(marked[:100]), sum(marked[-100:])
    assert early > 75
    assert late < 25
    assert 160 < sum(marked) < 240
    again = Scaffolding(Reflect(share=1.0, final_share=0.0), chain, seed=3, num_groups=400)
    assert [SCAFFOLD in again.marked(tasks.__getitem__)(i).metadata for i in range(400)] == marked
    assert scaffolding.marked(tasks.__getitem__)(0).task_id == tasks[0].task_id
    with_it, without = (scaffolding.marked(tasks.__getitem__)(marked.index(has)) for has in (True, False))
    assert scaffolding.turns(with_it) == 2 * scaffolding.turns(without) == 2 * chain.turns_of(with_it)
    assert not Reflect(final_share=0.0).stays
    assert Reflect().stays


def test_an_unknown_scaffold_is_named() -> None:
    with pytest.raises(ConfigError, match="plan"):
        make_scaffold("plam")


def test_a_call_before_the_plan_is_answered_and_not_carried_out() -> None:
    call = {"type": "function", "id": "c1", "function": {"name": "ls", "arguments": {}}}
    world, seen = Echo(1), []

    class Hasty:
        def reply(self, messages, tools) -> Message:
            seen.append(list(messages))
            return Message("assistant", "1. look", (call,) if len(seen) == 1 else ())

    play(Plan(), world, Hasty())  # pyright: ignore[reportArgumentType]
    assert heard(world) == ["1. look"], "the second message"
    answer, go = seen[1][-2:]
    assert (answer.role, answer.tool_call_id, answer.name) == ("tool", "c1", "ls")
    assert "a plan comes first" in answer.content
    assert go.content.startswith("Your plan:\n[ ] 1. look")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "plain"])
def test_nothing_goes_around_an_agent_that_asks_the_model_itself(name: str) -> None:
    served = make_environment("served", {"command": "python agent.py"})
    task = next(served.tasks("train"))
    with pytest.raises(ConfigError, match=r"ServedEpisode asks the model itself.*leave the scaffold out"):
        make_scaffold(name).episodes(served)(task)
