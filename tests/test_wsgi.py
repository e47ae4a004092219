"""What only the WSGI door has to get right; the contract table has the rest."""

import io
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from wsgiref.validate import validator

import pytest

from jwtguard import Guard, Rule, asgi, errors
from jwtguard.testing import FakeIssuer
from jwtguard.wsgi import GuardMiddleware

from .contract import ALICE, JOBS, PUBLIC, TOKEN, bearer, idp, jobs_token
from .doors import Ask, environ_of

MIB = 1 << 20
CHUNK = 1 << 16
FEED = Rule("/feed", access="optional")


def guarded(guard, environ, app=None):
    """Status, headers, and the environ that the app was given (None where it was not reached)."""
    seen = []

    def record(environ, start_response):
        seen.append(dict(environ))
        start_response("200 OK", [])
        return [b""]

    told = []
    answer = GuardMiddleware(app or record, guard)(environ, lambda *args: told.append(args))
    assert b"".join(answer) is not None
    status, headers = told[0][:2]
    return int(status[:3]), dict(headers), seen[0] if seen else None


def make_guard(*rules, **settings):
    return Guard(settings.pop("issuers", [idp.trusted()]), rules, **settings)


def make_environ(target="/x", *, headers=(), **more):
    pairs = tuple(headers.items()) if isinstance(headers, dict) else headers
    return environ_of(Ask(target, headers=pairs)) | more


# --- paths --------------------------------------------------------------------------------------


def test_an_empty_path_info_is_the_root():
    environ = make_environ("/", PATH_INFO="")
    del environ["RAW_URI"]

    assert guarded(make_guard(Rule("/", access="public")), environ)[0] == 200


def test_script_name_is_no_part_of_the_path_judged():
    """gunicorn takes it from a client's header."""
    environ = make_environ("/public/admin", SCRIPT_NAME="/public", PATH_INFO="/admin")

    assert guarded(make_guard(PUBLIC), environ)[0] == 401


def test_script_name_in_front_does_not_hide_a_public_path():
    environ = make_environ("/m/public/a", SCRIPT_NAME="/m", PATH_INFO="/public/a")

    assert guarded(make_guard(PUBLIC), environ)[0] == 200


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
def test_the_raw_target_is_looked_at_wherever_a_server_puts_it(name):
    environ = make_environ("/public/a/b")
    del environ["RAW_URI"]

    assert guarded(make_guard(PUBLIC), environ | {name: "/public/a%2fb"})[0] == 400
    assert guarded(make_guard(PUBLIC), environ | {name: "/public/a/b"})[0] == 200


def test_path_info_is_read_as_utf8():
    environ = make_environ("/caf%C3%A9")
    assert environ["PATH_INFO"] == "/caf\xc3\xa9"

    assert guarded(make_guard(Rule("/café", access="public")), environ)[0] == 200


# --- what is published --------------------------------------------------------------------------


def test_the_environ_holds_token_claims_and_user():
    status, _, seen = guarded(make_guard(), make_environ(headers=bearer()))

    assert status == 200
    assert seen["jwtguard.token"].identity == (idp.issuer, "alice")
    assert seen["jwtguard.claims"] == seen["jwtguard.token"].claims
    assert seen["jwtguard.claims"]["sub"] == "alice"
    assert seen["AUTH_TYPE"] == "Bearer"
    assert seen["REMOTE_USER"] == "alice"


def test_remote_user_is_the_subject_only_where_there_is_one_issuer():
    guard = make_guard(issuers=[idp.trusted(), JOBS])

    _, _, seen = guarded(guard, make_environ(headers=bearer(), REMOTE_USER="stale"))

    assert "REMOTE_USER" not in seen
    assert seen["AUTH_TYPE"] == "Bearer"


