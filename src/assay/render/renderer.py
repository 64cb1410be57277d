"""The Renderer protocol: messages to tokens and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from assay.types import Message


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

    def render(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Prompt token ids, ready for the assistant to answer."""
        ...

    def extend(
        self,
        messages: Sequence[Message],
        previous_token_ids: Sequence[int],
        new_messages: Sequence[Message],
    ) -> Extension:
        """The prompt of the next turn.

        Args:
            messages: the conversation so far, ending with the assistant's message.
            previous_token_ids: its tokens so far as prompted and sampled; never re-tokenised.
            new_messages: what the environment said.
        """
        ...

    def parse(self, token_ids: Sequence[int]) -> Message:
        """The assistant's message that sampled tokens spell, stop tokens removed, reasoning that the prompt opens put
        before them."""
        ...

    def encode_answer(self, text: str) -> tuple[int, ...]:
        """Return the tokens that the model would have sampled to say this: the text's and the one that ends its
        turn."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of tokens as they are, special tokens shown."""
        ...
