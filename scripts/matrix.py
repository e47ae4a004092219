"""Runs the tests of each framework with the versions of it that jwtguard supports.

A row is a Python and versions of frameworks. What the tests need besides is installed once for each
Python, the frameworks of a row beside it, in an environment of their own. Which test files a row
runs is read from what they import: those that name a framework whose version the row is about, as
far as all that they import is there. The rows "none" run those that import no framework.
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
PLACE = ROOT / ".venv-matrix"

# What is imported, and the distribution that brings it.
FRAMEWORKS = {
    "corsheaders": "django-cors-headers",
    "django": "django",
    "drf_spectacular": "drf-spectacular",
    "fastapi": "fastapi",
    "flask": "flask",
    "flask_cors": "flask-cors",
    "litestar": "litestar",
    "mcp": "mcp",
    "ninja": "django-ninja",
    "quart": "quart",
    "rest_framework": "djangorestframework",
    "starlette": "starlette",
}
# The parts of jwtguard that import a framework.
ADAPTERS = {
    "jwtguard.django": {"django"},
    "jwtguard.django.ninja": {"django", "ninja"},
    "jwtguard.django.rest": {"django", "rest_framework"},
    "jwtguard.django.spectacular": {"django", "drf_spectacular", "rest_framework"},
    "jwtguard.fastapi": {"fastapi", "starlette"},
    "jwtguard.flask": {"flask"},
    "jwtguard.litestar": {"litestar"},
    "jwtguard.quart": {"flask", "quart"},
    "jwtguard.starlette": {"starlette"},
    "jwtguard.testing.django": {"django"},
}
# What runs without frameworks needs them where it starts apps, or imports all of jwtguard.
NOT_BARE = {"test_examples.py": "starts apps of frameworks"}
NOT_BARE_CASES = ("tests/core/test_house.py::test_everything_in_all_exists_once",)
# They measure this machine, drive real servers, or check types: not what a version may break.
LEFT_OUT = {
    "test_benchmarks.py": "measures the machine",
    "test_typing.py": "runs type checkers",
}


@dataclass(frozen=True)
class Row:
    """All frameworks of the test extra (the highest versions supported), but for *pins*.

    - ``pins``: another version, by distribution; with none, all frameworks are what is tested.
    - ``without``: what cannot be installed beside these pins.
    - ``python``: "" is the one that runs this.
    - ``bare``: no framework at all.
    """

    name: str
    pins: dict[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    python: str = ""
    bare: bool = False

    @property
    def installed(self) -> dict[str, str]:
        """Requirements, by distribution."""
        if self.bare:
            return {}
        known = {name: pin for name, pin in test_pins().items() if name in FRAMEWORKS.values()}
        own = {name: f"{name}=={version}" for name, version in self.pins.items()}
        return {name: pin for name, pin in (known | own).items() if name not in self.without}


ROWS = [
    Row("none", bare=True),
    Row("none-3.12", bare=True, python="3.12"),
    Row("none-3.13", bare=True, python="3.13"),
    Row("highest"),
    Row("highest-3.13", python="3.13"),
    # Quart is made of Flask 3.
    Row("flask-2.3", {"flask": "2.3.*"}, without=frozenset({"quart"})),
    # A later REST framework wants a later Django.
    Row("django-4.2", {"django": "4.2.*", "djangorestframework": "3.16.*"}),
    Row("django-6.1", {"django": "6.1.*"}, python="3.12"),
    Row("drf-3.15", {"djangorestframework": "3.15.*", "django": "4.2.*"}),
    Row("ninja-1.3", {"django-ninja": "1.3.*"}),
    Row("starlette-1.0", {"starlette": "1.0.*", "fastapi": "0.137.*"}),
    # That one imports sniffio, which anyio brought along at the time.
    Row("litestar-2.16", {"litestar": "2.16.*", "sniffio": "1.3.*"}),
    Row("quart-0.20", {"quart": "0.20.*"}),
]


def main() -> int:
    """0 where every row that could run passed."""
    parser = argparse.ArgumentParser(prog="scripts/matrix", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="names or patterns; all by default")
    parser.add_argument("--list", action="store_true", help="name the rows and their test files")
    given = parser.parse_args()
    rows = [one for one in ROWS if not given.rows or any(fnmatch(one.name, p) for p in given.rows)]
    if not rows:
        parser.error(f"no such row; there are {', '.join(row.name for row in ROWS)}")
    if given.list:
        for row in rows:
            print(f"{row.name}: {' '.join(sorted(path.name for path in files_of(row)[0]))}")
        return 0
    lines = [run(row) for row in rows]
    print("\nmatrix")
    for name, verdict, rest in lines:
        print(f"  {name:<15} {verdict:<8} {rest}")
    verdicts = Counter(verdict for _, verdict, _ in lines)
    print("  " + ", ".join(f"{number} rows {verdict}" for verdict, number in verdicts.items()))
    return 1 if verdicts["failed"] else 0


# --- rows ---------------------------------------------------------------------------------------

Line = tuple[str, str, str]


def run(row: Row) -> Line:
    """Install what a row needs, and run its files."""
    python = find_python(row.python)
    if python is None:
        return row.name, "skipped", f"no Python {row.python} here (PATH, PYTHON_VERSIONS)"
    files, left = files_of(row)
    if not files:
        return row.name, "skipped", "no test file for it yet"
    print(f"\n{row.name}: installing", flush=True)
    try:
        environment = environment_of(row, base(python))
    except subprocess.CalledProcessError as error:
        return row.name, "failed", f"installing failed: {error.cmd[-1]}"
    said = versions(environment, row)
    print(f"{row.name}: {said}", flush=True)
    if row.bare and not pulls_in_nothing(environment):
        return row.name, "failed", "import jwtguard imports a framework"
    report = PLACE / f"{row.name}.xml"
    report.unlink(missing_ok=True)
    cases = [case for path in files for case in cases_without(path, modules(row))]
    if row.bare:
        cases += NOT_BARE_CASES
    words = ["-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={report}"]
    words += [f"--deselect={case}" for case in cases]
    if row.pins:  # an old version may use what is deprecated by now
        words += ["-W", "default::DeprecationWarning"]
    command = [str(environment), "-m", "pytest", "-q", *words, *map(str, files)]
    absent = {"JWTGUARD_WITHOUT": " ".join(sorted(FRAMEWORKS.keys() - modules(row)))}
    subprocess.run(command, cwd=ROOT, env=VARIABLES | absent, check=False)
    for case in cases:
        print(f"{row.name}: left out: {case}")
    verdict, rest = outcome(report)
    for path, why in left:
        print(f"{row.name}: {path.name} is left out: {why}")
    return row.name, verdict, f"{rest}; {said}"


def outcome(report: Path) -> tuple[str, str]:
    """What pytest found: how many ran, and why any did not."""
    if not report.exists():
        return "failed", "pytest wrote no report"
    cases = list(ElementTree.parse(report).iter("testcase"))
    kinds = Counter(
        next((child.tag for child in case if child.tag in BAD), "ran") for case in cases
    )
    reasons = Counter(one.get("message", "") for case in cases for one in case.iter("skipped"))
    words = [f"{kinds['ran']} passed"]
    if failed := kinds["failure"] + kinds["error"]:
        words.append(f"{failed} failed")
    words += [f"{number} skipped: {reason[:60]}" for reason, number in reasons.items()]
    return "passed" if kinds["ran"] and not failed else "failed", ", ".join(words)


BAD = ("failure", "error", "skipped")


# --- which files --------------------------------------------------------------------------------


def files_of(row: Row) -> tuple[list[Path], list[tuple[Path, str]]]:
    """The test files of a row, and those that belong to it but cannot run, with the reason."""
    here = modules(row)
    files: list[Path] = []
    left: list[tuple[Path, str]] = []
    tests = ROOT / "tests"
    for path in sorted([*tests.glob("test_*.py"), *(tests / "core").glob("test_*.py")]):
        if path.name in LEFT_OUT or (row.bare and path.name in NOT_BARE):
            continue
        needed, asked = imports(path, frozenset())
        missing = needed - here
        mine = {name for name in asked if not row.pins or FRAMEWORKS[name] in row.pins}
        if not row.bare and not mine:
            continue
        if missing:
            if not row.bare:
                left.append((path, f"it needs {', '.join(sorted(missing))}, too"))
            continue
        files.append(path)
    return files, left


def cases_without(path: Path, here: set[str]) -> list[str]:
    """The tests of a file that import a framework that is not here."""
    found = []
    for function in ast.parse(path.read_text("utf-8")).body:
        if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
            imported = {
                name.partition(".")[0]
                for node in ast.walk(function)
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in _names(node)
            }
            if imported & FRAMEWORKS.keys() - here:
                found.append(f"{path.relative_to(ROOT)}::{function.name}")
    return found


def modules(row: Row) -> set[str]:
    """The frameworks there are, those included that others bring along."""
    found = {name for name, brings in FRAMEWORKS.items() if brings in row.installed}
    return found | ({"starlette"} if "fastapi" in found else set())


def imports(path: Path, seen: frozenset[Path]) -> tuple[set[str], set[str]]:
    """The frameworks a file needs to be imported, and all that it names, through its neighbours."""
    needed: set[str] = set()
    asked: set[str] = set()
    if path in seen:
        return needed, asked
    tree = ast.parse(path.read_text("utf-8"))
    at_import = set(_at_import(tree))
    for node in ast.walk(tree):
        found: set[str] = set()
        for name in _names(node):
            if name.startswith("."):
                for near in (path.parent, path.parent.parent)[name.startswith("..") :][:1]:
                    inner = near / f"{name.strip('.').replace('.', '/')}.py"
                    if inner.exists():
                        theirs = imports(inner, seen | {path})
                        asked |= theirs[1]
                        if node in at_import:
                            needed |= theirs[0]
                continue
            if (top := name.partition(".")[0]) in FRAMEWORKS:
                found.add(top)
            for adapter, wants in ADAPTERS.items():
                if name == adapter or name.startswith(f"{adapter}."):
                    found |= wants
        asked |= found
        if node in at_import:
            needed |= found
    return needed, asked


def _at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when the file is imported, but for what may fail there."""
    waiting: list[ast.AST] = [*tree.body]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Try):
            yield node
            waiting += ast.iter_child_nodes(node)