def test_remote_user_follows_its_template():
    guard = make_guard(issuers=[idp.trusted(), JOBS], remote_user="{issuer}:{sub}")

    _, _, alice = guarded(guard, make_environ(headers=bearer()))
    _, _, cron = guarded(guard, make_environ(headers=bearer(f"Bearer {jobs_token(sub='cron')}")))

    assert alice["REMOTE_USER"] == f"{idp.issuer}:alice"
    assert cron["REMOTE_USER"] == "jobs:cron"


def test_remote_user_none_means_none():
    _, _, seen = guarded(make_guard(remote_user=None), make_environ(headers=bearer()))

    assert "REMOTE_USER" not in seen


@pytest.mark.parametrize(
    ("sub", "user"),
    [("Zoë", "Zo\xc3\xab"), ("a\r\nb", None), ("", None), (None, None)],
    ids=["other letters are UTF-8", "no control characters", "no empty name", "no absent claim"],
)
def test_remote_user_is_fit_for_an_environ(sub, user):
    _, _, seen = guarded(make_guard(), make_environ(headers=bearer(idp.bearer(sub))))

    assert seen.get("REMOTE_USER") == user


@pytest.mark.parametrize(
    ("target", "headers"),
    [("/public/a", {}), ("/public/a", bearer()), ("/feed", {})],
    ids=["public", "public with a token", "optional without one"],
)
def test_nobody_is_published_where_nobody_was_authenticated(target, headers):
    stale = {"REMOTE_USER": "root", "AUTH_TYPE": "Basic", "jwt_claim_sub": "root", "jwt_x": "1"}

    _, _, seen = guarded(make_guard(PUBLIC, FEED), make_environ(target, headers=headers, **stale))

    assert seen["jwtguard.token"] is None
    assert seen["jwtguard.claims"] == {}
    assert not stale.keys() & seen.keys()


def test_a_guard_inside_a_guard_publishes_its_own_token_only():
    other = FakeIssuer("https://other.test/")
    inner_rule = Rule("/**", credentials={"header": "X-Inner"})
    seen = []

    def app(environ, start_response):
        seen.append(dict(environ))
        start_response("200 OK", [])
        return [b""]

    inner = GuardMiddleware(app, Guard([other.trusted()], [inner_rule], remote_user=None))
    headers = {**bearer(), "X-Inner": other.token("bob")}
    guarded(make_guard(variables="json"), make_environ(headers=headers), inner)

    assert seen[0]["jwtguard.token"].subject == "bob"
    assert seen[0]["jwtguard.claims"]["sub"] == "bob"
    assert not [key for key in seen[0] if key.startswith("jwt_")]
    assert "REMOTE_USER" not in seen[0]


def test_a_public_rule_inside_a_guard_publishes_nobody():
    seen = []

    def app(environ, start_response):
        seen.append(dict(environ))
        start_response("200 OK", [])
        return [b""]

    inner = GuardMiddleware(app, make_guard(Rule("/**", access="public")))
    guarded(make_guard(variables="json"), make_environ(headers=bearer()), inner)

    assert seen[0]["jwtguard.token"] is None
    assert not {"REMOTE_USER", "AUTH_TYPE", "jwt_claim_sub"} & seen[0].keys()


def test_what_an_app_does_to_its_claims_stays_with_its_request():
    guard = make_guard()
    headers = bearer(idp.bearer(roles=["user"]))

    _, _, first = guarded(guard, make_environ(headers=headers))
    first["jwtguard.claims"]["roles"].append("admin")
    first["jwtguard.claims"]["sub"] = "root"
    _, _, second = guarded(guard, make_environ(headers=headers))

    assert second["jwtguard.claims"]["roles"] == ["user"]
    assert second["jwtguard.claims"]["sub"] == "alice"


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
def test_a_token_in_the_query_is_gone_from_the_raw_target_too(name):
    target = f"/x?access_token={TOKEN}&a=1"
    environ = make_environ(target)
    environ[name] = environ.pop("RAW_URI")

    _, _, seen = guarded(make_guard(Rule("/**", credentials={"query": "access_token"})), environ)

    assert (seen["QUERY_STRING"], seen[name]) == ("a=1", "/x?a=1")
    assert TOKEN not in str({key: seen[key] for key in seen if key.isupper()})


