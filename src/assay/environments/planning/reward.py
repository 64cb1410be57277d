"""The plan verifier: moves are made one after the other in the world that the task tells of."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from assay.environments.planning.blocks import Blocks
from assay.environments.planning.routes import Routes
from assay.environments.planning.world import Move, PlanningWorld, play
from assay.errors import DataError
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.text import AnswerReader, is_cut_off, normalise
from assay.verifiers.verifier import Verifier

WORLDS: dict[str, PlanningWorld] = {world.name: world for world in (Blocks(), Routes())}
MAX_LINES = 400
MAX_CHARACTERS = 20_000
"""Lines and characters of a response that are read; a longer one is no plan."""
MAX_LINE = 100

_NUMBERED = re.compile(r"(?:\d{1,3}[.)]|[-*])\s+")


class ValidPlan(AnswerReader):
    """Solved where every move of the plan is allowed, its end is the goal, and it has no more moves than it may have.

    A move that changes nothing is not allowed in either world, and a plan that makes one has failed: libraries of the
    field differ on it, so that it is a rule that the prompt states. The score's parts: `moves`, `allowed` (the share of
    moves before the first that is not allowed), `goals` (the share of the goal's facts that hold where the plan
    stopped), and of a plan that solves `shortest_over_moves`.
    """

    name: Literal["planning"] = "planning"
    is_cheap: ClassVar[bool] = True
    reading: Literal["whole", "moves"] = "whole"
    """whole: every line, apart from a number or a dash before it, is a move. moves: other lines are passed over."""

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        world, problem = _world_of(task)
        if is_cut_off(rollout):
            return Score.failed("cut off")
        plan = self._plan(self.answer_text(rollout), world)
        if plan is None:
            return Score.failed("no plan")
        limit = task.metadata["max_moves"]
        if len(plan) > limit:
            return Score.failed("too many moves", parts={"moves": float(len(plan))})
        played = play(world, problem, plan)
        goals = world.goals(problem, played.state)
        parts = {
            "moves": float(len(plan)),
            "allowed": played.num_moves / len(plan) if plan else 1.0,
            "goals": sum(goals) / len(goals),
        }
        if played.problem:
            return Score.failed("not allowed", parts=parts, evidence=played.problem)
        if not all(goals):
            return Score.failed("not the goal", parts=parts)
        return Score.solved(parts={**parts, "shortest_over_moves": (task.horizon or 1) / len(plan)})

    def _plan(self, text: str, world: PlanningWorld) -> list[Move] | None:
        if len(text) > MAX_CHARACTERS:
            return None
        lines = [line.strip() for line in normalise(text).splitlines() if line.strip()]
        if len(lines) > MAX_LINES:
            return None
        plan: list[Move] = []
        for line in lines:
            move = None
            if len(line) <= MAX_LINE:
                move = world.read(_unnumbered(line).removesuffix(".").strip())
            if move is not None:
                plan.append(move)
            elif self.reading == "whole":
                return None
        return plan or None

    def lenient(self) -> Verifier | None:
        return None if self.reading == "moves" else self.model_copy(update={"reading": "moves"})

    def cases(self) -> list[Case]:
        return []


def _world_of(task: Task) -> tuple[PlanningWorld, dict[str, object]]:
    try:
        return WORLDS[task.metadata["kind"]], task.metadata["problem"]
    except KeyError:
        raise DataError(f"task {task.task_id} has no world to plan in; planning scores its own tasks") from None


def _unnumbered(line: str) -> str:
    found = _NUMBERED.match(line)
    return line[found.end() :] if found else line
