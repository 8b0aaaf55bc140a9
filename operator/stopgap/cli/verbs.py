"""What all verbs share: the flags, the sentence where something is refused, and the exit status. `@verb` makes a command of a function."""

import functools
import inspect
import os
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from stopgap.cli.refusals import Refused, sentence
from stopgap.cli.session import Session
from stopgap.effects.connection import NoConnection
from stopgap.effects.errors import KubeError

app = typer.Typer(
    name="kubectl stopgap",
    help="What Stopgap saw, did and refused to do, and why; and what people say to it.",
    no_args_is_help=True,
    add_completion=False,  # kubectl completes: see main.complete
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
FORMS: Final = ("wide", "json", "yaml")

_FLAGS: Final[dict[str, Any]] = {
    "namespace": Annotated[str | None, typer.Option("-n", "--namespace", help="the namespace (default: of the kubeconfig's context)")],
    "all_namespaces": Annotated[bool, typer.Option("-A", "--all-namespaces", help="in every namespace")],
    "output": Annotated[str, typer.Option("-o", "--output", metavar="wide|json|yaml", help="another form of the answer")],
    "context": Annotated[str | None, typer.Option("--context", help="the kubeconfig's context")],
    "kubeconfig": Annotated[str | None, typer.Option("--kubeconfig", help="the kubeconfig")],
}
_DEFAULTS: Final[dict[str, Any]] = {"namespace": None, "all_namespaces": False, "output": "", "context": None, "kubeconfig": None}


def verb(function: Callable[..., int | None]) -> Callable[..., None]:
    """Make a command: its first parameter is the Session, made of the flags that every verb has; it returns the exit status, if not 0."""
    signature = inspect.signature(function, eval_str=True)
    own = list(signature.parameters.values())[1:]
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=_DEFAULTS[name]) for name, kind in _FLAGS.items()
    ]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        asked = {name: given.pop(name) for name in _FLAGS}
        raise typer.Exit(_run(function, asked, given))

    parameters = [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *flags]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # functions take it; no stub says so
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    del command.__wrapped__
    app.command(function.__name__.rstrip("_"))(command)
    return command


def _run(function: Callable[..., int | None], asked: dict[str, Any], given: dict[str, Any]) -> int:
    try:
        return function(_session(asked), **given) or 0
    except Refused as refused:
        return complain(str(refused), refused.status)
    except (KubeError, NoConnection, ValueError) as error:
        return complain(sentence(error), 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read it has seen enough; what is still to be flushed goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def _session(asked: dict[str, Any]) -> Session:
    if asked["output"] and asked["output"] not in FORMS:
        raise Refused(f"-o {asked['output']}: there are {', '.join(FORMS)}", 2)
    namespace = asked.pop("namespace")
    return Session(**asked, namespace_given=namespace)


def complain(words: str, status: int) -> int:
    """Say what is the matter where errors are said, and return the exit status."""
    typer.echo(f"kubectl stopgap: {words}", err=True)
    return status


Name = Annotated[str, typer.Argument(metavar="NAME", help="an Incident")]
Workload = Annotated[str, typer.Argument(metavar="KIND/NAME", help="a workload, such as deploy/api")]