def test_threads_never_see_each_others_token():
    guard = make_guard(forward={"X-User-Id": "sub"}, cache_size=8)
    tokens = {f"user-{number}": idp.bearer(f"user-{number}") for number in range(24)}

    def ask(name):
        for _ in range(20):
            _, _, seen = guarded(guard, make_environ(headers=bearer(tokens[name])))
            found = {seen["jwtguard.token"].subject, seen["REMOTE_USER"], seen["HTTP_X_USER_ID"]}
            assert found == {name}
        return name

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, tokens)) == list(tokens)


# --- headers that a server joined ---------------------------------------------------------------


def test_a_cookie_behind_a_joined_field_is_part_of_another_cookies_value():
    headers = [("Cookie", "a=1"), ("Cookie", f"auth_token={TOKEN}")]
    guard = make_guard(Rule("/**", credentials={"cookie": "auth_token"}))

    assert guarded(guard, make_environ(headers=headers))[0] == 401


def test_a_comma_inside_the_cookie_is_refused():
    headers = [("Cookie", f"auth_token={TOKEN}"), ("Cookie", "b=1")]
    guard = make_guard(Rule("/**", credentials={"cookie": "auth_token"}))

    assert guarded(guard, make_environ(headers=headers))[0] == 400


@pytest.mark.parametrize("joined", [",", ", "])
def test_two_authorization_fields_are_refused_however_a_server_joins_them(joined):
    environ = make_environ(HTTP_AUTHORIZATION=joined.join([ALICE, ALICE]))

    assert guarded(make_guard(), environ)[0] == 400


@pytest.mark.parametrize(
    "upgrade",
    ["websocket", "WebSocket", "WEBSOCKET", "h2c, websocket", "websocket,websocket"],
)
def test_an_upgrade_to_websocket_with_a_cookie_needs_an_origin(upgrade):
    guard = make_guard(
        Rule("/**", credentials={"cookie": "auth_token"}), origins="https://app.example.com"
    )
    headers = {"Cookie": f"auth_token={TOKEN}", "Upgrade": upgrade, "Connection": "Upgrade"}

    assert guarded(guard, make_environ(headers=headers))[0] == 403
    headers["Origin"] = "https://app.example.com"
    assert guarded(guard, make_environ(headers=headers))[0] == 200


# --- the protocol -------------------------------------------------------------------------------


def _valid_environ(**headers):
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/x",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    } | headers


def _plain_app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


@pytest.mark.parametrize(("headers", "expected"), [({}, 401), ({"HTTP_AUTHORIZATION": ALICE}, 200)])
def test_requests_and_answers_keep_to_pep_3333(headers, expected):
    guard = make_guard(forward={"X-User-Id": "sub"}, response_headers=True, variables="json")
    app = validator(GuardMiddleware(validator(_plain_app), guard))
    told = []

    def start_response(status, headers, exc_info=None):
        told.append(status)
        return lambda data: None

    result = app(_valid_environ(**headers), start_response)
    body = b"".join(result)
    result.close()

    assert int(told[0][:3]) == expected
    assert body


def test_what_the_app_returns_is_handed_on_as_it_is():
    """So that a server sees its own file wrapper, and closes it."""
    returned = iter([b"a"])

    def app(environ, start_response):
        start_response("200 OK", [])
        return returned

    middleware = GuardMiddleware(app, make_guard(response_headers=True))

    assert middleware(make_environ(headers=bearer()), lambda *args: None) is returned


def test_response_headers_leave_exc_info_and_write_alone():
    told = []

    def start_response(*args):
        told.append(args)
        return "write"

    def app(environ, start_response):
        assert start_response("200 OK", []) == "write"
        assert start_response("500 Oops", [], ("type", "error", None)) == "write"
        return [b""]

    GuardMiddleware(app, make_guard(response_headers=True))(
        make_environ(headers=bearer()), start_response
    )

    assert [len(args) for args in told] == [2, 3]
    assert all(("X-Frame-Options", "DENY") in args[1] for args in told)


