"""Pairs of answers, by kind of notation: which are the same. In this process, without workers."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import pytest
from tests.unit.verifiers.test_math import score

from assay.verifiers.math_worker import judge

FOLDER = Path(__file__).parent
PAIRS: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
with (FOLDER / "pairs.tsv").open(newline="") as table:
    for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE):
        PAIRS[row["kind"]].append((row["gold"], row["response"], row["verdict"]))
FIELD: dict[str, list[dict[str, object]]] = defaultdict(list)
for line in (FOLDER / "field.jsonl").read_text().splitlines():
    case = json.loads(line)
    FIELD[case["kind"]].append(case)


@pytest.mark.parametrize("kind", PAIRS)
def test_pairs(kind: str) -> None:
    assert len(PAIRS[kind]) >= 5
    wrong = [
        (gold, response, verdict)
        for gold, response, verdict in PAIRS[kind]
        if (judge(gold, response) == "same") != (verdict == "same")
    ]
    assert wrong == []


@pytest.mark.parametrize("kind", FIELD)
def test_cases_from_the_field(kind: str) -> None:
    wrong = [
        case
        for case in FIELD[kind]
        if score(str(case["response"]), str(case["answer"]), **case.get("options", {})).verdict.value != case["want"]  # pyright: ignore
    ]
    assert wrong == []
