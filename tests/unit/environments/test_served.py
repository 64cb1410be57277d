"""Rollouts that agents' own programs play: what they ask becomes turns, and what they do wrong has a name."""

from __future__ import annotations

import asyncio
import io
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.components import source_hashes
from assay.config import load
from assay.engines import Sampling
from assay.environments import check_environment, check_episode, make_environment
from assay.environments.served import Served
from assay.environments.served.agent import TAIL_BYTES, Agent, command_line, environment_of
from assay.environments.served.episode import _Silence
from assay.errors import ConfigError, ContractError
from assay.host import Host
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.recipe import RunConfig
from assay.render import ChatRenderer, load_renderer
from assay.rollout import run_rollout
from assay.rollout.collector import _with_suspects_failed
from assay.rollout.limits import EpisodeLimits
from assay.seeds import derive_seed
from assay.types import Ending, EndingKind, Rollout, Score, Verdict
from assay.verifiers import score_rollout
from gateway_service import Service

AGENT = """
import json, os, sys, time, urllib.error, urllib.request

def post(url, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]})
    try:
        return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error:
        return json.load(error)

def ask(*messages, **options):
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(messages)]
    answer = post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", {"messages": messages, **options})
    return answer["choices"][0]["message"]["content"] if "choices" in answer else answer["error"]["code"]

def report(reward, **more):
    return post(os.environ["ASSAY_REWARD_URL"], {"reward": reward, **more})

task = json.load(sys.stdin)
assert task == json.load(open(os.environ["ASSAY_TASK_FILE"]))
"""


@pytest.fixture(scope="module")
def renderer(tiny_model: Path) -> ChatRenderer:
    return load_renderer(tiny_model)


class Play:
    """Plays rollouts of an agent whose program is written down here."""

    def __init__(self, folder: Path, renderer: ChatRenderer) -> None:
        self.folder = folder
        self.service = Service(renderer)

    def environment(self, program: str, **options: Any) -> Served:
        (self.folder / "agent.py").write_text(AGENT + program)
        return Served(command="python -S agent.py", folder=str(self.folder), **options)

    def __call__(
        self, program: str, *, limits: EpisodeLimits | None = None, num_rollouts: int = 1, **options: Any
    ) -> Any:
        environment = self.environment(program, **options)
        task = next(environment.tasks("train"))

        async def play() -> list[tuple[Rollout, Any]]:
            async with Host():
                rollouts = await asyncio.gather(
                    *(
                        run_rollout(
                            task,
                            environment.episode,
                            self.service.engine,
                            self.service.renderer,
                            self.service.sampling,
                            run_seed=3,
                            group_id=1,
                            member=index,
                            max_turns=environment.max_turns,
                            limits=limits or EpisodeLimits(),
                        )
                        for index in range(num_rollouts)
                    )
                )
                verifier = environment.rewards["strict"]
                return [(rollout, await score_rollout(verifier, rollout, task)) for rollout in rollouts]

        played = asyncio.run(play())
        return played[0] if num_rollouts == 1 else played


@pytest.fixture
def play(tmp_path: Path, renderer: ChatRenderer) -> Play:
    return Play(tmp_path, renderer)


def test_an_agents_requests_are_the_turns_and_its_report_the_score(play: Play) -> None:
    play.service.answer = lambda prompt: "eight" if "sure" in prompt else "seven"
    rollout, score = play(
        """
first = ask("2+5?")
second = ask("2+5?", first, "sure?", temperature=0.0)
report(0.75, solved=True, reason=first + " " + second, parts={"speed": 0.5})
"""
    )
    assert (rollout.ending.kind, rollout.ending.reason) == (EndingKind.FINISHED, "")
    assert [turn.message.content for turn in rollout.turns] == ["seven", "eight"]
    assert [turn.extends_previous for turn in rollout.turns] == [False, True]
    assert [(name, seed) for name, _, seed in play.service.engine.requests] == [
        (f"request/1/0/{turn}", derive_seed(3, "request", 1, 0, turn)) for turn in range(2)
    ]
    assert (score.verdict, score.value, score.reason) == (Verdict.SOLVED, 0.75, "seven eight")
    assert score.parts == {"speed": 0.5}
    assert score.evidence == "overruled sampling x1"
    assert rollout.score == score


