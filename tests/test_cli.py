"""The commands: what they print where, and how they exit."""

import io
import json
import logging
import os
import re
import stat
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

import jwtguard
from jwtguard import Guard, config, transport
from jwtguard.cli import main
from jwtguard.cli.keys import public_pem
from jwtguard.cli.tokens import when
from jwtguard.core.algorithms import ALGORITHMS
from jwtguard.testing import private_key, public_jwk, sign

SECRET = "a secret of more than thirty-two bytes"
KEY = private_key("ES256")

TOML = f"""
realm   = "api.example.com"
origins = ["https://app.example.com"]
forward = {{ X-User-Id = "sub" }}

[[issuer]]
issuer          = "https://login.example.com/"
name            = "people"
audience        = "https://api.example.com"
algorithms      = ["RS256", "ES256"]
jwks_file       = "jwks.json"
public_key_file = "rsa.pub"
typ             = "at+jwt"

[[issuer]]
name       = "jobs"
algorithms = ["HS256"]
audience   = false
secret     = "{SECRET}"

[[rule]]
path   = ["/health", "/login"]
access = "public"

[[rule]]
path     = "/admin/**"
issuers  = "people"
any_role = ["admin", "superuser"]

[[rule]]
path    = "/reports/**"
issuers = "people"
methods = ["POST"]
scopes  = "reports:write"

[[rule]]
path        = "/app/**"
issuers     = "people"
credentials = ["bearer", {{ cookie = "auth_token" }}]
login       = "/login"

[[rule]]
path        = "/feed"
issuers     = "people"
access      = "optional"
credentials = [{{ cookie = "auth_token" }}]

[[rule]]
path        = "/socket"
issuers     = "people"
credentials = {{ query = "access_token" }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    (folder / "jwks.json").write_text(json.dumps({"keys": [public_jwk(KEY, kid="k1")]}))
    rsa = private_key("RS256")
    (folder / "rsa.pub").write_bytes(public_pem(rsa))
    for name, key in (("es.key", KEY), ("rsa.key", rsa), ("other.key", private_key("ES256"))):
        (folder / name).write_bytes(pkcs8(key))
    (folder / "x25519.key").write_bytes(pkcs8(X25519PrivateKey.generate()))
    locked = KEY.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    (folder / "locked.key").write_bytes(locked)
    (folder / "jwtguard.toml").write_text(TOML)
    (folder / "broken.toml").write_text('[[issuer]]\naudiance = "x"\nsecret = "short"\n')
    (folder / "an_app_to_command.py").write_text(
        "from jwtguard import from_toml\nguard = from_toml('jwtguard.toml')\n"
    )
    return folder


def pkcs8(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def flat(text):
    """Text as if lines had no end."""
    return " ".join(text.split())


@pytest.fixture
def run(folder, capsys, monkeypatch):
    """run("check", …) in the folder -> (exit code, stdout, stderr)"""
    monkeypatch.chdir(folder)

    def run(*words, stdin=""):
        stream = io.StringIO(stdin) if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", stream)
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def mint(run):
    """A token of the issuer's own, by the command."""

    def mint(*words, sub="alice", issuer="people", key="es.key"):
        signer = () if issuer == "jobs" else ("--key", key)
        code, out, _ = run(
            "token", "jwtguard.toml", "--issuer", issuer, *signer, "--sub", sub, *words
        )
        assert code == 0
        assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", out)
        return out.strip()

    return mint


# --- check (row C2) -----------------------------------------------------------------------------


def test_check_says_what_is_open_and_warns_of_method_gaps(run):
    code, out, err = run("check", "jwtguard.toml")

    assert (code, err) == (0, "")
    assert "jwtguard.toml: no problems, 2 warnings" in out
    assert "open to everybody: /health /login" in out
    assert "warning: rule[2].methods" in out
    assert "warning: rule[5].credentials" in out
    assert "preflight" in out


def test_check_prints_every_problem_with_its_place(run):
    code, out, err = run("check", "broken.toml")

    assert (code, err) == (1, "")
    assert out.splitlines()[0] == "broken.toml: 4 problems, no warnings"
    for place in ("audiance", "audience", "algorithms", "secret"):
        assert f"problem: issuer[0].{place}\n" in out


def test_check_prints_json_for_scripts(run):
    code, out, err = run("check", "broken.toml", "--json")
    report = json.loads(out)

    assert (code, err) == (1, "")
    assert report.keys() == {"problems", "warnings"}
    assert report["warnings"] == []
    assert report["problems"][0].keys() == {"where", "what"}
    assert {p["where"] for p in report["problems"]} == {
        "issuer[0].audiance",
        "issuer[0].audience",
        "issuer[0].algorithms",
        "issuer[0].secret",
    }


def test_warnings_alone_are_a_yes(run):
    code, out, _ = run("check", "jwtguard.toml", "--json")
    report = json.loads(out)

    assert code == 0
    assert report["problems"] == []
    assert [w["where"] for w in report["warnings"]] == ["rule[2].methods", "rule[5].credentials"]


@pytest.mark.parametrize("target", ["nowhere.toml", "no_module_of_this_name:guard", "rsa.pub"])
def test_a_target_that_cannot_be_read_is_a_problem_to_check(run, target):
    code, out, _ = run("check", target, "--json")

    assert code == 1
    assert [p["where"] for p in json.loads(out)["problems"]] == [target]


def test_check_takes_a_guard_in_a_module_of_the_current_directory(run, monkeypatch):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    code, out, _ = run("check", "an_app_to_command:guard")

    assert code == 0
    assert "an_app_to_command:guard: no problems" in out


def test_check_warns_of_secret_files_others_can_read_in_any_target(run, folder):
    (folder / "secret.txt").write_text(SECRET)
    (folder / "secret.txt").chmod(0o644)
    (folder / "secretive_app.py").write_text(
        "from jwtguard import Guard, Issuer, Secret\n"
        "keys = Secret.from_file('secret.txt')\n"
        "guard = Guard([Issuer(audience=None, algorithms='HS256', keys=keys)])\n"
    )
    (folder / "secretive.toml").write_text(
        '[[issuer]]\naudience = false\nalgorithms = "HS256"\nsecret = { file = "secret.txt" }\n'
    )
    for target, place in (
        ("secretive_app:guard", "issuers[0].keys"),
        ("secretive.toml", "issuer[0].secret"),
    ):
        [warning] = json.loads(run("check", target, "--json")[1])["warnings"]
        assert warning["where"] == place
        assert "others can read it" in warning["what"]


