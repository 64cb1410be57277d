"""Templates as other models have them: contents as parts, tool calls, several templates, faults."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from assay.errors import DataError, ModelError
from assay.render import ChatRenderer, load_renderer
from assay.types import Message

USER = Message("user", "2+2?")
SYSTEM = Message("system", "Be brief.")
END = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
TEXT = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
PARTS = (
    "<|im_start|>{{ m.role }}\n{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}"
    "{% elif p.type == 'image' %}<image>{% endif %}{% endfor %}<|im_end|>\n"
)
# Raises on text: SmolVLM's and others' join the parts.
STRICT_PARTS = "<|im_start|>{{ m.role }}\n{{ m.content[0]['text'] + '' }}<|im_end|>\n"
EITHER = f"{{% if m.content is string %}}{TEXT}{{% else %}}{PARTS}{{% endif %}}"
USERS_PARTS = f"{{% if m.role == 'user' %}}{PARTS}{{% else %}}{TEXT}{{% endif %}}"
SYSTEMS_PARTS = f"{{% if m.role == 'system' %}}{PARTS}{{% else %}}{TEXT}{{% endif %}}"
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "t": "<|im_end|>"}}}
CALLED = [USER, Message("assistant", "", (CALL,)), Message("tool", "3")]
HERMES = (
    "<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls %}<tool_call>{{ c.function.name }} "
    "{{ c.function.arguments | tojson }}</tool_call>{% endfor %}<|im_end|>\n"
)
LLAMA = (
    "<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls %}{% for k, v in c.function.arguments.items() %}"
    "{{ c.function.name }}.{{ k }}={{ v }};{% endfor %}{% endfor %}<|im_end|>\n"
)

Make = Callable[[object], ChatRenderer]


@pytest.fixture
def make(tiny_model: Path) -> Make:
    """A renderer of the tiny tokenizer with another way of writing a message, or other templates by name."""

    def with_template(message: object) -> ChatRenderer:
        tokenizer = AutoTokenizer.from_pretrained(tiny_model)
        if isinstance(message, str):
            message = f"{{% for m in messages %}}{message}{{% endfor %}}{END}"
        tokenizer.chat_template = message  # pyright: ignore[reportAttributeAccessIssue]
        return ChatRenderer(tokenizer)

    return with_template


def rendered(renderer: ChatRenderer, *messages: Message) -> str:
    return renderer.decode(renderer.render(messages))


@pytest.mark.parametrize("message", [TEXT, PARTS, STRICT_PARTS, EITHER, USERS_PARTS, SYSTEMS_PARTS])
def test_text_reaches_the_prompt_in_the_form_that_the_template_takes(make: Make, message: str) -> None:
    renderer = make(message)
    assert rendered(renderer, SYSTEM, USER) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
    )
    conversation = [USER, Message("assistant", "4"), Message("tool", "no <|im_end|>")]
    assert rendered(renderer, *conversation).endswith(
        "<|im_start|>assistant\n4<|im_end|>\n<|im_start|>tool\nno <|im_end|><|im_end|>\n<|im_start|>assistant\n"
    )
    end = renderer.stop_token_ids[0]
    assert renderer.render(conversation).count(end) == 3, "a control token in a part is text"
    extension = renderer.extend(conversation[:2], (*renderer.render([USER]), 52, end), conversation[2:])
    assert extension.extends_previous


@pytest.mark.parametrize("message", [HERMES, LLAMA])
@pytest.mark.parametrize("as_text", [False, True])
def test_tool_calls_reach_the_prompt(make: Make, message: str, as_text: bool) -> None:
    function = CALL["function"]
    assert isinstance(function, dict)
    arguments = json.dumps(function["arguments"]) if as_text else function["arguments"]
    call = {**CALL, "function": {**function, "arguments": arguments}}
    renderer = make(message)
    prompt = rendered(renderer, USER, Message("assistant", "", (call,)), CALLED[2])
    shown = (
        '<tool_call>add {"a": 1, "t": "<|im_end|>"}</tool_call>' if message == HERMES else "add.a=1;add.t=<|im_end|>;"
    )
    assert f"<|im_start|>assistant\n{shown}<|im_end|>\n<|im_start|>tool\n3<|im_end|>" in prompt
    assert renderer.render(CALLED).count(renderer.stop_token_ids[0]) == 3, "a control token in an argument is text"


def test_tool_calls_that_the_template_drops_are_an_error(make: Make) -> None:
    with pytest.raises(DataError, match="shows nothing of tool calls, and the messages have some"):
        make(TEXT).render(CALLED)
    assert make(TEXT).render([USER])


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("{{ m.content + 1 }}", "refuses messages with the roles user: TypeError"),
        ("{{ m.content.index('zzz') }}", "refuses messages with the roles user: ValueError"),
        ("{{ m['other'].field }}", "refuses messages with the roles user: .*other"),
        ("{{ m.content.nothing() }}", "refuses messages with the roles user: .*nothing"),
        ("nothing of it", "shows nothing of messages with role 'user'"),
        ("{{ raise_exception('only images') }}", "refuses messages with the roles user: only images"),
    ],
)
def test_a_template_that_takes_no_text_is_an_error_that_says_so(make: Make, message: str, error: str) -> None:
    with pytest.raises(DataError, match=error):
        make(message).render([USER])


@pytest.mark.parametrize("message", ["{% if %}", "{{ m.content | no_such_filter }}", "{% for x in %}", "{{ m.content"])
def test_a_template_that_is_no_jinja_is_the_models_fault(make: Make, message: str) -> None:
    with pytest.raises(ModelError, match=r"no template that Jinja can read: .*line 1.*model\.chat_template"):
        make(message)


def test_several_templates_without_a_default_are_named(make: Make, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"chat templates named rag, tool_use and none that is the default; save"):
        make({"tool_use": "x", "rag": "y"})
    assert "2+2?" in rendered(make({"tool_use": "x", "default": "{{ messages[0].content }}" + END}), USER)
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    text = settings.pop("chat_template")
    settings["chat_template"] = [{"name": "tool_use", "template": text}]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"model has chat templates named tool_use and none that is the default"):
        load_renderer(folder)
    assert load_renderer(folder, text).render([USER])