def test_many_agents_at_once_keep_to_themselves(play: Play) -> None:
    play.service.answer = lambda prompt: prompt.partition("<|im_end|>")[0][-1:]
    played = play(
        """
number = str(os.getpid() % 10)
report(1.0 if ask(number) == number else 0.0)
""",
        num_rollouts=6,
        max_processes=3,
    )
    assert [(len(rollout.turns), score.value) for rollout, score in played] == [(1, 1.0)] * 6


def test_what_an_agent_does_wrong_with_its_report_is_counted_and_a_good_one_counts(play: Play) -> None:
    rollout, score = play(
        """
ask("a")
assert post(os.environ["ASSAY_REWARD_URL"], b'{"reward": NaN}')["error"]["code"] == "invalid_reward"
other = os.environ["ASSAY_REWARD_URL"].replace("/sessions/", "/sessions/x")
assert post(other, {"reward": 1.0})["error"]["code"] == "unknown_session"
report(0.5)
assert report(1.0)["error"]["code"] == "already_reported"
"""
    )
    assert (rollout.ending.kind, score.value) == (EndingKind.FINISHED, 0.5)
    assert score.evidence == "refused: already_reported x1, refused: invalid_reward x1"


def test_an_agent_that_dies_breaks_the_rollout_and_says_with_what(play: Play) -> None:
    rollout, score = play('ask("a"); print("x" * 3_000_000); sys.exit("no such file")')
    assert (rollout.ending.kind, rollout.ending.boundary) == (EndingKind.BROKEN, "environment")
    assert "exit code 1" in rollout.ending.reason
    assert not score.measured
    assert len(rollout.turns) == 1
    assert rollout.score is not None
    assert rollout.score.suspected == 0.0, "the model had spoken"
    rollout, _ = play("sys.exit(3)")
    assert rollout.score is None
    assert "exit code 3 and had asked nothing" in rollout.ending.reason


def test_what_the_models_answer_did_to_an_agent_can_be_worth_a_reward(play: Play) -> None:
    rollout, score = play('json.loads(ask("a"))', unreported=-1.0)
    assert (rollout.ending.kind, rollout.ending.reason) == (EndingKind.FINISHED, "exit code 1")
    assert (score.verdict, score.value, score.reason) == (Verdict.FAILED, -1.0, "unreported")
    assert score.evidence == "the agent ended with exit code 1 and reported no reward"
    rollout, score = play("sys.exit(1)", unreported=-1.0)
    assert rollout.ending.kind is EndingKind.BROKEN, "the model had said nothing yet"
    rollout, score = play('ask("a")')
    assert (rollout.ending.kind, rollout.ending.reason) == (EndingKind.FINISHED, "no report")
    assert (score.measured, score.reason) == (False, "the agent ended with exit code 0 and reported no reward")


def test_a_reward_without_a_word_of_the_model_is_not_measured(play: Play) -> None:
    rollout, score = play("report(1.0)")
    assert rollout.ending.kind is EndingKind.BROKEN
    assert "had asked nothing" in rollout.ending.reason
    assert not score.measured