# --- explain (row B19) --------------------------------------------------------------------------


def explain(run, *words):
    code, out, err = run("explain", "jwtguard.toml", *words, "--json")
    report = json.loads(out)
    assert report.keys() == {"verdict", "status", "rule", "reason", "steps"}
    assert code == {"allow": 0, "deny": 1}[report["verdict"]]
    assert err == ""
    return report


CASES = [
    # words, verdict, status, rule, reason, what the steps say
    (("GET", "/health"), "allow", 200, "0:/health /login", None, "credentials are not looked at"),
    (("GET", "/admin/x"), "deny", 401, "1:/admin/**", "no_credentials", "Bearer: nothing"),
    (("GET", "/other"), "deny", 401, "closing:/**", "no_credentials", "no rule names this path"),
    (("GET", "/reports/x"), "deny", 403, "closing:/**", "method_not_covered", "is for POST"),
    (("GET", "/reports/x"), "deny", 403, "closing:/**", "method_not_covered", "no rule is for GET"),
    (("GET", "/a/../b"), "deny", 400, None, "ambiguous_path", "before any rule"),
    (("GET", "/a/%2e%2e/b"), "deny", 400, None, "ambiguous_target", "before any rule"),
    (("GET", "/a%2Fb"), "deny", 400, None, "ambiguous_path", "found /a%2Fb"),
    (("GET", "//health"), "deny", 400, None, "ambiguous_path", "before any rule"),
    (("GET", "http://x/health"), "deny", 400, None, "ambiguous_path", "before any rule"),
    (("GE T", "/health"), "deny", 400, None, "malformed_method", "before any rule"),
    (("get", "/%68ealth?x=%2F"), "allow", 200, "0:/health /login", None, "/health"),
    (("POST", "/reports/x"), "deny", 401, "2:/reports/**", "no_credentials", "reports:write"),
    (("GET", "/feed"), "allow", 200, "4:/feed", None, "none is needed"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "verdict", "status", "rule", "reason", "said"), CASES)
def test_explain_tells_the_way_of_a_request(run, words, verdict, status, rule, reason, said):
    report = explain(run, *words)

    assert report["verdict"] == verdict
    assert report["status"] == status
    assert report["rule"] == rule
    assert report["reason"] == reason
    assert said in "\n".join(report["steps"])


TOKENS = [
    # words for the token, sub, path, reason, what the steps say
    (("--claim", "role=admin"), "/admin/x", None, "requirement: is met"),
    (("--claim", "role=user"), "/admin/x", "role_missing", "want admin or superuser"),
    (("--expires", "-3600"), "/admin/x", "expired", "s ago"),
    (("--claim", "aud=https://api.example.com/"), "/admin/x", "audience_mismatch",
     "want https://api.example.com; hint differs by a trailing slash"),
    (("--claim", "iss=https://other/"), "/admin/x", "unknown_issuer", "found https://other/"),
    (("--claim", "nbf=4000000000"), "/admin/x", "not_yet_valid", "claim nbf"),
    (("--claim", "exp=null"), "/admin/x", "claim_missing", "claim exp"),
    (("--claim", "scope=reports:read"), "/reports/x", "insufficient_scope", "want reports:write"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "path", "reason", "said"), TOKENS)
def test_explain_says_why_a_token_fails(run, mint, words, path, reason, said):
    token = mint(*words)
    report = explain(run, "POST", path, "--token", token)

    assert report["reason"] == reason
    assert said in "\n".join(report["steps"])
    assert token not in str(report)


def test_explain_shows_a_token_signed_by_another_key(run, mint):
    report = explain(run, "GET", "/admin/x", "--token", mint(key="other.key"))

    assert report["reason"] == "bad_signature"
    assert "token: refused by issuer people: 401 bad_signature" in "\n".join(report["steps"])


def test_explain_shows_what_is_forwarded_and_what_is_removed(run, mint):
    steps = explain(run, "GET", "/other", "--token", mint())["steps"]

    assert "forwarded: X-User-Id: alice" in steps
    steps = explain(run, "GET", "/health", "--header", "X_User_Id: forged")["steps"]
    assert "removed: x-user-id (the app sees none of these)" in steps


def test_explain_reads_headers_cookies_and_the_query(run, mint):
    token = mint()
    cookie = ("--header", f"Cookie: a=b; auth_token={token}")

    assert explain(run, "GET", "/app/x", *cookie)["verdict"] == "allow"
    assert explain(run, "POST", "/app/x", *cookie)["reason"] == "cross_site"
    same = ("--header", "Sec-Fetch-Site: same-origin")
    assert explain(run, "POST", "/app/x", *cookie, *same)["verdict"] == "allow"
    query = explain(run, "GET", f"/socket?access_token={token}")
    assert query["verdict"] == "allow"
    assert "removed: the token from the query" in query["steps"]
    assert token not in str(query)
    both = explain(run, "GET", "/app/x", *cookie, "--token", token)
    assert "cookies are not read" in str(both["steps"])


def test_explain_shows_a_redirect_to_the_login(run):
    report = explain(run, "GET", "/app/x?a=b", "--header", "Accept: text/html")

    assert (report["status"], report["reason"]) == (302, "no_credentials")
    assert "answer: Location: /login?next=%2Fapp%2Fx%3Fa%3Db" in report["steps"]


@pytest.mark.parametrize("cookie", ["expired", "a b"])
def test_explain_says_that_a_bad_cookie_is_passed_over(run, mint, cookie):
    value = mint("--expires", "-3600") if cookie == "expired" else cookie
    report = explain(run, "GET", "/feed", "--header", f"Cookie: auth_token={value}")

    assert report["verdict"] == "allow"
    assert "a bad cookie is passed over" in str(report["steps"])


