"""Curricula, which decide the next task. A curriculum of your own extends `CurriculumSettings`, whose `begin` gives a
`Curriculum`."""

from __future__ import annotations

from assay.curriculum.curriculum import AnyCurriculum, Curriculum, CurriculumSettings, LevelSettings
from assay.curriculum.level_by_level import LevelByLevel, LevelCurriculum

__all__ = [
    "AnyCurriculum",
    "Curriculum",
    "CurriculumSettings",
    "LevelByLevel",
    "LevelCurriculum",
    "LevelSettings",
]
