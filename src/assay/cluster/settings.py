"""Settings of a cluster; none of them changes what a run computes in exact arithmetic."""

from __future__ import annotations

import pydantic

from assay.config import Settings


class ClusterSettings(Settings):
    """Where the parts of a run are: in this process, or in processes of their own that Ray places."""

    learner: int = pydantic.Field(default=0, ge=0, le=4096)
    """Ranks that the learner is sharded over (FSDP2), a process each; 0 with `engines` at 0: all in this process."""
    engines: int = pydantic.Field(default=0, ge=0, le=4096)
    """Engines that sample, a process each; with either of the two the other is at least 1."""
    address: str | None = None
    """A Ray cluster: "auto" (the one this machine is a node of), "HOST:PORT", or "ray://HOST:PORT"; None starts one on
    this machine and ends it with the run."""
    max_restarts: int = pydantic.Field(default=2, ge=0)
    """Times that the run is rebuilt from its newest checkpoint after a rank was lost; also how often in a row an engine
    may fail before it was of use."""
    start_seconds: float = pydantic.Field(default=300.0, gt=0)
    """The longest that Ray, a place for a process, and a process that starts are waited for, each."""
    step_seconds: float = pydantic.Field(default=1800.0, gt=0)
    """The longest that a rank is waited for: by the run in one update, and by other ranks in one collective."""
    request_seconds: float = pydantic.Field(default=600.0, gt=0)
    """The longest that an engine is waited for in one completion; then it is replaced."""
    publish_seconds: float = pydantic.Field(default=300.0, gt=0)
    """The longest that an engine is waited for when it loads weights, and when they are proved."""
    probe_prompts: int = pydantic.Field(default=32, ge=1, le=1024)
    """Fixed prompts that each engine samples from after each publish, to be compared with the learner."""
    max_gap_nats: float | None = pydantic.Field(default=None, gt=0)
    """Mean difference of log-probabilities between engine and learner over the probe that is allowed; None: 0.001 in
    fp32, 0.1 in bf16 and fp16."""
    engine_python: str | None = None
    """Python interpreter of the engines' processes, where they need another virtual environment; it must have the same
    versions of Python and Ray. None: this one."""

    @property
    def is_used(self) -> bool:
        """True where the parts of a run are in processes of their own."""
        return bool(self.learner or self.engines)

    @property
    def num_ranks(self) -> int:
        """Ranks of the learner."""
        return max(1, self.learner)

    @property
    def num_engines(self) -> int:
        """Engines that sample."""
        return max(1, self.engines)

    @pydantic.model_validator(mode="after")
    def _has_effect(self) -> ClusterSettings:
        changed = sorted(self.model_fields_set - {"learner", "engines"})
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        without = [name for name in changed if getattr(self, name) != defaults[name]]
        if without and not self.is_used:
            raise ValueError(
                f"cluster.{without[0]} has no effect in one process: set cluster.learner or cluster.engines, or leave "
                "it out"
            )
        return self