def test_an_agent_that_falls_silent_is_cut_off(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    after = _Silence.after

    def after_its_start(silence: _Silence, seconds: float) -> float:
        return after(silence, seconds if silence._session.num_asked else 0.0)

    with monkeypatch.context() as patched:
        patched.setattr(_Silence, "after", after_its_start)  # or a busy machine starts it in more than 0.4 s
        rollout, score = play('ask("a"); time.sleep(600)', idle_seconds=0.4)
    assert (rollout.ending.kind, rollout.ending.reason) == (EndingKind.TRUNCATED, "time")
    assert not score.measured
    assert "asked nothing for 0.4 seconds" in score.reason
    rollout, _ = play("time.sleep(600)", idle_seconds=0.4)
    assert rollout.ending.kind is EndingKind.BROKEN
    assert "it printed nothing" in rollout.ending.reason


def test_limits_of_the_episode_end_it_and_what_was_earned_may_be_reported(play: Play) -> None:
    greedy = """
code = "seven"
while code != "session_over":
    code = ask("a")
report(0.5, reason=code)
"""
    rollout, score = play(greedy, limits=EpisodeLimits(max_turns=3))
    assert (rollout.ending.kind, rollout.ending.reason) == (EndingKind.TRUNCATED, "turns")
    assert len(rollout.turns) == 3
    assert (score.value, score.reason) == (0.5, "session_over")
    rollout, score = play(greedy, turns=2)
    assert len(rollout.turns) == 2
    rollout, score = play(greedy, limits=EpisodeLimits(max_tokens=7))
    assert (rollout.ending.reason, rollout.num_sampled_tokens) == ("tokens", 7)
    deaf = 'ask("a"); ask("a"); time.sleep(600)'
    rollout, score = play(deaf, limits=EpisodeLimits(max_turns=1), grace_seconds=0.2)
    assert (rollout.ending.reason, score.measured) == ("turns", False)


def test_a_rollout_longer_than_its_time_is_cut_off(play: Play) -> None:
    rollout, score = play(
        'report(0.25) if ask("a") == "never" else time.sleep(600)', limits=EpisodeLimits(max_seconds=2.0)
    )
    assert (rollout.ending.kind, rollout.ending.reason) in (
        (EndingKind.TRUNCATED, "time"),
        (EndingKind.BROKEN, "WorldError: the episode asked nothing in its 2 seconds"),  # on a machine that is busy
    )
    assert not score.measured


def test_an_engine_that_fails_breaks_the_rollout(play: Play) -> None:
    play.service.engine.failures = 2
    rollout, _ = play('ask("a"); time.sleep(600)')
    assert (rollout.ending.kind, rollout.ending.boundary) == (EndingKind.BROKEN, "engine")


def test_a_cancelled_rollout_leaves_no_process(play: Play) -> None:
    written = 'open("begun", "w").write(str(os.getpid())); os.rename("begun", "pid"); '
    environment = play.environment(f"{written}time.sleep(600)")
    task = next(environment.tasks("train"))

    async def cancelled() -> None:
        async with Host():
            service = play.service
            rollout = asyncio.create_task(
                run_rollout(
                    *(task, environment.episode, service.engine, service.renderer, Sampling()),
                    run_seed=0,
                    group_id=0,
                    member=0,
                )
            )
            while not (play.folder / "pid").exists():
                await asyncio.sleep(0.01)
            rollout.cancel()
            await asyncio.gather(rollout, return_exceptions=True)

    asyncio.run(cancelled())
    assert not Path(f"/proc/{(play.folder / 'pid').read_text()}").exists()


def test_an_agent_sees_its_own_interpreter_and_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("PATH", "/usr/bin")
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    seen = environment_of(str(python), {"A": "1"})
    assert "PYTHONPATH" not in seen
    assert (seen["VIRTUAL_ENV"], seen["PATH"], seen["A"]) == (str(tmp_path / "venv"), f"{python.parent}:/usr/bin", "1")
    assert environment_of(None, {})["PYTHONPATH"] == "/ours"
    assert command_line("python agent.py 'a b'", str(python)) == [str(python), "agent.py", "a b"]
    assert command_line("python agent.py", None)[0] == sys.executable


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"command": "python 'agent.py"}, "cannot be split"),
        ({"command": "  "}, "an agent needs a command"),
        ({"command": "no-such-program"}, "there is no program 'no-such-program'"),
        ({"command": "python agent.py", "python": "/no/python"}, "there is no program '/no/python'"),
        ({"command": "./agent", "python": "/no/python"}, "has no effect"),
        ({"command": "python agent.py", "folder": "/no/folder"}, "is no folder"),
    ],
)
def test_what_cannot_be_started_says_what_to_set(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        next(make_environment("served", options).tasks("train"))


def test_an_agent_lies_beside_its_recipe_and_a_changed_one_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent.py").write_text("first")
    recipe = tmp_path / "agent.toml"
    recipe.write_text('environment = { name = "served", command = "python agent.py", folder = "." }')
    config = load(RunConfig, recipe)
    assert isinstance(config.environment, Served)
    assert config.environment.folder == str(tmp_path)
    (before,) = source_hashes(config).items()
    (tmp_path / "agent.py").write_text("second")
    (after,) = source_hashes(config).items()
    assert before[0] == after[0]
    assert before[1] != after[1]
    monkeypatch.chdir(tmp_path)
    assert Served(command="python agent.py").folder == str(tmp_path), "found again by a run that is resumed elsewhere"


def test_the_output_of_an_agent_is_bounded(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_text("input")

    async def printed() -> Agent:
        words = shlex.split(f"{sys.executable} -S -c 'print(\"a\" * 10**6 + input())'")
        agent = await Agent.start(words, {}, tmp_path, given)
        assert await agent.wait() == 0
        said = agent.said
        assert said.endswith("aaainput")
        assert len(said) <= TAIL_BYTES
        await agent.stop()
        await agent.stop()
        return agent

    assert asyncio.run(printed()).num_printed == 10**6 + 6


def test_tasks_are_numbers_or_those_of_another_environment() -> None:
    numbers = Served(command="python agent.py", num_tasks=20)
    asyncio.run(check_environment(numbers))
    assert len(list(numbers.tasks("train"))) == 20
    sums = Served(command="python agent.py", of={"name": "arithmetic"})  # pyright: ignore[reportArgumentType]
    assert sums.levels() == make_environment("arithmetic").levels()
    assert next(sums.tasks("train")).domain == "served"
    asyncio.run(check_environment(sums, levels=[(2, 1)]))
    assert json.loads(json.dumps(sums.plain()))["of"]["name"] == "arithmetic"


def test_agents_are_checked_with_hostile_answers(play: Play) -> None:
    def check(program: str, **options: Any) -> None:
        environment = play.environment(program, **options)
        asyncio.run(check_episode(environment.episode, next(environment.tasks("train")), responses=("",)))

    check('report(float(len(ask("a")) > 3))')
    with pytest.raises(ContractError, match=r"failed on the response '': .*exit code 1.*must not break it"):
        check('report(json.loads(ask("a")))')
    check('report(json.loads(ask("a")))', unreported=0.0)
    with pytest.raises(ContractError, match="asked the model nothing"):
        check("report(1.0)")


def test_the_command_that_checks_environments_checks_agents(play: Play) -> None:
    environment = play.environment('report(1.0 if ask("a") == "b" else 0.0)')
    options = ["--set", f"command={environment.command}", "--set", f"folder={environment.folder}"]
    shown = CliRunner().invoke(app, ["check", "env", "served", "--num-tasks", "5", *options], catch_exceptions=False)
    assert "levels, splits and episodes keep their promises" in shown.output


CHOOSY = """
said = ask("a")
if sum(map(ord, said)) % 2:
    sys.exit("cannot read that")
report(0.5)
"""


def test_an_agent_that_fails_on_some_answers_alone_earns_nothing_on_those(
    play: Play, tiny_model: Path, tmp_path: Path
) -> None:
    """What the model says decides whether the agent fails: left out, such answers would never be unlearned."""
    play.environment(CHOOSY)
    data = {
        "environment": {"name": "served", "command": "python -S agent.py", "folder": str(tmp_path), "num_tasks": 40},
        "model": {"source": str(tiny_model), "compute_dtype": "fp32", "device": "cpu"},
        "sampling": {"max_new_tokens": 4},
        "evaluation": {"every_steps": 0, "validation_tasks": 1, "test_tasks": 0},
        "num_steps": 1,
        "groups_per_step": 4,
        "group_size": 4,
        "rollout_retries": 1,
        "max_left_out_share": 1.0,
        "num_threads": 1,
    }
    run = build_run(load(RunConfig, data), tmp_path / "run", console=Console(stream=io.StringIO(), live=False))
    assert asyncio.run(train(run)).status == "finished"
    with RunStore.open_readonly(tmp_path / "run") as store:
        earned = {(each.ending, each.verdict, each.reason) for each in store.outcomes()}
    assert ("finished", "failed", "unreported") in earned
    assert {each for each in earned if each[0] == "broken"} == set(), "four attempts fail together one time in sixteen"


def test_a_suspect_counts_only_beside_a_sibling_that_was_measured() -> None:
    def rollout(member: int, *, broken: bool, suspected: float | None = 0.0) -> Rollout:
        ending = Ending(EndingKind.BROKEN, "died", "environment") if broken else Ending(EndingKind.TRUNCATED, "time")
        return Rollout("t", 0, member, (), ending, Score.not_measured("silent", suspected=suspected))

    suspects = tuple(rollout(member, broken=member == 1) for member in range(3))
    unmeasured = tuple(Score.not_measured("silent") for _ in suspects)
    assert _with_suspects_failed(suspects, unmeasured) == (suspects, unmeasured), "nobody can tell"
    good, clear = Rollout("t", 0, 3, (), Ending(EndingKind.FINISHED)), rollout(4, broken=True, suspected=None)
    rollouts, scores = _with_suspects_failed(
        (*suspects, good, clear), (*unmeasured, Score.solved(), Score.not_measured("died"))
    )
    assert [(score.verdict, score.value) for score in scores[:3]] == [(Verdict.FAILED, 0.0)] * 3
    assert scores[0] == Score.failed("unreported", evidence="silent")
    assert [each.ending.kind for each in rollouts[:3]] == [
        EndingKind.TRUNCATED,
        EndingKind.FINISHED,
        EndingKind.TRUNCATED,
    ]
    assert (rollouts[3:], scores[3:]) == ((good, clear), (Score.solved(), Score.not_measured("died")))


def test_only_what_was_not_measured_is_suspected() -> None:
    score = Score.not_measured("silent", suspected=0.0)
    assert Score.from_dict(score.to_dict()) == score
    assert "suspected" not in Score.not_measured("silent").to_dict()
    for wrong in (lambda: Score.failed(suspected=0.0), lambda: Score.not_measured("x", suspected=float("nan"))):
        with pytest.raises(ValueError, match="suspected value"):
            wrong()


FAULTY = """
way = task["metadata"]["number"] % 4
if way == 0:
    sys.exit("dies at once")
said = ask("a")
if way == 1:
    report("nonsense")
elif way == 2:
    post(os.environ["ASSAY_REWARD_URL"], b'{"reward": Infinity}')
    report(0.5)
else:
    ask("a", n=3)
    report(1.0)
"""


def test_a_run_goes_on_past_faulty_agents_and_shows_what_they_did(play: Play, tiny_model: Path, tmp_path: Path) -> None:
    play.environment(FAULTY)
    data = {
        "environment": {"name": "served", "command": "python -S agent.py", "folder": str(tmp_path), "num_tasks": 40},
        "model": {"source": str(tiny_model), "compute_dtype": "fp32", "device": "cpu"},
        "sampling": {"max_new_tokens": 4},
        "evaluation": {"validation_tasks": 4, "test_tasks": 4},
        "num_steps": 2,
        "groups_per_step": 4,
        "group_size": 2,
        "rollout_retries": 1,
        "num_threads": 1,
    }
    run = build_run(load(RunConfig, data), tmp_path / "run", console=Console(stream=io.StringIO(), live=False))
    assert asyncio.run(train(run)).status == "finished"
    with RunStore.open_readonly(tmp_path / "run") as store:
        earned = {(each.ending, each.verdict, each.reason[:40]) for each in store.outcomes()}
    assert ("broken", "not_measured", "WorldError: the agent ended with exit co") in earned
    assert ("finished", "not_measured", "the agent ended with exit code 0 and rep") in earned
    assert {verdict for _, verdict, _ in earned} >= {"failed", "solved"}
    shown = (
        CliRunner()
        .invoke(app, ["show", str(tmp_path / "run"), "--rollouts", "--limit", "100"], env={"COLUMNS": "300"})
        .output
    )
    assert "refused: invalid_reward x1" in shown
    assert "refused: unsupported_value x1" in shown
    assert "dies at once" in shown
