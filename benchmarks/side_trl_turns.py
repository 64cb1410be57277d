"""TRL's side of a whole step over episodes of several turns, by its own loop for environments: it generates, calls the
environment's tool, appends what that says, and generates on, until no completion calls a tool any more.

The model could not be relied on to call a tool eight times in 24 tokens. So three places where TRL turns text to tokens
and back are replaced: prompts and answers are given as tokens, and every completion is read as a call. Everything else,
generation, masks, loss, update, is TRL's. Usage: side_trl_turns.py MODEL_FOLDER SETTINGS

SETTINGS is JSON: sizes of the job as `works.py` gives them, and "micro_batch", samples of a pass of the update.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import transformers
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import qwen2_5_chat_template
from trl.trainer import grpo_trainer

from side import PREFIX, scripted_answer

model_folder, settings = sys.argv[1], json.loads(sys.argv[2])
prompts, group_size = settings["prompts"], settings["group_size"]
num_turns, new_tokens, answer_tokens = settings["num_turns"], settings["new_tokens"], settings["answer_tokens"]
num_rollouts = len(prompts) * group_size
# stdout carries answers only; what the libraries print goes to stderr.
answers, sys.stdout = sys.stdout, sys.stderr


class World:
    """Answers each completion at once."""

    def reset(self, **_: Any) -> None:
        """Begins an episode."""

    def answer(self) -> str:
        """Says what comes next."""
        return "words"


def read_as_call(*_: Any, **__: Any) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "answer", "arguments": {}}}],
    }


grpo_trainer.parse_response = read_as_call


class Trainer(GRPOTrainer):
    num_answers = 0

    def _tokenize_prompts(self, given: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [list(prompts[int(messages[0]["content"])]) for messages in given], None, {}

    def _get_tool_suffix_ids(self, tool_messages: list[Any]) -> list[int]:
        self.num_answers += 1
        return scripted_answer(0, self.num_answers, 0, answer_tokens)


def reward(completions: list[Any], completion_ids: list[list[int]], **_: Any) -> list[float]:
    lengths = {len(tokens) for tokens in completion_ids}
    assert lengths == {num_turns * new_tokens + (num_turns - 1) * answer_tokens}, lengths
    return [float(i % 2) for i in range(len(completions))]


class Gate(transformers.TrainerCallback):
    """Makes a step when told to, and says how long it took."""

    def on_step_begin(self, args, state, control, **_):
        if not sys.stdin.readline():
            sys.exit()
        self.began = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        seconds = time.perf_counter() - self.began
        tokens = num_rollouts * num_turns * new_tokens
        print(PREFIX + json.dumps({"seconds": seconds, "tokens": tokens}), file=answers, flush=True)


began = time.perf_counter()
tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
tokenizer.chat_template = qwen2_5_chat_template
trainer = Trainer(
    model=model_folder,
    reward_funcs=reward,
    processing_class=tokenizer,
    train_dataset=Dataset.from_list(
        [{"prompt": [{"role": "user", "content": str(i)}]} for _ in range(100) for i in range(len(prompts))]
    ),
    environment_factory=World,
    callbacks=[Gate()],
    args=GRPOConfig(
        output_dir=settings["folder"],
        per_device_train_batch_size=settings["micro_batch"],
        gradient_accumulation_steps=num_rollouts // settings["micro_batch"],
        steps_per_generation=num_rollouts // settings["micro_batch"],
        num_generations=group_size,
        max_completion_length=num_turns * new_tokens + (num_turns - 1) * answer_tokens,
        max_tool_calling_iterations=num_turns - 1,
        max_steps=100,
        logging_steps=1,
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        beta=0.0,
        temperature=1.0,
        loss_type="dapo",
        bf16=settings.get("dtype", "bf16") == "bf16",
        use_cpu=True,
        gradient_checkpointing=False,
        shuffle_dataset=False,
        report_to=[],
        save_strategy="no",
        model_init_kwargs={"dtype": "float32", "attn_implementation": "sdpa"},
    ),
)
# Of one turn; the limit above is the whole episode's.
for name in ("max_new_tokens", "min_new_tokens"):
    setattr(trainer.generation_config, name, new_tokens)
    trainer.generation_kwargs[name] = new_tokens
print(PREFIX + json.dumps({"start_seconds": time.perf_counter() - began}), file=answers, flush=True)
trainer.train()