PREFLIGHT = (
    *("OPTIONS", "/admin/x"),
    *("--header", "Origin: https://app.example.com"),
    *("--header", "Access-Control-Request-Method: GET"),
)


def test_explain_tells_of_metadata_that_no_rule_decides(run, folder):
    words = 'public_url = "https://api.example.com"\nprotected_resource = true\n'
    (folder / "metadata.toml").write_text(words + TOML)

    code, out, _ = run("explain", "metadata.toml", "GET", "/.well-known/oauth-protected-resource")

    assert code == 1
    assert "rule          none is asked" in out
    assert "answer        200" in out
    assert "verdict       deny 200 metadata" in out


def test_explain_hints_at_preflights_that_are_judged(run):
    report = explain(run, *PREFLIGHT)

    assert report["reason"] == "no_credentials"
    assert "hint: CORS preflights carry no token" in str(report["steps"])


@pytest.mark.parametrize(
    ("word", "verdict", "status"), [("answer", "deny", 204), ("pass", "allow", 200)]
)
def test_explain_tells_of_preflights_that_need_no_token(run, folder, word, verdict, status):
    (folder / "preflight.toml").write_text(f'preflight = "{word}"\n' + TOML)
    _, out, _ = run("explain", "preflight.toml", *PREFLIGHT, "--json")
    report = json.loads(out)

    assert (report["verdict"], report["status"]) == (verdict, status)
    assert "a CORS preflight is" in str(report["steps"])


def test_explain_for_people_ends_with_the_verdict(run, mint):
    code, out, _ = run("explain", "jwtguard.toml", "GET", "/admin/x", "--token", mint())

    assert code == 1
    assert out.splitlines()[0] == "request       GET /admin/x"
    assert out.splitlines()[-1] == "verdict       deny 403 role_missing"


def test_explain_says_what_is_reported_and_not_enforced(run, folder):
    day = datetime.now(UTC).date() + timedelta(days=30)
    text = (folder / "jwtguard.toml").read_text()
    (folder / "reporting.toml").write_text(f"report_until = {day}\n{text}")
    code, out, _ = run("explain", "reporting.toml", "GET", "/other")
    assert code == 0
    assert f"report-only   this is not enforced before {day}" in out
    assert out.splitlines()[-1] == "verdict       allow, reported: no_credentials"
    for path, reason in (("/other", "no_credentials"), ("/a;b", "ambiguous_path")):
        report = json.loads(run("explain", "reporting.toml", "GET", path, "--json")[1])
        assert (report["verdict"], report["reason"]) == ("allow", reason)
    code, out, _ = run("check", "reporting.toml")
    assert code == 0
    assert f"warning: report_until\n    refuses nothing before {day}" in out


def test_explain_counts_rules_in_a_row_that_are_for_other_paths(run, folder):
    rules = "".join(f'[[rule]]\npath = "/r{n}"\n' for n in range(100))
    (folder / "many.toml").write_text(
        f'[[issuer]]\naudience = false\nalgorithms = "HS256"\nsecret = "{SECRET}"\n' + rules
    )
    _, out, _ = run("explain", "many.toml", "GET", "/r99", "--json")

    assert "passed over: 0:/r0 to 98:/r98 (99 rules): the path does not match" in str(
        json.loads(out)["steps"]
    )


def test_explain_shows_requirements_places_and_what_is_published(run, folder):
    (folder / "explained_app.py").write_text(
        "from jwtguard import Guard, Issuer, Rule, Secret\n"
        f"issuer = Issuer(audience=None, algorithms='HS256', keys=Secret({SECRET!r}))\n"
        "def is_fine(token, request): return True\n"
        "places = ['bearer', {'header': 'X-Token'}]\n"
        "rule = Rule('/x', credentials=places, require={'sub': 'a'}, check=is_fine)\n"
        "guard = Guard([issuer], [rule], variables='json')\n"
    )
    target = "explained_app:guard"
    token = run("token", target, "--sub", "a", "--expires", "60")[1].strip()
    steps = json.loads(run("explain", target, "GET", "/x", "--token", token, "--json")[1])["steps"]
    both = run("explain", target, "GET", "/x", "--token", token, "--header", f"X-Token: {token}")

    assert (
        "wants: a valid token from default, in Authorization: Bearer or header x-token; "
        'require {"sub": "a"}; check is_fine'
    ) in steps
    assert "published: REMOTE_USER a" in steps
    assert "jwt_claim_sub" in steps[-1]
    assert both[0] == 1
    assert "several tokens in one request" in both[1]


def test_explain_takes_a_token_from_stdin(run, mint):
    token = mint("--claim", "role=admin")
    code, _, _ = run("explain", "jwtguard.toml", "GET", "/admin", "--token", "-", stdin=token)

    assert code == 0


def test_explain_shows_what_is_no_token_at_all(run):
    report = explain(run, "GET", "/admin", "--token", "x")

    assert report["reason"] == "malformed_token"
    assert "token says: nothing readable: it has 1 parts" in str(report["steps"])
    assert explain(run, "GET", "/admin", "--token", "a b")["reason"] == "malformed_credentials"


# --- keys that are fetched ----------------------------------------------------------------------


@pytest.fixture
def provider():
    """An address of keys on this machine; what it answers, and what it was asked, are lists."""
    replies = {}
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = replies.get(self.path)
            self.send_response(404 if body is None else 200)
            data = json.dumps(body).encode()
            self.send_header("Cache-Control", "max-age=600")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    replies["/jwks"] = {
        "keys": [public_jwk(KEY, kid="2026-11"), public_jwk(KEY, kid="shared", kty="oct", k="AAAA")]
    }
    replies["/.well-known/openid-configuration"] = {"issuer": url, "jwks_uri": f"{url}/jwks"}
    yield SimpleNamespace(url=url, replies=replies, asked=asked)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def remote(folder, provider):
    """remote(line, line) writes remote.toml: an issuer whose keys those lines say where to get."""

    def remote(*lines):
        text = f"""
[[issuer]]
name = "jobs"
audience = false
algorithms = "HS256"
secret = "{SECRET}"

[[issuer]]
issuer = "{provider.url}"
name = "people"
audience = false
algorithms = ["RS256", "ES256"]
{chr(10).join(lines)}
[issuer.remote]
insecure_http = true
"""
        (folder / "remote.toml").write_text(text)
        return "remote.toml"

    return remote


