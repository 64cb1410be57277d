"""Tools over the chat templates in tests/templates: how they reach the model, and how a conversation with calls goes
on."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from assay.config import validate
from assay.errors import ConfigError, DataError, ModelError
from assay.models import open_model
from assay.recipe import ModelSettings
from assay.render import ChatRenderer, describe_tools
from assay.types import Message, Tool
from chat_templates import renderer_for, tokenizer_for

TEMPLATES = ("smollm2", "strips_thinking", "llama3_headers", "native_tools", "xml_tools")
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "description": "one of <|im_end|> <|eot_id|>"}}}
ADD = Tool("add", "Adds <|im_end|> and <|eot_id|>.", SCHEMA)
TOOLS = (ADD, Tool("now", "Tells the time."))
QUESTION = Message("user", "What is 1 + 2?")
SPELLINGS = {
    "hermes": '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
    "close": '<tool_call>{"arguments":{"a":1},"name":"add"}</tool_call>',
    "llama": '{"name":"add",  "parameters":{"a":1}}',
    "fenced": 'I add.\n```json\n{"name": "add", "arguments": {"a": 1}}\n```',
    "xml": "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
    "several": '<tool_call>{"name": "add"}</tool_call> and <tool_call>{"name": "now"}</tool_call>',
}


@pytest.fixture(params=TEMPLATES)
def renderer(request: pytest.FixtureRequest, tiny_model: Path) -> ChatRenderer:
    return renderer_for(tiny_model, request.param)


def sampled(renderer: ChatRenderer, text: str) -> tuple[int, ...]:
    """Tokens that nobody's tokenizer would make of the text: one a byte, and the one that ends the turn."""
    return (*(token for letter in text for token in renderer._encode(letter)), renderer.stop_token_ids[-1])


def results(message: Message) -> tuple[Message, ...]:
    return tuple(Message("tool", f"result {call.name}", tool_call_id=call.id, name=call.name) for call in message.calls)


def test_every_template_tells_the_model_of_the_tools(renderer: ChatRenderer) -> None:
    prompt = renderer.decode(renderer.render([QUESTION], TOOLS))
    for part in ("add", "now", "Adds <|im_end|> and <|eot_id|>.", "one of <|im_end|> <|eot_id|>", "integer"):
        assert part in prompt
    assert "add" not in renderer.decode(renderer.render([QUESTION]))


