"""GSM8K as an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from assay.config import FileText
from assay.environments.rows.environment import PublishedRows
from assay.verifiers import Numeric, Verifier


class GSM8K(PublishedRows):
    """GSM8K (Cobbe et al. 2021, https://arxiv.org/abs/2110.14168): grade-school problems in words.

    From the hub, or from local files of the original form (`path`, `test_path`).
    """

    name: Literal["gsm8k"] = "gsm8k"
    path: FileText = "hub:openai/gsm8k/main/train-00000-of-00001.parquet"
    test_path: FileText | None = "hub:openai/gsm8k/main/test-00000-of-00001.parquet"
    prompt: str = "{question}\nPut the final number in \\boxed{{}}."
    answer_after: str | None = "####"

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """The last number of the response, and leniently any number of the response."""
        return {"strict": Numeric(), "lenient": Numeric(reading="any")}
