"""The recipe: settings of a whole run, each part beside the class it configures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pydantic

from assay.algorithms import GRPO, AnyAlgorithm
from assay.cluster.settings import ClusterSettings
from assay.config import FileText, Settings
from assay.curriculum import AnyCurriculum, LevelByLevel, Propose
from assay.curriculum.curriculum import no_verdict
from assay.engines import AnyEngine, FarSettings, Sampling
from assay.environments import AnyEnvironment, rewards_of
from assay.environments.arithmetic import Arithmetic
from assay.environments.mixture import as_mixture
from assay.errors import ConfigError
from assay.evaluation.held_out import EvaluationSettings
from assay.observe.tracking import TrackingSettings
from assay.policies.lora.settings import LoraSettings
from assay.render.template import ToolChoice
from assay.render.tool_calls import CALL_FORMS, CallForm
from assay.rollout.limits import EpisodeLimits
from assay.scaffolds import AnyScaffold, Plain
from assay.training import TrainerSettings
from assay.verifiers import AnyVerifier, Verifier, Weighted, readings_of, verifiers_in
from assay.watch.settings import WatchSettings

if TYPE_CHECKING:
    from assay.training.within import MemoryShares


class ModelSettings(Settings):
    """Settings of the model that is trained: which one, where and in what precision."""

    source: FileText = "default"
    """"default" (SmolLM2-135M-Instruct), a Hugging Face folder, a hub id such as "org/name", or a run (its folder, its
    name, or "latest"): the model that it made. An adapter in PEFT's format is trained further, on its base."""
    base: FileText | None = None
    """The base of an adapter in `source`, where its adapter_config.json names none that can be had here."""
    lora: LoraSettings | None = None
    """A new low-rank adapter to train in place of the weights; None trains them all."""
    device: str = "auto"
    """"auto" (CUDA where there is one), "cpu", "cuda" or "cuda:1"."""
    policy: str = "auto"
    """"decoder": our own, for the Llama family (Llama, SmolLM2 and 3, Qwen2 and 3, Mistral); "hf": any causal language
    model that transformers opens, slower; "auto": the first where it reads the model."""
    gradient_checkpointing: bool = False
    """Keep only each layer's input for the backward pass and compute the layer again: less memory, more work."""
    chat_template: FileText | None = None
    """"chatml", "plain" (base models) or a Jinja file, in place of the tokenizer's own; None for its own."""
    tools: ToolChoice = "auto"
    """How the model is told of an environment's tools. "template": by its chat template; "text": in the system message,
    in Hermes' form; "auto": the first where the template shows tools and its calls can be read, else the second."""
    call_forms: tuple[CallForm, ...] = pydantic.Field(default=CALL_FORMS, min_length=1)
    """Forms of tool calls that are read: "tagged" (JSON in <tool_call>), "fenced" (blocks of code), "json" (nothing but
    JSON), "xml" (<function=...> in <tool_call>). Fewer make the form a part of the task."""
    compute_dtype: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Precision of the forward and backward pass and of sampling; master weights are always fp32. "auto" measures."""
    fp32_head: bool = False
    """True where logits are computed in fp32 whatever the compute dtype, in training and in sampling; our decoder
    only."""

    @pydantic.field_validator("policy")
    @classmethod
    def _known_policy(cls, policy: str) -> str:
        if policy == "auto":
            return policy
        # What families there are is known once torch is loaded.
        from assay.models.family import check_family

        try:
            return check_family(policy)
        except ConfigError as error:
            raise ValueError(str(error)) from None


class CheckpointSettings(Settings):
    """Settings of the checkpoints that are kept to resume from."""

    every_steps: int = pydantic.Field(default=25, ge=0)
    """Steps between checkpoints; 0 for one at the end only."""
    keep_last: int = pydantic.Field(default=1, ge=1)
    """Number of the newest checkpoints that are kept, beside the best model."""


class RunConfig(Settings):
    """A recipe: everything that decides what a run computes."""

    name: str = pydantic.Field(default="run", pattern=r"^[A-Za-z0-9._-]+$")
    """Name of the run: its folder is this and the time it began, and trackers show it."""
    seed: int = pydantic.Field(default=0, ge=0)
    """Seed of every random number of the run: the order of tasks, the sampled tokens, the weights of a new adapter."""
    num_steps: int = pydantic.Field(default=100, ge=1)
    """Number of steps; each collects `groups_per_step` groups and updates the model with them."""
    max_seconds: float | None = pydantic.Field(default=None, gt=0)
    """Time budget of the whole run, its final test included; the run stops early enough to test what it has."""
    max_sampled_tokens: int | None = pydantic.Field(default=None, ge=1)
    """Budget of sampled tokens, those of dropped groups included; the step that reaches it is the last. Comparisons of
    algorithms should cost the same: steps do not, where some refill their batch and others do not."""
    groups_per_step: int = pydantic.Field(default=8, ge=1)
    """Number of groups that a step is trained on; each group has all the attempts at one task."""
    group_size: int = pydantic.Field(default=8, ge=1)
    """Number of attempts at each task: the rollouts of a group, which algorithms compare with each other."""
    minibatches_per_step: int = pydantic.Field(default=1, ge=1)
    """Optimizer updates per pass over a step's samples."""
    tokens_per_microbatch: int = pydantic.Field(default=4096, ge=16)
    """Packed tokens that one forward and backward pass holds; changes memory, never the result."""
    max_staleness: int = pydantic.Field(default=0, ge=0)
    """Number of versions that a group may be old when it is trained on; 0 is synchronous."""
    partial_rollouts: Literal["continue", "restart"] = "continue"
    """What becomes of completions that are under way when new weights come: "continue" samples their further tokens
    with these (each token keeps its version), "restart" begins them again, so that each completion is of one
    version."""
    num_threads: int | None = pydantic.Field(default=None, ge=1)
    """CPU threads; None for $OMP_NUM_THREADS, or all cores, and between steps fewer while others use the cores. On a
    CPU results are bit for bit the same only for the same number."""
    reproducible: bool = False
    """True to keep the number of threads though others use the cores, so that the same seed gives the same bits."""
    num_slots: int = pydantic.Field(default=64, ge=1)
    """Completions the engine samples at once."""
    max_memory: float | None = pydantic.Field(default=None, gt=0)
    """Memory in GiB that the run keeps within: micro-batches, slots and kept prefixes are made as small as that takes,
    which changes results by rounding alone; None for those of the recipe."""
    rollout_retries: int = pydantic.Field(default=2, ge=0)
    """Number of times that a rollout or a score that failed for a cause outside the response is tried again."""
    max_left_out_share: float = pydantic.Field(default=0.2, ge=0.0, le=1.0)
    """Share of a step's rollouts that may be left out, for causes outside the responses; a run stops when three steps
    in a row leave out more."""
    limits: EpisodeLimits = EpisodeLimits()
    model: ModelSettings = ModelSettings()
    """The model that is trained, its precision and its device."""
    environment: AnyEnvironment = Arithmetic()
    """The environment: tasks, world and reward."""
    scaffold: AnyScaffold = Plain()
    """The scaffold, which is put between the model and its task."""
    verifier: AnyVerifier | None = None
    """The reward; None for the environment's own."""
    curriculum: AnyCurriculum = LevelByLevel()
    """The curriculum, which chooses the level of the next task."""
    engine: AnyEngine | None = None
    """The engine that samples; None for the engine in this process that the model's family has."""
    sampling: Sampling = Sampling()
    """How the engine samples in training: temperature, and the longest response."""
    algorithm: AnyAlgorithm = GRPO()
    """The algorithm: rewards to advantages, and the loss."""
    trainer: TrainerSettings = TrainerSettings()
    """The optimizer, its learning rate and its schedule."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """When and on how many held-out tasks the model is measured."""
    checkpoint: CheckpointSettings = CheckpointSettings()
    """How often a checkpoint to resume from is written, and how many are kept."""
    watch: WatchSettings = WatchSettings()
    """How the run is watched for hacking of its reward."""
    cluster: ClusterSettings = ClusterSettings()
    """Ranks of the learner and engines in processes of their own, which Ray places; by default all is in one."""
    tracking: TrackingSettings = TrackingSettings()
    """The trackers that get the run's numbers beside its own store."""

    other_names: ClassVar[Mapping[str, str]] = {
        "domain": "environments hold tasks, world and reward now: write [environment] where the recipe says [domain] "
        "(--set environment.name=..., environment.path=...); the options are the same, and [verifier] may be left out "
        "where it is the environment's own"
    }

    @property
    def memory_shares(self) -> MemoryShares:
        """The parts of its memory that can be chosen, as the recipe asks for them."""
        from assay.engines.local.prefixes import PREFIX_CACHE_BYTES
        from assay.training.within import MemoryShares

        return MemoryShares(self.tokens_per_microbatch, self.num_slots, PREFIX_CACHE_BYTES)

    @property
    def reward(self) -> Verifier:
        """The verifier that scores rollouts in training: the recipe's own, or the environment's strict reading."""
        return self.verifier or rewards_of(self.environment)["strict"]

    @property
    def readings(self) -> dict[str, Verifier]:
        """Return the verifier of each reading of held-out measurement: "strict", and "lenient" where there is one.

        They follow the reward: with a verifier of the recipe's own, that is the strict reading, and the lenient one is
        the environment's, or else that of the verifier itself.
        """
        evaluation, own = self.evaluation, rewards_of(self.environment)
        strict = evaluation.strict or (self.reward if self.reward.says_truth else own["strict"])
        lenient = evaluation.lenient or own.get("lenient")
        return readings_of(strict, lenient)

    @property
    def verifiers(self) -> list[Verifier]:
        """Every verifier that scores something: the reward, the readings, and those of other environments."""
        others = [rewards_of(each.environment).values() for each in self.evaluation.also]
        judges = [] if self.watch.judge is None else [self.watch.judge]
        return [self.reward, *self.readings.values(), *itertools.chain.from_iterable(others), *judges]

    @classmethod
    def from_written(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """`[[environments]]`: a mixture of them in place of one."""
        if "environments" not in data:
            return data
        if "environment" in data:
            raise ConfigError("environment and environments are both given: write one, or a list of several")
        others = {key: value for key, value in data.items() if key != "environments"}
        return {**others, "environment": as_mixture(data["environments"])}

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        sampling, algorithm = self.sampling, self.algorithm
        if sampling.top_p < 1.0 or sampling.top_k:
            raise ValueError(
                "training needs sampling.top_p=1 and sampling.top_k=0: a truncated sampler and the trainer would "
                "assign different probabilities to the same token"
            )
        if sampling.temperature == 0.0:
            raise ValueError("training needs sampling.temperature > 0: greedy decoding explores nothing")
        if self.model.compute_dtype == "fp16" and algorithm.needs.values:
            raise ValueError(
                f"model.compute_dtype='fp16' cannot be had with {algorithm.name}: the loss of its critic is not "
                "scaled, and small gradients would be 0; use 'bf16'"
            )
        if self.model.fp32_head and self.model.compute_dtype == "fp32":
            raise ValueError(
                "model.fp32_head has no effect with model.compute_dtype='fp32', where all is: leave it out"
            )
        if self.scaffold.persists:
            raise ValueError(
                f"scaffold.persist of {self.scaffold.name} is for `assay eval`: in training the groups of a step are "
                "played at the same time, so that no episode comes before another, whatever the machine; leave it out"
            )
        if self.group_size < algorithm.needs.min_group_size:
            raise ValueError(
                f"group_size={self.group_size}, but {algorithm.name} compares at least "
                f"{algorithm.needs.min_group_size} answers to the same task"
            )
        if not self.reward.gives_verdicts:
            if self.curriculum.needs_verdicts:
                of = f"the curriculum {self.curriculum.name!r} over {len(self.curriculum.levels)} level(s)"
                raise ValueError(f'{no_verdict(of, "moves by what is solved")}; or use one level, or "uniform"')
            if algorithm.needs_verdicts:
                raise ValueError(no_verdict(algorithm.name, "imitates what is solved"))
        if self.group_size < self.curriculum.min_group_size:
            raise ValueError(
                f"group_size={self.group_size}, but the curriculum {self.curriculum.name!r} compares at least "
                f"{self.curriculum.min_group_size} answers to the same task"
            )
        for name in ("critic_learning_rate", "critic_epochs_per_step", "critic_warmup_steps"):
            if getattr(self.trainer, name) and not algorithm.needs.values:
                raise ValueError(f"trainer.{name} has no effect with {algorithm.name}, which has no critic")
        if self.minibatches_per_step > self.groups_per_step:
            raise ValueError(
                f"minibatches_per_step={self.minibatches_per_step} is more than groups_per_step="
                f"{self.groups_per_step}: groups are not split"
            )
        if algorithm.overlong == "penalty":
            free = (algorithm.max_response_tokens or 0) - (algorithm.overlong_margin or 0)
            if sampling.max_new_tokens <= free:
                raise ValueError(
                    f'algorithm.overlong="penalty" has no effect: it begins beyond {free} tokens (max_response_tokens '
                    f"less overlong_margin), where sampling.max_new_tokens={sampling.max_new_tokens} has ended them"
                )
        if self.partial_rollouts == "restart" and not self.max_staleness:
            raise ValueError(
                'partial_rollouts="restart" has no effect with max_staleness=0, where nothing is under way when new '
                "weights come: leave it out"
            )
        corrected = algorithm.ratio_against == "sampling" or algorithm.correction.kind != "none"
        # The divergence over a vocabulary is exact in every state, whoever came there.
        corrected = corrected or algorithm.needs.teacher_distribution
        differs = f"max_staleness={self.max_staleness} trains on samples of older weights" if self.max_staleness else ""
        if self.engine is not None and self.engine.needs_correction:
            differs = f"the engine {self.engine.name!r} samples from other probabilities than those that are trained"
        if differs and not corrected:
            raise ValueError(
                f"{differs}; correct for that by "
                'algorithm.correction.kind="truncate" or "mask", or where the algorithm has a ratio by '
                'algorithm.ratio_against="sampling"'
            )
        return self

    @pydantic.model_validator(mode="after")
    def _check_parts(self) -> RunConfig:
        """Checks what is asked of the parts of the reward."""
        sums = [each for each in verifiers_in(self.reward) if isinstance(each, Weighted)]
        if getattr(self.algorithm, "parts", "summed") == "apart" and not any(len(each.parts) > 1 for each in sums):
            raise ValueError(
                'algorithm.parts="apart" compares the parts of a reward, and this one has none: give the verifier '
                '"weighted" two parts or more, or leave it at "summed"'
            )
        if any(each.constraint is not None for each in sums) and (
            not isinstance(self.reward, Weighted) or not self.algorithm.uses_rewards
        ):
            raise ValueError(
                "verifier.constraint is kept where the reward of sampled responses is the weighted sum itself, and has "
                "no effect here: leave it out"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _proposed(self) -> RunConfig:
        """Checks that proposals can be made and attempted in one step."""
        curriculum = self.curriculum
        if not isinstance(curriculum, Propose):
            return self
        if self.max_staleness:
            raise ValueError(
                f"max_staleness={self.max_staleness} issues attempts before the tasks of their step are proposed: set "
                'it to 0 with the curriculum "propose"'
            )
        left = self.groups_per_step - curriculum.groups
        if left < max(1, self.minibatches_per_step):
            raise ValueError(
                f"curriculum.groups={curriculum.groups} leaves {left} of groups_per_step={self.groups_per_step} to "
                "attempt what is proposed: leave at least one, and one for each of minibatches_per_step"
            )
        if any(isinstance(each, Weighted) and each.constraint is not None for each in verifiers_in(self.reward)):
            raise ValueError('verifier.constraint cannot be had with the curriculum "propose": leave it out')
        return self

    @pydantic.model_validator(mode="after")
    def _clustered(self) -> RunConfig:
        cluster, algorithm = self.cluster, self.algorithm
        if not cluster.is_used:
            return self
        if algorithm.needs.pairs:
            raise ValueError(
                f"cluster.learner and cluster.engines cannot be had with {algorithm.name}, whose responses are given: "
                "it is trained in one process; leave them out"
            )
        if isinstance(self.engine, FarSettings):
            for name in ("max_restarts", "probe_prompts", "max_gap_nats"):
                if getattr(self.engine, name) != FarSettings.model_fields[name].default:
                    raise ValueError(f"engine.{name} has no effect in a cluster: set cluster.{name}")
        if self.max_memory is not None:
            raise ValueError(
                "max_memory has no effect with cluster.learner and cluster.engines, whose processes lie on other "
                "machines: set tokens_per_microbatch and num_slots"
            )
        if cluster.num_ranks > 1 and algorithm.needs.teacher_distribution:
            raise ValueError(
                f"cluster.learner={cluster.learner} cannot be had with {algorithm.name}, which compares whole "
                "vocabularies with a teacher: set cluster.learner=1"
            )
        return self

    def _check_pairs(self) -> None:
        """Refuses what has no effect where responses are given and compared.

        Raises:
            ValueError: an option that is set, and has none.
        """
        evaluation, name = self.evaluation, self.algorithm.name
        without = {
            "verifier": self.verifier,
            "engine": self.engine,
            "evaluation.strict": evaluation.strict,
            "evaluation.lenient": evaluation.lenient,
            "evaluation.also": evaluation.also,
            "evaluation.probe_samples": evaluation.probe_samples,
            "evaluation.test_samples": evaluation.test_samples - 1,
            "evaluation.test_max_new_tokens": evaluation.test_max_new_tokens,
            "scaffold": None if isinstance(self.scaffold, Plain) else self.scaffold,
        }
        for option, value in without.items():
            if value:
                raise ValueError(f"{option} has no effect with {name}, whose responses are given: leave it out")

    @pydantic.model_validator(mode="after")
    def _watched(self) -> RunConfig:
        """Checks that the watch can see something, and keep what it should."""
        watch, algorithm = self.watch, self.algorithm
        if watch.judge is not None and watch.judge == self.reward:
            raise ValueError(
                f"watch.judge {watch.judge.name!r} is the reward itself, which is no independent judge: choose another "
                "verifier, such as a stricter reading, or leave it out"
            )
        if watch.on_alarm == "rollback" and not self.checkpoint.every_steps:
            raise ValueError(
                'watch.on_alarm="rollback" goes back to the last checkpoint before an alarm, and '
                "checkpoint.every_steps=0 writes none: set it to 10, say"
            )
        if algorithm.needs.samples_nothing and watch != WatchSettings():
            raise ValueError(f"watch has no effect with {algorithm.name}, which samples nothing: leave it out")
        return self

    @pydantic.model_validator(mode="after")
    def _given_responses(self) -> RunConfig:
        """Checks what has no effect, or is missing, where responses are given and not sampled."""
        algorithm, needs = self.algorithm, self.algorithm.needs
        if needs.pairs and not self.environment.gives_pairs:
            raise ValueError(
                f"{algorithm.name} is trained on responses that somebody compared, and the environment "
                f"{self.environment.name} has none: set algorithm.online=true to compare sampled ones by their reward"
            )
        if not needs.samples_nothing:
            return self
        if needs.pairs:
            self._check_pairs()
        if self.curriculum.measures_the_policy:
            raise ValueError(
                f"the curriculum {self.curriculum.name!r} follows what the policy solves, and {algorithm.name} shows "
                'it responses of others only: use "uniform" or "level_by_level"'
            )
        size, what = (2, "two responses") if needs.pairs else (1, "one demonstration")
        if self.group_size != size:
            raise ValueError(
                f"group_size={self.group_size} has no effect with {algorithm.name}, {what} a task: "
                f"set group_size={size}"
            )
        for name, remedy in (("max_sampled_tokens", "use num_steps"), ("max_staleness", "leave it out")):
            if getattr(self, name):
                raise ValueError(f"{name} has no effect with {algorithm.name}, which samples nothing: {remedy}")
        if self.sampling.temperature != 1.0:
            raise ValueError(
                f"sampling.temperature={self.sampling.temperature:g} would make {algorithm.name} the likelihood of "
                "another distribution than the model's own: leave it at 1"
            )
        return self


CHANGEABLE_ON_RESUME = ("num_steps", "max_seconds", "max_sampled_tokens", "tracking", "cluster")
"""Settings that may differ between a run and its resumption: how far it goes, who hears of it, and on how
many processes."""
