"""TextArena itself: what it does that would mislead a run, and that it does not here."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.real import play, run_raw, said, use_adapter
from assay.adapters import adapter_server
from assay.environments import check_environment, check_episode, make_environment
from assay.environments.adapted import worker_of
from assay.environments.textarena import TextArena
from assay.errors import AdapterError, DataError
from assay.types import Message, Task, Verdict

NUM_THAT_START = 73


@pytest.fixture(autouse=True, scope="module")
def installed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        use_adapter("textarena", patch)
        yield


def game(name: str, **options: Any) -> tuple[TextArena, Task]:
    environment = TextArena(game=name, **options)
    for split in ("train", "validation", "test"):
        try:
            return environment, next(environment.tasks(split))
        except DataError:
            continue
    raise AssertionError(name)


def hidden_number(environment: TextArena, task: Task) -> int:
    low, high = 1, 20
    while True:
        middle = (low + high) // 2
        steps, _ = play(environment, task, [f"[{middle}]"])
        if steps[-1].done:
            return middle
        low, high = (low, middle - 1) if "lower" in said(steps[-1]) else (middle + 1, high)


def test_a_solved_game() -> None:
    environment, task = game("TowerOfHanoi-v0")
    steps, score = play(environment, task, ["[A C]", "[A B]", "[C B]", "[A C]", "[B A]", "[B C]", "[A C]"])
    assert steps[-1].done
    assert not any(step.done for step in steps[:-1])
    assert [step.reward for step in steps] == [None] * 7
    assert score is not None
    assert (score.verdict, score.value, score.parts) == (Verdict.SOLVED, 1.0, {"turns": 7.0, "paid": 1.0})


def test_a_reply_with_several_moves_is_not_played() -> None:
    """The package goes on after an illegal move: the second of these is one, and the third is carried out."""
    moves = "[A B] [A B] [A C]"
    raw = run_raw(
        "textarena",
        f"""
import textarena
env = textarena.make("TowerOfHanoi-v0-raw")
env.reset(num_players=1, seed=1)
env.step({moves!r})
print(env.state.game_state["towers"], env.state.error_count)
""",
    )
    assert raw.startswith("{'A': [3], 'B': [1], 'C': [2]}")
    environment, task = game("TowerOfHanoi-v0")
    (refused, played), _ = play(environment, task, [moves, "[A B]"])
    assert "Your reply has 2 moves: [A B], [A C]" in said(refused)
    assert "B: [1]\nC: []" in said(played), "nothing was played before"
    (thought,), _ = play(environment, task, ["<think>[A C]? No.</think> [A B]"])
    assert "B: [1]\nC: []" in said(thought)
    lenient, _ = game("TowerOfHanoi-v0", several_moves="last")
    (last,), _ = play(lenient, task, [moves])
    assert "B: []\nC: [1]" in said(last)


def test_kuhn_poker_begins_with_player_1_and_ends_when_it_ends() -> None:
    raw = run_raw(
        "textarena",
        """
import textarena
env = textarena.make("KuhnPoker-v0-raw", max_rounds=1)
env.reset(num_players=2, seed=3)
print(env.get_observation()[0])
env.step("[check]")
done, _ = env.step("[bet]")
done, _ = env.step("[fold]")
print(done, env.state.game_state["player_chips"], env.close()[0])
print(env.get_observation()[1][-2:])
""",
    ).splitlines()
    assert raw[0] == "1"
    assert raw[1] == "True {0: 0, 1: -2} {0: 1, 1: -1}", "the ante of a round that is not played was taken"
    assert "Starting round 2 out of 1" in raw[2]
    environment, task = game("KuhnPoker-v0", options={"max_rounds": 1}, identity="seed", pays="game")
    assert "[Player 1]" in task.prompt[0].content, "player 1 has moved before player 0 is asked"
    asked = 0
    for task in itertools.islice(environment.tasks("train"), 12):
        steps, score = play(environment, task, ["[check]", "[fold]"])
        if not steps[-1].done or score is None or not score.measured:
            continue
        asked += 1
        assert not steps[-1].messages, "of the further round nothing is shown"
        assert score.value in (-1.0, 1.0)
        assert (score.verdict is Verdict.SOLVED) == (score.value == 1.0)
        assert f"Player {0 if score.value == 1 else 1} won" in score.evidence
    assert asked >= 6
    _, theirs = game("KuhnPoker-v0", options={"max_rounds": 1}, identity="seed", seat=1)
    assert "[Player 0]" not in theirs.prompt[0].content
    assert "You are Player 1" in theirs.prompt[0].content


def test_an_environment_that_is_used_again_shows_nothing_of_before() -> None:
    raw = run_raw(
        "textarena",
        """
