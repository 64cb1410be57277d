"""A worker of an adapter whose package is this file: a world of one number, and everything that can go wrong."""

from __future__ import annotations

import os
import random
import sys
import time
from typing import Any

from assay.adapters.plain import RefusedError


def warm_up() -> None:
    """Print, as packages do."""
    print("a package says hello")


class Session:
    """Rolls a die: draws from the random stream that all of a process share."""

    def open(self, seed: int, shown: str = "roll") -> dict[str, Any]:
        random.seed(seed)
        self._total = 0
        return {"messages": [["user", shown]], "state": "0"}

    def step(self, reply: str) -> dict[str, Any]:
        print("chatter" * 1000)
        self._total += random.randint(1, 6)
        if reply == "stop":
            return {"done": True, "reward": 1.0}
        return {"messages": [["user", str(self._total)]], "state": str(self._total)}

    async def outcome(self) -> int:
        return self._total

    def parts(self) -> list[str]:
        return ["die", "coin"]

    def check(self, part: str) -> str:
        if part == "coin":
            raise RefusedError("coin needs silver: mint some")
        return "one player"

    def fail(self, how: str) -> Any:
        if how == "raise":
            raise ValueError("no such move")
        if how == "refuse":
            raise RefusedError("there is no such game; choose another")
        if how == "hang":
            time.sleep(600)
        if how == "exit":
            os._exit(3)
        if how == "sys.exit":
            sys.exit(3)
        if how == "huge":
            return "x" * 10_000_000
        if how == "memory":
            return len(bytearray(64 << 30))
        return object()
