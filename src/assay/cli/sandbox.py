"""`assay sandbox`: whether this machine holds programs that nobody trusts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Run programs that nobody trusts, apart from this machine.", no_args_is_help=True)


@app.callback()
def sandbox() -> None:
    """Run programs that nobody trusts, apart from this machine."""


@app.command("selftest")
def selftest(
    backend: Annotated[str, typer.Option(help="auto, bubblewrap or unsafe.")] = "auto",
    interpreter: Annotated[
        Path | None, typer.Option(help="The Python that programs run on; this one by default.")
    ] = None,
    area: Annotated[str, typer.Option(help="Only attacks of this area: verdict, time, memory, files, ...")] = "",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print every attack, not only those that got through.")
    ] = False,
) -> None:
    """Runs the list of attacks on this machine; prints what enforces the limits here and what held.

    Exits with 1 where one got through.

    About a minute. Where the host cannot isolate, says what is missing.
    """
    held = asyncio.run(_selftest(backend, interpreter, area, verbose))
    if not held:
        raise typer.Exit(1)


async def _selftest(backend: str, interpreter: Path | None, area: str, verbose: bool) -> bool:
    from rich.console import Console

    from assay.errors import ConfigError
    from assay.sandbox.sandbox import Sandbox
    from assay.sandbox.selftest import attacks_here, enforcement, selftest

    attacks = [attack for attack in attacks_here() if area in ("", attack.area)]
    if not attacks:
        areas = sorted({attack.area for attack in attacks_here()})
        raise ConfigError(f"--area {area}: no attacks of that area; there are {', '.join(areas)}")
    console = Console(highlight=False, markup=False, soft_wrap=True)
    outcomes = []
    async with Sandbox(backend, num_workers=1, interpreter=interpreter) as sandbox:  # type: ignore[arg-type]
        for name, value in enforcement(sandbox):
            console.print(f"{name:18} {value}")
        console.print()
        with console.status("") as status:
            async for outcome in selftest(sandbox, attacks):
                outcomes.append(outcome)
                status.update(f"{len(outcomes)} of {len(attacks)}")
                if verbose or not outcome.held:
                    mark = "held  " if outcome.held else "FAILED"
                    attack = outcome.attack
                    console.print(
                        f"{mark} {attack.area:10} {attack.name:42} {outcome.ended:14} {outcome.seconds:6.2f} s"
                    )
                for problem in outcome.problems:
                    console.print(f"       {problem}")
    for name in dict.fromkeys(outcome.attack.area for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.attack.area == name]
        console.print(f"{name:18} {sum(outcome.held for outcome in mine)} of {len(mine)} held")
    num_held = sum(outcome.held for outcome in outcomes)
    console.print(f"{'all':18} {num_held} of {len(outcomes)} held")
    return num_held == len(outcomes)