def test_keys_lists_the_keys_of_each_issuer_whence_and_until_when(run, remote, provider):
    code, out, err = run("keys", remote(f"jwks_uri = '{provider.url}/jwks'"))
    lines = out.splitlines()

    assert (code, err) == (0, "")
    assert lines[:3] == ["jobs: 1 key", "  from the configuration", "    oct, without a kid: HS256"]
    assert lines[3:5] == ["people: 1 key", f"  from {provider.url}/jwks"]
    assert re.fullmatch(r"    fresh until \S+ \S+ UTC \(in \d+ minutes\)", lines[5])
    assert "(in 23 hours) where refreshes fail" in lines[6] + lines[7]
    assert "note: left out keys[1] (kid 'shared'): is a symmetric key in a set" in flat(out)
    assert lines[-1] == "    P-256, kid 2026-11: ES256"
    assert max(map(len, lines)) <= 80
    assert SECRET not in out
    assert provider.asked == ["/jwks"]


def test_keys_prints_json_for_scripts(run, remote, provider):
    before = time.time()
    code, out, err = run("keys", remote("discovery = true"), "--json")
    jobs, people = json.loads(out)["issuers"]

    assert (code, err) == (0, "")
    assert (jobs["name"], jobs["issuer"]) == ("jobs", None)
    assert jobs["sources"] == [
        {
            "from": "the configuration",
            "fresh_until": None,
            "used_until": None,
            "keys": [{"kid": None, "type": "oct", "algorithms": ["HS256"]}],
            "notes": [],
        }
    ]
    (source,) = people["sources"]
    found = f"{provider.url}/.well-known/openid-configuration"
    assert source["from"] == f"the discovery document {found}"
    assert source["keys"] == [{"kid": "2026-11", "type": "P-256", "algorithms": ["ES256"]}]
    assert 590 <= datetime.fromisoformat(source["fresh_until"]).timestamp() - before <= 620
    assert datetime.fromisoformat(source["used_until"]).timestamp() - before >= 86_390
    assert len(source["notes"]) == 1


def test_keys_names_the_files_that_keys_come_from(run):
    code, out, _ = run("keys", "jwtguard.toml")

    assert code == 0
    assert "people: 2 keys" in out
    assert "from jwks.json\n    P-256, kid k1: ES256\n" in out
    assert "from rsa.pub\n    RSA, without a kid: RS256\n" in out


@pytest.mark.parametrize(
    ("path", "reply", "why"),
    [
        ("/jwks", None, "answered 404"),
        ("/jwks", {"keys": []}, "has no usable key"),
        ("/jwks", {"keys": 5}, "a JWK Set has a list under 'keys'"),
        ("/.well-known/openid-configuration", {"issuer": "x"}, "is the document of another issuer"),
        ("/.well-known/openid-configuration", None, "answered 404"),
    ],
)
def test_an_issuer_without_keys_is_a_no_and_says_why(run, remote, provider, path, reply, why):
    provider.replies[path] = reply
    target = remote("discovery = true")
    code, out, _ = run("keys", target)
    checked, report, _ = run("check", "--online", target, "--json")
    (problem,) = json.loads(report)["problems"]

    assert code == checked == 1
    assert "people: no keys" in out
    assert why in flat(out)
    assert problem["where"] == "issuer[1].discovery"
    assert "the keys of issuer people cannot be had" in problem["what"]
    assert why in problem["what"]


def test_why_keys_cannot_be_had_is_said_whatever_becomes_of_the_log(run, remote, monkeypatch):
    monkeypatch.setattr(logging.getLogger("jwtguard.keys"), "disabled", True)
    code, out, _ = run("keys", remote("discovery = 'http://127.0.0.1:1/'"))

    assert code == 1
    assert "note: ConnectError" in flat(out)


def test_a_problem_online_of_tenants_has_the_place_of_their_template(run, folder):
    (folder / "tenants.toml").write_text(
        "[[issuer]]\nissuer = 'http://127.0.0.1:1/{tenant}'\ntenants = ['a', 'b']\n"
        "audience = false\nalgorithms = 'RS256'\ndiscovery = true\n"
        "[issuer.remote]\ninsecure_http = true\n"
    )
    code, out, _ = run("check", "tenants.toml", "--online")
    assert code == 1
    assert out.count("problem: issuer[0].discovery") == 2
    assert "Connection refused" in flat(out)


def test_keys_shows_those_of_a_file_while_the_issuer_is_down(run, remote, folder, provider):
    target = remote(f"jwks_uri = '{provider.url}/jwks'")
    with (folder / target).open("a") as file:
        file.write("cache_file = 'kept.json'\n")
    assert run("keys", target)[0] == 0
    until = time.monotonic() + 5
    while not (folder / "kept.json").exists() and time.monotonic() < until:
        time.sleep(0.01)
    provider.replies.clear()

    code, out, _ = run("keys", target)

    assert code == 0
    assert "people: 1 key" in out
    assert "answered 404" in flat(out)
    (folder / "kept.json").chmod(0o666)
    assert run("keys", target)[0] == 1
    code, out, _ = run("check", target)
    assert code == 0
    assert "warning: issuer[1].remote.cache_file" in out


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ({"active": False}, 0, "no problems"),
        (None, 1, "issuer[0].introspection it does not work: "),
        ({"active": True}, 1, "issuer[0].introspection it says of any text"),
    ],
)
def test_check_online_asks_the_introspection_endpoint_about_a_token_of_nobody(
    run, folder, provider, answer, code, said
):
    if answer is not None:
        provider.replies["/introspect"] = answer
    (folder / "asked.toml").write_text(
        "[[issuer]]\nissuer = 'https://i.test/'\naudience = false\n[issuer.introspection]\n"
        f"endpoint = '{provider.url}/introspect'\nclient_id = 'api'\nclient_secret = 's'\n"
        "insecure_http = true\n"
    )
    found, out, _ = run("check", "asked.toml", "--online")
    assert (found, said in flat(out)) == (code, True)
    assert "warning insecure_http is set for the introspection of https://i.test/" in flat(out)


