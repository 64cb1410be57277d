"""A model measured through a server is the model measured in process: greedy, row by row."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

from assay.config import validate
from assay.endpoints import Endpoint, Replies
from assay.endpoints.client import EndpointClient
from assay.engines import Sampling
from assay.environments.arithmetic import Arithmetic
from assay.evaluation import Evaluation, evaluate
from assay.verifiers import Numeric
from model_server import ModelServer


def test_the_same_rows_over_http(tiny_model: Path):
    tasks = list(itertools.islice(Arithmetic().tasks("test", complexity=2, horizon=1), 12))
    sampling = Sampling(temperature=0.0, max_new_tokens=12)
    verifiers = {"numeric": Numeric()}

    async def over_http(server: ModelServer) -> Evaluation:
        endpoint = validate(Endpoint, {"model": "tiny", "base_url": server.url, "max_concurrent": 4})
        client = EndpointClient(endpoint, Replies(None))
        try:
            return await evaluate(tasks, engine=client, verifiers=verifiers, sampling=sampling, seed=0)
        finally:
            await client.close()

    with ModelServer(tiny_model) as server:
        remote = asyncio.run(over_http(server))
        here = asyncio.run_coroutine_threadsafe(
            evaluate(
                tasks, engine=server.engine, renderer=server.renderer, verifiers=verifiers, sampling=sampling, seed=0
            ),
            server.loop,
        ).result()
    assert [row.to_dict() for row in remote.rows] == [row.to_dict() for row in here.rows]
