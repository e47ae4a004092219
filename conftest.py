"""Every code block of the Markdown files is a test: a reader who copies one finds that it works.

Each document has a directory and an environment of its own, and its blocks run in order:

- ``python`` runs; a first line such as ``# app.py`` writes the block to that file and runs it in a
  process of its own;
- ``toml`` becomes a guard; a first line such as ``# jwtguard.toml`` writes it, a block without an
  issuer is completed with one;
- ``console`` runs the lines behind ``$ `` in one shell and compares what they print with what the
  block shows (``...`` stands for anything); servers stay up until the document ends, on a free
  port in place of 8000, ``redis-server`` beside them on one in place of 6379; ``sh`` is one such
  command without the ``$ ``;
- ``json`` is JSON; ``text``, ``nginx``, ``caddyfile`` and ``yaml`` are read by people only.

A block in any other language is a failure, so that none goes unrun by mistake.
"""

import contextlib
import doctest
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sybil import Example, Region, Sybil
from sybil.document import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

READ_ONLY = {"text", "nginx", "caddyfile", "yaml"}
RUN = {"python", "toml", "console", "sh", "json"}
SERVERS = ("gunicorn ", "uvicorn ", "hypercorn ", "jwtguard serve ")
REDIS = "redis-server "
ISSUER = {
    "issuer": "https://login.example.com/",
    "name": "people",
    "audience": "https://api.example.com",
    "algorithms": ["HS256"],
    "secret": {"value": "for the documentation only: 32 bytes or more"},
}

_run_python = PythonEvaluator()
_file_name = re.compile(r"#\s+([\w./-]+\.(?:py|toml|json))\s*\n").match
_port_of_documents = re.compile(r"(?<=127\.0\.0\.1:)8000|(?<=--port )8000")
_port_of_redis = re.compile(r"(?<=127\.0\.0\.1:)6379|(?<=--port )6379")
_MARK = "~~~ end of command"
_BASH = shutil.which("bash") or "bash"


class Place:
    """Where one document's blocks run."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="jwtguard-docs-"))
        self.port = _free_port()
        self.redis_port = _free_port()
        self.lacks: str | None = None  # a program that the rest of the document needs
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name in ("HOME", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_START")
        } | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(Path(__file__).parent),
            "CURL_HOME": str(self.directory),  # no progress meter
        }
        (self.directory / ".curlrc").write_text("silent\nshow-error\nmax-time = 20\n")
        self.servers: list[subprocess.Popen[bytes]] = []
        self.beside: list[subprocess.Popen[bytes]] = []  # until the document ends

    def write(self, source: str) -> Path | None:
        """Keep a block that names a file in its first line."""
        match = _file_name(source)
        if match is None:
            return None
        path = self.directory / match[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return path

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This directory and environment, for code that runs in this process."""
        before, modules, path = os.environ.copy(), set(sys.modules), sys.path.copy()
        os.environ.update(self.environment)
        sys.path.insert(0, str(self.directory))
        try:
            with contextlib.chdir(self.directory):
                yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            sys.path[:] = path
            for name in set(sys.modules) - modules:
                file = getattr(sys.modules[name], "__file__", None) or ""
                if file.startswith(str(self.directory)):
                    del sys.modules[name]

    def serve(self, command: str) -> None:
        """Start a server and wait until it listens."""
        is_redis = command.startswith(REDIS)
        if not is_redis:
            _end(self.servers)
        running = self.beside if is_redis else self.servers
        port = self.redis_port if is_redis else self.port
        arguments = shlex.split(self.on_free_ports(command))
        with (self.directory / "server.log").open("wb") as log:
            running.append(
                subprocess.Popen(  # noqa: S603 - the documents' own commands
                    arguments, cwd=self.directory, env=self.environment, stdout=log, stderr=log
                )
            )
        until = time.monotonic() + 20
        while time.monotonic() < until and running[-1].poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.05)
        raise AssertionError(f"{command}\n{(self.directory / 'server.log').read_text()}")

    def on_free_ports(self, text: str) -> str:
        text = _port_of_redis.sub(str(self.redis_port), text)
        return _port_of_documents.sub(str(self.port), text)

    def leave(self) -> None:
        _end(self.servers)
        _end(self.beside)
        shutil.rmtree(self.directory, ignore_errors=True)


def _end(servers: list[subprocess.Popen[bytes]]) -> None:
    for server in servers:
        server.terminate()
        server.wait(timeout=10)
    servers.clear()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_python(example: Example) -> str | None:
    place: Place = example.namespace["_place"]
    path = place.write(str(example.parsed))
    if path is not None:
        status, printed = _run_shell(place, f'"{sys.executable}" {path.name}')
        return f"exit status {status}\n{printed}" if status else None
    with place.entered():
        _run_python(example)
    return None


