"""`assay cluster`: what the machines that Ray knows can do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.common_options import set_option

app = typer.Typer(no_args_is_help=True, help="Look at a Ray cluster before a run is put on it.")


@app.command("check")
def check(
    recipe: Annotated[
        Path | None, typer.Argument(help="The recipe (TOML) of the run that it is for; the defaults without one.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        set_option("--set cluster.learner=4 --set cluster.engines=4 --set cluster.address=auto"),
    ] = None,
    run_folder: Annotated[
        Path | None, typer.Option(help="Folder that all nodes must share; by default ~/.assay/runs.")
    ] = None,
) -> None:
    """Say what a cluster can do and what it lacks, in about a minute.

    Finds processes that no node can hold, versions that differ between nodes, a run folder that is not shared and
    shared memory that is too small; measures what a publish and the products of a step take. Exit code 3 where
    something is lacking. Without `cluster.address` it looks at this machine alone.

    Example: assay cluster check recipe.toml --set cluster.learner=2 --set cluster.engines=2
    """
    from assay.config import load
    from assay.recipe import RunConfig

    config = load(RunConfig, recipe or {}, [*(settings or [])])
    if not config.cluster.is_used:
        config = load(RunConfig, recipe or {}, [*(settings or []), "cluster.learner=1", "cluster.engines=1"])

    from assay.cluster.check import ClusterPlan, check_cluster
    from assay.cluster.connect import RayConnection
    from assay.home import assay_home
    from assay.launch import COMPUTE_DTYPES, named_model
    from assay.run.clustered import bundle_of

    cluster, shape = config.cluster, named_model(config).shape
    device = "cuda" if config.model.device.startswith("cuda") else "cpu"
    dtype = COMPUTE_DTYPES.get(config.model.compute_dtype, COMPUTE_DTYPES["fp32" if device == "cpu" else "bf16"])
    num_processes = cluster.num_ranks + cluster.num_engines
    plan = ClusterPlan(
        bundles=(bundle_of(device),) * num_processes,
        num_ranks=cluster.num_ranks,
        num_parameters=shape.num_parameters,
        weights_bytes=shape.num_parameters * dtype.itemsize,
        step_tokens=config.groups_per_step * config.group_size * config.sampling.max_new_tokens,
        device=device,
    )
    connection = RayConnection(
        cluster,
        num_processes=_cores() if cluster.address is None else num_processes,
        num_gpus=_gpus() if device == "cuda" else 0,
        weights_bytes=plan.weights_bytes,
    )
    try:
        report = check_cluster(connection, plan, (run_folder or assay_home() / "runs").absolute())
    finally:
        connection.close()
    for line in report.lines():
        typer.echo(line)
    if report.problems:
        raise typer.Exit(3)


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
