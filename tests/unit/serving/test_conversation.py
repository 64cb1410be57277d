"""What an agent asks becomes the turns of one rollout: the same tokens again, and forks where it says other things."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from assay.batching import to_samples
from assay.engines import Sampling
from assay.errors import EngineError
from assay.serving import ConversationLimits
from assay.serving.conversation import OVERRULED, Answer, Conversation, OverError
from assay.serving.wire import Ask, RequestRefusedError
from assay.types import Ending, EndingKind, Group, Message, Rollout, Score, Task, Tool
from gateway_service import Service


def ask(conversation: Conversation, *texts: str, **options: Any) -> Answer:
    """Ask with a conversation in which a user and an assistant speak in turn."""
    messages = tuple(Message(("user", "assistant")[i % 2], text) for i, text in enumerate(texts))
    return asyncio.run(conversation.ask(Ask(messages, **options)))


def forks(conversation: Conversation) -> list[list[int]]:
    """The token sequences that would be trained on."""
    rollout = Rollout("t", 0, 0, tuple(conversation.turns), Ending(EndingKind.FINISHED))
    group = Group(0, Task("t", (), ""), (rollout,), (Score.solved(),))
    return [sample.token_ids.tolist() for sample in to_samples([group])]


def test_a_request_that_goes_on_extends_the_tokens_that_were_sampled(service: Service) -> None:
    # Bytes of the answer that no tokenizer would write like this again: a space of their own at both ends.
    service.answer = lambda prompt: "  seven \n"
    talk = service.conversation()
    first = ask(talk, "2+5?")
    assert first.content == "  seven \n"
    # The agent trims what it was answered; what the model is shown is still what it had sampled.
    ask(talk, "2+5?", "seven", "sure?")
    assert [turn.extends_previous for turn in talk.turns] == [False, True]
    (whole,) = forks(talk)
    shown = service.renderer.decode(whole)
    assert shown == (
        "<|im_start|>user\n2+5?<|im_end|>\n<|im_start|>assistant\n  seven \n<|im_end|>\n"
        "<|im_start|>user\nsure?<|im_end|>\n<|im_start|>assistant\n  seven \n<|im_end|>"
    )
    assert service.engine.requests[1][1] == tuple(whole[: len(service.engine.requests[1][1])])
    assert talk.turns[0].env_messages == (Message("user", "sure?"),)
    assert talk.opening == (Message("user", "2+5?"),)


def test_a_conversation_with_other_words_forks(service: Service) -> None:
    talk = service.conversation()
    ask(talk, "2+5?")
    ask(talk, "2+5?", "eight", "sure?")
    ask(talk, "another thing")
    assert [turn.extends_previous for turn in talk.turns] == [False, False, False]
    assert len(forks(talk)) == 3
    assert "eight" in service.renderer.decode(forks(talk)[1])


def test_two_conversations_in_turn_keep_their_own_tokens(service: Service) -> None:
    talk = service.conversation()
    first = ask(talk, "one")
    ask(talk, "two")
    ask(talk, "one", first.content, "more")
    one, two, more = forks(talk)
    assert not talk.turns[2].extends_previous
    assert more[: len(one)] == one, "the earlier line's tokens, as they were sampled"
    assert two != one


def test_the_same_request_again_is_a_sample_of_its_own_with_another_seed(service: Service) -> None:
    talk = service.conversation()
    ask(talk, "one")
    ask(talk, "one")
    assert [turn.extends_previous for turn in talk.turns] == [False, False]
    assert [seed for _, _, seed in service.engine.requests] == [0, 1]
    ask(talk, "one", "seven", "more")
    assert talk.turns[2].extends_previous, "it goes on from the latest of the two"


def test_text_completions_extend_by_text_and_by_token_ids(service: Service) -> None:
    service.answer = lambda prompt: " upon a time"
    talk = service.conversation()
    first = asyncio.run(talk.ask(Ask(prompt="once")))
    assert first.content == " upon a time"
    asyncio.run(talk.ask(Ask(prompt="once upon a time<|im_end|> there")))
    assert [turn.extends_previous for turn in talk.turns] == [False, True]
    sequence = (*first.prompt_ids, *first.completion.token_ids)
    by_ids = service.conversation()
    asyncio.run(by_ids.ask(Ask(prompt=first.prompt_ids)))
    asyncio.run(by_ids.ask(Ask(prompt=(*sequence, 5, 6))))
    asyncio.run(by_ids.ask(Ask(prompt=(5, 6))))
    assert [turn.new_token_ids for turn in by_ids.turns] == [first.prompt_ids, (5, 6), (5, 6)]
    assert [turn.extends_previous for turn in by_ids.turns] == [False, True, False]


def test_what_an_agent_asks_of_the_sampling_is_counted_and_not_done(service: Service) -> None:
    talk = service.conversation()
    ask(talk, "a", temperature=1.0, top_p=1.0)
    assert talk.counts[OVERRULED] == 0
    for options in ({"temperature": 0.0}, {"top_p": 0.5}, {"top_k": 3}, {"seed": 7}):
        ask(talk, "a", **options)
    assert talk.counts[OVERRULED] == 4
    free = service.conversation(fixed=False)
    ask(free, "a", temperature=0.0, seed=7)
    assert free.counts[OVERRULED] == 0
    assert service.engine.requests[-1][2] == 7


def test_shorter_limits_and_stops_are_the_agents_own(service: Service) -> None:
    service.answer = lambda prompt: "one STOP two"
    talk = service.conversation()
    assert ask(talk, "a", max_tokens=3).content == "one"
    assert ask(talk, "a", max_tokens=3).finish_reason == "length"
    stopped = ask(talk, "a", stop=("STOP",))
    assert (stopped.content, stopped.finish_reason) == ("one ", "stop")
    # The stop string was sampled: it stays in the tokens, and going on without it is going on from them.
    ask(talk, "a", "one", "more")
    assert talk.turns[3].extends_previous
    assert "one STOP" in service.renderer.decode(forks(talk)[-1])
    service.sampling = Sampling(max_new_tokens=2)
    assert ask(service.conversation(), "a", max_tokens=50).content == "on"


def test_limits_of_the_episode_end_it(service: Service) -> None:
    service.limits = ConversationLimits(max_turns=2)
    talk = service.conversation()
    ask(talk, "a")
    ask(talk, "b")
    with pytest.raises(OverError) as over:
        ask(talk, "c")
    assert over.value.ending == Ending(EndingKind.TRUNCATED, "turns")
    service.limits = ConversationLimits(max_tokens=8)
    talk = service.conversation()
    assert ask(talk, "a").completion.num_tokens == 6
    assert ask(talk, "a").completion.num_tokens == 2, "what is left of the episode's tokens"
    with pytest.raises(OverError) as over:
        ask(talk, "a")
    assert over.value.ending == Ending(EndingKind.TRUNCATED, "tokens")


def test_a_prompt_beyond_the_context_is_refused_as_openai_does_and_the_next_may_be_shorter(service: Service) -> None:
    service.limits = ConversationLimits(max_context=60)
    talk = service.conversation()
    for limit, text in ((60, "x" * 100), (2000, "x" * 3000)):
        service.limits = ConversationLimits(max_context=limit if limit == 60 else None)
        with pytest.raises(RequestRefusedError, match=f"maximum context length is {limit} tokens") as refused:
            ask(service.conversation(), text)
        assert (refused.value.code, refused.value.status) == ("context_length_exceeded", 400)
    ask(talk, "x")
    assert len(talk.turns) == 1


def test_a_failing_engine_is_tried_once_more(service: Service) -> None:
    talk = service.conversation()
    service.engine.failures = 1
    assert ask(talk, "a").content == "seven"
    service.engine.failures = 2
    with pytest.raises(EngineError):
        ask(talk, "a")
    assert len(talk.turns) == 1


def test_a_cancelled_request_leaves_nothing(service: Service) -> None:
    aborted: list[str] = []

    async def abort(request_id: str) -> None:
        aborted.append(request_id)

    service.engine.abort = abort

    async def cancelled() -> None:
        gate = service.engine.gate = asyncio.Event()
        waiting = asyncio.create_task(talk.ask(Ask((Message("user", "a"),))))
        while not service.engine.requests:
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert aborted == ["c0/0"]
        gate.set()
        await talk.ask(Ask((Message("user", "a"),)))

    talk = service.conversation()
    asyncio.run(cancelled())
    assert len(talk.turns) == 1
    assert talk.counts == {"aborted": 1, "answered": 1}


ADD = Tool("add", "Add two numbers.", {"type": "object", "properties": {"a": {"type": "integer"}}})
CALL = 'I add.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'


def test_a_tools_call_and_its_result_extend_what_was_sampled(service: Service) -> None:
    service.answer = lambda prompt: "3" if "the sum is 3" in prompt else CALL
    talk = service.conversation()
    question = Message("user", "1+2?")
    first = asyncio.run(talk.ask(Ask((question,), tools=(ADD,))))
    assert first.finish_reason == "tool_calls"
    (call,) = first.tool_calls
    assert call["function"] == {"name": "add", "arguments": {"a": 1}}
    assert call["id"]
    told = Message("assistant", first.content, first.tool_calls)
    result = Message("tool", "the sum is 3", tool_call_id=call["id"])
    second = asyncio.run(talk.ask(Ask((question, told, result), tools=(ADD,))))
    assert (second.content, second.finish_reason) == ("3", "stop")
    assert [turn.extends_previous for turn in talk.turns] == [False, True]
    (whole,) = forks(talk)
    shown = service.renderer.decode(whole)
    assert shown.count(CALL) == 1
    assert shown.index(CALL) < shown.index("the sum is 3")
    # Other tools are another prompt.
    other = replace(ADD, description="Add them.")
    asyncio.run(talk.ask(Ask((question, told, result, Message("assistant", "3"), question), tools=(other,))))
    assert not talk.turns[2].extends_previous


def test_a_call_that_cannot_be_read_stays_text(service: Service) -> None:
    service.answer = lambda prompt: '<tool_call>{"name": "add", "arg</tool_call>'
    talk = service.conversation()
    answer = asyncio.run(talk.ask(Ask((Message("user", "1+2?"),), tools=(ADD,))))
    assert (answer.content, answer.tool_calls, answer.finish_reason) == (service.answer(""), (), "stop")
    told = Message("assistant", answer.content)
    asyncio.run(talk.ask(Ask((Message("user", "1+2?"), told, Message("user", "again")), tools=(ADD,))))
    assert talk.turns[1].extends_previous
    assert talk.turns[0].message.call_errors
