"""The Django middleware: what passes it, what cannot pass by it, and which guard it is."""

import asyncio
import functools
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import werkzeug.test
from django.conf.urls.static import static
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import include, path, re_path
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.views import View
from django.views.decorators.csrf import csrf_exempt

import jwtguard.asgi
import jwtguard.django
from jwtguard import Discovery, FromCookie, FromQuery, Guard, Issuer, Rule, errors
from jwtguard.django import GuardMiddleware, current_guard, public, requires
from jwtguard.errors import ConfigurationError, FetchError
from jwtguard.testing import Clock, FakeIssuer

from .django_door import DJANGO_DOORS
from .django_project import ASK, BACKEND, GUARD, Urls, aask, ask, site
from .doors import Ask, scope_of

ROOT = Path(__file__).parent.parent
IDP = FakeIssuer(algorithm="ES256")
ALICE = IDP.bearer("alice")

both = pytest.mark.parametrize("send", ASK.values(), ids=ASK)


def guarded(*rules, **words):
    return Guard([IDP.trusted()], rules, **words)


CLOSED = guarded()
OPEN = guarded(Rule("/**", access="optional"))


def view(request, **kwargs):
    return HttpResponse(f"{request.jwt and request.jwt.subject}")


async def aview(request, **kwargs):
    return view(request)


def secret(request):
    return HttpResponse("secret")


# --- what is closed -----------------------------------------------------------------------------


@both
@pytest.mark.parametrize("one", [view, aview], ids=["sync view", "async view"])
def test_a_view_knows_the_token(send, one):
    with site(CLOSED, [path("x", one)]):
        assert send("/x", ALICE).content == b"alice"
        assert send("/x").status_code == 401


@both
def test_where_nobody_was_authenticated_there_is_no_token(send):
    with site(OPEN, [path("x", view)]):
        assert send("/x").content == b"None"


def raising_404(request):
    raise Http404


IGNORED = {"csrf_exempt": csrf_exempt}
try:
    from django.contrib.auth.decorators import login_not_required
except ImportError:  # Django before 5.1
    pass
else:
    IGNORED["login_not_required"] = login_not_required


@both
@pytest.mark.parametrize("where", ["/no/such/page", "/x", "/gone", "/mounted/a"])
def test_without_a_token_nothing_is_told_of_what_there_is(send, where):
    """Neither a missing page, nor the redirect to a slash, nor a view that says 404."""
    mounted = [path("a", secret)]
    patterns = [path("x/", secret), path("gone", raising_404), path("mounted/", include(mounted))]
    middleware = [GUARD, "django.middleware.common.CommonMiddleware"]
    with site(CLOSED, patterns, MIDDLEWARE=middleware, APPEND_SLASH=True):
        answer = send(where)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert json.loads(answer.content)["code"] == "no_credentials"


@both
@pytest.mark.parametrize("said", IGNORED.values(), ids=IGNORED)
def test_what_django_says_of_a_view_says_nothing_about_tokens(send, said):
    with site(CLOSED, [path("x", said(secret))]):
        assert send("/x").status_code == 401


@both
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "TRACE", "POUET"])
def test_every_method_is_judged(send, method):
    with site(CLOSED, [path("x", csrf_exempt(secret))]):
        assert send("/x", method=method).status_code == 401


@both
def test_an_override_header_does_not_change_the_method(send):
    rule = Rule("/x", methods="GET"), Rule("/x", roles="admin")
    with site(guarded(*rule), [path("x", csrf_exempt(view))]):
        get = send("/x", ALICE, "GET", headers={"X-HTTP-Method-Override": "POST"})
        post = send("/x", ALICE, "POST", headers={"X-HTTP-Method-Override": "GET"})

    assert (get.status_code, post.status_code) == (200, 403)


