"""`stopgap run | generate | lint | simulate`, also as `python -m stopgap`; and `kubectl-stopgap`."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stopgap.settings import Settings


OFFLINE = {
    "lint": "check manifests, without a cluster (needs the extra [cli], as kubectl-stopgap does)",
    "simulate": "say what policies would do about recorded objects, without a cluster (the same)",
}


def main() -> int:
    """Read the arguments and do what they say. Returns the exit status."""
    if sys.argv[1:2] and sys.argv[1] in OFFLINE:
        return plugin(program="stopgap")
    arguments = _parser().parse_args()
    command = {"run": _run, "generate": _generate}[arguments.command]
    return command(arguments)


def plugin(*, program: str = "kubectl stopgap") -> int:
    """Run `kubectl stopgap`."""
    try:
        from stopgap.cli.main import main as run  # noqa: PLC0415 - the operator's image does without the extra
    except ModuleNotFoundError as error:
        return _complain(
            ValueError(f"this needs {error.name}; install Stopgap with its extra [cli], such as: pipx install '.[cli]' in a checkout")
        )
    run(program=program)
    return 0


def complete() -> int:
    """Tell kubectl what may follow, for completion in the shell."""
    from stopgap.cli.main import complete as told  # noqa: PLC0415 - as above

    told()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stopgap", description="Stops the bleeding first: undoes a bad release once, and proves that it helped."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the operator against the cluster of KUBECONFIG, or of the pod it runs in")
    run.add_argument("-n", "--namespace", action="append", default=[], help="watch this namespace only; repeatable (default: all)")
    run.add_argument("--own-namespace", help="namespace of the Lease and the RemediationConfig (default: stopgap-system)")
    run.add_argument("--health-port", type=int, help="port of /healthz and /readyz; 0 for none (default: 8080)")
    run.add_argument("--metrics-port", type=int, help="port of /metrics; 0 for none (default: 9090)")
    run.add_argument("--alerts-port", type=int, help="port of the receiver of Alertmanager's and Grafana's webhooks (default: none)")
    run.add_argument("--alerts-tokens", metavar="FILE", help="who may send alerts: lines of `bearer` or `hmac`, a secret, and namespaces")
    run.add_argument("--alerts-namespace", help="where alerts about no known workload are recorded (default: the own namespace)")
    run.add_argument("--no-lease", action="store_true", help="act without holding the Lease (a single copy, for development)")
    run.add_argument("-v", "--verbose", action="store_true", help="log more")
    generate = commands.add_parser("generate", help="write crds/, manifests/rbac.yaml and docs/reference/ from the code")
    generate.add_argument("--check", action="store_true", help="write nothing; fail if something differs")
    generate.add_argument(
        "-n",
        "--namespace",
        action="append",
        default=[],
        help="write nothing; print the roles of an installation that watches this namespace only; repeatable",
    )
    generate.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout (default: here)")
    for name, words in OFFLINE.items():
        commands.add_parser(name, help=words, add_help=False)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    # Imported here: `generate` and `--help` need neither Kopf nor a network stack.
    import gc  # noqa: PLC0415
    from dataclasses import replace  # noqa: PLC0415

    from stopgap.effects.connection import NoConnection, without_clients  # noqa: PLC0415

    without_clients()
    import kopf  # noqa: PLC0415

    from stopgap import handlers  # noqa: F401, PLC0415 - importing registers them
    from stopgap.effects.servers import CannotListen  # noqa: PLC0415
    from stopgap.settings import Settings, Unusable  # noqa: PLC0415

    given = {
        "namespaces": tuple(arguments.namespace) or None,
        "own_namespace": arguments.own_namespace,
        "health_port": arguments.health_port,
        "metrics_port": arguments.metrics_port,
        "alerts_port": arguments.alerts_port,
        "alerts_tokens": arguments.alerts_tokens,
        "alerts_namespace": arguments.alerts_namespace,
        "lease": False if arguments.no_lease else None,
    }
    try:
        settings = replace(Settings(), **{key: value for key, value in given.items() if value is not None})
    except Unusable as error:
        return _complain(error)
    kopf.configure(verbose=arguments.verbose, log_format=kopf.LogFormat.JSON if not sys.stderr.isatty() else kopf.LogFormat.FULL)
    logging.getLogger("stopgap").setLevel(logging.DEBUG if arguments.verbose else logging.INFO)
    gc.freeze()
    try:
        asyncio.run(_operate(settings))
    except (NoConnection, CannotListen) as error:
        return _complain(error)
    return 0


def _complain(error: Exception) -> int:
    # A traceback would hide the one sentence that helps.
    print(f"stopgap: {error}", file=sys.stderr)  # noqa: T201 - a command that speaks to a person
    return 1


async def _operate(settings: "Settings") -> None:
    import kopf  # noqa: PLC0415 - see above

    from stopgap.effects.connection import connect  # noqa: PLC0415 - see above
    from stopgap.handlers.process import ended_by  # noqa: PLC0415 - see above

    memo = kopf.Memo(settings=settings, connection=await connect(), reports=True)
    if settings.namespaces:
        await kopf.operator(memo=memo, namespaces=list(settings.namespaces))
    else:
        await kopf.operator(memo=memo, clusterwide=True)
    if (error := ended_by(memo)) is not None:
        raise error


def _generate(arguments: argparse.Namespace) -> int:
    from stopgap import codegen  # noqa: PLC0415

    if arguments.namespace:
        print(codegen.render_rbac(arguments.namespace), end="")  # noqa: T201 - a command that speaks to a person
        return 0
    if not arguments.check:
        for path in codegen.generate(arguments.root):
            print(f"wrote {path}")  # noqa: T201 - a command that speaks to a person
        return 0
    lines = codegen.drift(arguments.root)
    print("\n".join(lines) or "everything generated is up to date")  # noqa: T201
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
