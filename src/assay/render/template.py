"""A tokenizer's chat template: from messages to text, with marks where the text is cut before it is tokenised.

`ChatRenderer` says which rules this keeps.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import jinja2

from assay.errors import DataError, ModelError
from assay.render.dates import with_fixed_date
from assay.render.reasoning import opened_reasoning
from assay.render.tool_calls import CALL_FORMS, CallForm, read_calls
from assay.render.tool_text import spelled_calls, with_tools_as_text
from assay.types import Message, Tool

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ContentForm = Literal["text", "parts"]
CONTENT_FORMS: tuple[ContentForm, ...] = ("text", "parts")
"""Forms in which templates take a message's content: as text, or, for models that see images too, as a list of
parts."""
ToolForm = Literal["template", "text"]
"""Forms in which a model is told of its tools. "template": by its chat template. "text": in the system message, in
Hermes' form."""
ToolChoice = Literal["auto", "template", "text"]
"""A `ToolForm`, or "auto": the template where it shows tools and its calls can be read, else text."""
TEMPLATE_ERRORS = (jinja2.TemplateError, TypeError, ValueError, AttributeError, LookupError)
"""Exceptions that a template raises on messages that it does not take."""
CUT = "\ufdd0"
"""Mark of the places where message text is cut before tokenising. A Unicode noncharacter: no text contains it on
purpose."""

_log = logging.getLogger(__name__)

_QUESTION = Message("user", "question")
_PROBE = Tool(
    "probe_tool",
    "probe_description",
    {"type": "object", "properties": {"probe_argument": {"type": "string", "description": "probe"}}},
)
_PROBE_ID = "call00001"
_PROBE_CALL = {
    "type": "function",
    "id": _PROBE_ID,
    "function": {"name": _PROBE.name, "arguments": {"probe_argument": "probe_value"}},
}
_CALLED = Message("assistant", "", (_PROBE_CALL,))
_RESULT = Message("tool", "probe_result", tool_call_id=_PROBE_ID, name=_PROBE.name)


