"""TRL's side of a step on comparisons. Usage: side_trl_pairs.py MODEL_FOLDER PAIRS.jsonl KIND SETTINGS

KIND is "dpo" or "reward". SETTINGS is JSON: other options of DPOConfig or RewardConfig. A line on standard input is a
step.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
import transformers
from datasets import Dataset
from torch.utils.data import SequentialSampler
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

from side import PREFIX

folder, path, kind, searched = sys.argv[1], Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
rows = [json.loads(line) for line in path.read_text().splitlines()]
# stdout carries answers only; what the libraries print goes to stderr.
answers, sys.stdout = sys.stdout, sys.stderr
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)


class InOrder:
    """Takes pairs as they stand, so that each step has those of the other sides."""

    def _get_train_sampler(self, *_):
        return SequentialSampler(self.train_dataset)


class InOrderDPOTrainer(InOrder, DPOTrainer): ...


class InOrderRewardTrainer(InOrder, RewardTrainer): ...


class Gate(transformers.TrainerCallback):
    """Makes a step when told to, and says how long it took."""

    def on_step_begin(self, args, state, control, **_):
        if not sys.stdin.readline():
            sys.exit()
        self.began = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        answer = {"seconds": time.perf_counter() - self.began, "tokens": num_tokens}
        print(PREFIX + json.dumps(answer), file=answers, flush=True)


pairs_per_step = searched.pop("pairs_per_step", 16)
micro = searched.pop("micro_batch", pairs_per_step)
some = rows[:pairs_per_step]
num_tokens = sum(
    len(tokenizer(row["prompt"] + row[side])["input_ids"]) for row in some for side in ("chosen", "rejected")
)
options = {
    "output_dir": str(path.parent / f"trl-{kind}-out"),
    "per_device_train_batch_size": micro,
    "gradient_accumulation_steps": pairs_per_step // micro,
    "max_steps": 1000,
    "logging_steps": 1000,
    "learning_rate": 1e-6,
    "lr_scheduler_type": "constant",
    "bf16": searched.pop("bf16", True),
    "use_cpu": True,
    "gradient_checkpointing": False,
    "report_to": [],
    "save_strategy": "no",
    "model_init_kwargs": {"dtype": "float32"},
    **searched,
}
began = time.perf_counter()
torch.manual_seed(0)
if kind == "dpo":
    trainer = InOrderDPOTrainer(
        model=folder,
        args=DPOConfig(**options),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[Gate()],
    )
else:
    whole = [{side: row["prompt"] + row[side] for side in ("chosen", "rejected")} for row in rows]
    trainer = InOrderRewardTrainer(
        model=folder,
        args=RewardConfig(**options),
        train_dataset=Dataset.from_list(whole),
        processing_class=tokenizer,
        callbacks=[Gate()],
    )
print(PREFIX + json.dumps({"start_seconds": time.perf_counter() - began}), file=answers, flush=True)
trainer.train()
