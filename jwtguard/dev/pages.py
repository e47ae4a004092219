"""What the issuer of a run answers: discovery, keys, tokens, and a page to ask for them.

It keeps nothing. Whoever reaches it gets any token, so it answers to its own names only (a page of
another site cannot be made to stand under them, as with DNS rebinding), takes forms from its own
page or from no browser at all, and everything that was sent is written escaped.
"""

import html
import json
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from .issuer import DevIssuer, Unclear, Wish, listed, required

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
DISCOVERY = "/.well-known/openid-configuration"


class _Form(Request):
    max_content_length = 65_536
    max_form_memory_size = 65_536


class Pages:
    """A WSGI app."""

    def __init__(self, issuer: DevIssuer, port: int) -> None:
        self.issuer = issuer
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        try:
            response = self.answer(_Form(environ))
        except HTTPException as error:  # a form that is none, or too long
            response = Response(f"{error.description}\n", error.code)
        response.headers.update(HEADERS)
        return response(environ, start_response)

    def answer(self, request: _Form) -> Response:
        """The response to a request."""
        host = request.headers.get("Host", "")
        if host not in self.hosts:
            return Response("This is a development issuer; it has another name.\n", 421)
        path = request.path
        if request.method in ("GET", "HEAD"):
            if path == "/":
                return self._form(request)
            if path == "/style.css":
                return Response((HERE / "style.css").read_bytes(), mimetype="text/css")
            if path == "/jwks.json":
                return _json(self.issuer.jwks)
            if path.endswith(DISCOVERY):
                return self._discovery(host, path.removesuffix(DISCOVERY))
        elif request.method == "POST" and path in ("/", "/token"):
            if not _is_own(request, host):
                return Response("This form belongs to another site.\n", 403)
            return self._token(request, is_page=path == "/")
        return Response("There is no such page.\n", 404)

    def _discovery(self, host: str, prefix: str) -> Response:
        """OpenID Connect Discovery 1.0 section 3; there is no authorization endpoint here."""
        issuers = self.issuer.issuers
        places = {"": issuers[0]} | {f"/{number}": one for number, one in enumerate(issuers)}
        issuer = places.get(prefix)
        if issuer is None:
            return Response("There is no such issuer.\n", 404)
        iss = next(iter(issuer.spellings), issuer.issuer)
        return _json(
            {
                "issuer": iss,
                "jwks_uri": f"http://{host}/jwks.json",
                "id_token_signing_alg_values_supported": [*issuer.algorithms],
                "response_types_supported": [],
                "subject_types_supported": ["public"],
            }
        )

    def _token(self, request: _Form, *, is_page: bool) -> Response:
        wish = _wish(request)
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
        response = _page(
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

    def _form(self, request: _Form, problem: str = "", status: int = 200) -> Response:
        wish = _wish(request)
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
        response = _page(
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
            roles=_choices("role", self.issuer.offered("roles", "any_role"), wish.roles),
            scopes=_choices("scope", self.issuer.offered("scopes", "any_scope"), wish.scopes),
            claims=html.escape(claims),
            expires=html.escape(wish.expires),
            cookies=cookies,
        )
        response.status_code = status
        return response


def _is_own(request: Request, host: str) -> bool:
    """Whether a form comes from this page, or from no browser: nobody else may set its cookies."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin == f"http://{host}"
    return request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")


def _wish(request: _Form) -> Wish:
    form = request.form
    if not form:
        return Wish()
    return Wish(
        issuer=form.get("issuer", ""),
        tenant=form.get("tenant", ""),
        sub=form.get("sub", "alice"),
        # What is ticked stands as it is; what is written may hold several.
        roles=(*form.getlist("role"), *listed(form.getlist("roles"), ",")),
        scopes=(*form.getlist("scope"), *listed(form.getlist("scopes"), " ,\t")),
        claims=form.get("claims", ""),
        expires=form.get("expires", "3600"),
    )


def _choices(name: str, offered: list[str], chosen: tuple[str, ...]) -> str:
    """Boxes to tick for what rules ask for, and a field for everything else."""
    boxes = "".join(
        f'<label class="box"><input type="checkbox" name="{name}" value="{html.escape(one)}"'
        f"{' checked' if one in chosen else ''}> {html.escape(one)}</label>\n"
        for one in offered
    )
    others = html.escape(", ".join(one for one in chosen if one not in offered))
    label = "others, with commas between" if offered else "with commas between"
    return (
        f'{boxes}<input name="{name}s" value="{others}" placeholder="{label}" '
        f'aria-label="{name}s: {label}" autocapitalize="off" spellcheck="false">'
    )


def _page(name: str, **values: str) -> Response:
    """The file *name* with *values*, which are HTML already."""
    text = Template((HERE / name).read_text("utf-8")).substitute(values)
    return Response(text, mimetype="text/html")


def _json(members: object) -> Response:
    return Response(json.dumps(members), mimetype="application/json")
