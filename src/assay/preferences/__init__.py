"""Preferences: comparisons of two responses, from any file, with who judged, in which order, when, and how long it
took."""

from __future__ import annotations

from assay.preferences.pair import Labelled, Pair, split_pairs, text_of_messages
from assay.preferences.read import Preferences, contradictions, read_labelled, read_pairs, read_preferences, unpaired
from assay.preferences.write import export_rows, write_pairs

__all__ = [
    "Labelled",
    "Pair",
    "Preferences",
    "contradictions",
    "export_rows",
    "read_labelled",
    "read_pairs",
    "read_preferences",
    "split_pairs",
    "text_of_messages",
    "unpaired",
    "write_pairs",
]