def _middleware(change):
    """A middleware, for sync and async, that changes a request."""

    def factory(get_response):
        if asyncio.iscoroutinefunction(get_response) or getattr(
            get_response, "_is_coroutine_marker", None
        ):

            async def middleware(request):
                change(request)
                return await get_response(request)
        else:

            def middleware(request):
                change(request)
                return get_response(request)

        return middleware

    factory.sync_capable = factory.async_capable = True
    return factory


@_middleware
def to_post(request):
    request.method = "POST"


@_middleware
def to_admin(request):
    request.path_info = "/admin"


@_middleware
def to_the_tenant(request):
    request.urlconf = TENANT


@_middleware
def looking(request):
    request.looked = [dict(request.headers), dict(request.COOKIES), dict(request.GET)]


HERE = "tests.test_django."
CHANGES = ["to_post", "to_admin"]
METHODS = Rule("/x", methods="GET"), Rule("/x", roles="admin"), Rule("/admin", roles="admin")


@both
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_middleware_above_makes_of_a_request_is_judged(send, change):
    patterns = [path("x", csrf_exempt(secret)), path("admin", secret)]
    with site(guarded(*METHODS), patterns, MIDDLEWARE=[HERE + change, GUARD]):
        assert send("/x", ALICE).status_code == 403
        assert send("/x", IDP.bearer("root", roles=["admin"])).content == b"secret"


@both
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_middleware_below_makes_of_a_request_reaches_no_view(send, change):
    patterns = [path("x", csrf_exempt(secret)), path("admin", secret)]
    with (
        site(guarded(*METHODS), patterns, MIDDLEWARE=[GUARD, HERE + change]),
        pytest.raises(ConfigurationError, match="which was judged; put it above"),
    ):
        send("/x", ALICE)


