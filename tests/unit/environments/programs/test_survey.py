from __future__ import annotations

import pytest

from assay.environments.programs.survey import distinct_functions, markdown_table, survey


@pytest.mark.parametrize(("complexity", "horizon"), [(1, 1), (3, 1), (6, 1), (9, 1), (2, 3)])
def test_tests_kill_mutants_and_cheats_earn_nothing(complexity: int, horizon: int) -> None:
    report = survey(complexity, horizon, num_tasks=8, draws=0)
    assert report.wrong == ()
    assert report.mutants.made > 40
    assert report.mutants.made == report.mutants.unknown + report.mutants.killed_at_once + report.mutants.killed_later
    assert report.mutants.unknown < 0.3 * report.mutants.made
    assert report.num_let_through <= 0.02 * report.mutants.made
    for solved, share in report.cheats.values():
        assert solved == 0
        assert share < 0.6
    assert f"| {complexity} | 8 | {report.mutants.made} |" in markdown_table([report])


def test_the_estimate_of_distinct_functions_grows_with_rare_ones() -> None:
    # At least what was drawn, and at most what 200 that all came once would say: 200 + 200 * 199 / 2.
    assert 190 < distinct_functions(5, 200) <= 20_100
    # Level 1 repeats itself sooner than level 7.
    assert distinct_functions(1, 400) < distinct_functions(7, 400)
