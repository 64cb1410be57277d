from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from assay.cli.chat import chat
from assay.cli.demonstrate import demonstrate
from assay.cli.endpoint import EndpointOptions
from assay.cli.eval import evaluate
from assay.cli.groups import with_groups
from assay.cli.show import show


@dataclass(frozen=True)
class Where:
    host: Annotated[str, typer.Option(help="The machine.")] = "here"
    port: Annotated[int | None, typer.Option(help="Its port.", min=1)] = None
    tags: Annotated[list[str] | None, typer.Option("--tag")] = None


@dataclass(frozen=True)
class Needed:
    key: Annotated[str, typer.Option(help="Must be given.")]


@with_groups
def command(name: Annotated[str, typer.Argument()], where: Where, needed: Needed, loud: bool = False) -> None:
    """What the command does."""
    typer.echo(repr((name, where, needed, loud)))


def invoke(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert result.exit_code in (0, 2), result.output
    return result.output


@pytest.mark.parametrize(
    ("arguments", "where", "loud"),
    [
        (("a", "--key", "k"), Where(), False),
        (("a", "--key", "k", "--host", "there", "--port", "3"), Where("there", 3), False),
        (("--tag", "x", "a", "--tag", "y", "--key", "k", "--loud"), Where(tags=["x", "y"]), True),
    ],
)
def test_a_group_is_filled_in_from_its_options(arguments: tuple[str, ...], where: Where, loud: bool) -> None:
    assert invoke(*arguments).strip() == repr(("a", where, Needed("k"), loud))


def test_options_of_groups_are_options_like_others() -> None:
    shown = invoke("--help")
    for text in ("What the command does.", "--host", "The machine.", "[default: here]", "--tag", "--loud", "required"):
        assert text in shown
    assert "Missing option '--key'" in invoke("a")
    assert "Invalid value for '--port'" in invoke("a", "--key", "k", "--port", "0")
    assert "No such option" in invoke("a", "--key", "k", "--where", "b")


def test_two_groups_with_an_option_of_one_name_are_an_error_at_once() -> None:
    def twice(one: Where, other: Where) -> None: ...

    with pytest.raises(ValueError, match="duplicate parameter name: 'host'"):
        with_groups(twice)


def test_the_options_of_endpoints_are_those_of_every_command_that_has_them() -> None:
    def said(command: Callable[..., None], name: str) -> tuple[object, ...]:
        parameter = inspect.signature(command).parameters[name]
        kind, option = parameter.annotation.__origin__, parameter.annotation.__metadata__[0]
        return kind, option.help, option.metavar, option.param_decls, parameter.default

    names = EndpointOptions.__dataclass_fields__
    assert len(names) > 10
    for name in names:
        assert said(demonstrate, name) == said(evaluate, name)


@pytest.mark.parametrize("function", [evaluate, demonstrate, chat, show])
def test_signatures_are_short(function: object) -> None:
    assert len(inspect.signature(vars(function)["__wrapped__"]).parameters) <= 8


def test_a_zero_was_given() -> None:
    assert EndpointOptions(max_retries=0, send_seed=False, body=[]).given() == {"max_retries": 0}
