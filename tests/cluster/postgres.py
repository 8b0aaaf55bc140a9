"""A real PostgreSQL from the distribution's package, with sessions in it that work, wait and hold each other up."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import psycopg
from tests.cluster.harness import free_port, wait_for
from tests.cluster.packages import program
from tests.cluster.processes import Component, end, spawn

PASSWORD: Final = "canary-of-the-dsn"  # noqa: S105 - looked for in every sink
NOBODY: Final = 65534
_UNTESTED: Final = "the postgres trigger and the postgres step against a real PostgreSQL"
_FIRST: Final = """
CREATE ROLE watcher LOGIN PASSWORD 'secret';  GRANT pg_monitor TO watcher;
CREATE ROLE blind LOGIN PASSWORD 'secret';
CREATE ROLE ender LOGIN PASSWORD 'secret';  GRANT pg_monitor, pg_signal_backend TO ender;
CREATE ROLE app LOGIN PASSWORD 'secret';
CREATE ROLE reports LOGIN PASSWORD 'secret';
CREATE ROLE copier LOGIN REPLICATION PASSWORD 'secret';
CREATE EXTENSION pg_stat_statements;
CREATE TABLE products (id int PRIMARY KEY, name text);
INSERT INTO products SELECT n, 'name ' || n FROM generate_series(1, 100) AS n;
GRANT ALL ON products TO app;
"""


@dataclass
class Server:
    """One server, and who is at work in it."""

    programs: Path
    folder: Path
    port: int = field(default_factory=free_port)
    running: Component | None = None

    def start(self) -> Self:
        """Make a database of its own and start it. As root it is started as nobody: PostgreSQL refuses to be root."""
        data, password = self.folder / "data", self.folder / "password"
        password.write_text(PASSWORD)
        self._own()
        arguments = [
            "-D",
            str(data),
            "-U",
            "postgres",
            "--auth=scram-sha-256",
            f"--pwfile={password}",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        subprocess.run(self._as_nobody("initdb", *arguments), check=True, capture_output=True, env=self._environment)
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 30,
            "shared_preload_libraries": "pg_stat_statements",
        }
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self.running = spawn(self._as_nobody("postgres", "-D", str(data)), log=self.folder / "log", environment=self._environment)
        wait_for("PostgreSQL answers", self._answers)
        self.execute(_FIRST.replace("'secret'", f"'{PASSWORD}'"))
        return self

    def stop(self) -> None:
        if self.running:
            end([self.running], patience=5)
        shutil.rmtree(self.folder)

    def dsn(self, user: str = "watcher", **parameters: str) -> str:
        """Return the DSN of a user."""
        more = "".join(f"&{name}={value}" for name, value in parameters.items())
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.port}/postgres?sslmode=disable{more}"

    def execute(self, statement: str, user: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        with psycopg.connect(self.dsn(user), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def session(self, statement: str, user: str = "app", application: str = "shop") -> Iterator["Session"]:
        """Run a statement beside the test, and see how it ends."""
        session = Session(psycopg.connect(self.dsn(user, application_name=application), autocommit=True), statement)
        try:
            session.begin()
            wait_for(
                "it is at work",
                lambda: (session.pid,) in self.execute("SELECT pid FROM pg_stat_activity WHERE query_start IS NOT NULL"),
            )
            yield session
        finally:
            session.close()

    def _answers(self) -> bool:
        assert self.running is not None
        assert self.running.alive(), (self.folder / "log").read_text()[-2000:]
        try:
            return bool(self.execute("SELECT 1"))
        except psycopg.OperationalError:
            return False

    def _own(self) -> None:
        if os.geteuid() == 0:
            for one in (self.folder, *self.folder.iterdir()):
                os.chown(one, NOBODY, NOBODY)

    def _as_nobody(self, name: str, *arguments: str) -> list[str]:
        words = [str(self.programs / name), *arguments]
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *words] if os.geteuid() == 0 else words

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C"}


class Session:
    """One client at work."""

    def __init__(self, connection: psycopg.Connection[Any], statement: str) -> None:
        self.connection = connection
        self.pid: int = connection.info.backend_pid
        self.ended_by: psycopg.Error | None = None
        self._statement = statement
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            self.connection.execute(self._statement.encode())
        except psycopg.Error as error:
            self.ended_by = error

    @property
    def at_work(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        if self.at_work:
            self.connection.cancel()
        self._thread.join()
        self.connection.close()


def server() -> Iterator[Server]:
    """Start a server, and end it."""
    programs = _programs()
    made = Server(programs, Path(tempfile.mkdtemp(prefix="stopgap-postgres-")))
    try:
        yield made.start()
    finally:
        made.stop()


def _programs() -> Path:
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return (installed[-1] if installed else program("postgresql-15", "usr/lib/postgresql/15/bin/postgres", untested=_UNTESTED)).parent
