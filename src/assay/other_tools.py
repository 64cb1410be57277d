"""Names that TRL and verl give to settings, and where each setting is here: part of the error about an unknown key."""

from __future__ import annotations

from collections.abc import Mapping

_BATCH = "groups_per_step, groups of group_size rollouts each, whatever the memory; tokens_per_microbatch bounds that"
_LIMIT = "sampling.max_new_tokens"
_WEIGHTS = 'verifier.name="weighted", with a table of `parts`, each with a weight and a verifier'

OTHER_TOOLS: Mapping[str, str] = {
    # Batches.
    "num_generations": "group_size",
    "n": "group_size",
    "rollouts_per_example": "group_size",
    "per_device_train_batch_size": _BATCH,
    "gradient_accumulation_steps": _BATCH,
    "generation_batch_size": _BATCH,
    "train_batch_size": _BATCH,
    "batch_size": _BATCH,
    "ppo_mini_batch_size": "minibatches_per_step, a number of parts and not their size",
    "steps_per_generation": "minibatches_per_step",
    "num_iterations": "trainer.epochs_per_step",
    "ppo_epochs": "trainer.epochs_per_step",
    "ppo_micro_batch_size_per_gpu": "tokens_per_microbatch, in tokens",
    "ppo_max_token_len_per_gpu": "tokens_per_microbatch",
    "max_async_level": "max_staleness",
    # Length and sampling.
    "max_completion_length": _LIMIT,
    "max_response_length": _LIMIT,
    "max_tokens": _LIMIT,
    "response_length": _LIMIT,
    "max_prompt_length": "nothing, as prompts are never cut; leave it out",
    "mask_truncated_completions": 'algorithm.overlong="filter"',
    # The optimizer.
    "lr": "trainer.learning_rate",
    "lr_scheduler_type": "trainer.schedule",
    "warmup_ratio": "trainer.warmup_steps, a number of updates",
    "lr_warmup_steps": "trainer.warmup_steps",
    "adam_beta1": "trainer.betas, a list of two",
    "adam_beta2": "trainer.betas, a list of two",
    "adam_epsilon": "trainer.epsilon",
    "grad_clip": "trainer.max_grad_norm",
    "max_steps": "num_steps",
    "total_training_steps": "num_steps",
    "num_train_epochs": "num_steps, a number of steps and not of passes over the data",
    "total_epochs": "num_steps, a number of steps and not of passes over the data",
    # The algorithm.
    "adv_estimator": "algorithm.name",
    "loss_type": "algorithm.name, and algorithm.normaliser for what the loss is divided by",
    "loss_agg_mode": "algorithm.normaliser",
    "beta": "algorithm.kl_coefficient",
    "kl_coef": "algorithm.kl_coefficient",
    "kl_loss_coef": "algorithm.kl_coefficient",
    "use_kl_in_reward": 'algorithm.kl_in="reward"',
    "entropy_coeff": "algorithm.entropy_coefficient",
    "epsilon": "algorithm.clip_low and algorithm.clip_high (the optimizer's is trainer.epsilon)",
    "epsilon_high": "algorithm.clip_high",
    "clip_ratio": "algorithm.clip_low and algorithm.clip_high",
    "cliprange": "algorithm.clip_low and algorithm.clip_high",
    "clip_ratio_low": "algorithm.clip_low",
    "clip_ratio_high": "algorithm.clip_high",
    "clip_ratio_c": "algorithm.dual_clip",
    "delta": "algorithm.dual_clip",
    "scale_rewards": "algorithm.scale_by_std",
    "norm_adv_by_std_in_grpo": "algorithm.scale_by_std",
    "importance_sampling_level": 'algorithm.name="gspo" for "sequence"',
    "filter_groups": "algorithm.dynamic_sampling",
    "gamma": "algorithm.turn_discount, which is per turn; of ppo algorithm.discount",
    # The model.
    "model_name_or_path": "model.source",
    "model_name": "model.source",
    "bf16": 'model.compute_dtype="bf16"; master weights are fp32 in any case',
    "fp16": 'model.compute_dtype="fp16"',
    "torch_dtype": "model.compute_dtype",
    "lora_r": "model.lora.rank",
    "lora_rank": "model.lora.rank",
    "lora_alpha": "model.lora.alpha",
    "lora_target_modules": "model.lora.target_modules",
    "use_vllm": 'engine="vllm", or left out for the one in this process',
    # Data and rewards.
    "dataset_name": 'environment.path="hub:OWNER/DATASET/path/in/it", with environment.name="rows"',
    "train_files": 'environment.path, with environment.name="rows"',
    "val_files": 'environment.test_path, with environment.name="rows"',
    "reward_funcs": 'verifier.name="trl", with verifier.function="rewards.py:NAME"',
    "reward_weights": _WEIGHTS,
    # What is kept, and measured on the way.
    "eval_steps": "evaluation.every_steps",
    "eval_strategy": "evaluation.every_steps",
    "test_freq": "evaluation.every_steps",
    "save_steps": "checkpoint.every_steps",
    "save_freq": "checkpoint.every_steps",
    "save_total_limit": "checkpoint.keep_last",
    "max_actor_ckpt_to_keep": "checkpoint.keep_last",
    "run_name": "name",
    "experiment_name": "name",
    "project_name": "tracking.wandb.project",
    "report_to": "tracking, with a table for each tracker, such as [tracking.wandb]",
    "output_dir": "nothing, but the option --run-folder",
}
"""Name to the setting that it is here, with what else should be known."""
