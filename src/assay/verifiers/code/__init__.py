"""Programs as answers: what a response's program is, what a task's tests are, and whether the one passes the other."""

from assay.suite import Call, InputOutputCase, Referee, Suite, read_suite
from assay.verifiers.code.plan import SuitePlan, make_plan, plan_of, suite_of
from assay.verifiers.code.program import find_program
from assay.verifiers.code.tally import CodeTally
from assay.verifiers.code.verdict import TestResult, TestVerdict
from assay.verifiers.code.verifier import Code, Judgement

__all__ = [
    "Call",
    "Code",
    "CodeTally",
    "InputOutputCase",
    "Judgement",
    "Referee",
    "Suite",
    "SuitePlan",
    "TestResult",
    "TestVerdict",
    "find_program",
    "make_plan",
    "plan_of",
    "read_suite",
    "suite_of",
]
