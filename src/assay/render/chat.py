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
7. Tools reach the model through the template, or, where it shows none, as text in the system message (`ToolChoice`).
   What was sampled stays here too: a message whose calls were read is compared, and followed, as the text that was
   sampled, whatever the template would make of its calls. Only where a prompt is rendered anew does the template write
   them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from assay.errors import DataError, ModelError
from assay.render.reasoning import closing_tag
from assay.render.renderer import Extension
from assay.render.template import CUT, ChatTemplate, ToolChoice, any_of
from assay.render.templates import CHATML, PLAIN
from assay.render.tokenizer import read_tokenizer
from assay.render.tool_calls import CALL_FORMS, CallForm, read_calls
from assay.types import Message, Tool, ToolCall

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NO_WORD = re.compile(r"[^\w\s]")
_TAG = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")
"""Pattern of a token that is markup and no text: "<end_of_turn>", "[/INST]"."""


class ToolOptions(TypedDict, total=False):
    """Options of a renderer about tools; see `ChatRenderer`."""

    tools: ToolChoice
    call_forms: Sequence[CallForm]


class ChatRenderer:
    """Renders conversations for one tokenizer.

    Args:
        tokenizer: with a chat template.
        stop_token_ids: tokens that end an assistant's turn, beside the tokenizer's end token and the token that the
            template puts after an assistant's message: those of generation_config.json.
        name: what error messages call the tokenizer; a folder.
        tools: how the model is told of its tools.
        call_forms: the forms of tool calls that are read.

    Raises:
        ModelError: no chat template, or no token that ends a turn.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        stop_token_ids: Iterable[int] = (),
        name: str = "the tokenizer",
        tools: ToolChoice = "auto",
        call_forms: Sequence[CallForm] = CALL_FORMS,
    ) -> None:
        self._tokenizer = tokenizer
        self._name = name
        self._call_forms = tuple(call_forms)
        self._template = ChatTemplate(tokenizer, name, tools=tools, call_forms=call_forms)
        self._end_text, end = self._find_end()
        # Marked special or not, it ends a turn: spelled inside a message it must stay text.
        self._template.protect(self._end_text)
        self._stop_token_ids = self._find_stop_tokens(stop_token_ids, end)
        self._end_token_id = self._stop_token_ids[0] if end is None else end
        """The token that the template writes after an answer, or where that is no token the first of those that end
        one."""

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        return self._stop_token_ids

    @property
    def chat_template(self) -> str:
        """The template's text."""
        return self._template.source

    def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> tuple[int, ...]:
        """Return the template's tokens and no others: a beginning-of-sequence token only where the template writes it.

        Raises:
            DataError: the template refuses the messages (say, roles that do not alternate) or shows nothing of a role.
            ModelError: the template was chosen for the tools, and shows none.
        """
        try:
            return self._encode(self._template.prompt(messages, tools))
        except DataError:
            # Some templates take one call a message, and what was sampled has several.
            sampled = [self._as_sampled(message, tools) for message in messages]
            if sampled == list(messages):
                raise
            return self._encode(self._template.prompt(sampled, tools))

    def extend(
        self,
        messages: Sequence[Message],
        previous_token_ids: Sequence[int],
        new_messages: Sequence[Message],
        tools: Sequence[Tool] = (),
    ) -> Extension:
        """Return the tokens that follow the assistant's answer, its end token included where a truncated answer lacks
        one."""
        *before, answer = [self._as_sampled(message, tools) for message in messages]
        if answer.tool_calls:
            rest = None  # somebody changed what was said: its text is not what was sampled
        elif any(message.verbatim for message in messages) and not self._template.takes_calls_as_text:
            rest = self._after_calls(messages, new_messages, tools)
        else:
            whole = self._template.prompt([*before, answer, *new_messages], tools)
            said = self._template.as_text(answer.content.removeprefix(self._template.opening))
            rest = _after_answer(whole, self._template.prompt(before, tools), said)
        if rest is None:
            return Extension(self.render([*messages, *new_messages], tools), extends_previous=False)
        token_ids = self._encode(rest)
        if previous_token_ids and previous_token_ids[-1] in self._stop_token_ids:
            token_ids = self._drop_end(token_ids, previous_token_ids[-1])
        return Extension(token_ids, extends_previous=True)

    def parse(self, token_ids: Sequence[int], tools: Sequence[Tool] = ()) -> Message:
        """Return the text before the first stop token, after what the template opens the answer with, with the tool
        calls in it read where tools are given. Other special tokens that the model sampled are shown as text."""
        length = next((i for i, token in enumerate(token_ids) if token in self._stop_token_ids), len(token_ids))
        return self._read(self._template.opening + self.decode(token_ids[:length]), tools)

    def spell(self, message: Message, tools: Sequence[Tool] = ()) -> str:
        """Return the text that the model would have sampled to say a message, its tool calls included: what
        `encode_answer` takes."""
        return message.verbatim or self._template.spelled(message, tools)

    def encode_answer(self, text: str) -> tuple[int, ...]:
        """Return the tokens that the model would have sampled to say this: the text's and the one that ends its turn.
        Where the template opens the reasoning, the text goes on after that, or ends it at once where it has none."""
        closing = ""
        if self._template.opening:
            tag, end = self._template.opening.strip(), closing_tag(self._template.opening)
            if text.lstrip().startswith(tag):
                text = text.lstrip().removeprefix(tag).lstrip("\n")
            elif end not in text:
                closing = f"\n{end}\n\n"
        return (*self._encode(closing + self._template.as_text(text)), self._end_token_id)

    def encode_prompt(self, text: str, *, begins: bool = True) -> tuple[int, ...]:
        """Return the tokens of a prompt that is text already, without a template. Control tokens that are spelled in it
        are those tokens.

        Args:
            begins: whether it is the beginning of the prompt, which gets the beginning-of-sequence token that the
                tokenizer puts before every text, where it does.
        """
        text = text.encode("utf-8", "replace").decode()
        token_ids = tuple(self._tokenizer.encode(text, add_special_tokens=False, verbose=False))
        bos = self._tokenizer.bos_token_id
        if not begins or not isinstance(bos, int) or self._tokenizer("a").input_ids[:1] != [bos]:
            return token_ids
        return token_ids if token_ids[:1] == (bos,) else (bos, *token_ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        )

    def has_the_vocabulary_of(self, other: ChatRenderer) -> bool:
        """Return whether every token is the same one, by text and id, to both."""
        return self._tokenizer.get_vocab() == other._tokenizer.get_vocab()

    def _read(self, text: str, tools: Sequence[Tool]) -> Message:
        if not tools:
            return Message("assistant", text)
        read = read_calls(text, tools, self._call_forms)
        return Message(
            "assistant", read.content, read.calls, call_errors=read.errors, verbatim=text if read.calls else ""
        )

    def _as_sampled(self, message: Message, tools: Sequence[Tool]) -> Message:
        """Return an assistant's message as the text that was sampled, as long as it still says that."""
        if not message.verbatim or not tools:
            return message
        read = self._read(message.verbatim, tools)
        same = (read.content, *map(_said, read.calls)) == (message.content, *map(_said, message.calls))
        return Message("assistant", message.verbatim) if same else message

    def _after_calls(
        self, messages: Sequence[Message], new_messages: Sequence[Message], tools: Sequence[Tool]
    ) -> str | None:
        """Return what follows the assistant's answer, for a template that shows results of calls only where it wrote
        the calls itself; None where it rewrote what came before, or shows less than was said."""
        *before, answer = messages
        prompt = self._template.prompt(before, tools).removesuffix(self._template.opening)
        closed = self._template.closed(messages, tools)
        whole = self._template.prompt([*messages, *new_messages], tools)
        end = closed.rfind(self._end_text) if self._end_text else -1
        if end < len(prompt) or not closed.startswith(prompt) or not whole.startswith(closed[:end]):
            return None
        content = self._template.as_text(answer.content.removeprefix(self._template.opening).strip())
        return whole[end:] if content in closed[len(prompt) : end] else None

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(
            token_id
            for piece in text.split(CUT)
            for token_id in self._tokenizer.encode(piece, add_special_tokens=False, verbose=False)
        )

    def _drop_end(self, token_ids: tuple[int, ...], end: int) -> tuple[int, ...]:
        """`token_ids` without the end token they open with: it was sampled already."""
        position = next((i for i, token in enumerate(token_ids) if token in self._stop_token_ids), None)
        if position is None or token_ids[position] != end or self.decode(token_ids[:position]).strip():
            return token_ids
        return token_ids[position + 1 :]

    def _find_end(self) -> tuple[str, int | None]:
        """The token that the template writes after an answer, as text and id: a special one, one that was added to the
        vocabulary without being marked so, or one of the vocabulary that is written like a tag; else "" and None."""
        tail = self._template.tail().lstrip()
        added = {token.content for token in self._tokenizer.added_tokens_decoder.values()}
        for known in (self._template.control_tokens, any_of(token for token in added if _NO_WORD.search(token))):
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


