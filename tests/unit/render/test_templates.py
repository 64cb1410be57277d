"""Chat templates for tokenizers that have none, and tokenizers that lack other things."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from assay.errors import ConfigError, ModelError
from assay.render import load_renderer, read_chat_template
from assay.types import Message

CONVERSATION = [Message("system", "Be brief."), Message("user", "2+2?")]


def without(model: Path, folder: Path, *keys: str) -> Path:
    """A copy of a model folder whose tokenizer lacks some settings."""
    shutil.copytree(model, folder)
    path = folder / "tokenizer_config.json"
    settings = {key: value for key, value in json.loads(path.read_text()).items() if key not in keys}
    path.write_text(json.dumps(settings))
    return folder


def test_a_base_model_is_shown_plain_text(tiny_model: Path, tmp_path: Path) -> None:
    base = without(tiny_model, tmp_path / "base", "chat_template")
    renderer = load_renderer(base, read_chat_template("plain"))
    shown = renderer.render(CONVERSATION)
    assert renderer.decode(shown) == "System: Be brief.\n\nUser: 2+2?\n\nAssistant:"
    sampled = renderer.encode_answer(" 4")
    assert renderer.parse(sampled).content == " 4"
    extension = renderer.extend(
        [*CONVERSATION, Message("assistant", " 4")], (*shown, *sampled), [Message("user", "3?")]
    )
    assert extension.extends_previous
    assert renderer.decode(extension.token_ids) == "\n\nUser: 3?\n\nAssistant:"


def test_a_first_token_that_the_tokenizer_adds_is_in_the_plain_template(tiny_model: Path, tmp_path: Path) -> None:
    base = without(tiny_model, tmp_path / "base", "chat_template")
    path = base / "tokenizer.json"
    content = json.loads(path.read_text())
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [256], "tokens": ["<|im_start|>"]}},
    }
    path.write_text(json.dumps(content))
    renderer = load_renderer(base, read_chat_template("plain"))
    assert renderer.decode(renderer.render(CONVERSATION)).startswith("<|im_start|>System: Be brief.")


def test_a_file_is_a_template(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{% for m in messages %}[{{ m.content }}]{% endfor %}")
    renderer = load_renderer(tiny_model, read_chat_template(str(file)))
    assert renderer.decode(renderer.render(CONVERSATION)) == "[Be brief.][2+2?]"


def test_templates_that_cannot_be_used_are_named(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'chatlm' is not 'chatml' or 'plain', nor a file"):
        read_chat_template("chatlm")
    (tmp_path / "empty.jinja").write_text(" \n")
    with pytest.raises(ConfigError, match="is empty"):
        read_chat_template(str(tmp_path / "empty.jinja"))
    base = without(tiny_model, tmp_path / "base", "chat_template")
    with pytest.raises(ModelError, match=r"no chat template.*model\.chat_template.*'plain' for a base model"):
        load_renderer(base)
    content = (base / "tokenizer.json").read_text()
    (base / "tokenizer.json").write_text(content.replace("<|im_end|>", "<|end|>"))
    settings = (base / "tokenizer_config.json").read_text()
    (base / "tokenizer_config.json").write_text(settings.replace("<|im_end|>", "<|end|>"))
    with pytest.raises(ModelError, match=r"no token <\|im_end\|>.*use 'plain'"):
        load_renderer(base, read_chat_template("chatml"))


def test_no_pad_token_is_needed(tiny_model: Path, tmp_path: Path) -> None:
    renderer = load_renderer(without(tiny_model, tmp_path / "padless", "pad_token"))
    assert renderer.render(CONVERSATION) == load_renderer(tiny_model).render(CONVERSATION)
