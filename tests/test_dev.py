"""``jwtguard dev``: the derived configuration, the issuer's answers, and the command it runs."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import pytest
from werkzeug.test import Client

from jwtguard import config
from jwtguard.cli import main
from jwtguard.core.algorithms import ALGORITHMS
from jwtguard.core.model import Allow, Request
from jwtguard.dev.derive import derive
from jwtguard.dev.issuer import DevIssuer, Unclear, Wish
from jwtguard.dev.keys import make_keys, write_keys
from jwtguard.dev.pages import Pages
from jwtguard.errors import MissingClaim

ROOT = Path(__file__).parent.parent
KEYS = make_keys()

TOML = """
include = ["more/issuers.toml"]
require_https = "refuse"
origins = ["https://app.example.com"]

[[issuer]]
issuer          = "https://login.example.com/"
name            = "people"
audience        = "https://api.example.com"
algorithms      = ["RS256", "ES256"]
discovery       = true
typ             = "at+jwt"
required_claims = ["exp", "jti", "nbf", "email"]

[issuer.remote]
cache_file = "/nowhere/keys.json"

[issuer.require]
hd          = "example.com"
tier        = { gte = 2 }
level       = { gt = 4 }
kind        = ["a", "b"]
groups      = { all = ["x", "y"] }
"/deep/one" = { exists = true }
gone        = { exists = false }

[[issuer]]
name       = "jobs"
algorithms = ["HS512", "HS256"]
audience   = false
secret     = { env = "NOBODY_SETS_THIS" }

[[issuer]]
name     = "entra"
preset   = "entra_v2"
tenants  = ["3338040d-6c67-4c5b-b112-36a304b66dad", "4338040d-6c67-4c5b-b112-36a304b66dad"]
audience = "api"

[[rule]]
path   = "/health"
access = "public"
https  = "redirect"

[[rule]]
path        = "/app/**"
issuers     = "people"
credentials = ["bearer", { cookie = "auth_token" }]
any_role    = ["admin", "it's <b>"]
scopes      = "notes:read"

[[rule]]
path        = "/host/**"
issuers     = "people"
credentials = [{ cookie = "__Host-token" }]

[forward]
X-User-Id = "sub"
"""
MORE = """
[[issuer]]
name      = "asked"
issuer    = "https://asked.example.com/"
audience  = "asked"

[issuer.introspection]
endpoint      = "https://asked.example.com/introspect"
client_id     = "me"
client_secret = { file = "not there" }
"""


def written(directory, toml=TOML, more=MORE):
    (directory / "more").mkdir()
    (directory / "more" / "issuers.toml").write_text(more)
    file = directory / "real.toml"
    file.write_text(toml)
    return file


@pytest.fixture
def derived(tmp_path):
    """The derived configuration of a file's text, and what was left out."""

    def make(toml=TOML):
        keys = tmp_path / "derived"
        keys.mkdir()
        write_keys(KEYS, keys)
        notes = derive(written(tmp_path, toml), keys / "jwtguard.toml", "http://127.0.0.1:4711")
        return config.from_toml(keys / "jwtguard.toml"), notes

    return make


@pytest.fixture
def issuer(derived):
    return DevIssuer(derived()[0], KEYS)


# --- the derived configuration ------------------------------------------------------------------


def test_only_keys_and_https_are_different(derived):
    guard, notes = derived()
    assert [issuer.name for issuer in guard.issuers] == ["people", "jobs", "entra", "asked"]
    people, jobs, _, asked = guard.issuers
    assert (people.issuer, people.algorithms) == ("https://login.example.com/", ("RS256", "ES256"))
    assert people.audience == {"https://api.example.com"}
    assert people.typ == "at+jwt"
    assert (jobs.algorithms, jobs.audience) == (("HS512", "HS256"), None)
    assert asked.algorithms == ("ES256",)
    assert guard.origins == {"https://app.example.com"}
    assert [bound.rule.text for bound in guard.policy.rules] == ["/health", "/app/**", "/host/**"]
    said = " ".join(notes)
    assert "introspection of asked is left out" in said
    assert "require_https is left out" in said
    assert "https of the rule for /health is left out" in said
    assert not any(issuer.fetches or issuer.introspection for issuer in guard.issuers)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_is_kept(derived, algorithm):
    guard, _ = derived(
        f'[[issuer]]\nissuer = "https://x/"\naudience = "y"\nalgorithms = ["{algorithm}"]\n'
        'secret = "short"\n'
    )
    token, _ = DevIssuer(guard, KEYS).token(Wish(sub="bob"))
    assert guard.verify(token).subject == "bob"
    assert guard.verify(token).header["alg"] == algorithm


