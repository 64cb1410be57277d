"""`assay serve` with a tiny model: what it says, that it answers, and that Ctrl-C closes it with everything kept."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from assay.cli import serve as command
from assay.cli.main import app
from assay.errors import ModelError
from assay.render.tool_calls import write_call
from assay.serving.server import Gateway
from assay.types import Message, Tool


def serve(monkeypatch: pytest.MonkeyPatch, talk: Any, *arguments: object) -> str:
    """What the command prints, while `talk` asks it from another thread, which then presses Ctrl-C."""
    hello, failures = command._say_hello, []

    def client(gateway: Gateway) -> None:
        try:
            headers = {"Authorization": f"Bearer {gateway.token}"}
            with httpx2.Client(base_url=gateway.url, headers=headers, timeout=60, trust_env=False) as asking:
                talk(asking)
        except BaseException as error:
            failures.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    def say_hello(gateway: Gateway, folder: Path | None) -> None:
        hello(gateway, folder)
        threading.Thread(target=client, args=(gateway,), daemon=True).start()

    monkeypatch.setattr(command, "_say_hello", say_hello)
    shown = CliRunner().invoke(app, ["serve", *map(str, arguments), "--port", "0"], catch_exceptions=False)
    assert not failures, failures[0]
    assert shown.exit_code == 0, shown.output
    return shown.output


def chat(text: str, **options: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 8, **options}


def test_a_model_is_served_as_it_is_asked(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    def talk(client: httpx2.Client) -> None:
        body = chat("hello", temperature=0.0)
        first, second = (client.post("/v1/chat/completions", json=body).json() for _ in range(2))
        assert first["choices"] == second["choices"], "greedy"
        seeded = [client.post("/v1/chat/completions", json=chat("hello", seed=seed)).json() for seed in (1, 1, 2)]
        texts = [answer["choices"][0]["message"]["content"] for answer in seeded]
        assert texts[0] == texts[1] != texts[2]
        assert client.post("/v1/completions", json={"prompt": "hello", "max_tokens": 3}).status_code == 200

    said = serve(monkeypatch, talk, tiny_model)
    assert "base_url  http://127.0.0.1:" in said
    assert "api_key   " in said


def test_captured_sessions_are_shown(monkeypatch: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path) -> None:
    def talk(client: httpx2.Client) -> None:
        assert client.post("/sessions/one/v1/chat/completions", json=chat("hello")).status_code == 200
        assert client.post("/sessions/one/reward", json={"reward": 0.5, "reason": "half"}).status_code == 200
        assert client.post("/sessions/two/v1/chat/completions", json=chat("hello")).status_code == 200
        assert client.post("/v1/chat/completions", json=chat("hello")).status_code == 400

    folder = tmp_path / "kept"
    said = serve(monkeypatch, talk, tiny_model, "--capture", "--output", folder, "--token", "a token of mine")
    assert "api_key   a token of mine" in said
    assert "session one: finished, 1 turns, reward 0.5" in said
    assert "session two: truncated (closed), 1 turns, no reward" in said
    plain = {"COLUMNS": "200", "NO_COLOR": "1"}
    shown = CliRunner().invoke(app, ["show", str(folder)], env=plain).output
    assert "truncated (closed)" in shown
    assert "no reward was reported" in shown
    shown = CliRunner().invoke(app, ["show", str(folder), "--group", "0"], env=plain).output
    assert "hello" in shown
    assert "half" in shown


def test_tools_are_told_and_read_as_the_options_say(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    load, renderers = command.load_engine, []

    def load_engine(*arguments: Any) -> Any:
        engine, renderer = load(*arguments)
        renderers.append(renderer)
        return engine, renderer

    monkeypatch.setattr(command, "load_engine", load_engine)
    serve(monkeypatch, lambda client: None, tiny_model, "--tools", "text", "--call-forms", "json")
    tools = [Tool("now", "")]
    (renderer,) = renderers
    said = [renderer.parse(renderer.encode_answer(text), tools) for text in ('{"name": "now"}', write_call("now", {}))]
    assert [len(message.calls) for message in said] == [1, 0]
    serve(monkeypatch, lambda client: None, tiny_model, "--tools", "template")
    with pytest.raises(ModelError, match=r"model\.tools is 'template'"):
        renderers[-1].render([Message("user", "?")], tools)


def test_options_without_effect_are_errors(tiny_model: Path, tmp_path: Path) -> None:
    for arguments, said in (
        (["--output", str(tmp_path)], "--output has no effect without --capture"),
        (["--token", "short"], "--token is shorter than 8 characters"),
    ):
        failed = CliRunner().invoke(app, ["serve", str(tiny_model), *arguments])
        assert said in str(failed.exception)
