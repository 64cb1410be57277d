"""The Renderer protocol: messages to tokens and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from assay.types import Message, Tool


@dataclass(frozen=True)
class Extension:
    """Prompt tokens of a later turn."""

    token_ids: tuple[int, ...]
    extends_previous: bool
    """True where the tokens are appended to everything so far; False where the template rewrote the prefix, and they
    are the whole prompt."""


class Renderer(Protocol):
    """Turns conversations into prompts with the model's own chat template. The round trip is tested."""

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Tokens that end an assistant's turn."""
        ...

    def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> tuple[int, ...]:
        """Return the prompt's token ids, ready for the assistant to answer.

        Args:
            tools: those that the model may call; the same in every turn of an episode.
        """
        ...

    def extend(
        self,
        messages: Sequence[Message],
        previous_token_ids: Sequence[int],
        new_messages: Sequence[Message],
        tools: Sequence[Tool] = (),
    ) -> Extension:
        """The prompt of the next turn.

        Args:
            messages: the conversation so far, ending with the assistant's message.
            previous_token_ids: its tokens so far as prompted and sampled; never re-tokenised.
            new_messages: what the environment said.
            tools: as in `render`.
        """
        ...

    def parse(self, token_ids: Sequence[int], tools: Sequence[Tool] = ()) -> Message:
        """Return the assistant's message that sampled tokens spell, stop tokens removed, reasoning that the prompt
        opens put before them.

        Args:
            tools: where there are any, the calls in the text become `tool_calls`, and what is wrong with those that
                cannot be read `call_errors`.
        """
        ...

    def spell(self, message: Message, tools: Sequence[Tool] = ()) -> str:
        """Return the text that the model would have sampled to say a message, its tool calls included."""
        ...

    def encode_answer(self, text: str) -> tuple[int, ...]:
        """Return the tokens that the model would have sampled to say this: the text's and the one that ends its
        turn."""
        ...

    def encode_prompt(self, text: str, *, begins: bool = True) -> tuple[int, ...]:
        """Return the tokens of a prompt, or of more of it, that is text already; no template is applied."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of tokens as they are, special tokens shown."""
        ...
