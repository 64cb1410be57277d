"""Serves a model folder's own greedy answers as chat completions: `python tests/model_server.py FOLDER [PORT]`."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

from assay.cli.engine import EngineOptions, load_engine
from assay.engines import Sampling
from assay.models import open_model
from assay.types import Message
from chat_server import Answer, ChatServer, completion


class ModelServer(ChatServer):
    """A chat server whose answers a local engine samples, with the model's own chat template."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(port)
        self.engine, self.renderer = load_engine(open_model(folder), EngineOptions(device="cpu"))
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.answer = self._complete

    def _complete(self, body: dict[str, Any], number: int) -> Answer:
        messages = [Message(message["role"], message["content"]) for message in body["messages"]]
        prompt_ids = self.renderer.render(messages)
        sampling = Sampling(temperature=body["temperature"], max_new_tokens=body["max_tokens"])
        sampled = asyncio.run_coroutine_threadsafe(
            self.engine.generate(prompt_ids, sampling, request_id=str(number), seed=body.get("seed", number)), self.loop
        ).result()
        usage = {"prompt_tokens": len(prompt_ids), "completion_tokens": len(sampled.token_ids)}
        text = self.renderer.parse(sampled.token_ids).content
        return completion(text, finish_reason=sampled.finish_reason, usage=usage)


if __name__ == "__main__":
    with ModelServer(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0) as server:
        print(server.url, flush=True)
        threading.Event().wait()