def test_explain_says_that_an_opaque_token_is_introspected(run, folder):
    (folder / "asked.toml").write_text(
        "[[issuer]]\nissuer = 'https://i.test/'\naudience = false\n[issuer.introspection]\n"
        "endpoint = 'https://127.0.0.1:1/'\nclient_id = 'api'\nclient_secret = 's'\n"
    )
    code, out, _ = run("explain", "asked.toml", "GET", "/", "--token", "opaque")
    assert code == 1
    assert "issuer https://i.test/ is asked what it is (introspection)" in flat(out)
    assert "introspection_unavailable" in flat(out)


def test_a_problem_online_has_the_place_of_an_included_issuer(run, remote, folder):
    target = remote("discovery = 'http://127.0.0.1:1/'")
    (folder / "including.toml").write_text(f"include = ['{target}']")
    code, out, _ = run("check", "--online", "including.toml")

    assert code == 1
    assert "problem: remote.toml:issuer[1].discovery" in out


def test_keys_of_a_guard_in_python_may_come_from_several_sources(run, folder, provider):
    (folder / "several_sources.py").write_text(f"""
from jwtguard import Guard, Issuer, PublicKey, RemoteKeys

sources = [
    PublicKey.from_file("rsa.pub"),
    RemoteKeys("{provider.url}/jwks", insecure_http=True),
    RemoteKeys("{provider.url}/gone", insecure_http=True),
]
guard = Guard([Issuer("https://a", audience=None, algorithms=["RS512", "ES256"], keys=sources)])
""")
    code, out, _ = run("keys", "several_sources:guard")
    online, problems, _ = run("check", "--online", "several_sources:guard", "--json")

    assert code == 0
    assert "https://a: 2 keys" in out
    assert "from rsa.pub\n    RSA, without a kid: RS512\n" in out
    assert f"from {provider.url}/gone\n    note: answered 404\n" in out
    assert online == 1
    assert [p["where"] for p in json.loads(problems)["problems"]] == ["issuers[0].keys[2]"]


def test_check_fetches_only_where_it_is_told_to(run, remote, provider):
    target = remote(f"jwks_uri = '{provider.url}/jwks'")
    offline, _, _ = run("check", target)
    asked = len(provider.asked)
    online, out, _ = run("check", "--online", target)

    assert (offline, online) == (0, 0)
    assert "no problems" in out
    assert (asked, len(provider.asked)) == (0, 1)


def test_explain_fetches_only_for_a_token_and_says_where_its_key_came_from(run, remote, provider):
    target = remote(f"jwks_uri = '{provider.url}/jwks'")
    claims = {"iss": provider.url, "sub": "alice", "exp": int(time.time()) + 60}
    token = sign(claims, KEY, "ES256", {"kid": "2026-11"})
    without, _, _ = run("explain", target, "GET", "/")
    asked = len(provider.asked)
    code, out, _ = run("explain", target, "GET", "/", "--token", token)

    assert (without, asked) == (1, 0)
    assert (code, provider.asked) == (0, ["/jwks"])
    assert f"key P-256, kid 2026-11, from {provider.url}/jwks" in flat(out)


def test_explain_says_why_keys_could_not_be_had(run, remote, provider):
    target = remote(f"jwks_uri = '{provider.url}/gone'")
    token = sign({"iss": provider.url, "exp": int(time.time()) + 60}, KEY, "ES256")
    code, out, _ = run("explain", target, "GET", "/", "--token", token)

    assert code == 1
    assert "keys answered 404" in flat(out)
    assert "verdict deny 503 keys_unavailable" in flat(out)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["keys"], 2),
        (["check", "--online"], 1),
        (["verify"], 2),
        (["explain", "GET", "/", "--token"], 2),
    ],
)
def test_without_httpx2_the_command_to_install_it_is_named(
    run, remote, provider, monkeypatch, words, status
):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    monkeypatch.setattr(transport, "_shared", None)
    target = remote(f"jwks_uri = '{provider.url}/jwks'")
    token = sign({"iss": provider.url, "exp": int(time.time()) + 60}, KEY, "ES256")
    tokens = [] if words[0] in ("keys", "check") else [token]
    code, out, err = run(words[0], target, *words[1:], *tokens)

    assert code == status
    assert "pip install 'jwtguard-middleware[http]'" in flat(out + err)
    assert provider.asked == []


