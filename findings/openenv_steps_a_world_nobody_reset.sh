#!/usr/bin/env bash
# openenv 0.10.0: after a lost connection the client goes on in a world that nobody reset.
# The WebSocket keeps an environment for each connection. Where it is lost (a server that is deployed anew, say), one step
# fails; the next one connects again by itself and is carried out, by a fresh environment on which reset() was never
# called. Nothing in the result tells it from a step of the episode that was under way.
# Seen: two steps, a restart, an error, and then "step 1" of an environment with reset=False where "step 3" belongs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install openenv==0.10.0
cat > "$folder/server.py" <<'PYTHON'
import sys

import uvicorn
from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app


class Move(Action):
    text: str


class Seen(Observation):
    text: str = ""


class Counter(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        super().__init__()
        self.steps, self.was_reset = 0, False

    def reset(self, seed=None, episode_id=None, **more):
        self.steps, self.was_reset = 0, True
        return Seen(text="begin")

    def step(self, action, timeout_s=None, **more):
        self.steps += 1
        return Seen(text=f"step {self.steps}, reset={self.was_reset}", reward=1.0)

    @property
    def state(self):
        return State(step_count=self.steps)


app = create_fastapi_app(Counter, Move, Seen, max_concurrent_envs=4)
uvicorn.run(app, host=sys.argv[1], port=int(sys.argv[2]), log_level="error")
PYTHON
cat > "$folder/client.py" <<'PYTHON'
import asyncio
import socket
import subprocess
import sys
import time

from openenv.core import GenericEnvClient

here = socket.inet_ntoa(socket.INADDR_LOOPBACK.to_bytes(4, "big"))
with socket.socket() as free:
    free.bind((here, 0))
    port = free.getsockname()[1]


def start():
    process = subprocess.Popen([sys.executable, sys.argv[1], here, str(port)])
    for _ in range(1200):
        try:
            socket.create_connection((here, port)).close()
            return process
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


async def main():
    server = start()
    async with GenericEnvClient(base_url=f"{here}:{port}") as env:
        await env.reset(seed=1)
        seen = [(await env.step({"text": "go"})).observation["text"] for _ in range(2)]
        server.kill()
        server.wait()
        server = start()
        for _ in range(2):
            try:
                seen.append((await env.step({"text": "go"})).observation["text"])
            except Exception as error:
                seen.append(type(error).__name__)
    server.kill()
    print("; ".join(seen))
    assert seen[:2] == ["step 1, reset=True", "step 2, reset=True"]
    assert seen[2] == "ConnectionClosedError"
    assert seen[3] == "step 1, reset=False"


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/client.py" "$folder/server.py"