import textarena
env = textarena.make("GuessTheNumber-v0")
for _ in range(2):
    env.reset(num_players=1, seed=1)
    print(env.get_observation()[1].count("You are playing Guess The Number"))
    env.step("[3]")
""",
    )
    assert raw.split() == ["1", "2"]
    environment, task = game("GuessTheNumber-v0")
    for _ in range(2):
        steps, _ = play(environment, task, ["[3]", "[4]"])
        assert "Guess The Number" not in said(steps[0])
        assert task.prompt[0].content.count("You are playing Guess The Number") == 1


def test_a_win_after_the_turns_that_the_prompt_grants_is_none() -> None:
    environment, task = game("GuessTheNumber-v0")
    assert "within 10 turns" in task.prompt[0].content
    number = hidden_number(environment, task)
    others = [guess for guess in range(1, 21) if guess != number][:10]
    steps, late = play(environment, task, [f"[{guess}]" for guess in [*others, number]])
    assert len(steps) == 11, "the package allows one more"
    assert late is not None
    assert (late.verdict, late.value, late.reason) == (Verdict.FAILED, 0.0, "late")
    assert late.parts == {"turns": 11.0, "paid": 1.0}
    _, in_time = play(environment, task, [f"[{guess}]" for guess in [*others[:9], number]])
    assert in_time is not None
    assert in_time.verdict is Verdict.SOLVED


def test_a_lost_game_that_pays_is_lost() -> None:
    environment, task = game("GuessTheNumber-v0")
    number = hidden_number(environment, task)
    near = number + 1 if number < 20 else number - 1
    others = [guess for guess in range(1, 21) if guess not in (number, near)][:10]
    replies = [f"[{guess}]" for guess in [*others, near]]
    _, lost = play(environment, task, replies)
    assert lost is not None
    assert (lost.verdict, lost.value) == (Verdict.FAILED, 0.0)
    assert lost.parts["paid"] == pytest.approx(1 - 1 / 19), "0.947"
    paid, _ = game("GuessTheNumber-v0", pays="game")
    _, lost = play(paid, task, replies)
    assert lost is not None
    assert (lost.verdict, lost.value) == (Verdict.FAILED, pytest.approx(1 - 1 / 19))
    _, unfinished = play(paid, task, replies[:3])
    assert unfinished is not None
    assert (unfinished.value, unfinished.reason) == (0.0, "unfinished")


def test_two_episodes_of_one_seed_stepped_alternately_are_equal() -> None:
    """2048 draws a tile at each move; in one process the two would draw from one stream."""
    raw = run_raw(
        "textarena",
        """
import textarena
boards = []
for alternately in (False, True):
    envs = [textarena.make("2048-v0-raw") for _ in range(2)]
    for env in envs:
        env.reset(num_players=1, seed=1)
    for step in range(8):
        for env in envs[:1 + alternately]:
            env.step(["[up]", "[left]"][step % 2])
    boards.append(envs[0].state.game_state["board"])