def test_no_tool_can_write_a_control_token(renderer: ChatRenderer) -> None:
    plain = (Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer", "description": "one"}}}),)
    control = set(renderer._tokenizer.all_special_ids)

    def spelled(tools: tuple[Tool, ...]) -> list[int]:
        return [token for token in renderer.render([QUESTION], tools) if token in control]

    assert spelled((ADD,)) == spelled(plain)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_template_tells_of_the_tools_where_it_can_and_the_system_message_else(tiny_model: Path, name: str) -> None:
    as_text = name == "smollm2"
    messages = [Message("system", "Be brief."), QUESTION]
    prompt = renderer_for(tiny_model, name).render(messages, TOOLS)
    assert prompt == renderer_for(tiny_model, name, tools="text" if as_text else "template").render(messages, TOOLS)
    text = renderer_for(tiny_model, name, tools="text")
    described = Message("system", f"Be brief.\n\n{describe_tools(TOOLS)}")
    assert text.render(messages, TOOLS) == text.render([described, QUESTION])
    assert (prompt == text.render(messages, TOOLS)) == as_text


def test_a_template_without_tools_is_said_once_and_an_error_where_it_was_chosen(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    renderer = renderer_for(tiny_model, "smollm2")
    with caplog.at_level(logging.WARNING):
        renderer.render([QUESTION])
        assert not caplog.records
        for _ in range(3):
            renderer.render([QUESTION], TOOLS)
    (record,) = caplog.records
    assert "shows no tools: they are described in the system message" in record.getMessage()
    with pytest.raises(ModelError, match=r"shows no tools, and model\.tools is 'template'; choose 'text'"):
        renderer_for(tiny_model, "smollm2", tools="template").render([QUESTION], TOOLS)


UNREADABLE = (
    "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content }}{% for c in m.tool_calls %}<function={{ c.function.name }}>{{ c.function.arguments | tojson }}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_a_template_that_writes_calls_in_a_form_that_is_not_read_is_not_used_for_tools(tiny_model: Path) -> None:
    assert "<tools>" in (auto := renderer_for(tiny_model, UNREADABLE)).decode(auto.render([QUESTION], TOOLS))
    with pytest.raises(ModelError, match="writes tool calls in a form that is not read here"):
        renderer_for(tiny_model, UNREADABLE, tools="template").render([QUESTION], TOOLS)
    with pytest.raises(ModelError, match="writes tool calls in a form that is not read here"):
        renderer_for(tiny_model, "llama3_headers", tools="template", call_forms=("tagged",)).render([QUESTION], TOOLS)


def test_calls_and_results_are_text_where_tools_are(tiny_model: Path) -> None:
    renderer = renderer_for(tiny_model, "smollm2", tools="text")
    call = {"type": "function", "id": "1", "function": {"name": "add", "arguments": {"a": 1}}}
    conversation = [
        QUESTION,
        Message("assistant", "I add.", (call,)),
        Message("tool", "3"),
        Message("tool", "Error: <|im_end|>"),
        Message("user", "And now?"),
    ]
    expected = (
        '<|im_start|>assistant\nI add.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n3\n</tool_response>\n<tool_response>\nError: <|im_end|>\n</tool_response>\n"
        "And now?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert renderer.decode(renderer.render(conversation, TOOLS)).endswith(expected)
    assert renderer.decode(renderer.render(conversation)).endswith(expected), "rows of data have no tools"
    assert renderer.render(conversation, TOOLS).count(renderer.stop_token_ids[0]) == 4
    with pytest.raises(DataError, match=r"shows nothing of tool calls.*model\.tools='text'"):
        renderer_for(tiny_model, "smollm2").render(conversation)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_was_sampled_stays_whatever_the_template_makes_of_the_call(renderer: ChatRenderer, spelling: str) -> None:
    tokens = [*renderer.render([QUESTION], TOOLS), *sampled(renderer, SPELLINGS[spelling])]
    messages = [QUESTION, renderer.parse(sampled(renderer, SPELLINGS[spelling]), TOOLS)]
    assert [call.name for call in messages[-1].calls] == (["add", "now"] if spelling == "several" else ["add"])
    assert messages[-1].call_errors == ()
    for turn in range(3):
        new = results(messages[-1])
        extension = renderer.extend(messages, tokens, new, TOOLS)
        assert extension.extends_previous, "the sampled call is not rewritten"
        text = renderer.decode(extension.token_ids)
        assert all(result.content in text for result in new)
        assert "add" not in text.replace("result add", ""), "the call is there already"
        assert renderer.stop_token_ids[-1] not in extension.token_ids[:1], "the end of the turn was sampled"
        answer = sampled(renderer, f"{SPELLINGS[spelling]}{' ' * turn}")
        messages += [*new, renderer.parse(answer, TOOLS)]
        tokens += [*extension.token_ids, *answer]


def test_a_prompt_made_anew_shows_calls_as_the_template_writes_them(tiny_model: Path) -> None:
    renderer = renderer_for(tiny_model, "strips_thinking")
    said = renderer.parse(sampled(renderer, f"<think>\nhm\n</think>\n\n{SPELLINGS['close']}"), TOOLS)
    assert said.content == "<think>\nhm\n</think>"
    prompt = renderer.decode(renderer.render([QUESTION, said, *results(said)], TOOLS))
    assert f"<think>\nhm\n</think>\n\n\n{SPELLINGS['hermes']}<|im_end|>" in prompt
    llama = renderer_for(tiny_model, "llama3_headers")
    several = llama.parse(sampled(llama, SPELLINGS["several"]), TOOLS)
    prompt = llama.decode(llama.render([QUESTION, several, *results(several)], TOOLS))
    assert SPELLINGS["several"] in prompt, "a template that takes one call a message is given what was sampled"


def test_thinking_stays_between_calls_and_forks_at_the_next_question(tiny_model: Path) -> None:
    renderer = renderer_for(tiny_model, "strips_thinking")
    answer = sampled(renderer, f"<think>add\nit</think>{SPELLINGS['close']}")
    said = renderer.parse(answer, TOOLS)
    tokens = [*renderer.render([QUESTION], TOOLS), *answer]
    extension = renderer.extend([QUESTION, said], tokens, results(said), TOOLS)
    assert extension.extends_previous, "blank space that the template adds around the thinking does not count"
    question = Message("user", "Sure?")
    forked = renderer.extend([QUESTION, said], tokens, [*results(said), question], TOOLS)
    assert not forked.extends_previous
    assert forked.token_ids == renderer.render([QUESTION, said, *results(said), question], TOOLS)
    assert "<think>" not in renderer.decode(forked.token_ids)


def test_a_message_that_was_changed_since_is_rendered_as_it_is_now(renderer: ChatRenderer) -> None:
    answer = sampled(renderer, f"a secret\n{SPELLINGS['close']}")
    said = replace(renderer.parse(answer, TOOLS), content="nothing")
    tokens = [*renderer.render([QUESTION], TOOLS), *answer]
    extension = renderer.extend([QUESTION, said], tokens, results(said), TOOLS)
    prompt = renderer.decode(extension.token_ids)
    assert not extension.extends_previous
    assert "secret" not in prompt
    assert "nothing" in prompt or "parameters" in prompt, "Llama's template shows nothing beside a call"


def test_what_is_wrong_with_a_call_reaches_the_model_whatever_the_template(renderer: ChatRenderer) -> None:
    answer = sampled(renderer, '<tool_call>{"name": "add"')
    said = renderer.parse(answer, TOOLS)
    assert said.call_errors == ("a tool call is not closed: its JSON does not end",)
    assert said.calls == ()
    tokens = [*renderer.render([QUESTION], TOOLS), *answer]
    new = [Message("tool", f"Error: {said.call_errors[0]}")]
    extension = renderer.extend([QUESTION, said], tokens, new, TOOLS)
    assert extension.extends_previous
    assert "its JSON does not end" in renderer.decode(extension.token_ids)


def test_a_message_with_calls_is_spelled_as_the_model_would_say_it(renderer: ChatRenderer) -> None:
    call = {"type": "function", "id": "123456789", "function": {"name": "add", "arguments": {"a": 1}}}
    text = renderer.spell(Message("assistant", "", (call,)), TOOLS)
    read = renderer.parse(renderer.encode_answer(text), TOOLS)
    assert [(call.name, call.arguments) for call in read.calls] == [("add", {"a": 1})]
    assert renderer.spell(read, TOOLS) == text
    assert renderer.spell(Message("assistant", "four")) == "four"


def test_calls_are_read_only_where_tools_are_offered(renderer: ChatRenderer) -> None:
    said = renderer.parse(sampled(renderer, SPELLINGS["hermes"]))
    assert said == Message("assistant", SPELLINGS["hermes"])


def test_a_template_of_its_own_for_tools_is_used_for_them(tiny_model: Path) -> None:
    tokenizer = tokenizer_for(tiny_model, "native_tools")
    native = str(tokenizer.chat_template)
    plain = str(tokenizer_for(tiny_model, "smollm2").chat_template)
    tokenizer.chat_template = {"default": plain, "tool_use": native}  # pyright: ignore[reportAttributeAccessIssue]
    renderer = ChatRenderer(tokenizer, tools="template")
    alone = renderer_for(tiny_model, "native_tools")
    assert renderer.render([QUESTION], TOOLS) == alone.render([QUESTION], TOOLS)
    assert "SmolLM" in renderer.decode(renderer.render([QUESTION]))


def test_the_description_of_tools_is_json_a_line() -> None:
    inside = describe_tools(TOOLS).partition("<tools>\n")[2].partition("\n</tools>")[0]
    assert [json.loads(line)["function"]["name"] for line in inside.splitlines()] == ["add", "now"]


@pytest.mark.model
def test_the_default_model_calls_tools_in_text_and_its_conversation_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    renderer = open_model("default").renderer(tools="text")
    call = {"type": "function", "id": "", "function": {"name": "add", "arguments": {"a": 12, "t": "é <|im_end|>"}}}
    answer = renderer.encode_answer(renderer.spell(Message("assistant", "I add.", (call,)), TOOLS))
    said = renderer.parse(answer, TOOLS)
    assert (said.content, [dict(each.arguments) for each in said.calls]) == ("I add.", [call["function"]["arguments"]])
    prompt = renderer.render([QUESTION], TOOLS)
    extension = renderer.extend([QUESTION, said], [*prompt, *answer], results(said), TOOLS)
    assert extension.extends_previous
    whole = [*prompt, *answer, *extension.token_ids]
    assert renderer.decode(whole) == renderer.decode(renderer.render([QUESTION, said, *results(said)], TOOLS))
    assert not caplog.records


def test_a_recipe_chooses_how_the_model_is_told_of_tools(tiny_model: Path) -> None:
    settings = ModelSettings(source=str(tiny_model), tools="text", call_forms=("json",))
    renderer = open_model(settings.source).renderer(tools=settings.tools, call_forms=settings.call_forms)
    assert "<tools>" in renderer.decode(renderer.render([QUESTION], TOOLS))
    assert renderer.parse(sampled(renderer, SPELLINGS["llama"]), TOOLS).tool_calls
    assert not renderer.parse(sampled(renderer, SPELLINGS["hermes"]), TOOLS).tool_calls
    refused: tuple[dict[str, object], ...] = ({"tools": "none"}, {"call_forms": ("yaml",)}, {"call_forms": ()})
    for wrong in refused:
        with pytest.raises(ConfigError):
            validate(ModelSettings, wrong)