@pytest.mark.parametrize("name", ["people", "jobs", "entra", "asked"])
def test_a_token_of_every_issuer_is_good(issuer, name):
    token, claims = issuer.token(Wish(name, scopes=("a", "b"), roles=("r",)))
    verified = issuer.guard.verify(token, issuers=[name])
    assert (verified.issuer, verified.subject) == (name, "alice")
    assert verified.scopes == {"a", "b"}
    assert verified.claims == claims


def test_a_derived_configuration_survives_any_text(derived):
    odd = 'quote " backslash \\ tab \t line \n del \x7f é 😀'
    text = json.dumps(odd, ensure_ascii=False).replace("\x7f", "\\u007f")
    guard, _ = derived(
        f'[[issuer]]\nname = "n"\nissuer = {text}\naudience = "y"\nalgorithms = ["ES256"]\n'
        'leeway = 1.5\n[[rule]]\npath = "/x"\nrequire = { "a b" = [1, true, "x"] }\n'
    )
    [only] = guard.issuers
    assert only.issuer == odd
    assert only.leeway == 1.5
    assert guard.policy.rules[0].rule.requirement.require == {"a b": [1, True, "x"]}


WRONG = [
    ("[[issuer]]", "audience"),
    ("not toml", "is not TOML"),
    ('include = ["nowhere.toml"]', "cannot be read"),
    ("include = [3]", "is the name of a TOML file"),
    ('include = ["more/rules.toml"]', "brings [[issuer]] only"),
]


