"""Files: the workspace in the sandbox, worlds, and the scripts that play them."""

from __future__ import annotations

import asyncio
import io
import itertools
import tarfile

import pytest

from assay.engines.engine import Sampling
from assay.environments import ToolFailure, check_environment, check_episode
from assay.environments.files import Files
from assay.environments.files.workspace import MAX_BYTES, Workspace, _read
from assay.host import Host
from assay.rollout import run_rollout
from assay.types import Message, Rollout, Task, Verdict


def in_host(work):
    async def go():
        async with Host():
            return await work()

    return asyncio.run(go())


def shell(files: dict[str, bytes], *commands: str) -> tuple[list[str], Workspace]:
    workspace = Workspace(files)

    async def work():
        return [await workspace.shell(command) for command in commands]

    return in_host(work), workspace


def test_what_one_command_leaves_is_what_the_next_finds() -> None:
    said, workspace = shell(
        {"notes/a.txt": b"one\n"},
        "cat notes/a.txt; ls",
        "mkdir -p deep/er && echo two > deep/er/b.txt && rm notes/a.txt; cd /; echo x",
        "cat deep/er/b.txt; echo err >&2; exit 3",
    )
    assert said == ["one\nnotes\nprogram\n", "x\n", "two\nerr\n"]
    assert workspace.files == {"deep/er/b.txt": b"two\n"}


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("while true; do :; done", "stopped"),
        ("for i in $(seq 300); do echo x > f$i; done", "at most 200"),
        ("head -c 2000000 /dev/zero > big", "at most 1,048,576"),
        ("head -c 20000000 /dev/zero > big", "at most 1,048,576"),
    ],
)
def test_what_is_too_much_is_an_observation_and_nothing_is_kept(command: str, cause: str) -> None:
    workspace = Workspace({"a": b"1"})
    with pytest.raises(ToolFailure, match=cause):
        in_host(lambda: workspace.shell(command))
    assert workspace.files == {"a": b"1"}


def test_a_command_that_prints_without_end_is_cut_off() -> None:
    (said,), workspace = shell({"a": b"1"}, "yes")
    assert len(said) < 70_000
    assert said.endswith("[cut off]")
    assert workspace.files == {"a": b"1"}


def test_a_command_sees_nothing_of_this_machine() -> None:
    (said,), _ = shell({}, f"ls {__file__}; cat /etc/shadow; echo end")
    assert "No such file" in said
    assert "root:" not in said


def test_links_and_paths_that_lead_outside_are_not_kept() -> None:
    _, workspace = shell({}, "ln -s /etc/passwd p; ln -s ../.. up; mkfifo pipe; echo 1 > real")
    assert workspace.files == {"real": b"1\n"}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as members:
        for name in ("../out", "/abs", "a/../../b", "./ok"):
            member = tarfile.TarInfo(name)
            member.size = 1
            members.addfile(member, io.BytesIO(b"x"))
    assert _read(archive.getvalue()) == {"ok": b"x"}
    with pytest.raises(ToolFailure, match="could not be read back"):
        _read(b"no archive at all")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", ".", "program", "x\0y", "a" * 300])
def test_a_path_that_leaves_the_folder_is_refused(path: str) -> None:
    workspace = Workspace({})
    with pytest.raises(ToolFailure):
        workspace.write(path, "x")
    with pytest.raises(ToolFailure):
        workspace.read(path)
    assert workspace.files == {}


@pytest.mark.parametrize(
    "paths", [("a", "a/b"), ("a/b", "a"), ("program/x",), (".output/x",), ("é" * 150,), ("\ud800",)]
)
def test_what_no_folder_can_hold_is_the_policys_failure_and_commands_go_on(paths: tuple[str, ...]) -> None:
    workspace = Workspace({"k.txt": b"1"})
    *before, last = paths
    for path in before:
        workspace.write(path, "x")
    with pytest.raises(ToolFailure):
        workspace.write(last, "x")

    async def list_files() -> str:
        async with Host():
            return await workspace.shell("ls")

    assert asyncio.run(list_files()).split() == sorted({"k.txt", "program", *(p.split("/")[0] for p in before)})


def test_a_folder_does_not_grow_without_bound() -> None:
    with pytest.raises(ToolFailure, match="Nothing is kept"):
        Workspace({}).write("a", "x" * (MAX_BYTES + 1))


def first(environment: Files, number: int = 1, **dials: float) -> list[Task]:
    return list(itertools.islice(environment.tasks("train", **dials), number))


def play(environment: Files, task: Task, script) -> Rollout:
    turns = environment.max_turns
    return in_host(
        lambda: run_rollout(
            task, environment.episode, script, None, Sampling(), run_seed=0, group_id=0, member=0, max_turns=turns
        )
    )


def test_it_keeps_the_promises_of_environments_and_episodes() -> None:
    asyncio.run(check_environment(Files(), num_tasks=4))
    asyncio.run(check_episode(Files().episode, first(Files())[0]))


@pytest.mark.parametrize("complexity", [1, 2, 3])
@pytest.mark.parametrize("hops", [1, 2, 12])
def test_the_expert_solves_every_task_and_the_weak_script_none(complexity: int, hops: int) -> None:
    environment = Files()
    for task in first(environment, 10, complexity=complexity, horizon=hops):
        score = play(environment, task, environment.expert(task)).score
        assert score is not None
        assert score.verdict is Verdict.SOLVED, score
        weak = play(environment, task, environment.weak(task)).score
        assert weak is not None
        assert weak.verdict is Verdict.FAILED


class Says:
    def __init__(self, *said: Message) -> None:
        self._said = list(said)

    def reply(self, messages, tools) -> Message:
        return self._said.pop(0)


def call(tool: str, **arguments: str) -> Message:
    function = {"name": tool, "arguments": arguments}
    return Message("assistant", "", ({"type": "function", "id": "", "function": function},))


def test_a_shell_command_solves_a_task_too_and_another_file_fails() -> None:
    environment = Files()
    (task,) = first(environment, complexity=1, horizon=1)
    (path,) = task.metadata["world"]["path"]
    command = f"sed -n 's/^word: //p' {path} > answer.txt"
    done = Message("assistant", "done")
    solved = play(environment, task, Says(call("shell", command=command), done)).score
    assert solved is not None
    assert solved.verdict is Verdict.SOLVED
    more = play(environment, task, Says(call("shell", command=f"{command}; touch more"), done)).score
    assert more is not None
    assert (more.verdict, more.reason) == (Verdict.FAILED, "another file")