def test_an_exception_of_the_app_is_the_servers_business():
    def app(environ, start_response):
        raise LookupError("in the app")

    with pytest.raises(LookupError, match="in the app"):
        GuardMiddleware(app, make_guard())(make_environ(headers=bearer()), lambda *args: None)


class _Endless:
    """A request body of *size* bytes that is made as it is read."""

    def __init__(self, size):
        self.left = size

    def read(self, size):
        size = min(size, self.left)
        self.left -= size
        return bytes(size)


def test_a_gigabyte_goes_either_way_in_flat_memory():
    body = _Endless(1024 * MIB)

    def app(environ, start_response) -> Iterator[bytes]:
        assert environ["wsgi.input"] is body
        start_response("200 OK", [])
        while chunk := environ["wsgi.input"].read(CHUNK):
            yield chunk

    middleware = GuardMiddleware(app, make_guard(response_headers=True))
    tracemalloc.start()
    try:
        environ = make_environ(headers=bearer(), **{"wsgi.input": body})
        received = sum(len(chunk) for chunk in middleware(environ, lambda *args: None))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert received == 1024 * MIB
    assert peak < 2 * MIB


def test_a_refused_body_is_not_read():
    body = _Endless(MIB)

    status, _, _ = guarded(make_guard(), make_environ(**{"wsgi.input": body}))

    assert status == 401
    assert body.left == MIB


# --- the wrong door -----------------------------------------------------------------------------


async def _asgi_app(scope, receive, send):
    raise AssertionError("never called")


class _AsgiClass:
    async def __call__(self, scope, receive, send):
        raise AssertionError("never called")


@pytest.mark.parametrize("app", [_asgi_app, _AsgiClass()], ids=["function", "object"])
def test_an_asgi_app_is_told_the_right_import(app):
    with pytest.raises(errors.ConfigurationError, match=r"from jwtguard\.asgi import"):
        GuardMiddleware(app, make_guard())


def test_a_starlette_app_is_told_the_right_import():
    from starlette.applications import Starlette

    with pytest.raises(errors.ConfigurationError, match=r"from jwtguard\.asgi import"):
        GuardMiddleware(Starlette(), make_guard())


def test_a_server_that_calls_it_as_asgi_is_told_the_right_import():
    middleware = GuardMiddleware(_plain_app, make_guard())

    with pytest.raises(errors.ConfigurationError, match=r"from jwtguard\.asgi import"):
        middleware({"type": "http"}, None, None)


def test_a_guarded_asgi_app_is_told_the_right_import():
    with pytest.raises(errors.ConfigurationError, match=r"from jwtguard\.asgi import"):
        GuardMiddleware(asgi.GuardMiddleware(_asgi_app, make_guard()), make_guard())


def test_what_stays_of_a_stripped_cookie_field_keeps_its_bytes():
    """PEP 3333 hands bytes over as latin-1; they need not be UTF-8."""
    guard = make_guard(Rule("/**", credentials={"cookie": "t"}), strip_credentials=True)
    cookies = f"a=caf\xe9; t={idp.token()}; b=caf\xc3\xa9"

    _, _, environ = guarded(guard, make_environ(headers={"Cookie": cookies}))

    assert environ["HTTP_COOKIE"] == "a=caf\xe9; b=caf\xc3\xa9"


def test_two_targets_that_differ_are_one_too_many():
    environ = make_environ("/a/b", RAW_URI="/a/b", REQUEST_URI="/a%2fb")

    assert guarded(make_guard(Rule("/**", access="public")), environ)[0] == 400


def test_strip_credentials_takes_the_token_out_on_public_paths_too():
    guard = make_guard(Rule("/**", access="public"), strip_credentials=True)

    _, _, environ = guarded(guard, make_environ(headers={"Authorization": ALICE}))

    assert "HTTP_AUTHORIZATION" not in environ
