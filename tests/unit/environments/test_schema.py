"""Schema: exact decimals and strict formats where jsonschema alone misleads; extraction judged field by field."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import time
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from assay.environments import check_environment, check_episode
from assay.environments.check_dials import check_dials
from assay.environments.schema import Extracted, Schema, check_schema, parse, problem_of
from assay.environments.schema.orders import MAX_COMPLEXITY, schema_of
from assay.errors import DataError
from assay.rollout.scripted import play_script
from assay.types import Score, Task, Verdict
from assay.verifiers.verifier import as_rollout


def test_what_jsonschema_alone_makes_of_cents_and_dates() -> None:
    """The reasons for a validator of our own: where a release mends one of them, this test says so."""
    cents, day = {"multipleOf": 0.01}, {"format": "date"}
    assert list(jsonschema.Draft202012Validator(cents).iter_errors(19.99))
    assert not list(jsonschema.Draft202012Validator(day).iter_errors("2024-13-45"))
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    moment = jsonschema.Draft202012Validator({"format": "no-such-format"}, format_checker=checker)
    assert not list(moment.iter_errors("2024-13-45"))


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        (
            {"multipleOf": 0.01},
            ["19.99", "0.01", "19.990", "20", "-4.35", "1e2", "1.1e1"],
            ["19.999", "0.001", "19.9900001"],
        ),
        ({"multipleOf": 0.1}, ["0.3", "0.7", "1.1"], ["0.35"]),
        ({"multipleOf": 3}, ["9", "9.0", "0"], ["10", "9.5"]),
        ({"multipleOf": 1e-8}, ["0.12345678"], ["0.123456789"]),
        ({"multipleOf": 0.01, "maximum": 19.99}, ["19.99"], ["20.00"]),
        ({"type": "integer"}, ["1", "1.0", "1e3", "-0"], ["1.5", '"1"', "true", "null"]),
        ({"type": "number"}, ["1", "1.5"], ['"1"', "false"]),
        ({"enum": [1.5, "a"]}, ["1.5", "1.50", '"a"'], ["1.4999999999999999999", "2"]),
        ({"const": 0.1}, ["0.1", "0.10"], ["0.1000000000000000055"]),
        (
            {"format": "date"},
            ['"2024-02-29"', "5"],
            [
                '"2024-13-45"',
                '"2023-02-29"',
                '"20240105"',
                '"2024-W01-5"',
                '"2024-1-5"',
                '" 2024-01-05"',
                '"٢٠٢٤-01-05"',
            ],
        ),
        (
            {"format": "time"},
            ['"10:20:30Z"', '"10:20:30.5+02:00"'],
            ['"10:20"', '"25:00:00Z"', '"10:20:30"', '"10:20:30+25:00"'],
        ),
        (
            {"format": "date-time"},
            ['"2024-02-29T10:20:30Z"'],
            ['"2024-02-30T10:20:30Z"', '"2024-02-29 10:20:30Z"', '"2024-02-29"'],
        ),
        (
            {"format": "email"},
            ['"a.b@c.example"'],
            ['"a@b"', '"a b@c.example"', '"@c.example"', '"a..b@c.example"', '"a@c.example\\n"'],
        ),
        ({"uniqueItems": True}, ["[1, 2]"], ["[1, 1.0]"]),
        (
            {"type": "object", "required": ["a"], "additionalProperties": False, "properties": {"a": {}}},
            ['{"a": 1}'],
            ["{}", '{"a": 1, "b": 2}', "[]"],
        ),
    ],
)
def test_values_under_schemas(schema: dict[str, Any], valid: list[str], invalid: list[str]) -> None:
    assert [text for text in valid if problem_of(parse(text), schema)] == []
    assert [text for text in invalid if not problem_of(parse(text), schema)] == []


def test_numbers_are_read_as_they_are_written() -> None:
    assert parse('{"a": 19.99, "b": 1}') == {"a": Decimal("19.99"), "b": 1}
    assert problem_of(parse('{"a": [0.005]}'), {"properties": {"a": {"items": {"multipleOf": 0.01}}}}) == (
        "a/0: 0.005 is no multiple of 0.01"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "-Infinity",
        "[1,]",
        "{'a': 1}",
        '{"a": 1, "a": 1}',
        "1e999999999",
        "1" * 5_000,
        "1." + "0" * 5_000,
        *("[" * 100_000, "[" * 90 + "]" * 90, '{"a":' * 50_000, "1e-999999999", " " * 200_000, '"\x00"', "0x10", "01"),
    ],
)
def test_texts_that_are_refused(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError):  # noqa: PT011
        parse(text)
    assert time.process_time() - began < 20


def test_schemas_that_would_not_be_looked_at_are_refused() -> None:
    check_schema(schema_of(MAX_COMPLEXITY))
    with pytest.raises(DataError, match="names the format 'uri', which nobody would check"):
        check_schema({"properties": {"a": {"format": "uri"}}})
    with pytest.raises(DataError, match="no JSON Schema of draft 2020-12"):
        check_schema({"type": "text"})


SCHEMA = {"type": "object", "properties": {"price": {"type": "number", "multipleOf": 0.01}, "tags": {"type": "array"}}}
TASK = dataclasses.replace(
    next(Schema().tasks("train")), answer='{"price": 19.99, "tags": ["a", "b"]}', metadata={"schema": SCHEMA}
)


def score(response: str, task: Task = TASK, reading: Any = "whole") -> Score:
    return asyncio.run(Extracted(reading=reading)(as_rollout(response, task), task))


@pytest.mark.parametrize(
    ("response", "reason", "lenient"),
    [
        ('{"price": 19.99, "tags": ["a", "b"]}', "", True),
        ('{"tags": ["a","b"],\n"price": 19.990}', "", True),
        ('```json\n{"price": 1.999e1, "tags": ["a", "b"]}\n```', "", True),
        ('<think>{"price": 1}</think>{"price": 19.99, "tags": ["a", "b"]}', "", True),
        ('It is {"price": 19.99, "tags": ["a", "b"]}.', "no JSON", True),
        ('{"price": 19.99, "tags": ["b", "a"]}', "wrong", False),
        ('{"price": 19.99, "tags": ["a"]}', "wrong", False),
        ('{"price": 19.99, "tags": ["a", "b"], "more": null}', "wrong", False),
        ('{"price": 19.98, "tags": ["a", "b"]}', "wrong", False),
        ('{"price": 19.9900001, "tags": ["a", "b"]}', "not valid", False),
        ('{"price": "19.99", "tags": ["a", "b"]}', "not valid", False),
        ('{"price": 19.99, "tags": "a, b"}', "not valid", False),
        ('{"price": 19.99, "price": 19.99, "tags": ["a", "b"]}', "no JSON", False),
        ("19.99", "not valid", False),
        ("", "no JSON", False),
    ],
)
def test_answers_are_valid_and_right(response: str, reason: str, lenient: bool) -> None:
    assert score(response).reason == reason
    assert (score(response, reading="found").verdict is Verdict.SOLVED) == lenient


def test_parts_say_which_share_is_right() -> None:
    assert score('{"price": "19.99", "tags": ["a", "c"]}').parts == {"valid": 0.0, "fields": pytest.approx(1 / 3)}
    assert score('{"price": 19.99, "tags": ["a", "c"]}').parts == {"valid": 1.0, "fields": pytest.approx(2 / 3)}


@pytest.mark.parametrize(
    "response", ["{" * 200_000, "```json\n" * 20_000, "[" * 50_000 + "]" * 50_000, "}{" * 50_000, '"' * 90_000]
)
def test_hostile_answers_are_bounded(response: str) -> None:
    for reading in ("whole", "found"):
        assert score(response, reading=reading).verdict is Verdict.FAILED


def first(number: int, **dials: float) -> list[Task]:
    return list(itertools.islice(Schema().tasks("test", **dials), number))


def test_it_keeps_the_promises_of_environments() -> None:
    environment = Schema()
    strict = environment.rewards["strict"]
    asyncio.run(check_environment(environment, verifier=strict, levels=[(2, 1), (3, 2), (4, 3)], num_tasks=3))
    asyncio.run(check_episode(environment.episode, first(1)[0]))


def test_the_expert_solves_all_and_the_dials_are_monotone() -> None:
    environment = Schema()
    limited = {}
    for complexity, horizon in environment.levels():
        assert complexity is not None
        assert horizon is not None
        tasks = first(12, complexity=complexity, horizon=horizon)
        assert len(tasks) == 12
        for each in tasks[:2]:
            assert asyncio.run(play_script(environment, each, environment.expert(each))).solved
        results = [asyncio.run(play_script(environment, each, environment.limited(each))) for each in tasks]
        limited[complexity, horizon] = (sum(result.solved for result in results), len(results))
    check_dials("schema", limited)
    assert limited[2.0, 2.0] == (12, 12)


def test_what_a_note_adds_is_asked_only_where_there_is_one() -> None:
    answers = [json.loads(task.answer)["orders"][0] for task in first(30, complexity=4, horizon=1)]
    assert {"note" in answer for answer in answers} == {True, False}
    assert {answer["discount"] is None for answer in answers} == {True, False}
    assert {answer["payment"]["kind"] for answer in answers} == {"card", "invoice"}


def test_a_task_of_somebody_else_is_an_error() -> None:
    with pytest.raises(DataError, match="has no schema"):
        score("{}", dataclasses.replace(TASK, metadata={}))