def _names(node: ast.AST) -> Iterator[str]:
    """The modules that a statement, or a call of importorskip, imports; a neighbour with a dot."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        start = "." * node.level + (node.module or "")
        yield start
        if not node.level:
            yield from (f"{start}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("importorskip"):
        yield from (one.value for one in node.args[:1] if isinstance(one, ast.Constant))


# --- environments -------------------------------------------------------------------------------


def find_python(version: str) -> str | None:
    """The Python of this version, where it is here."""
    if not version:
        return sys.executable
    name = f"python{version}"
    places = [Path(one) for one in os.environ.get("PYTHON_VERSIONS", "").split(os.pathsep) if one]
    inside = [path for one in places for path in (one / name, one / "bin" / name)]
    inside += [path for one in places for path in sorted(one.glob(f"*/bin/{name}"))]
    for candidate in [shutil.which(name), *map(str, inside)]:
        if candidate and _runs(candidate):
            return candidate
    return None


def _runs(python: str) -> bool:
    try:  # a name on PATH may be a shim for something that is not installed
        done = subprocess.run([python, "-c", ""], capture_output=True, timeout=30, check=False)
    except OSError:
        return False
    return done.returncode == 0


def test_pins() -> dict[str, str]:
    """The test extra, by distribution."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = project["optional-dependencies"]["test"]
    found = {re.split(r"[=<>\[]", pin)[0]: pin for pin in pins}
    del found[project["name"]]  # the peers of the benchmarks, which bring frameworks along
    return found