def test_check_warns_where_httpx2_will_be_missed(run, remote, provider, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    code, out, _ = run("check", remote("discovery = true"), "--json")

    assert code == 0
    assert "jwtguard-middleware[http]" in json.loads(out)["warnings"][-1]["what"]


def test_an_address_is_not_taken_for_a_token(run, folder):
    uri = "http://authentication.example.com/jwks"
    issuer = f"[[issuer]]\naudience = false\nalgorithms = 'RS256'\njwks_uri = '{uri}'\n"
    (folder / "address.toml").write_text(issuer)

    assert uri in run("check", "address.toml")[1]


# --- verify -------------------------------------------------------------------------------------


def test_verify_prints_the_claims_as_json(run, mint):
    token = mint("--claim", 'roles=["admin"]')
    for words, stdin in (((token,), ""), (("-",), f"{token}\n"), ((), token)):
        code, out, err = run("verify", "jwtguard.toml", *words, stdin=stdin)
        assert (code, err) == (0, "")
        assert json.loads(out)["sub"] == "alice"
        assert json.loads(out)["roles"] == ["admin"]


def test_verify_says_on_stderr_why_a_token_is_refused(run, mint):
    token = mint("--expires", "-3600")
    code, out, err = run("verify", "jwtguard.toml", token)

    assert (code, out) == (1, "")
    assert "refused: expired; claim exp" in err
    assert token not in err


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\ud800", "x" * 20_000, "ä.ö.ü"])
def test_verify_refuses_what_is_no_token(run, token):
    code, out, err = run("verify", "jwtguard.toml", stdin=token)

    assert (code, out) == (1, "")
    assert err.startswith("refused: ")


def test_bytes_that_are_no_text_are_no_token(run):
    stdin = io.TextIOWrapper(io.BytesIO(b"\xff\xff"), "utf-8")
    code, out, err = run("verify", "jwtguard.toml", stdin=stdin)

    assert (code, out) == (1, "")
    assert err.startswith("refused: malformed_token")


# --- inspect ------------------------------------------------------------------------------------


def test_inspect_shows_an_unverified_token_and_says_so(run):
    token = sign(
        {"sub": "x", "exp": 0, "nbf": True, "iat": 4_000_000_000}, b"any key will do", "HS256"
    )
    for words, stdin in (((token,), ""), (("-",), token), ((), token + "\n")):
        code, out, err = run("inspect", *words, stdin=stdin)
        found = json.loads(out)
        assert code == 0
        assert "unverified" in err
        assert found["verified"] is False
        assert found["header"] == {"alg": "HS256", "typ": "JWT"}
        assert found["claims"]["sub"] == "x"
        assert found["times"]["exp"].startswith("1970-01-01 00:00:00 UTC (")
        assert found["times"]["iat"].startswith("2096-10-02 07:06:40 UTC (in ")
        assert "nbf" not in found["times"]


def test_inspect_shows_what_a_guard_would_refuse_by_its_form(run):
    token = sign({"sub": "x"}, b"any key will do", "HS256", {"crit": ["x"]})
    code, out, err = run("inspect", token)

    assert code == 0
    assert json.loads(out)["header"]["crit"] == ["x"]
    assert "a guard would refuse it: header_not_supported; found crit" in err


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "1 parts"),
        ("abc", "1 parts"),
        ("a.b.c.d.e", "encrypted token"),
        ("!.e30.", "its header is no JSON object"),
        ("e30.MQ.", "its payload is no JSON object"),
        ("e30.é.", "its payload is no JSON object"),
    ],
)
def test_inspect_says_no_to_what_is_no_jwt(run, raw, why):
    code, out, err = run("inspect", stdin=raw)

    assert (code, out) == (1, "")
    assert "this is no JWT" in err
    assert why in err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01 00:00:00 UTC (0 seconds ago)"),
        (1, "1970-01-01 00:00:01 UTC (in 1 second)"),
        (-119, "1969-12-31 23:58:01 UTC (119 seconds ago)"),
        (3600, "1970-01-01 01:00:00 UTC (in 60 minutes)"),
        (-86400 * 2, "1969-12-30 00:00:00 UTC (2 days ago)"),
    ],
)
def test_times_are_told_for_people(seconds, text):
    assert when(seconds, now=0) == text


# --- token (rows B14, C5) -----------------------------------------------------------------------


def claims_of(run, token):
    code, out, _ = run("verify", "jwtguard.toml", token)
    assert code == 0
    return json.loads(out)


def test_a_minted_token_has_what_its_issuer_asks_for(run, mint):
    claims = claims_of(run, mint("--claim", "email=alice@example.com", "--claim", "role=admin"))

    assert claims["iss"] == "https://login.example.com/"
    assert claims["aud"] == "https://api.example.com"
    assert claims["exp"] == claims["iat"] + 3600
    assert (claims["sub"], claims["email"], claims["role"]) == (
        "alice",
        "alice@example.com",
        "admin",
    )


def test_a_minted_token_names_its_key_and_type(run, mint):
    header = json.loads(run("inspect", mint())[1])["header"]

    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}


@pytest.mark.parametrize(("key", "algorithm"), [("es.key", "ES256"), ("rsa.key", "RS256")])
def test_the_private_key_decides_the_algorithm(run, mint, key, algorithm):
    token = mint(key=key)

    assert json.loads(run("inspect", token)[1])["header"]["alg"] == algorithm
    assert claims_of(run, token)["sub"] == "alice"


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_private_jwk_signs_under_its_own_key_id(run, mint, folder, algorithm):
    key = KEY if algorithm == "ES256" else private_key(algorithm)
    scheme = {"ES256": ECAlgorithm, "RS256": RSAAlgorithm}[algorithm]
    (folder / "key.json").write_text(
        scheme.to_jwk(key)[:-1] + f', "kid": "mine", "alg": "{algorithm}"}}'
    )
    header = json.loads(run("inspect", mint(key="key.json"))[1])["header"]
    assert (header["alg"], header["kid"]) == (algorithm, "mine")

    (folder / "key.json").write_text(scheme.to_jwk(key))
    header = json.loads(run("inspect", mint(key="key.json"))[1])["header"]
    assert header.get("kid") == ("k1" if key is KEY else None)


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "EC"},
        {"kty": "EC", "crv": "P-256", "x": 1, "y": 1, "d": 1},
        {"kty": "oct", "k": "AAAA"},
        {"kty": 5},
        {"kty": ["EC"]},
        {},
        public_jwk(KEY),
    ],
)
def test_a_jwk_that_is_no_private_key_is_wrong_use(run, folder, jwk):
    (folder / "key.json").write_text(json.dumps(jwk))
    words = ("--issuer", "people", "--sub", "a", "--key", "key.json")
    code, out, err = run("token", "jwtguard.toml", *words)
    assert (code, out) == (2, "")
    assert "is not a private key, in PEM or as a JWK" in flat(err)


def test_a_jwk_for_an_algorithm_of_its_own_signs_with_no_other(run, folder):
    rsa = RSAAlgorithm.to_jwk(private_key("RS256"), as_dict=True)
    (folder / "key.json").write_text(json.dumps(rsa | {"alg": "PS512"}))
    words = ("--issuer", "people", "--sub", "a", "--key", "key.json")
    code, _, err = run("token", "jwtguard.toml", *words)
    assert code == 2
    assert "serves PS512; issuer people signs with RS256, ES256" in flat(err)


