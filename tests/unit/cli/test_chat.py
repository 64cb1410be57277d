"""`assay chat` on a tiny random model: one-shot, conversations, the end of the input."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
import torch
import typer
from rich.console import Console
from typer.testing import CliRunner

from assay.cli.chat import ChatHistory, chat
from assay.engines import LocalEngine, Sampling
from assay.errors import ConfigError, ModelError
from assay.policies import DecoderConfig
from assay.policies.folder import read_weights
from assay.render import load_renderer

app = typer.Typer()
app.command()(chat)


def run(*arguments: object, text: str | None = None) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_one_shot_repeats_itself_for_a_seed(tiny_model: Path) -> None:
    arguments = (tiny_model, "--prompt", "Hello", "--max-new-tokens", 12)
    first = run(*arguments)
    assert "cut off" in first
    assert run(*arguments) == first
    assert run(*arguments, "--seed", 1) != first
    assert run(*arguments, "--system", "Be brief.") != first
    assert "you>" not in first


def test_a_conversation_ends_with_the_input(tiny_model: Path) -> None:
    output = run(tiny_model, "--max-new-tokens", 4, text="Hello\nAgain\n")
    assert output.count("you>") == 3
    assert output.count("cut off") == 2


def test_mistakes_are_named(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        run(tmp_path, "--prompt", "Hello")
    with pytest.raises(ConfigError, match="temperature"):
        run(tiny_model, "--prompt", "Hello", "--temperature", -1)
    with pytest.raises(ConfigError, match="--device abacus"):
        run(tiny_model, "--prompt", "Hello", "--device", "abacus")


@pytest.fixture
def conversation(tiny_model: Path) -> ChatHistory:
    config, renderer = DecoderConfig.from_folder(tiny_model), load_renderer(tiny_model)
    engine = LocalEngine(
        config,
        read_weights(tiny_model, config).items(),
        stop_token_ids=renderer.stop_token_ids,
        decode=renderer.decode,
        dtype=torch.float32,
    )
    return ChatHistory(engine, renderer, Sampling(max_new_tokens=6), seed=0, system="Be brief.")


def test_each_turn_extends_the_last(conversation: ChatHistory) -> None:
    console = Console(file=io.StringIO())
    asyncio.run(conversation.say("Hello", console))
    first = conversation.token_ids
    asyncio.run(conversation.say("Again", console))
    assert conversation.token_ids[: len(first)] == first
    assert [message.role for message in conversation.messages] == ["system", "user", "assistant", "user", "assistant"]


def test_a_stopped_reply_leaves_no_trace(conversation: ChatHistory) -> None:
    console = Console(file=io.StringIO())

    async def stop() -> None:
        task = asyncio.create_task(conversation.say("Hello", console))
        for _ in range(4):
            await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stop())
    assert [message.role for message in conversation.messages] == ["system"]
    asyncio.run(conversation.say("Hello", console))
    assert conversation.num_turns == 1


def test_what_the_model_says_cannot_steer_the_terminal(
    conversation: ChatHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation.renderer, "decode", lambda token_ids: "[bold]\x1b[2J" * len(token_ids))
    output = io.StringIO()
    asyncio.run(conversation.say("Hello", Console(file=output, force_terminal=True)))
    assert "\x1b[2J" not in output.getvalue()
    assert output.getvalue().count("[bold]\\x1b[2J") == 6


def test_tools_have_no_effect_in_a_chat(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="--tools has no effect in a chat"):
        run(tiny_model, "--prompt", "Hello", "--tools", "text")
    with pytest.raises(ConfigError, match="--call-forms has no effect in a chat"):
        run(tiny_model, "--prompt", "Hello", "--call-forms", "xml")