print(boards[0] == boards[1])
""",
    )
    assert raw.strip() == "False"
    environment, task = game("2048-v0")

    async def alternate() -> list[tuple[str, str]]:
        episodes = [environment.episode(task) for _ in range(2)]
        seen = []
        try:
            await asyncio.gather(*(episode.start() for episode in episodes))
            for step in range(8):
                one, other = [
                    await episode.step(Message("assistant", ("[up]", "[left]")[step % 2])) for episode in episodes
                ]
                seen.append((said(one), said(other)))
                assert one.state == other.state
        finally:
            await asyncio.gather(*(episode.close() for episode in episodes))
        return seen

    seen = asyncio.run(alternate())
    assert all(one == other for one, other in seen)
    assert len(set(seen)) > 4
    alone, _ = play(environment, task, ["[up]", "[left]"] * 4)
    assert [said(step) for step in alone] == [one for one, _ in seen]


@pytest.mark.slow
def test_every_game_starts_or_says_what_it_lacks() -> None:
    server = adapter_server("textarena", worker_of("textarena"))
    games = server.ask("parts")
    assert len(games) == 96
    lacks: dict[str, str] = {}
    for name in games:
        try:
            server.ask("check", part=name)
        except (AdapterError, DataError) as error:
            lacks[name] = str(error)
    remedies = ("-m nltk.downloader words", "--python python3.12", "-m pip install gym", "OPENROUTER_API_KEY")
    assert len(games) - len(lacks) == NUM_THAT_START, lacks
    for name, error in lacks.items():
        assert name in error
        assert any(remedy in error for remedy in (*remedies, "choose another game")), error
    assert all(any(remedy in error for error in lacks.values()) for remedy in remedies)


def test_an_opponent_of_ones_own(tmp_path: Path) -> None:
    player = tmp_path / "player.py"
    player.write_text("def play(text, random):\n    return '[check]' if \"'[check]'\" in text[-80:] else '[fold]'\n")
    options: dict[str, Any] = {"identity": "seed", "options": {"max_rounds": 1}}
    environment, task = game("KuhnPoker-v0", opponent=f"{player}:play", **options)
    _, score = play(environment, task, ["[bet]"])
    assert score is not None
    assert score.verdict is Verdict.SOLVED
    player.write_text("def play(text, random):\n    return 'hello'\n")
    of_nonsense = TextArena(game="KuhnPoker-v0", opponent=f"{player}:play", **options).tasks
    with pytest.raises(DataError, match="ends before player 0 moves"):
        next(of_nonsense("train"))
    other, task = game("KuhnPoker-v0", opponent=f"{player}:play", seat=1, **options)
    _, score = play(other, task, ["[bet]"])
    assert score is not None
    assert score.verdict is Verdict.NOT_MEASURED, "an opponent's illegal move wins nothing"
    with pytest.raises(DataError, match="no Python file"):
        next(TextArena(game="KuhnPoker-v0", opponent="nowhere.py:play").tasks("train"))


def test_what_a_person_must_change() -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"game": "TowerOfHanoy-v0"}, "did you mean TowerOfHanoi-v0"),
        ({"game": "TowerOfHanoi-v0", "options": {"disks": 4}}, "unexpected keyword argument 'disks'"),
        ({"game": "TowerOfHanoi-v0", "seat": 1}, "there is no seat 1"),
        ({"game": "TowerOfHanoi-v0", "players": 2}, "does not start for 2 players"),
        ({"game": "GameOfPureStrategy-v0", "seat": 0}, "does not list the moves"),
    )
    for options, says in wrong:
        with pytest.raises(DataError, match=says):
            next(TextArena(**options).tasks("train"))
    few = TextArena(game="TowerOfHanoi-v0", give_up_after=10)
    assert len(list(few.tasks("train"))) == 1
    for split in ("validation", "test"):
        with pytest.raises(DataError, match="it has few starts"):
            next(few.tasks(split))


def test_what_the_protocol_promises() -> None:
    environment = make_environment("textarena", {"game": "2048-v0", "harder": ["2048-v0-hard"]})
    assert environment.levels() == ((1.0, None), (2.0, None))
    asyncio.run(check_environment(environment, levels=[(2.0, None)], num_tasks=1))
    task = next(environment.tasks("train", complexity=2))
    assert task.metadata["world"] == "2048-v0-hard"
    asyncio.run(check_episode(environment.episode, task, max_turns=3))