class AnotherRequest:
    """A middleware that hands on another request than it was given."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(RequestFactory().get("/x"))


def test_a_request_that_was_not_judged_reaches_no_view():
    with (
        site(CLOSED, [path("x", secret)], MIDDLEWARE=[GUARD, HERE + "AnotherRequest"]),
        pytest.raises(ConfigurationError, match="which was judged"),
    ):
        ask("/x", ALICE)


# --- views that are open ------------------------------------------------------------------------


@public
def landing(request):
    return HttpResponse(f"open {request.jwt}")


@public
async def alanding(request):
    return HttpResponse(f"open {request.jwt}")


@public
class Landing(View):
    def get(self, request):
        return HttpResponse(f"open {request.jwt}")


class Derived(Landing):
    pass


class Overriding(Landing):
    def dispatch(self, request, *args, **kwargs):
        return super().dispatch(request, *args, **kwargs)


@method_decorator(public, name="dispatch")
class ByMethod(View):
    def get(self, request):
        return HttpResponse(f"open {request.jwt}")


@public
class AsyncLanding(View):
    async def get(self, request):
        return HttpResponse(f"open {request.jwt}")


def wrapped(view):
    @functools.wraps(view)
    def wrapper(*args, **kwargs):
        return view(*args, **kwargs)

    return wrapper


OPEN_VIEWS = {
    "function": landing,
    "async function": alanding,
    "class": Landing.as_view(),
    "async class": AsyncLanding.as_view(),
    "method_decorator": ByMethod.as_view(),
    "around as_view": public(Derived.as_view()),
    "below other decorators": csrf_exempt(wrapped(landing)),
}
CLOSED_VIEWS = {
    "a function": view,
    "a class that derives from an open one": Derived.as_view(),
    "a class that overrides dispatch": Overriding.as_view(),
}


@both
@pytest.mark.parametrize("one", OPEN_VIEWS.values(), ids=OPEN_VIEWS)
def test_a_view_that_says_that_it_is_public_is_open(send, one):
    with site(CLOSED, [path("x", one), path("y", view)]):
        assert send("/x").content == b"open None"
        assert send("/x", "Bearer nonsense").content == b"open None"
        assert send("/y").status_code == 401
        assert send("/z").status_code == 401


@both
@pytest.mark.parametrize("one", CLOSED_VIEWS.values(), ids=CLOSED_VIEWS)
def test_a_view_that_says_nothing_stays_closed_beside_one_that_is_public(send, one):
    with site(CLOSED, [path("x", one), path("y", landing)]):
        assert send("/x").status_code == 401
        assert send("/x", ALICE).status_code == 200


@both
@pytest.mark.parametrize(
    ("rule", "status"),
    [
        (Rule("/x"), 401),
        (Rule("/**", roles="admin"), 401),
        (Rule("/x", methods="POST", roles="admin"), 403),  # not covered, which is no opening
        (Rule("/y", roles="admin"), 200),
    ],
)
def test_a_rule_that_matches_decides_whatever_the_view_says(send, rule, status):
    with site(guarded(rule), [path("x", landing)]):
        assert send("/x").status_code == status


@both
def test_an_ambiguous_path_leads_to_no_public_view(send):
    with site(CLOSED, [re_path("^(.*)$", public(lambda request, rest: HttpResponse("open")))]):
        assert send("/a//b").status_code == 400
        assert send("/a").status_code == 200


TENANT = Urls([path("x", secret)])
PUBLIC = Urls([path("x", landing)])


@both
def test_an_urlconf_chosen_below_opens_nothing(send):
    with (
        site(CLOSED, PUBLIC, MIDDLEWARE=[GUARD, HERE + "to_the_tenant"]),
        pytest.raises(ConfigurationError, match="chose the URLconf; put it above"),
    ):
        send("/x")


@both
def test_an_urlconf_chosen_above_is_the_one_that_counts(send):
    with site(CLOSED, PUBLIC, MIDDLEWARE=[HERE + "to_the_tenant", GUARD]):
        assert send("/x").status_code == 401
        assert send("/x", ALICE).content == b"secret"


# --- decorators ---------------------------------------------------------------------------------


def test_a_decorator_above_its_route_is_found_at_the_first_request():
    requires(scopes="a")(secret_of_its_own := wrapped(secret))
    with site(CLOSED, [path("sub/", include([path("x", secret_of_its_own)]))]):
        for send in (ask, aask):
            with pytest.raises(ConfigurationError, match="put it below"):
                send("/sub/x", ALICE)


def test_a_view_may_close_over_anything():
    def make():
        def one(request):
            return HttpResponse(str(lazy))

        if not lazy_is_asleep:
            later = 1

        def other(request):
            return HttpResponse(str(later))

        return one, other

    def wake():
        raise AssertionError("looked into")

    lazy, lazy_is_asleep = SimpleLazyObject(wake), True
    one, other = make()
    patterns = [path("x", one), path("y", other), path("z", functools.partial(view))]
    with site(CLOSED, patterns):
        assert ask("/z", ALICE).content == b"alice"


def test_an_urlconf_that_includes_itself_is_walked_once():
    patterns = [path("x", view)]
    patterns.append(path("again/", include(patterns)))
    with site(CLOSED, patterns):
        assert ask("/x", ALICE).content == b"alice"


def test_a_method_is_no_view():
    class Page(View):
        @requires()
        def get(self, request):
            return HttpResponse()

    with (
        site(CLOSED, [path("x", Page.as_view())]),
        pytest.raises(ConfigurationError, match="method_decorator"),
    ):
        ask("/x", ALICE)


class Page(View):
    @method_decorator(requires(scopes="write"))
    def post(self, request):
        return HttpResponse("written")

    def get(self, request):
        return HttpResponse("read")


@both
def test_one_method_of_a_class_may_want_more(send):
    with site(CLOSED, [path("x", csrf_exempt(Page.as_view()))]):
        assert send("/x", ALICE).content == b"read"
        assert send("/x", ALICE, "POST").status_code == 403
        assert send("/x", IDP.bearer(scopes="write"), "POST").content == b"written"


@both
@pytest.mark.parametrize("method", [view, aview], ids=["sync", "async"])
def test_a_class_that_derives_from_an_open_one_may_have_requirements(send, method):
    @public
    class Open(View):
        async def get(self, request):
            return await aview(request)

        if method is view:

            def get(self, request):
                return view(request)

    @requires(scopes="read")
    class Derived(Open):
        pass

    with site(CLOSED, [path("open", Open.as_view()), path("x", Derived.as_view())]):
        assert send("/open").content == b"None"
        assert send("/x").status_code == 401
        assert send("/x", ALICE).status_code == 403
        assert send("/x", IDP.bearer("alice", scopes="read")).content == b"alice"


def test_a_view_is_public_or_has_requirements_and_not_both():
    with pytest.raises(ConfigurationError, match="it is one of them"):
        public(requires()(wrapped(view)))
    with pytest.raises(ConfigurationError, match="it is one of them"):
        requires()(public(wrapped(view)))
    with pytest.raises(ConfigurationError, match="it is one of them"):

        @public
        @requires()
        class Both(View):
            pass


# --- what views see -----------------------------------------------------------------------------


def seen(request):
    return JsonResponse(
        {
            "headers": {k: v for k, v in request.headers.items() if k.startswith("X-")},
            "GET": request.GET,
            "COOKIES": request.COOKIES,
            "target": request.get_full_path(),
            "user": request.META.get("REMOTE_USER"),
            "type": request.META.get("AUTH_TYPE"),
            "looked": request.looked,
        }
    )


@both
def test_what_a_middleware_above_has_looked_at_is_not_remembered(send):
    place = FromQuery("token"), FromCookie("token")
    guard = guarded(
        Rule("/**", credentials=place), forward={"X-User-Id": "sub"}, strip_credentials=True
    )
    with site(guard, [path("x", seen)], MIDDLEWARE=[HERE + "looking", GUARD]):
        query = f"token={IDP.token('alice')}&%C3%A9=1"
        by_query = send(f"/x?{query}", headers={"X-User_ID": "root"}).json()
        cookie = f"a=1; token={IDP.token('bob')}"
        by_cookie = send("/x", headers={"X-User-Id": "root", "Cookie": cookie}).json()

    assert by_query["looked"][2].keys() == {"token", "é"}
    assert by_query["headers"] == {"X-User-Id": "alice"}
    assert by_query["GET"] == {"é": "1"}
    assert by_query["target"] == "/x?%C3%A9=1"
    assert (by_query["user"], by_query["type"]) == ("alice", "Bearer")
    assert by_cookie["looked"][1].keys() == {"a", "token"}
    assert by_cookie["headers"] == {"X-User-Id": "bob"}
    assert by_cookie["COOKIES"] == {"a": "1"}


@_middleware
def scoped(request):
    if not isinstance(getattr(request, "scope", None), dict):
        request.scope = "read"


@both
def test_a_project_may_call_something_else_its_scope(send):
    with site(CLOSED, [path("x", requires()(wrapped(view)))], MIDDLEWARE=[HERE + "scoped", GUARD]):
        assert send("/x", ALICE).content == b"alice"
        assert send("/x").status_code == 401


@both
def test_a_client_s_own_remote_user_is_nobody(send):
    with site(OPEN, [path("x", lambda r: HttpResponse(str(r.META.get("REMOTE_USER"))))]):
        answer = send("/x", headers={"Remote-User": "root", "Remote_User": "root"})

    assert answer.content == b"None"


# --- threads and loops --------------------------------------------------------------------------


def test_there_is_no_thread_in_async_code():
    """Neither around the middleware nor around its view hook."""
    threads = []

    async def here(request):
        threads.append((threading.get_ident(), threading.active_count()))
        return HttpResponse()

    async def run():
        before = threading.get_ident(), threading.active_count()
        with override_settings(JWTGUARD=CLOSED, ROOT_URLCONF=Urls([path("x", aview)])):
            middleware = GuardMiddleware(here)
            assert asyncio.iscoroutinefunction(middleware.process_view)
            request = RequestFactory().get("/x", headers={"Authorization": ALICE})
            response = await middleware(request)
            await middleware.process_view(request, aview, (), {})
        return before, response.status_code

    before, status = asyncio.run(run())

    assert (threads, status) == ([before], 200)


def test_there_is_no_loop_in_sync_code():
    def here(request):
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return HttpResponse()

    with override_settings(JWTGUARD=CLOSED, ROOT_URLCONF=Urls([path("x", view)])):
        request = RequestFactory().get("/x", headers={"Authorization": ALICE})
        assert GuardMiddleware(here)(request).status_code == 200


class SyncOnly:
    sync_capable, async_capable = True, False

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)


@both
@pytest.mark.parametrize("above", [True, False])
def test_a_middleware_that_is_sync_only_changes_nothing(send, above):
    order = [HERE + "SyncOnly", GUARD] if above else [GUARD, HERE + "SyncOnly"]
    with site(CLOSED, [path("x", view)], MIDDLEWARE=order):
        assert send("/x").status_code == 401
        assert send("/x", ALICE).content == b"alice"


def test_server_sent_events_end_with_their_token_where_the_asgi_door_stands_in_front():
    clock = Clock()
    idp = FakeIssuer(algorithm="ES256", clock=clock)
    guard = Guard([idp.trusted(leeway=0)], clock=clock)

    async def events(sub):
        yield f"data: {sub}\n\n"
        clock.advance(3600)
        await asyncio.sleep(0.3)
        yield "data: late\n\n"

    async def stream(request):
        return StreamingHttpResponse(events(request.jwt.subject), content_type="text/event-stream")

    sent = []

    async def converse():
        over = asyncio.Event()
        incoming = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            if not incoming:
                await over.wait()
            return incoming.pop() if incoming else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message.get("body"))
            if message.get("more_body") is False:
                over.set()

        headers = [("Authorization", idp.bearer("alice", expires=1)), ("Host", "testserver")]
        app = jwtguard.asgi.GuardMiddleware(ASGIHandler(), guard)
        await asyncio.wait_for(app(scope_of(Ask("/x", headers=headers)), receive, send), 10)

    with site(guard, [path("x", stream)]):
        asyncio.run(converse())

    assert sent == [None, b"data: alice\n\n", b""]


REMOTE = Issuer(IDP.issuer, audience=IDP.audience, algorithms=["ES256"], keys=Discovery(IDP.issuer))


@pytest.mark.parametrize("door", DJANGO_DOORS.values(), ids=DJANGO_DOORS)
def test_keys_that_cannot_be_had_are_503(door):
    def down(fetch):
        raise FetchError("no answer")

    answer = door(Guard([REMOTE]), Ask("/x", headers=(("Authorization", ALICE),)), down)

    assert (answer.status, answer.seen) == (503, None)
    assert answer.header("Retry-After")


# --- which guard --------------------------------------------------------------------------------

module_guard = CLOSED


def test_a_project_without_a_guard_does_not_start(monkeypatch):
    monkeypatch.delenv("JWTGUARD_CONFIG", raising=False)
    with (
        site(None, [path("x", view)]),
        pytest.raises(jwtguard.django.settings.ImproperlyConfigured, match="set JWTGUARD") as said,
    ):
        ask("/x")
    assert isinstance(said.value, errors.ConfigurationError)


@pytest.mark.parametrize("bad", [{}, "", "missing.toml", "no_module:guard", 7])
def test_a_setting_that_names_no_guard_does_not_start(bad):
    with site(None, [path("x", view)], JWTGUARD=bad), pytest.raises(ConfigurationError):
        ask("/x")


MAPPING = {
    "issuers": [
        {
            "issuer": IDP.issuer,
            "audience": IDP.audience,
            "algorithms": ["ES256"],
            "public_key": IDP.public_pem(),
        }
    ]
}


def test_the_setting_takes_all_that_names_a_guard(tmp_path, monkeypatch):
    (tmp_path / "key.pem").write_text(IDP.public_pem())
    file = tmp_path / "jwtguard.toml"
    file.write_text(
        f'[[issuer]]\nissuer = "{IDP.issuer}"\naudience = "{IDP.audience}"\n'
        'algorithms = ["ES256"]\npublic_key_file = "key.pem"\n'
    )
    for target in (CLOSED, MAPPING, file, str(file), "tests.test_django:module_guard"):
        with site(None, [path("x", view)], JWTGUARD=target):
            assert (ask("/x").status_code, ask("/x", ALICE).status_code) == (401, 200)
    monkeypatch.setenv("JWTGUARD_CONFIG", str(file))
    with site(None, [path("x", view)], JWTGUARD=None):
        assert (ask("/x").status_code, ask("/x", ALICE).status_code) == (401, 200)


def test_the_guard_is_read_once_and_again_when_the_setting_changes():
    with override_settings(JWTGUARD=MAPPING):
        first = current_guard()
        assert current_guard() is first
        with override_settings(JWTGUARD=OPEN):
            assert current_guard() is OPEN
        assert current_guard() is not first


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_that_was_there_before_meets_the_guard_of_now(kind):
    client = kind()
    get = client.get if kind is Client else lambda where: asyncio.run(client.get(where))
    with site(OPEN, [path("x", view)]):
        assert get("/x").status_code == 200
        with override_settings(JWTGUARD=CLOSED):
            assert get("/x").status_code == 401
        assert get("/x").status_code == 200


SMALLEST = """
import sys
import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
from jwtguard.testing import FakeIssuer
from jwtguard import Guard