@pytest.mark.parametrize(("toml", "said"), WRONG)
def test_a_broken_file_is_wrong_use_and_runs_nothing(tmp_path, capsys, toml, said):
    file = written(tmp_path, toml)
    (tmp_path / "more" / "rules.toml").write_text('[[rule]]\npath = "/x"\n')
    made = tmp_path / "made"
    assert main(["dev", str(file), "--", "touch", str(made)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not made.exists()


def test_a_guard_in_code_is_wrong_use(capsys):
    assert main(["dev", "app:guard", "--", "true"]) == 2
    assert "dev takes a TOML file" in capsys.readouterr().err


def test_no_command_is_wrong_use(tmp_path, capsys):
    assert main(["dev", str(written(tmp_path))]) == 2
    assert main(["dev", str(tmp_path / "real.toml"), "--"]) == 2
    assert "dev takes a command" in capsys.readouterr().err


# --- tokens -------------------------------------------------------------------------------------


def test_what_an_issuer_requires_is_filled_in_and_may_be_overruled(issuer):
    _, claims = issuer.token(Wish("people"))
    assert claims["hd"] == "example.com"
    assert (claims["tier"], claims["level"], claims["kind"]) == (2, 5, "a")
    assert claims["groups"] == ["x", "y"]
    assert claims["deep"] == {"one": "dev"}
    assert claims["email"] == "dev"
    assert "gone" not in claims
    _, claims = issuer.token(Wish("people", claims='{"hd": "other", "tier": null, "sub": "x"}'))
    assert (claims["hd"], claims["sub"], "tier" in claims) == ("other", "x", False)


def test_a_tenant_may_be_chosen(issuer):
    other = "4338040d-6c67-4c5b-b112-36a304b66dad"
    token, _ = issuer.token(Wish("entra", tenant=other))
    assert issuer.guard.verify(token).tenant == other


def test_a_token_may_be_expired(issuer):
    _, claims = issuer.token(Wish("people", expires="-60"))
    assert claims["exp"] == claims["iat"] - 60


UNCLEAR = [
    (Wish("nobody"), "issuer: there is no 'nobody'"),
    (Wish("entra", tenant="x"), "tenant"),
    (Wish(expires="soon"), "expires"),
    (Wish(claims="{"), "claims: JSON"),
    (Wish(claims="[]"), "claims: a JSON object"),
    (Wish(claims='{"a": NaN}'), "claims: JSON"),
    (Wish(claims="[" * 100_000), "claims: JSON"),
    (Wish(claims='{"exp": "x"}'), "claims: claim_type, found 'x'"),
    (Wish(expires="9" * 400), "claims: claim_type"),
    (Wish(claims='{"a": "\\ud800"}'), "claims: not what a JWT can hold"),
]


@pytest.mark.parametrize(("wish", "said"), UNCLEAR, ids=range(len(UNCLEAR)))
def test_a_wish_that_makes_no_token_says_what_to_write(issuer, wish, said):
    with pytest.raises(Unclear, match=re.escape(said)):
        issuer.token(wish)


# --- what it answers ----------------------------------------------------------------------------

HOST = "127.0.0.1:4711"
OWN = {"Host": HOST}


@pytest.fixture
def client(issuer):
    return Client(Pages(issuer, 4711))


def test_discovery_and_keys_hold_nothing_secret(client):
    for path, iss in (("", "https://login.example.com/"), ("/3", "https://asked.example.com/")):
        found = client.get(f"{path}/.well-known/openid-configuration", headers=OWN).json
        assert found["issuer"] == iss
        assert found["jwks_uri"] == f"http://{HOST}/jwks.json"
    keys = client.get("/jwks.json", headers=OWN).json["keys"]
    assert {key["kty"] for key in keys} == {"RSA", "EC", "OKP"}
    assert not any({"d", "k", "p"} & key.keys() for key in keys)


def test_a_token_comes_as_text(client, issuer):
    words = {"issuer": "people", "sub": "bob", "roles": "a, b", "scopes": "x y,z"}
    answer = client.post("/token", data=words, headers=OWN)
    assert answer.mimetype == "text/plain"
    verified = issuer.guard.verify(answer.text.strip())
    assert (verified.subject, verified.roles) == ("bob", {"a", "b"})
    assert verified.scopes == {"x", "y", "z"}
    answer = client.post("/token", data={"issuer": "<b>"}, headers=OWN)
    assert (answer.status_code, answer.mimetype) == (400, "text/plain")


def test_the_cookie_of_the_page_is_what_the_guard_takes(client, issuer):
    words = {"sub": "bob", "role": "it's <b>", "scope": "notes:read", "cookie": "auth_token"}
    answer = client.post("/", data=words, headers={**OWN, "Origin": f"http://{HOST}"})
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    sent = [("Cookie", cookie.partition(";")[0])]
    decision = issuer.guard.decide(Request("GET", "/app/notes", headers=sent))
    assert isinstance(decision, Allow)
    answer = client.post("/", data={"cookie": "__Host-token"}, headers=OWN)
    assert "Secure" in answer.headers["Set-Cookie"]
    answer = client.post("/", data={"cookie": "other"}, headers=OWN)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (400, False)


FOREIGN = [
    ({"Origin": "https://evil.example.com"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://localhost:4711"}, 403),
    ({"Origin": "https://127.0.0.1:4711"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Host": "evil.example.com:4711"}, 421),
    ({"Host": "127.0.0.1"}, 421),
    ({"Host": "127.0.0.1:4712"}, 421),
    ({"Sec-Fetch-Site": "same-origin"}, 200),
    ({"Host": "localhost:4711", "Origin": "http://localhost:4711"}, 200),
    ({}, 200),
]


@pytest.mark.parametrize(("headers", "status"), FOREIGN)
@pytest.mark.parametrize("path", ["/", "/token"])
def test_no_other_site_gets_a_token_or_sets_a_cookie(client, path, headers, status):
    answer = client.post(path, data={"cookie": "auth_token"}, headers=OWN | headers)
    assert answer.status_code == status
    assert ("eyJ" in answer.text) is (status == 200)
    assert status == 200 or "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example.com:4711", "", "127.0.0.1:80"])
@pytest.mark.parametrize("path", ["/", "/jwks.json", "/.well-known/openid-configuration"])
def test_it_answers_to_its_own_names_only(client, path, host):
    assert client.get(path, headers={"Host": host}).status_code == 421


ANSWERS = [
    ("GET", "/", 200),
    ("HEAD", "/", 200),
    ("GET", "/?issuer=jobs", 200),
    ("GET", "/?issuer=nobody", 200),
    ("GET", "/style.css", 200),
    ("GET", "/token", 404),
    ("PUT", "/", 404),
    ("GET", "/4/.well-known/openid-configuration", 404),
    ("GET", "/x/.well-known/openid-configuration", 404),
    ("GET", "/٣/.well-known/openid-configuration", 404),
    ("GET", "/../keys.json", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_every_answer_keeps_to_itself(client, method, path, status):
    answer = client.open(path, method=method, headers=OWN)
    assert answer.status_code == status
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_form_that_is_too_long_is_refused(client):
    answer = client.post("/", data={"claims": "x" * 100_000}, headers=OWN)
    assert answer.status_code == 413
    assert "Content-Security-Policy" in answer.headers


class Elements(HTMLParser):
    """Every element of a page, and the text of it."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


NASTY = "\"'></textarea><script>alert(1)</script><img src=x onerror=y>&amp; $sub ${roles}"


@pytest.mark.parametrize("field", ["sub", "role", "roles", "scopes", "claims", "expires", "issuer"])
def test_what_was_sent_is_written_escaped(client, field):
    good = {"issuer": "people", "claims": "", "expires": "5"}
    # The form comes back where something is unclear; else the token does.
    for words in (good | {field: NASTY}, good | {"claims": "{"} | {field: NASTY}):
        page = Elements(client.post("/", data=words, headers=OWN).text)
        assert not {"script", "img"} & {tag for tag, _ in page.found}
        assert not any(name.startswith("on") for _, given in page.found for name in given)
    if field not in ("role", "issuer", "roles", "scopes"):
        values = page.text + "".join(str(given.get("value")) for _, given in page.found)
        assert NASTY in values


def test_the_form_offers_what_rules_ask_for_and_works_without_scripts(client):
    page = Elements(client.get("/", headers=OWN).text)
    boxes = [
        (given["name"], given["value"])
        for tag, given in page.found
        if given.get("type") == "checkbox"
    ]
    assert boxes == [("role", "admin"), ("role", "it's <b>"), ("scope", "notes:read")]
    buttons = [given.get("value") for tag, given in page.found if tag == "button"]
    assert buttons == [None, "auth_token", "__Host-token"]
    assert '"hd": "example.com"' in page.text
    links = [given["href"] for tag, given in page.found if tag == "a"]
    assert links == [f"/?issuer={name}" for name in ("people", "jobs", "entra", "asked")]
    page = Elements(client.get("/?issuer=entra", headers=OWN).text)
    assert sum(tag == "option" for tag, _ in page.found) == 2


# --- the command --------------------------------------------------------------------------------


def run_dev(tmp_path, *command, stdin=subprocess.DEVNULL):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JWTGUARD_CONFIG": "elsewhere"}
    return subprocess.Popen(
        [sys.executable, "-m", "jwtguard", "dev", str(tmp_path / "real.toml"), "--", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=stdin,
    )


def test_the_command_gets_the_derived_guard_and_all_is_cleaned_up(tmp_path):
    written(tmp_path)
    code = (
        "import os, stat; from jwtguard.config import from_environment;"
        "file = os.environ['JWTGUARD_CONFIG']; from_environment();"
        "mode = lambda path: oct(stat.S_IMODE(os.stat(path).st_mode));"
        "print(file, mode(file), mode(os.path.dirname(file))); exit(7)"
    )
    process = run_dev(tmp_path, sys.executable, "-c", code)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 7
    file, *modes = out.split()
    assert modes == ["0o600", "0o700"]
    assert not Path(file).parent.exists()
    assert "makes tokens of people, jobs, entra, asked" in err


def test_tokens_are_had_as_the_first_lines_say(tmp_path):
    written(tmp_path)
    code = "import os; print(os.environ['JWTGUARD_CONFIG'], flush=True); input()"
    process = run_dev(tmp_path, sys.executable, "-c", code, stdin=subprocess.PIPE)
    try:
        file = process.stdout.readline().strip()
        first, curl, token, *_ = (process.stderr.readline().strip() for _ in range(3))
        assert first.startswith("jwtguard dev: http://127.0.0.1:")
        words = token.split()
        assert words[:2] == ["jwtguard", "token"]
        made = subprocess.run(
            [sys.executable, "-m", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        guard = config.from_toml(file)
        with pytest.raises(MissingClaim):  # email: this command fills in nothing
            guard.verify(made.stdout.strip())
        address = re.search(r"http://\S+/token", curl)[0]
        with urllib.request.urlopen(address, b"issuer=people&sub=bob", timeout=10) as answer:
            assert guard.verify(answer.read().decode().strip()).subject == "bob"
    finally:
        process.communicate("\n", timeout=60)
    assert process.returncode == 0


SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1]


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_and_exit_codes_pass_through(tmp_path, number):
    written(tmp_path)
    code = (
        "import os, signal, sys, time;"
        f"signal.signal({int(number)}, lambda number, _: sys.exit(number + 40));"
        "print(os.environ['JWTGUARD_CONFIG'], flush=True); time.sleep(60)"
    )
    process = run_dev(tmp_path, sys.executable, "-c", code)
    file = Path(process.stdout.readline().strip())
    assert file.exists()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == number + 40
    assert not file.parent.exists()


def test_a_command_that_a_signal_ended_is_told_as_shells_tell_it(tmp_path):
    written(tmp_path)
    process = run_dev(tmp_path, sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    process.communicate(timeout=60)
    assert process.returncode == 128 + 9


def test_a_command_that_is_not_there_is_wrong_use(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert main(["dev", str(written(tmp_path)), "--", str(tmp_path / "nothing")]) == 2
    assert "No such file" in " ".join(capsys.readouterr().err.split())
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_words_of_the_command_are_its_own(tmp_path):
    written(tmp_path)
    code = "import sys; print(sys.argv[1:])"
    process = run_dev(tmp_path, sys.executable, "-c", code, "--help", "--", "-x")
    out, _ = process.communicate(timeout=60)
    assert out.strip() == "['--help', '--', '-x']"


def test_nothing_but_the_command_leads_to_it():
    for path in (ROOT / "jwtguard").rglob("*.py"):
        if path.parent.name == "dev" or path.name == "developing.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            assert not any(re.search(r"(^|\.)dev(\.|$)", name) for name in names), path
