"""Curricula, which decide the next task. A curriculum of your own extends `CurriculumSettings`, whose `begin` gives a
`Curriculum`."""

from __future__ import annotations

from assay.curriculum.arms import Arm, ArmCurriculum
from assay.curriculum.curriculum import AnyCurriculum, Curriculum, CurriculumSettings, LevelSettings
from assay.curriculum.learnability import Learnability, LearnabilityCurriculum
from assay.curriculum.learning_progress import LearningProgress, LearningProgressCurriculum
from assay.curriculum.level_by_level import LevelByLevel, LevelCurriculum
from assay.curriculum.prioritised_replay import PrioritisedReplay, PrioritisedReplayCurriculum
from assay.curriculum.propose import Propose, ProposeCurriculum
from assay.curriculum.rehearsal import Rehearsal, RehearsalCurriculum
from assay.curriculum.uniform import Uniform, UniformCurriculum

__all__ = [
    "AnyCurriculum",
    "Arm",
    "ArmCurriculum",
    "Curriculum",
    "CurriculumSettings",
    "Learnability",
    "LearnabilityCurriculum",
    "LearningProgress",
    "LearningProgressCurriculum",
    "LevelByLevel",
    "LevelCurriculum",
    "LevelSettings",
    "PrioritisedReplay",
    "PrioritisedReplayCurriculum",
    "Propose",
    "ProposeCurriculum",
    "Rehearsal",
    "RehearsalCurriculum",
    "Uniform",
    "UniformCurriculum",
]
