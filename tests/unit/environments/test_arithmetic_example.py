"""The worked exchange before the question."""

from __future__ import annotations

from assay.environments.arithmetic import Arithmetic


def test_the_exchange_shows_the_form_of_an_answer() -> None:
    task = next(Arithmetic(example=True, instruction="").tasks("train", complexity=2))
    assert [(m.role, m.content) for m in task.prompt[:2]] == [("user", "What is 3 + 4?"), ("assistant", "3 + 4 = 7")]
    assert task.prompt[2].content.startswith("What is ")


def test_a_chain_is_shown_a_chain() -> None:
    task = next(Arithmetic(example=True, instruction="").tasks("train", complexity=3, horizon=4))
    assert task.prompt[0].content == "Start with 3. Add 4. Then subtract 2. What is the result?"
    assert task.prompt[1].content == "3 + 4 = 7, 7 - 2 = 5"


def test_products_are_shown_a_product() -> None:
    task = next(Arithmetic(example=True).tasks("train", complexity=6))
    assert task.prompt[1].content == "3 * 4 = 12"


def test_what_is_shown_is_never_asked() -> None:
    def canonicals(domain: Arithmetic) -> set[str]:
        return {
            task.metadata["canonical"]
            for split in ("train", "validation", "test")
            for task in domain.tasks(split, complexity=1)
        }

    assert canonicals(Arithmetic()) - canonicals(Arithmetic(example=True)) == {"+3+4"}
