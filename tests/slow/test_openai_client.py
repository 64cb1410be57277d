"""OpenAI's own client, in a virtual environment of its own, against the gateway: what it reads, streams and raises."""

from __future__ import annotations

import asyncio
import json
import subprocess
import venv
from pathlib import Path

import pytest

from assay.environments.served import Served
from assay.host import Host
from assay.render import load_renderer
from assay.rollout import run_rollout
from assay.types import EndingKind, Verdict
from assay.verifiers import score_rollout
from gateway_service import Service

pytestmark = pytest.mark.slow

OPENAI = "openai==3.57.0"
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 5}}\n</tool_call>'

AGENT = """
import json, os, urllib.request
import openai
from openai import OpenAI

client = OpenAI(max_retries=0)
system = {"role": "system", "content": "be brief"}
question = {"role": "user", "content": "What is 2+5?"}
described = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
tools = [{"type": "function", "function": {"name": "add", "description": "Add.", "parameters": described}}]
ask = lambda **options: client.chat.completions.create(model="gpt-4o", **options)

# A tool's call and its result, given back as the client gives them.
answer = ask(messages=[system, question], tools=tools, temperature=0.2)
call = answer.choices[0].message.tool_calls[0]
assert answer.choices[0].finish_reason == "tool_calls"
assert json.loads(call.function.arguments) == {"a": 2, "b": 5}
result = {"role": "tool", "tool_call_id": call.id, "content": "the sum is 7"}
messages = [system, question, answer.choices[0].message, result]
second = ask(messages=messages, tools=tools, logprobs=True)
assert second.choices[0].message.content == "seven"
assert [each.token for each in second.choices[0].logprobs.content][:5] == list("seven")
assert second.usage.total_tokens == second.usage.prompt_tokens + second.usage.completion_tokens

# A stream, and one with a call in it.
stream = ask(messages=[*messages, second.choices[0].message, question], tools=tools, stream=True,
             stream_options={"include_usage": True})
chunks = list(stream)
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "seven"
assert chunks[-1].usage.completion_tokens == 6
parts = list(ask(messages=[question], tools=tools, stream=True))
(streamed,) = [call for part in parts for call in part.choices[0].delta.tool_calls or []]
assert streamed.function.name == "add"
with ask(messages=[question], stream=True) as broken_off:
    next(iter(broken_off))

completion = client.completions.create(model="any", prompt="once", max_tokens=3)
assert completion.choices[0].text == "nev" and completion.choices[0].finish_reason == "length"
assert [model.id for model in client.models.list()] == ["assay"]

# Errors are the ones that agents catch.
def raised(kind, code, **options):
    try:
        ask(**options)
    except kind as error:
        assert error.code == code, (error.code, code)
    else:
        raise AssertionError(code)

image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
raised(openai.BadRequestError, "context_length_exceeded", messages=[{"role": "user", "content": "x" * 10_000}])
raised(openai.BadRequestError, "unsupported_content", messages=[{"role": "user", "content": [image]}])
raised(openai.BadRequestError, "unsupported_value", messages=[question], n=2)
raised(openai.BadRequestError, "unknown_parameter", messages=[question], extra_body={"min_p": 0.1})
client.api_key = "wrong"
raised(openai.AuthenticationError, "invalid_api_key", messages=[question])

data = json.dumps({"reward": 1.0}).encode()
headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
urllib.request.urlopen(urllib.request.Request(os.environ["ASSAY_REWARD_URL"], data, headers))
client.api_key = os.environ["OPENAI_API_KEY"]
try:
    ask(messages=[question])
except openai.APIStatusError as error:
    assert (error.status_code, error.code) == (410, "session_over")
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment that has the client and nothing of ours."""
    folder = tmp_path_factory.mktemp("openai") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", OPENAI], check=True)
    return python


def test_the_client_of_openai_is_served_in_training(python: Path, tiny_model: Path, tmp_path: Path) -> None:
    service = Service(load_renderer(tiny_model))

    def answer(prompt: str) -> str:
        if prompt == "once":
            return "never"
        return "seven" if "the sum is 7" in prompt or "<tools>" not in prompt else CALL

    service.answer = answer
    (tmp_path / "agent.py").write_text(AGENT)
    environment = Served(command="python agent.py", folder=str(tmp_path), python=str(python))
    task = next(environment.tasks("train"))

    async def play():
        async with Host():
            rollout = await run_rollout(
                *(task, environment.episode, service.engine, service.renderer, service.sampling),
                run_seed=0,
                group_id=0,
                member=0,
                max_turns=environment.max_turns,
            )
            return rollout, await score_rollout(environment.rewards["strict"], rollout, task)

    rollout, score = asyncio.run(play())
    assert rollout.ending.kind is EndingKind.FINISHED, rollout.ending.reason
    assert (score.verdict, score.value) == (Verdict.SOLVED, 1.0)
    assert [turn.extends_previous for turn in rollout.turns][:3] == [False, True, True]
    assert "overruled sampling x1" in score.evidence
    assert "refused: context_length_exceeded x1" in score.evidence
    assert "refused: session_over x1" in score.evidence


def test_curl_is_served(tiny_model: Path) -> None:
    service = Service(load_renderer(tiny_model))

    async def talk(client: object) -> None:
        url, token = service.gateway.base_url("a"), service.gateway.token
        body = json.dumps({"messages": [{"role": "user", "content": "hello"}], "stream": True})
        curl = ["curl", "-sN", f"{url}/chat/completions", "-H", f"Authorization: Bearer {token}", "-d", body]
        asking = await asyncio.create_subprocess_exec(*curl, stdout=asyncio.subprocess.PIPE)
        said, _ = await asking.communicate()
        assert said.decode().endswith("data: [DONE]\n\n")
        assert b'"content": "seven"' in said

    service.run(talk)
