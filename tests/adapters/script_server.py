"""A server of chat completions that answers by rule, for the packages of others that ask one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from assay.endpoints.chat import wire_messages
from assay.environments import Environment
from assay.environments.script import Script
from assay.types import Message, Task, Tool

Answer = Callable[[dict[str, Any]], Message]
"""The model's message, given the body of a request."""


class Scripts:
    """Answers by an environment's own scripts ("expert" or "weak"), one for each episode."""

    def __init__(self, environment: Environment, script: str, tasks: Sequence[Task]) -> None:
        self._make = getattr(environment, script)
        self._tasks = {task.prompt[-1].content: task for task in tasks}
        self._scripts: dict[str, Script] = {}

    def __call__(self, body: dict[str, Any]) -> Message:
        messages = [_read(each) for each in body["messages"]]
        opening = next(each.content for each in messages if each.content in self._tasks)
        if all(message.role != "assistant" for message in messages):
            self._scripts[opening] = self._make(self._tasks[opening])
        tools = [Tool.from_dict(tool) for tool in body.get("tools", ())]
        return self._scripts[opening].reply(messages, tools)


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve on loopback; gives the base URL, and the list of what is asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            sent = json.dumps(_completion(body, answer(body))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *arguments: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _completion(body: dict[str, Any], said: Message) -> dict[str, Any]:
    (message,), _ = wire_messages([said], ())
    for number, call in enumerate(message.get("tool_calls", ())):
        call["id"] = f"call-{len(body['messages'])}-{number}"
    finish_reason = "tool_calls" if "tool_calls" in message else "stop"
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _read(data: dict[str, Any]) -> Message:
    calls = tuple(
        {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
        for call in data.get("tool_calls") or ()
    )
    return Message(data["role"], data.get("content") or "", calls, data.get("tool_call_id") or "")
