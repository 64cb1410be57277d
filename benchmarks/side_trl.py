"""TRL's side of a whole step. Usage: side_trl.py MODEL_FOLDER PROMPTS.jsonl MAX_NEW_TOKENS FORCED SETTINGS

FORCED is 1 where every response is as long as the limit. SETTINGS is JSON: other options of GRPOConfig. Lines on
standard input are as in side_step.py.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
import transformers
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from side import PREFIX, last_number_is_right

model_folder, prompts, max_new_tokens = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
forced, searched = sys.argv[4] == "1", json.loads(sys.argv[5])
tasks = [json.loads(line) for line in prompts.read_text().splitlines()]
rows = [
    {"prompt": [{"role": role, "content": content} for role, content in task["prompt"]], "answer": task["answer"]}
    for task in tasks
]
# stdout carries answers only; what the libraries print goes to stderr.
answers, sys.stdout = sys.stdout, sys.stderr


def reward(completions, answer, **_):
    return [
        last_number_is_right(completion[0]["content"], gold)
        for completion, gold in zip(completions, answer, strict=True)
    ]


def solved_share(path):
    """Of held-out tasks, answered greedily."""
    held_out = [json.loads(line) for line in path.read_text().splitlines()]
    tokenizer, model = trainer.processing_class, trainer.model
    prompts = [[{"role": role, "content": content} for role, content in task["prompt"]] for task in held_out]
    inputs = tokenizer.apply_chat_template(
        prompts,
        add_generation_prompt=True,
        padding=True,
        tokenizer_kwargs={"padding_side": "left"},
        return_tensors="pt",
        return_dict=True,
    )
    assert inputs["attention_mask"][:, -1].all(), "generate wants the padding on the left"
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=options["bf16"]):
        whole = model.generate(**inputs, do_sample=False, max_new_tokens=max_new_tokens)
    model.train()
    texts = tokenizer.batch_decode(whole[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    right = [last_number_is_right(text, task["answer"]) for text, task in zip(texts, held_out, strict=True)]
    return sum(right) / len(right)


class Gate(transformers.TrainerCallback):
    """Makes a step when told to, and says how long it took."""

    def on_step_begin(self, args, state, control, **_):
        line = sys.stdin.readline()
        if not line:
            sys.exit()
        self.job = json.loads(line)
        self.began = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        self.seconds = time.perf_counter() - self.began

    def on_log(self, args, state, control, logs=None, **_):
        if "completions/mean_length" in (logs or {}):
            num_tokens = logs["completions/mean_length"] * args.per_device_train_batch_size
            answer = {"seconds": self.seconds, "tokens": num_tokens}
            if path := self.job.get("evaluate"):
                answer["accuracy"] = solved_share(Path(path))
            print(PREFIX + json.dumps(answer), file=answers, flush=True)


options = {
    "output_dir": str(prompts.parent / "trl-out"),
    "per_device_train_batch_size": 64,
    "num_generations": 8,
    "max_completion_length": max_new_tokens,
    "max_steps": len(tasks) // 8,
    "logging_steps": 1,
    "learning_rate": 1e-5,
    "lr_scheduler_type": "constant",
    "beta": 0.0,
    "temperature": 1.0,
    "loss_type": "dapo",
    "bf16": True,
    "use_cpu": True,
    "gradient_checkpointing": False,
    "shuffle_dataset": False,
    "report_to": [],
    "save_strategy": "no",
    "model_init_kwargs": {"dtype": "float32", "attn_implementation": searched.pop("attention", "sdpa")},
    "generation_kwargs": {"min_new_tokens": max_new_tokens} if forced else None,
    **searched,
}
began = time.perf_counter()
trainer = GRPOTrainer(
    model=model_folder,
    reward_funcs=reward,
    train_dataset=Dataset.from_list(rows),
    callbacks=[Gate()],
    args=GRPOConfig(**options),
)
print(PREFIX + json.dumps({"start_seconds": time.perf_counter() - began}), file=answers, flush=True)
trainer.train()
