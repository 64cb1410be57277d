"""Writes scalars into a store of MLflow's, and prints the id of the run. Usage: side_mlflow.py ADDRESS < SCALARS

SCALARS is a JSON list of the steps' metrics by name.
"""

from __future__ import annotations

import json
import sys
import time

from mlflow import MlflowClient
from mlflow.entities import Metric


def main() -> None:
    client = MlflowClient(tracking_uri=sys.argv[1])
    run_id = client.create_run(client.create_experiment("studio")).info.run_id
    for step, metrics in enumerate(json.load(sys.stdin)):
        now = int(time.time() * 1000)
        client.log_batch(run_id, metrics=[Metric(name, value, now, step) for name, value in metrics.items()])
    client.set_terminated(run_id)
    print(run_id)


if __name__ == "__main__":
    main()
