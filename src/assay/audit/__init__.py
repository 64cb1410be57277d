"""Audits of rewards: what a reward pays for, found out before a model is trained on it."""

from assay.audit.attacks import Guilt, Target, Trick, attacks_on
from assay.audit.audit import Audit, audit_environment
from assay.audit.finding import Finding
from assay.audit.mutants import Mutant, mutants_of
from assay.audit.search import SearchResult

__all__ = [
    "Audit",
    "Finding",
    "Guilt",
    "Mutant",
    "SearchResult",
    "Target",
    "Trick",
    "attacks_on",
    "audit_environment",
    "mutants_of",
]