def load_toml(example: Example) -> None:
    from jwtguard.config import from_mapping, from_toml

    place: Place = example.namespace["_place"]
    source = str(example.parsed)
    mapping = tomllib.loads(source)
    path = place.write(source)
    with place.entered():
        if path is None:
            mapping.setdefault("issuer", [ISSUER])
            example.namespace["guard"] = from_mapping(mapping)
        elif path.name == "jwtguard.toml":
            example.namespace["guard"] = from_toml(path)


def load_json(example: Example) -> None:
    example.namespace["_place"].write(str(example.parsed))
    json.loads(str(example.parsed))


Steps = list[tuple[str, str]]
"""Commands, and what each prints; "" where the block does not say."""


def run_console(example: Example) -> str | None:
    """Run each command behind "$ "; a failing one must show what it prints."""
    steps: Steps = []
    for line in str(example.parsed).splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], ""))
        elif steps and steps[-1][0].endswith("\\"):
            steps[-1] = (f"{steps[-1][0]}\n{line}", "")
        else:
            assert steps, f"no command before {line!r}"
            steps[-1] = (steps[-1][0], f"{steps[-1][1]}{line}\n")
    return _run(example.namespace["_place"], steps)


def run_sh(example: Example) -> str | None:
    """Run the block as one command."""
    return _run(example.namespace["_place"], [(f"set -e\n{example.parsed}", "")])


def _run(place: Place, steps: Steps) -> str | None:
    if any(command.startswith(REDIS) for command, _ in steps) and not shutil.which("redis-server"):
        place.lacks = "redis-server"  # and so does what follows
    lacks = place.lacks
    if any("curl " in command for command, _ in steps) and not shutil.which("curl"):
        lacks = lacks or "curl"
    if lacks:
        if os.environ.get("JWTGUARD_LIVE") == "required":
            return f"{lacks} is not installed"
        pytest.skip(f"{lacks} is not installed")
    for command, wanted in steps:
        if command.startswith((*SERVERS, REDIS)):
            place.serve(command)
            continue
        status, printed = _run_shell(place, command)
        if wanted:
            options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            if not doctest.OutputChecker().check_output(wanted, printed, options):
                return f"$ {command}\nwanted:\n{wanted}\ngot (exit status {status}):\n{printed}"
        elif status:
            return f"$ {command}\nexit status {status}\n{printed}"
    return None


def _run_shell(place: Place, command: str) -> tuple[int, str]:
    """One command, with the exported variables and the exit status of those before it."""
    script = [f"(exit {place.environment.get('_STATUS', '0')})"]
    if not (Path(sys.executable).parent / "jwtguard").exists():
        # Not installed: -P keeps the directory off the path, as an installed command does.
        script.insert(0, f'jwtguard() {{ "{sys.executable}" -P -m jwtguard "$@"; }}')
    script += [
        place.on_free_ports(command),
        f'_status=$?; printf "\\n%s %s\\n" "{_MARK}" "$_status"; export -p',
    ]
    done = subprocess.run(  # noqa: S603 - the documents' own commands
        [_BASH, "-c", "\n".join(script)],
        cwd=place.directory,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    printed, mark, rest = done.stdout.replace("\r\n", "\n").rpartition(f"\n{_MARK} ")
    assert mark, done.stdout
    status, _, exported = rest.partition("\n")
    for name, value in re.findall(r'declare -x (\w+)="((?:[^"\\]|\\.)*)"', exported):
        if name not in ("PWD", "OLDPWD", "SHLVL", "_"):
            place.environment[name] = re.sub(r"\\(.)", r"\1", value)
    place.environment["_STATUS"] = status
    return int(status), printed.replace(f":{place.port}", ":8000")


_fence = re.compile(r"^ {0,3}(`{3,}|~{3,})[ ]*(.*)$", re.MULTILINE).finditer


def find_unrun(document: Document) -> Iterator[Region]:
    """A region that fails for every block that nothing here would run."""
    opened: str | None = None
    for match in _fence(document.text):
        fence, language = match[1], match[2].strip()
        if opened is None:
            opened = fence
            if language not in RUN | READ_ONLY:
                yield Region(match.start(), match.end(), parsed=language, evaluator=_unrun)
        elif fence.startswith(opened) and not language:
            opened = None


def _unrun(example: Example) -> str:
    return f"a block in {example.parsed!r}: nothing runs it"


def enter(namespace: dict[str, Any]) -> None:
    namespace["_place"] = Place()
    namespace["__name__"] = "__main__"


def leave(namespace: dict[str, Any]) -> None:
    namespace["_place"].leave()


class _Python(PythonCodeBlockParser):
    def __init__(self) -> None:
        super().__init__()
        self.codeblock_parser = CodeBlockParser("python", run_python)


pytest_collect_file = Sybil(
    parsers=[
        SkipParser(),
        _Python(),
        CodeBlockParser("toml", load_toml),
        CodeBlockParser("json", load_json),
        CodeBlockParser("console", run_console),
        CodeBlockParser("sh", run_sh),
        find_unrun,
    ],
    patterns=["docs/*.md", "docs/**/*.md", "README.md", "CONTRIBUTING.md", "SECURITY.md"],
    setup=enter,
    teardown=leave,
).pytest()