def load_renderer(folder: Path, chat_template: str | None = None, **options: Unpack[ToolOptions]) -> ChatRenderer:
    """The renderer of a model folder: its tokenizer, chat template and generation_config.json.

    Args:
        chat_template: text of a template to use in place of the tokenizer's own; see `read_chat_template`.
        options: how the model is told of its tools, and which forms of calls are read.

    Raises:
        ModelError: no such folder, no readable tokenizer, no chat template, no end token.
    """
    if not folder.is_dir():
        raise ModelError(f"no model folder at {folder}; pass a folder in Hugging Face format")
    try:
        tokenizer = read_tokenizer(folder)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"the tokenizer in {folder} cannot be read: {error}; check its tokenizer.json") from error
    if chat_template is not None:
        tokenizer.chat_template = _fitted(chat_template, tokenizer, folder)
    return ChatRenderer(tokenizer, stop_token_ids=_generation_stop_tokens(folder), name=str(folder), **options)


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


def _said(call: ToolCall) -> tuple[str, Mapping[str, Any]]:
    return call.name, call.arguments


def _after_answer(whole: str, prompt: str, answer: str) -> str | None:
    """Return the rest of `whole` after `prompt + answer`, whatever blank space the template changed in the answer; None
    where it does not start like that: the prefix was rewritten."""
    if not whole.startswith(prompt):
        return None
    start = len(prompt)
    if whole.startswith(answer, start):
        return whole[start + len(answer) :]
    for word in answer.split():
        for character in word:
            while start < len(whole) and whole[start].isspace():
                start += 1
            if start == len(whole) or whole[start] != character:
                return None
            start += 1
    return whole[start:]