class ChatTemplate:
    """The chat template of one tokenizer.

    Args:
        name: what error messages call the tokenizer; a folder.
        tools: how the model is told of its tools.
        call_forms: the forms of tool calls that are read.

    Raises:
        ModelError: no chat template, several and none that is the default, or one that is no Jinja.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        *,
        tools: ToolChoice = "auto",
        call_forms: Sequence[CallForm] = CALL_FORMS,
    ) -> None:
        if not tokenizer.chat_template:
            raise ModelError(
                f"{name} has no chat template, so conversations cannot be shown to the model; choose one by "
                f"model.chat_template (--chat-template of a command): 'plain' for a base model, 'chatml', or a Jinja "
                f"file; or add chat_template.jinja to its folder, or use an instruction-tuned model"
            )
        self._tokenizer = tokenizer
        self._name = name
        self._tools = tools
        self._call_forms = call_forms
        self.source = _only_template(tokenizer, name)
        """The template's text."""
        self._plain = with_fixed_date(self.source)
        named = tokenizer.chat_template
        for_tools = named.get("tool_use") if isinstance(named, Mapping) else None
        self._for_tools = self._plain if for_tools is None else with_fixed_date(str(for_tools))
        # all_special_tokens are those with a role (eos, pad, ...); the rest are marked in the list of added tokens.
        self._control_tokens = {str(token) for token in tokenizer.all_special_tokens}
        self._control_tokens.update(t.content for t in tokenizer.added_tokens_decoder.values() if t.special)
        self._control = any_of(self._control_tokens)
        self._forms: dict[str, ContentForm | None] = {}
        self._has_system_role = self._form("system") is not None

    def protect(self, token: str) -> None:
        """Count a token among those that no message can write."""
        self._control_tokens.add(token)
        self._control = any_of(self._control_tokens)

    @property
    def control_tokens(self) -> re.Pattern[str]:
        """Pattern of the tokens that no message can write."""
        return self._control

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        """Return a conversation as text, ready for the assistant, with `CUT` where messages must be cut.

        Raises:
            DataError: the template refuses the messages, or shows nothing of a role or of tool calls.
            ModelError: tools that the template does not show.
        """
        return self._checked(messages, tools, generation_prompt=True)

    def closed(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        """Return a conversation as text like `prompt`, up to the end of its last message."""
        return self._checked(messages, tools, generation_prompt=False)

    def tail(self) -> str:
        """Return what the template writes after an assistant's message; empty where it does not say."""
        try:
            _, _, tail = self._apply([_QUESTION, Message("assistant", "answer")], generation_prompt=False).rpartition(
                "answer"
            )
        except TEMPLATE_ERRORS:
            return ""
        return tail

    @cached_property
    def opening(self) -> str:
        """The text that the template writes at the head of every answer: "<think>" and blank space, or nothing."""
        try:
            _, _, prompt = self._apply([_QUESTION]).rpartition("question")
        except TEMPLATE_ERRORS:
            return ""
        return opened_reasoning(prompt)

    @cached_property
    def takes_calls_as_text(self) -> bool:
        """True where what follows a message that calls tools is the same when the template is given its text instead of
        its calls. Else results are shown only to calls that the template wrote."""
        if self.tool_form == "text":
            return True
        as_text = Message("assistant", "probe_answer")
        try:
            called, said = (self._apply([_QUESTION, each, _RESULT], tools=[_PROBE]) for each in (_CALLED, as_text))
        except TEMPLATE_ERRORS:
            return False
        _, found, rest = said.partition(as_text.content)
        return bool(found) and _RESULT.content in rest and called.endswith(rest)

    @cached_property
    def tool_form(self) -> ToolForm:
        """The form in which the model is told of its tools.

        Raises:
            ModelError: the template was chosen, and does not show tools, or writes calls in a form that is not read.
        """
        if self._tools == "text":
            return "text"
        why = self._why_no_tools()
        if not why:
            return "template"
        if self._tools == "template":
            raise ModelError(
                f"the chat template of {self._name} {why}, and model.tools is 'template'; choose 'text' (--tools text "
                "of a command), which describes the tools in the system message, or another template by "
                "model.chat_template"
            )
        _log.warning(
            "the chat template of %s %s: they are described in the system message (as with model.tools='text')",
            self._name,
            why,
        )
        return "text"

    def spelled(self, message: Message, tools: Sequence[Tool]) -> str:
        """Return the text that the model would have sampled to say a message, its calls included."""
        if not message.tool_calls or self.tool_form == "text":
            return spelled_calls(message)
        return self._written([_QUESTION], message, tools) or spelled_calls(message)

    def as_text(self, content: str) -> str:
        """Return a text with every control token spelled in it cut after its first character."""
        content = content.replace(CUT, "").encode("utf-8", "replace").decode()
        pieces: list[str] = []
        start = 0
        # The search goes on right behind the cut: the remainder of one control token may be part of another.
        while match := self._control.search(content, start):
            pieces.append(content[start : match.start() + 1])
            start = match.start() + 1
        return CUT.join([*pieces, content[start:]])

    def _checked(self, messages: Sequence[Message], tools: Sequence[Tool], *, generation_prompt: bool) -> str:
        if self._tools == "text" or (tools and self.tool_form == "text"):
            messages, tools = with_tools_as_text(messages, tools), ()
        elif tools and not self._takes_results_of_nothing:
            messages = _with_results_of_calls_only(messages, strict=not self.takes_calls_as_text)
        remedy = "model.tools='text' shows it as text"
        for role in {message.role for message in messages} - {"system"}:
            if self._form(role) is None:
                instead = "let the environment answer in the role 'user'"
                raise DataError(
                    f"the chat template of {self._name} shows nothing of messages with role {role!r}; {instead}"
                )
        if any(message.tool_calls for message in messages) and not self._shows_tool_calls:
            raise DataError(
                f"the chat template of {self._name} shows nothing of tool calls, and the messages have some; use a "
                f"model whose template has tools, or leave such rows out; {remedy}"
            )
        shown = messages if self._has_system_role else _fold_system(messages)
        try:
            return self._apply(shown, generation_prompt=generation_prompt, tools=tools)
        except TEMPLATE_ERRORS as error:
            roles = ", ".join(message.role for message in messages)
            why = str(error) if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: {error}"
            raise DataError(
                f"the chat template of {self._name} refuses messages with the roles {roles}: "
                f"{why}; change the task's prompt or the environment's messages"
            ) from error

    def _apply(
        self,
        messages: Sequence[Message],
        *,
        generation_prompt: bool = True,
        form: tuple[int, ContentForm] | None = None,
        tools: Sequence[Tool] = (),
    ) -> str:
        """The conversation as text.

        Args:
            form: (position, how the content of the message there is given), where that is still to be found out.
        """
        tried, as_form = form or (None, None)
        return str(
            self._tokenizer.apply_chat_template(
                [self._shown(message, as_form if i == tried else None) for i, message in enumerate(messages)],
                tools=[self._cut(tool.to_dict()) for tool in tools] or None,
                add_generation_prompt=generation_prompt,
                tokenize=False,
                chat_template=self._for_tools if tools else self._plain,
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
        """A copy of plain data with every text cut as by `as_text`."""
        if isinstance(value, Mapping):
            return {self._cut(key): self._cut(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._cut(each) for each in value]
        return self.as_text(value) if isinstance(value, str) else value

    def _form(self, role: str) -> ContentForm | None:
        """Return the form in which the template takes the content of such a message; None where nothing of it reaches
        the prompt: some templates drop unknown roles silently."""
        if role not in self._forms:
            before = [] if role in ("system", "user") else [_QUESTION]
            before += [Message("assistant", "answer")] if role not in ("system", "user", "assistant") else []
            after = [_QUESTION] if role == "system" else []
            self._forms[role] = self._find_form(before, Message(role, "probe"), after)
        return self._forms[role]

    def _find_form(self, before: list[Message], probe: Message, after: list[Message]) -> ContentForm | None:
        refused = False
        for form in CONTENT_FORMS:
            try:
                shown = self._apply([*before, probe, *after], form=(len(before), form))
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
    def _takes_results_of_nothing(self) -> bool:
        """True where a tool's message may answer a message that calls nothing, as those about malformed calls do."""
        result = Message("tool", "probe_result")
        try:
            shown = self._apply([_QUESTION, Message("assistant", "probe_answer"), result], tools=[_PROBE])
        except TEMPLATE_ERRORS:
            return False
        return result.content in shown

    @cached_property
    def _shows_tool_calls(self) -> bool:
        try:
            return _PROBE.name in self._apply([_QUESTION, _CALLED, _RESULT])
        except TEMPLATE_ERRORS:
            return True  # it may take them elsewhere, and says so where it does not

    def _why_no_tools(self) -> str:
        """Return why the template cannot tell the model of tools; empty where it can."""
        try:
            prompt = self._apply([_QUESTION], tools=[_PROBE])
            answered = self._apply([_QUESTION, _CALLED, _RESULT], tools=[_PROBE])
        except TEMPLATE_ERRORS as error:
            return f"refuses tools ({str(error)[:200]})"
        if not all(part in prompt for part in (_PROBE.name, _PROBE.description, "probe_argument")):
            return "shows no tools"
        if _RESULT.content not in answered:
            return "shows nothing of what tools answer"
        read = read_calls(self._written([_QUESTION], _CALLED, [_PROBE]), [_PROBE], self._call_forms)
        if [call["function"] for call in read.calls] != [_PROBE_CALL["function"]]:
            return "writes tool calls in a form that is not read here"
        return ""

    def _written(self, before: Sequence[Message], answer: Message, tools: Sequence[Tool]) -> str:
        """Return what the template writes for an assistant's message, without what ends it; empty where it refuses."""
        try:
            prompt = self._apply(before, tools=tools).removesuffix(self.opening)
            closed = self._apply([*before, answer], generation_prompt=False, tools=tools)
        except TEMPLATE_ERRORS:
            return ""
        if not closed.startswith(prompt):
            return ""
        tail = self.tail()
        return closed[len(prompt) :].removesuffix(tail).replace(CUT, "").strip()


def any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern of any of the tokens, the longest first; of nothing where there are none."""
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


def _with_results_of_calls_only(messages: Sequence[Message], *, strict: bool) -> list[Message]:
    """Return the messages with those of tools that name no call said by the user.

    Args:
        strict: those that name a call which the message before does not have, too.
    """
    asked: set[str] = set()
    shown: list[Message] = []
    for message in messages:
        if message.role == "assistant":
            asked = {call.id for call in message.calls}
        names_one = message.tool_call_id in asked if strict else bool(message.tool_call_id)
        shown.append(message if message.role != "tool" or names_one else Message("user", message.content))
    return shown


def _fold_system(messages: Sequence[Message]) -> Sequence[Message]:
    """Moves a leading system message to the head of the user message that follows it."""
    if not messages or messages[0].role != "system":
        return messages
    system, *others = messages
    if not others or others[0].role != "user":
        return [Message("user", system.content), *others]
    return [Message("user", f"{system.content}\n\n{others[0].content}"), *others[1:]]