def test_the_key_id_may_be_given(run, mint):
    for issuer in ("people", "jobs"):
        minted = mint("--kid", "given", issuer=issuer)
        assert json.loads(run("inspect", minted)[1])["header"]["kid"] == "given"


def test_a_token_for_keys_that_are_fetched_says_that_it_names_no_key(run, remote, provider):
    target = remote(f"jwks_uri = '{provider.url}/jwks'")
    words = ("token", target, "--issuer", "people", "--sub", "a", "--key", "es.key")
    code, out, err = run(*words)
    assert code == 0
    assert "kid" not in json.loads(run("inspect", out.strip())[1])["header"]
    assert "note: the token names no key, as the keys of issuer people are fetched" in flat(err)

    code, out, err = run(*words, "--kid", "2026-11")
    assert (code, err) == (0, "")
    assert run("verify", target, out.strip())[0] == 0


def test_an_issuer_with_a_secret_signs_by_itself(run, mint):
    claims = claims_of(run, mint(issuer="jobs", sub="job-1"))

    assert claims["sub"] == "job-1"
    assert not claims.keys() & {"iss", "aud"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n=1", 1),
        ("n=true", True),
        ("n=1.5", 1.5),
        ('n="1"', "1"),
        ("n=admin", "admin"),
        ("n=NaN", "NaN"),
        ("n=a=b", "a=b"),
        ('n={"a": [1]}', {"a": [1]}),
        ("n=", ""),
    ],
)
def test_a_claim_is_json_and_a_bare_word_is_text(run, mint, text, value):
    assert claims_of(run, mint("--claim", text))["n"] == value


def test_a_claim_of_null_is_left_out(run, mint):
    token = mint("--claim", "exp=null")

    assert "exp" not in json.loads(run("inspect", token)[1])["claims"]


def test_the_time_to_expiry_is_given_in_seconds(run, mint):
    claims = claims_of(run, mint("--expires", "60"))

    assert claims["exp"] - claims["iat"] == 60


def test_a_token_that_the_guard_will_refuse_is_minted_with_a_note(run):
    code, out, err = run(
        *("token", "jwtguard.toml", "--issuer", "people", "--key", "other.key", "--sub", "a")
    )

    assert code == 0
    assert out.count(".") == 2
    assert "note: the guard will refuse this token: bad_signature" in err


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_keygen_token_and_verify_work_together_for_every_algorithm(
    run, tmp_path, monkeypatch, algorithm
):
    code, out, err = run("keygen", algorithm, "--out", tmp_path / "k")
    assert (code, out) == (0, "")
    symmetric = ALGORITHMS[algorithm].symmetric
    line = (
        'secret = { file = "k.key", encoding = "base64url" }'
        if symmetric
        else 'public_key_file = "k.pub"'
    )
    (tmp_path / "x.toml").write_text(
        f'[[issuer]]\naudience = false\nalgorithms = "{algorithm}"\n{line}\n'
    )
    monkeypatch.chdir(tmp_path)
    signer = () if symmetric else ("--key", "k.key")
    code, token, err = run("token", "x.toml", "--sub", "alice", *signer)
    assert (code, err) == (0, "")

    code, out, err = run("verify", "x.toml", token.strip())
    assert (code, err) == (0, "")
    assert json.loads(out)["sub"] == "alice"


def test_a_token_has_the_claims_that_an_issuer_requires_and_a_tenant(run, tmp_path):
    (tmp_path / "x.toml").write_text(
        '[[issuer]]\nissuer = "https://x/{tenant}/"\ntenants = ["a", "b"]\naudience = ["y", "z"]\n'
        'algorithms = "HS256"\nrequired_claims = ["exp", "jti", "nbf"]\n'
        f'secret = "{SECRET}"\n'
    )
    code, token, err = run("token", tmp_path / "x.toml", "--sub", "alice")

    assert (code, err) == (0, "")
    claims = json.loads(run("verify", tmp_path / "x.toml", token.strip())[1])
    assert (claims["iss"], claims["aud"]) == ("https://x/a/", ["y", "z"])


# --- keygen (row C5) ----------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_keygen_prints_a_base64url_secret_of_the_length_of_the_hash(run, algorithm):
    code, out, err = run("keygen", algorithm)

    assert (code, err) == (0, "")
    guard = config.from_mapping(
        {
            "issuer": {
                "audience": False,
                "algorithms": algorithm,
                "secret": {"value": out.strip(), "encoding": "base64url"},
            }
        }
    )
    assert isinstance(guard, Guard)


def test_keygen_makes_rs256_where_nothing_is_said_and_prints_both_halves(run):
    code, out, err = run("keygen")
    private = load_pem_private_key(out.encode(), None)
    public = load_pem_public_key(out[out.index("-----BEGIN PUBLIC KEY") :].encode())

    assert (code, err) == (0, "")
    assert private.key_size == 2048
    assert private.public_key() == public


