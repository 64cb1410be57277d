"""A run: its parts, its data, and what listens to its steps. `launch.build_run` wires one, `loop.train` drives it.

| file          | holds                                                                                  |
|---------------|----------------------------------------------------------------------------------------|
| run.py        | the parts, by name: what the loop sees                                                 |
| services.py   | what the loop awaits: a sampler, a learner, a publisher                                |
| constrained.py | a sampler whose rewards keep a constraint between their parts                         |
| events.py     | what a step did, and who is told                                                       |
| position.py   | where a run stands: steps, tokens, seconds; its budgets                                |
| records.py    | what is written down: store, trackers, console                                         |
| measuring.py  | held-out measurement: validation while it goes, the closing test                       |
| keeping.py    | checkpoints, the best model, the link to the model to use                              |
| ending.py     | the summary, and the report                                                            |
"""

from __future__ import annotations

from assay.run.events import StepDone, Subscriber
from assay.run.position import Position
from assay.run.run import Run, TrainResult

__all__ = ["Position", "Run", "StepDone", "Subscriber", "TrainResult"]
