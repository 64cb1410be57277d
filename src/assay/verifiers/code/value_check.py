"""Check of the value that a response says."""

from __future__ import annotations

from assay.sandbox import NotPlainError, Sandbox
from assay.verifiers.code.asserts import Question
from assay.verifiers.code.bounds import Bounds
from assay.verifiers.code.functions import ProgramFailedError, ProgramUnderTest
from assay.verifiers.code.plan import SuitePlan
from assay.verifiers.code.prediction import NoLiteralError, arguments_in, literal_value, output_in
from assay.verifiers.code.verdict import ACCEPTED, TestResult, shown, wrong


async def run_prediction(plan: SuitePlan, said: str, sandbox: Sandbox, bounds: Bounds) -> TestResult:
    """The result of what a response says: an output is compared; on an input, the task's own function is run.

    Raises:
        VerifierError: the sandbox failed.
    """
    prediction = plan.suite.prediction
    assert prediction is not None
    expected = literal_value(prediction.output, "the output")
    try:
        if prediction.of == "output":
            value = output_in(said)
        else:
            arguments, keywords = arguments_in(said, plan.entry_point)
            async with ProgramUnderTest(prediction.code, plan, sandbox, bounds) as program:
                value = await program.ask(Question(plan.entry_point, arguments, keywords))
    except (NoLiteralError, NotPlainError) as error:
        return wrong(f"{said[:100]!r} is no Python literal: {error}")
    except ProgramFailedError as failure:
        return failure.result
    return ACCEPTED if value == expected else wrong(f"got {shown(value)}, expected {shown(expected)}")