idp = FakeIssuer()
urlpatterns = [path("x", lambda request: HttpResponse(request.jwt.subject))]
settings.configure(
    ROOT_URLCONF="__main__",
    JWTGUARD=Guard([idp.trusted()]),
    MIDDLEWARE=["jwtguard.django.GuardMiddleware"],
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["jwtguard.django"],
    LOGGING_CONFIG=None,
)
django.setup()
assert "django.contrib.auth.models" not in sys.modules
from django.core.checks import run_checks
from django.test import Client

assert run_checks() == []
client = Client()
assert client.get("/x").status_code == 401
assert client.get("/x", headers={"Authorization": idp.bearer("alice")}).content == b"alice"
assert not [name for name in sys.modules if name.partition(".")[0] in ("rest_framework", "ninja")]
"""


def test_the_smallest_project_has_no_app_of_django_s():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SMALLEST], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr


def test_files_that_runserver_serves_pass_no_middleware_and_media_do(tmp_path):
    (tmp_path / "a.css").write_text("open")
    folder = str(tmp_path)
    changed = {"DEBUG": True, "STATIC_URL": "/static/", "STATICFILES_DIRS": [folder]}
    with override_settings(DEBUG=True):
        patterns = static("/media/", document_root=folder)
    with site(CLOSED, patterns, **changed):
        handler = StaticFilesHandler(WSGIHandler())
        client = werkzeug.test.Client(handler)

        def status(where, **headers):
            with client.get(where, headers=headers) as answer:
                return answer.status_code

        assert status("/static/a.css") == 200
        assert status("/media/a.css") == 401
        assert status("/media/a.css", Authorization=ALICE) == 200


def test_users_of_tokens_need_no_apps_and_no_tables():
    patterns = [path("x", lambda request: HttpResponse(request.user.username))]
    changed = {"AUTHENTICATION_BACKENDS": [BACKEND], "INSTALLED_APPS": []}
    with site(CLOSED, patterns, **changed):
        assert ask("/x", ALICE).content == b"alice"