def pip(python: Path, *words: str) -> None:
    """Raises CalledProcessError."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *words], check=True)


def base(python: str) -> Path:
    """A Python with jwtguard and what its tests need, and no framework."""
    version = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    place = PLACE / version
    stamp = place / "pyproject.toml"
    wanted = (ROOT / "pyproject.toml").read_bytes()
    found = place / "bin" / "python"
    if not stamp.exists() or stamp.read_bytes() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(place)], check=True)
        tools = [pin for name, pin in test_pins().items() if name not in FRAMEWORKS.values()]
        pip(found, "--editable", str(ROOT), *tools)
        stamp.write_bytes(wanted)
    return found


def environment_of(row: Row, shared: Path) -> Path:
    """A Python that has the frameworks of a row, and all that *shared* has."""
    if row.bare:
        return shared
    words = sorted(row.installed.values())
    place = PLACE / row.name
    found, stamp = place / "bin" / "python", place / "pins"
    text = "\n".join([str(shared), *words])
    if not found.exists() or not stamp.exists() or stamp.read_text() != text:
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([str(shared), "-m", "venv", "--without-pip", str(place)], check=True)
        pip(shared, "--target", str(site_packages(found)), *words)
        beside = site_packages(shared)
        (site_packages(found) / "shared.pth").write_text(
            f"import site; site.addsitedir({str(beside)!r})\n"
        )
        stamp.write_text(text)
    return found


def site_packages(python: Path) -> Path:
    """Where it installs."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


VARIABLES = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


_VERSIONS = """
import sys
from importlib.metadata import PackageNotFoundError, version
found = [f"Python {sys.version_info[0]}.{sys.version_info[1]}"]
for name in sys.argv[1:]:
    try:
        found.append(f"{name} {version(name)}")
    except PackageNotFoundError:
        pass
print(", ".join(found))
"""


def versions(python: Path, row: Row) -> str:
    """What is really there."""
    command = [str(python), "-c", _VERSIONS, *(row.pins or row.installed)]
    done = subprocess.run(command, env=VARIABLES, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def pulls_in_nothing(python: Path) -> bool:
    """Whether none of them is installed here, and ``import jwtguard`` asks for none."""
    names = [*FRAMEWORKS, "httpx2", "redis"]
    code = (
        "import sys, importlib.util\n"
        "import jwtguard, jwtguard.wsgi, jwtguard.asgi, jwtguard.cli\n"
        f"assert not any(map(importlib.util.find_spec, {[*FRAMEWORKS]!r}))\n"
        f"assert not set({names!r}) & sys.modules.keys()\n"
    )
    command = [str(python), "-W", "error", "-c", code]
    return subprocess.run(command, env=VARIABLES, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
