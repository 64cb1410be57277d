"""The training loop: what training is. Read this first.

                 tasks                  groups                samples                batches
    curriculum --------> collector ---------------> annotate ---------> credit ------------> update
                          |  ^  samples rollouts,    the trainer's own   the algorithm's      the trainer, with the
                          |  |  scores them          log-probabilities   advantages           algorithm's loss
                          v  |                                                                  |
                         engine <------------------------- publish <---------------------------+
                                  new weights, with their version

| part      | consumes                          | waits for                              | is unblocked by        |
|-----------|-----------------------------------|----------------------------------------|------------------------|
| collector | tasks, in the curriculum's order  | the oldest group it issued             | verifiers finishing    |
| annotate  | the step's groups, as samples     | nothing                                |                        |
| credit    | groups with all their scores      | nothing                                |                        |
| update    | packed micro-batches              | nothing                                |                        |
| publish   | the updated weights               | the engine's current forward pass      | the engine             |

`max_staleness` says how many versions old a group may be when it is trained on: the collector may have
(1 + max_staleness) steps' worth of groups under way. Synchronous training is max_staleness = 0 of this same loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.batching import to_samples

if TYPE_CHECKING:
    from assay.run import Run, TrainResult


async def train(run: Run) -> TrainResult:
    """collect -> annotate -> credit -> batch -> update -> publish, until the run says it is done."""
    async with run:
        await run.begin()
        async with run.sampler as sampler:
            for step in run.steps():
                groups = await sampler.next_groups(run.config.groups_per_step)
                samples = await run.learner.annotate(to_samples(groups), run.algorithm.needs)
                credited = run.algorithm.credit(groups, samples)
                report = await run.learner.update(credited, run.algorithm)
                await run.publisher.publish(step + 1)
                await run.tell(step, groups, report)
        return await run.result()
