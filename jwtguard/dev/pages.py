"""What the issuer of a run answers: discovery, keys, tokens, and a page to ask for them.

It keeps nothing. Whoever reaches it gets any token, so it answers to its own names only (a page of
another site cannot be made to stand under them, as with DNS rebinding), takes forms from its own
page or from no browser at all, and everything that was sent is written escaped.
"""

import html
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from .forms import Form, as_json, choices, file, is_own, page, wish_of
from .issuer import DevIssuer, Unclear, required
from .signing_in import DISCOVERY, PAGE, TOKENS, Provider

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # With less, browsers say nothing of where a form comes from: "Origin: null" (Fetch standard).
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


Answer = Callable[[Form], Response]


class Pages:
    """A WSGI app."""

    def __init__(self, issuer: DevIssuer, port: int) -> None:
        self.issuer = issuer
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.provider = Provider.of(issuer, f"http://127.0.0.1:{port}")
        # Browsers look at where a form's answer redirects to, as well.
        back = "" if self.provider is None else f" {self.provider.origin}"
        self.headers = HEADERS | {"Content-Security-Policy": POLICY + back}
        self._gets: dict[str, Answer] = {
            "/style.css": lambda _: Response(file("style.css"), mimetype="text/css"),
            "/jwks.json": lambda _: as_json(issuer.jwks),
        }
        self._posts: dict[str, Answer] = {}
        if issuer.issuers:
            self._gets["/"] = self._form
            self._posts |= {"/": self._token, "/token": self._token}
        if self.provider is not None:
            self._gets[PAGE] = self.provider.page
            self._posts |= {PAGE: self.provider.page, TOKENS: self.provider.tokens}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        try:
            response = self.answer(Form(environ))
        except HTTPException as error:  # a form that is none, or too long
            response = Response(f"{error.description}\n", error.code)
        response.headers.update(self.headers)
        return response(environ, start_response)

    def answer(self, request: Form) -> Response:
        """The response to a request."""
        host = request.headers.get("Host", "")
        if host not in self.hosts:
            return Response("This is a development issuer; it has another name.\n", 421)
        path = request.path
        if request.method in ("GET", "HEAD"):
            if path in self._gets:
                return self._gets[path](request)
            if path.endswith(DISCOVERY):
                return self._discovery(host, path.removesuffix(DISCOVERY))
        elif request.method == "POST" and path in self._posts:
            if not is_own(request, host):
                return Response("This form belongs to another site.\n", 403)
            return self._posts[path](request)
        return Response("There is no such page.\n", 404)

    def _discovery(self, host: str, prefix: str) -> Response:
        """OpenID Connect Discovery 1.0 section 3; people sign in at one issuer at most."""
        if self.provider and prefix in self.provider.places:
            return as_json(self.provider.document)
        issuers = self.issuer.issuers
        places = {f"/{number}": one for number, one in enumerate(issuers)}
        issuer = places.get(prefix or "/0")
        if issuer is None:
            return Response("There is no such issuer.\n", 404)
        iss = next(iter(issuer.spellings), issuer.issuer)
        return as_json(
            {
                "issuer": iss,
                "jwks_uri": f"http://{host}/jwks.json",
                "id_token_signing_alg_values_supported": [*issuer.algorithms],
                "response_types_supported": [],
                "subject_types_supported": ["public"],
            }
        )

    def _token(self, request: Form) -> Response:
        wish, is_page = wish_of(request), request.path == "/"
        try:
            token, claims = self.issuer.token(wish)
        except Unclear as error:
            if is_page:
                return self._form(request, problem=str(error), status=400)
            return Response(f"{error}\n", 400)
        if not is_page:
            return Response(f"{token}\n")
        cookie = request.form.get("cookie", "")
        if cookie and cookie not in self.issuer.cookies:
            return Response("No rule reads that cookie.\n", 400)
        done = f"The cookie <code>{html.escape(cookie)}</code> is set." if cookie else ""
        response = page(
            "token.html",
            token=html.escape(token),
            claims=html.escape(json.dumps(claims, indent=2, ensure_ascii=False)),
            done=f'<p class="good" role="status">{done}</p>' if done else "",
            back=html.escape("/?" + urlencode({"issuer": self.issuer.named(wish.issuer).name})),
        )
        if cookie:
            # Lax and host-only; cookies know no port, so the app on this host gets it too.
            # Browsers take Secure on loopback addresses, and demand it for the two prefixes.
            response.set_cookie(
                cookie,
                token,
                max_age=max(0, claims.get("exp", 0) - claims.get("iat", 0)),
                httponly=True,
                samesite="Lax",
                secure=cookie.startswith(("__Host-", "__Secure-")),
            )
        return response

    def _form(self, request: Form, problem: str = "", status: int = 200) -> Response:
        wish = wish_of(request)
        try:
            issuer = self.issuer.named(wish.issuer or request.args.get("issuer", ""))
        except Unclear:
            issuer = self.issuer.issuers[0]
        claims = wish.claims
        if not claims and request.method != "POST" and (filled := required(issuer)):
            claims = json.dumps(filled, indent=2)
        others = "".join(
            f'<a href="/?{html.escape(urlencode({"issuer": one.name}))}"'
            f"{' aria-current=page' if one is issuer else ''}>{html.escape(one.name)}</a>\n"
            for one in self.issuer.issuers
        )
        tenants = "".join(
            f"<option{' selected' if one == wish.tenant else ''}>{html.escape(one)}</option>"
            for one in issuer.tenants
        )
        cookies = "".join(
            f'<button name="cookie" value="{html.escape(name)}">Set the cookie '
            f"{html.escape(name)}</button>\n"
            for name in self.issuer.cookies
        )
        response = page(
            "login.html",
            issuer=html.escape(issuer.name),
            others=f'<nav aria-label="Issuers">{others}</nav>'
            if len(self.issuer.issuers) > 1
            else "",
            problem=f'<p class="bad" role="alert">{html.escape(problem)}</p>' if problem else "",
            tenant=f'<label>Tenant <select name="tenant">{tenants}</select></label>'
            if tenants
            else "",
            sub=html.escape(wish.sub),
            roles=choices("role", self.issuer.offered("roles", "any_role"), wish.roles),
            scopes=choices("scope", self.issuer.offered("scopes", "any_scope"), wish.scopes),
            claims=html.escape(claims),
            expires=html.escape(wish.expires),
            cookies=cookies,
        )
        response.status_code = status
        return response