def test_keygen_writes_a_private_file_that_only_its_owner_can_read(run, tmp_path):
    old = os.umask(0)
    try:
        code, out, err = run("keygen", "ES256", "--out", tmp_path / "k")
    finally:
        os.umask(old)

    assert (code, out) == (0, "")
    assert "public_key_file" in err
    assert stat.S_IMODE((tmp_path / "k.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "k.pub").stat().st_mode) == 0o644
    assert (tmp_path / "k.key").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert (tmp_path / "k.pub").read_text().startswith("-----BEGIN PUBLIC KEY-----")


@pytest.mark.parametrize("there", [".key", ".pub"])
def test_keygen_never_overwrites_and_leaves_no_half_pair(run, tmp_path, there):
    (tmp_path / f"k{there}").write_text("mine")
    code, out, err = run("keygen", "ES256", "--out", tmp_path / "k")

    assert (code, out) == (2, "")
    assert "is there already" in flat(err)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_keygen_follows_no_link(run, tmp_path):
    (tmp_path / "k.key").symlink_to(tmp_path / "elsewhere")
    code, _, _ = run("keygen", "HS256", "--out", tmp_path / "k")

    assert code == 2
    assert not (tmp_path / "elsewhere").exists()


def test_keygen_into_a_missing_folder_is_wrong_use(run, tmp_path):
    code, _, err = run("keygen", "HS256", "--out", tmp_path / "nowhere" / "k")

    assert code == 2
    assert "No such file" in flat(err)


# --- wrong use ----------------------------------------------------------------------------------

WRONG = [
    ((), "COMMAND"),
    (("chek",), "check"),
    (("check",), "TARGET"),
    (("check", "jwtguard.toml", "--jsn"), "--jsn"),
    (("verify", "nowhere.toml", "x"), "No such file"),
    (("verify", "broken.toml", "x"), "issuer[0].audiance"),
    (("explain", "broken.toml", "GET", "/"), "issuer[0].secret"),
    (("token", "broken.toml", "--sub", "a"), "issuer[0].audience"),
    (("explain", "jwtguard.toml", "GET"), "PATH"),
    (("explain", "jwtguard.toml", "GET", "/", "--header", "x"), "--header takes"),
    (("token", "jwtguard.toml", "--issuer", "jobs"), "--sub"),
    (("token", "jwtguard.toml", "--sub", "a"), "choose with --issuer: people, jobs"),
    (("token", "jwtguard.toml", "--sub", "a", "--issuer", "x"), "there are people, jobs"),
    (("token", "jwtguard.toml", "--sub", "a", "--issuer", "people"), "jwtguard keygen"),
    (("token", "jwtguard.toml", "--sub", "a", "--issuer", "jobs", "--claim", "x"), "--claim takes"),
    (("token", "jwtguard.toml", "--sub", "a", "--issuer", "jobs", "--claim", "x=["), "none"),
    (("token", "jwtguard.toml", "--sub", "a", "--issuer", "jobs", "--expires", "x"), "--expires"),
    (("token", "jwtguard.toml", "--sub", "a", "--issuer", "jobs", "--key", "es.key"), "signs with"),
    (("token", "jwtguard.toml", "--sub", "a", "--issuer", "people", "--key", "no"), "No such"),
    (("token", "jwtguard.toml", "--sub", "a", "--issuer", "people", "--key", "rsa.pub"),
     "not a private key"),
    (("token", "jwtguard.toml", "--sub", "a", "--issuer", "people", "--key", "jwks.json"),
     "not a private key"),
    (("token", "jwtguard.toml", "--sub", "a", "--issuer", "people", "--key", "locked.key"),
     "is encrypted"),
    (("token", "jwtguard.toml", "--sub", "a", "--issuer", "people", "--key", "x25519.key"),
     "no JWT algorithm uses"),
    (("keygen", "rs256"), "did you mean RS256?"),
    (("keygen", "none"), "known are HS256"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_wrong_use_is_2_and_says_what_to_write(run, words, said):
    code, out, err = run(*words)

    assert (code, out) == (2, "")
    assert said in flat(err)


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "{token}", "jwtguard.toml"),
        ("verify", "jwtguard.toml", "{token}", "{token}"),
        ("inspect", "{token}", "{token}"),
        ("{token}",),
        ("check", "{token}"),
        ("check", "{token}", "--json"),
        ("explain", "jwtguard.toml", "{token}", "/x"),
        ("explain", "jwtguard.toml", "GET", "/{token}"),
        ("explain", "jwtguard.toml", "GET", "{token}", "--json"),
        ("explain", "jwtguard.toml", "GET", "/", "--header", "{token}"),
        ("token", "jwtguard.toml", "--sub", "a", "--issuer", "{token}"),
        ("token", "jwtguard.toml", "--sub", "a", "--issuer", "people", "--key", "{token}"),
        ("keygen", "{token}"),
    ],
)
def test_a_token_in_the_wrong_place_is_never_echoed(run, mint, words):
    token = mint()
    code, out, err = run(*(word.format(token=token) for word in words))

    assert code != 0
    assert token[:20] not in re.sub(r"\s", "", out + err)


# --- the terminal -------------------------------------------------------------------------------


def test_output_fits_80_columns(run, mint):
    token = mint()
    for words in (
        ("check", "jwtguard.toml"),
        ("check", "broken.toml"),
        ("explain", "jwtguard.toml", "GET", "/admin/x", "--token", token),
        ("explain", "jwtguard.toml", "GET", "/reports/x"),
        ("verify", "jwtguard.toml", "x.y.z"),
        ("check",),
    ):
        _, out, err = run(*words)
        assert [line for line in (out + err).splitlines() if len(line) > 80] == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "no_color", "coloured"),
    [
        (Terminal, None, True),
        (Terminal, "", True),
        (Terminal, "1", False),
        (io.StringIO, "", False),
    ],
)
def test_output_is_coloured_on_a_terminal_only(run, monkeypatch, stream, no_color, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    for words in (("check", "broken.toml"), ("explain", "jwtguard.toml", "GET", "/admin")):
        out = stream()
        monkeypatch.setattr(sys, "stdout", out)
        run(*words)
        assert ("\x1b[" in out.getvalue()) is coloured


def test_what_a_request_holds_does_not_reach_the_terminal_as_commands(run):
    _, out, _ = run("explain", "jwtguard.toml", "GET", "/x%1b[31m", "--header", "A: \x1b[31m")

    assert "\x1b" not in out


# --- the process --------------------------------------------------------------------------------


def process(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "jwtguard", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(jwtguard.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_is_python_m_jwtguard(folder):
    done = process(folder, "check", "broken.toml", "--json")

    assert (done.returncode, done.stderr) == (1, "")
    assert len(json.loads(done.stdout)["problems"]) == 4


def test_refusals_leave_no_log_line_on_stderr(folder):
    done = process(folder, "explain", "jwtguard.toml", "GET", "/admin/x", "--token", "x")

    assert (done.returncode, done.stderr) == (1, "")


def test_version_and_help_are_a_yes(run):
    assert run("--version")[0] == 0
    code, out, _ = run("--help")
    assert code == 0
    for command in ("check", "explain", "verify", "inspect", "token", "keygen", "demo"):
        assert f"\n    {command} " in out


def test_the_demo_gets_its_own_words(run):
    code, out, _ = run("demo", "--help")

    assert code == 0
    assert "--check" in out
