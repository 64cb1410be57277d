"""A Renderer over a Hugging Face tokenizer and its chat template.

Rules that a template alone does not settle:

1. Only the template writes control tokens. A special token spelled inside a message ("<|im_end|>" in a user's text, in
   what an environment answered, in what the model said) is cut in two before it is tokenised, so it stays plain text.
2. Tokens in, tokens out. A later turn appends what the template puts after the assistant's answer; the answer itself
   stays as it was sampled. Where the template rewrites anything before that (it drops earlier reasoning, say), the next
   prompt is rendered anew. Blank space that a template trims around the answer does not count as rewriting.
3. A template without a system role gets the system message at the head of the first user message.
4. A template may open the reasoning of the answer itself, with `<think>` or another of `REASONING_TAGS` at the end of
   the prompt. The message then begins with what the template wrote, so that what is read of it is the answer and not
   the reasoning.
5. Templates that print the date see `TEMPLATE_DATE`: a prompt is the same today and when a run is resumed tomorrow.
6. A template that takes contents as lists of parts, as those of models that see images do, gets text as one part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jinja2

from assay.errors import DataError, ModelError
from assay.render.dates import with_fixed_date
from assay.render.reasoning import closing_tag, opened_reasoning
from assay.render.renderer import Extension
from assay.render.templates import CHATML, PLAIN
from assay.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ContentForm = Literal["text", "parts"]
CONTENT_FORMS: tuple[ContentForm, ...] = ("text", "parts")
"""Forms in which templates take a message's content: as text, or, for models that see images too, as a list of
parts."""
TEMPLATE_ERRORS = (jinja2.TemplateError, TypeError, ValueError, AttributeError, LookupError)
"""Exceptions that a template raises on messages that it does not take."""

_NO_WORD = re.compile(r"[^\w\s]")
_TAG = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")
"""Pattern of a token that is markup and no text: "<end_of_turn>", "[/INST]"."""
_CUT = "\ufdd0"
"""Mark of the places where message text is cut before tokenising. A Unicode noncharacter: no text contains it on
purpose."""


class ChatRenderer:
    """Renders conversations for one tokenizer.

    Args:
        tokenizer: with a chat template.
        stop_token_ids: tokens that end an assistant's turn, beside the tokenizer's end token and the token that the
            template puts after an assistant's message: those of generation_config.json.
        name: what error messages call the tokenizer; a folder.

    Raises:
        ModelError: no chat template, or no token that ends a turn.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, stop_token_ids: Iterable[int] = (), name: str = "the tokenizer"
    ) -> None:
        if not tokenizer.chat_template:
            raise ModelError(
                f"{name} has no chat template, so conversations cannot be shown to the model; choose one by "
                f"model.chat_template (--chat-template of a command): 'plain' for a base model, 'chatml', or a Jinja "
                f"file; or add chat_template.jinja to its folder, or use an instruction-tuned model"
            )
        self._tokenizer = tokenizer
        self._name = name
        self.chat_template = _only_template(tokenizer, name)
        """The template's text."""
        self._template = with_fixed_date(self.chat_template)
        # all_special_tokens are those with a role (eos, pad, ...); the rest are marked in the list of added tokens.
        control_tokens = {str(token) for token in tokenizer.all_special_tokens}
        control_tokens.update(token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
        self._control_tokens = _any_of(control_tokens)
        self._forms: dict[str, ContentForm | None] = {}
        self._has_system_role = self._form("system") is not None
        text, end = self._find_end()
        # Marked special or not, it ends a turn: spelled inside a message it must stay text.
        self._control_tokens = _any_of({*control_tokens, text})
        self._stop_token_ids = self._find_stop_tokens(stop_token_ids, end)
        self._end_token_id = self._stop_token_ids[0] if end is None else end
        """The token that the template writes after an answer, or where that is no token the first of those that end
        one."""
        self._opening = self._find_opening()
        """Text that the template writes at the head of every answer: "<think>" and blank space, or nothing."""

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        return self._stop_token_ids

    def render(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The template's tokens and no others: a beginning-of-sequence token only where the template writes it.

        Raises:
            DataError: the template refuses the messages (say, roles that do not alternate) or shows nothing of a role.
        """
        return self._encode(self._text(messages))

    def extend(
        self, messages: Sequence[Message], previous_token_ids: Sequence[int], new_messages: Sequence[Message]
    ) -> Extension:
        """Return the tokens that follow the assistant's answer, its end token included where a truncated answer lacks
        one."""
        *before, answer = messages
        whole = self._text([*messages, *new_messages])
        rest = _after_answer(whole, self._text(before), self._as_text(answer.content.removeprefix(self._opening)))
        if rest is None:
            return Extension(self._encode(whole), extends_previous=False)
        token_ids = self._encode(rest)
        if previous_token_ids and previous_token_ids[-1] in self._stop_token_ids:
            token_ids = self._drop_end(token_ids, previous_token_ids[-1])
        return Extension(token_ids, extends_previous=True)

    def parse(self, token_ids: Sequence[int]) -> Message:
        """Return the text before the first stop token, after what the template opens the answer with. Other special
        tokens that the model sampled are shown as text."""
        length = next((i for i, token in enumerate(token_ids) if token in self._stop_token_ids), len(token_ids))
        return Message("assistant", self._opening + self.decode(token_ids[:length]))

    def encode_answer(self, text: str) -> tuple[int, ...]:
        """Return the tokens that the model would have sampled to say this: the text's and the one that ends its turn.
        Where the template opens the reasoning, the text goes on after that, or ends it at once where it has none."""
        closing = ""
        if self._opening:
            tag, end = self._opening.strip(), closing_tag(self._opening)
            if text.lstrip().startswith(tag):
                text = text.lstrip().removeprefix(tag).lstrip("\n")
            elif end not in text:
                closing = f"\n{end}\n\n"
        return (*self._encode(closing + self._as_text(text)), self._end_token_id)

    def decode(self, token_ids: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        )

    def has_the_vocabulary_of(self, other: ChatRenderer) -> bool:
        """Return whether every token is the same one, by text and id, to both."""
        return self._tokenizer.get_vocab() == other._tokenizer.get_vocab()

    def _text(self, messages: Sequence[Message]) -> str:
        """The prompt as text, ready for the assistant, with `_CUT` where messages must be cut."""
        for role in {message.role for message in messages} - {"system"}:
            if self._form(role) is None:
                raise DataError(
                    f"the chat template of {self._name} shows nothing of messages with role {role!r}; "
                    f"let the environment answer in the role 'user'"
                )
        if any(message.tool_calls for message in messages) and not self._shows_tool_calls:
            raise DataError(
                f"the chat template of {self._name} shows nothing of tool calls, and the messages have some; use a "
                "model whose template has tools, or leave such rows out"
            )
        try:
            return self._apply_template(messages if self._has_system_role else _fold_system(messages))
        except TEMPLATE_ERRORS as error:
            roles = ", ".join(message.role for message in messages)
            why = str(error) if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: {error}"
            raise DataError(
                f"the chat template of {self._name} refuses messages with the roles {roles}: "
                f"{why}; change the task's prompt or the environment's messages"
            ) from error

    def _apply_template(
        self,
        messages: Sequence[Message],
        *,
        generation_prompt: bool = True,
        form: tuple[int, ContentForm] | None = None,
    ) -> str:
        """The conversation as text.

        Args:
            form: (position, how the content of the message there is given), where that is still to be found out.
        """
        tried, as_form = form or (None, None)
        return str(
            self._tokenizer.apply_chat_template(
                [self._shown(message, as_form if i == tried else None) for i, message in enumerate(messages)],
                add_generation_prompt=generation_prompt,
                tokenize=False,
                chat_template=self._template,
            )
        )

    def _shown(self, message: Message, form: ContentForm | None = None) -> dict[str, Any]:
        """Return a message as the template takes it: content as text or as a list of parts, the arguments of a call as
        an object, and no control token in its text."""
        data = message.to_dict()
        if message.tool_calls:
            data["tool_calls"] = [_with_arguments(call) for call in message.tool_calls]
        if (form or self._form(message.role)) == "parts":
            data["content"] = [{"type": "text", "text": message.content}]
        return self._cut(data)

    def _cut(self, value: Any) -> Any:
        """A copy of plain data with every text cut as by `_as_text`."""
        if isinstance(value, dict):
            return {self._cut(key): self._cut(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._cut(each) for each in value]
        return self._as_text(value) if isinstance(value, str) else value

    def _as_text(self, content: str) -> str:
        """The content with every control token spelled in it cut after its first character."""
        content = content.replace(_CUT, "").encode("utf-8", "replace").decode()
        pieces: list[str] = []
        start = 0
        # The search goes on right behind the cut: the remainder of one control token may be part of another.
        while match := self._control_tokens.search(content, start):
            pieces.append(content[start : match.start() + 1])
            start = match.start() + 1
        return _CUT.join([*pieces, content[start:]])

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(
            token_id
            for piece in text.split(_CUT)
            for token_id in self._tokenizer.encode(piece, add_special_tokens=False, verbose=False)
        )

    def _drop_end(self, token_ids: tuple[int, ...], end: int) -> tuple[int, ...]:
        """`token_ids` without the end token they open with: it was sampled already."""
        position = next((i for i, token in enumerate(token_ids) if token in self._stop_token_ids), None)
        if position is None or token_ids[position] != end or self.decode(token_ids[:position]).strip():
            return token_ids
        return token_ids[position + 1 :]

    def _form(self, role: str) -> ContentForm | None:
        """Return the form in which the template takes the content of such a message; None where nothing of it reaches
        the prompt: some templates drop unknown roles silently."""
        if role not in self._forms:
            before = [] if role in ("system", "user") else [Message("user", "question")]
            before += [Message("assistant", "answer")] if role not in ("system", "user", "assistant") else []
            after = [Message("user", "question")] if role == "system" else []
            self._forms[role] = self._find_form(before, Message(role, "probe"), after)
        return self._forms[role]

    def _find_form(self, before: list[Message], probe: Message, after: list[Message]) -> ContentForm | None:
        refused = False
        for form in CONTENT_FORMS:
            try:
                shown = self._apply_template([*before, probe, *after], form=(len(before), form))
            except jinja2.TemplateSyntaxError as error:
                raise ModelError(
                    f"the chat template of {self._name} is no template that Jinja can read: {error} (line "
                    f"{error.lineno}); mend it, or choose another by model.chat_template"
                ) from None
            except TEMPLATE_ERRORS:
                refused = refused or form == CONTENT_FORMS[0]
                continue
            if "probe" in shown:
                return form
        # Only for a system message is a refusal an answer: other roles may be fine elsewhere in a conversation.
        return CONTENT_FORMS[0] if refused and probe.role != "system" else None

    @cached_property
    def _shows_tool_calls(self) -> bool:
        call = {"type": "function", "id": "call00001", "function": {"name": "probe", "arguments": {"probe": "probe"}}}
        question, answer = Message("user", "question"), Message("assistant", "", (call,))
        try:
            return "probe" in self._apply_template([question, answer, Message("tool", "x", tool_call_id="call00001")])
        except TEMPLATE_ERRORS:
            return True  # it may take them elsewhere, and says so where it does not

    def _find_opening(self) -> str:
        try:
            _, _, prompt = self._apply_template([Message("user", "question")]).rpartition("question")
        except TEMPLATE_ERRORS:
            return ""
        return opened_reasoning(prompt)

    def _find_end(self) -> tuple[str, int | None]:
        """The token that the template writes after an answer, as text and id: a special one, one that was added to the
        vocabulary without being marked so, or one of the vocabulary that is written like a tag; else "" and None."""
        conversation = [Message("user", "question"), Message("assistant", "answer")]
        try:
            _, _, tail = self._apply_template(conversation, generation_prompt=False).rpartition("answer")
        except TEMPLATE_ERRORS:
            return "", None
        tail = tail.lstrip()
        added = {token.content for token in self._tokenizer.added_tokens_decoder.values()}
        for known in (self._control_tokens, _any_of(token for token in added if _NO_WORD.search(token))):
            if found := known.match(tail):
                token_id = self._tokenizer.convert_tokens_to_ids(found.group())
                return (found.group(), token_id) if isinstance(token_id, int) else ("", None)
        first = self._encode(tail)[:1]
        text = self.decode(first)
        return (text, first[0]) if _TAG.fullmatch(text) and tail.startswith(text) else ("", None)

    def _find_stop_tokens(self, given: Iterable[int], end: int | None) -> tuple[int, ...]:
        found = [*given]
        if isinstance(self._tokenizer.eos_token_id, int):
            found.append(self._tokenizer.eos_token_id)
        if end is not None:
            found.append(end)
        if not found:
            raise ModelError(
                f"{self._name} has no token that ends an assistant's turn, so every answer would run to the limit; "
                f"set `eos_token` in tokenizer_config.json or `eos_token_id` in generation_config.json"
            )
        return tuple(dict.fromkeys(found))


def _any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the tokens, the longest first; nothing where there are none."""
    longest_first = sorted(filter(None, tokens), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _only_template(tokenizer: PreTrainedTokenizerBase, name: str) -> str:
    """The text of the template that is used where nobody names one.

    Raises:
        ModelError: there are several, and none is the default.
    """
    templates: Any = tokenizer.chat_template
    if isinstance(templates, Mapping) and "default" not in templates:
        raise ModelError(
            f"{name} has chat templates named {', '.join(sorted(templates))} and none that is the default; save the "
            "one to use as a Jinja file and name it in model.chat_template (--chat-template of a command)"
        )
    return str(tokenizer.get_chat_template())


def load_renderer(folder: Path, chat_template: str | None = None) -> ChatRenderer:
    """The renderer of a model folder: its tokenizer, chat template and generation_config.json.

    Args:
        chat_template: text of a template to use in place of the tokenizer's own; see `read_chat_template`.

    Raises:
        ModelError: no such folder, no readable tokenizer, no chat template, no end token.
    """
    from transformers import AutoTokenizer

    if not folder.is_dir():
        raise ModelError(f"no model folder at {folder}; pass a folder in Hugging Face format")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"the tokenizer in {folder} cannot be read: {error}; check its tokenizer.json") from error
    if chat_template is not None:
        tokenizer.chat_template = _fitted(chat_template, tokenizer, folder)
    return ChatRenderer(tokenizer, stop_token_ids=_generation_stop_tokens(folder), name=str(folder))


def _fitted(template: str, tokenizer: PreTrainedTokenizerBase, folder: Path) -> str:
    """A named template as this tokenizer needs it."""
    if template == CHATML and "<|im_end|>" not in tokenizer.get_vocab():
        raise ModelError(
            f"the tokenizer in {folder} has no token <|im_end|>, so the chatml template would spell it out in letters; "
            "use 'plain'"
        )
    if template == PLAIN and tokenizer.bos_token and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]:
        # Models that were trained with a first token do badly without it.
        return "{{ bos_token }}" + template
    return template


def _generation_stop_tokens(folder: Path) -> tuple[int, ...]:
    file = folder / "generation_config.json"
    if not file.is_file():
        return ()
    try:
        eos = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{file} is not a JSON object: {error}; repair or remove it") from error
    return tuple(eos) if isinstance(eos, list) else () if eos is None else (int(eos),)


def _with_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call whose arguments, where they are the text of a JSON object, are that object."""
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return dict(call)
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        return dict(call)
    return {**call, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else dict(call)


def _fold_system(messages: Sequence[Message]) -> Sequence[Message]:
    """Moves a leading system message to the head of the user message that follows it."""
    if not messages or messages[0].role != "system":
        return messages
    system, *others = messages
    if not others or others[0].role != "user":
        return [Message("user", system.content), *others]
    return [Message("user", f"{system.content}\n\n{others[0].content}"), *others[1:]]


def _after_answer(whole: str, prompt: str, answer: str) -> str | None:
    """Return the rest of `whole` after `prompt + answer`; None where it does not start like that: the prefix was
    rewritten."""
    if not whole.startswith(prompt):
        return None
    rest = whole[len(prompt) :]
    if rest.startswith(answer):
        return rest[len(answer) :]
    rest, answer = rest.lstrip(), answer.strip()
    return rest[len(answer) :] if rest.startswith(answer) else None
