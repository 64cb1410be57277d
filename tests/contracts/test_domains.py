from __future__ import annotations

import asyncio

import pytest

from assay.domains import DOMAINS, check_domain, make_domain
from assay.verifiers import Exact, Numeric, Verifier, make_verifier


@pytest.mark.parametrize("name", ["arithmetic"])
@pytest.mark.parametrize("verifier", [Exact(), Numeric()])
def test_generated_domains_keep_their_protocol(name: str, verifier: Verifier) -> None:
    asyncio.run(check_domain(DOMAINS[name](), verifier=verifier, num_tasks=10))


def test_long_chains_too() -> None:
    asyncio.run(check_domain(DOMAINS["arithmetic"](), levels=[(9, 100), (1, 30)], verifier=Numeric(), num_tasks=5))


def test_programs_pass_their_own_tests() -> None:
    domain = make_domain("programs", {"complexities": [1, 5], "horizons": [1, 2]})
    asyncio.run(check_domain(domain, verifier=make_verifier("code"), num_tasks=3))
