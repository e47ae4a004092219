"""Whatever bytes arrive, the result is Allow or Deny; nothing else escapes (design section 4).

And nothing is allowed that PyJWT and joserfc would both refuse.
"""

import contextlib
import json
import string
import warnings

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from jwtguard import JWKSet, Rule, Secret, errors
from jwtguard.core import Allow, Deny, Request
from jwtguard.core.algorithms import ALGORITHMS
from jwtguard.core.paths import return_address
from jwtguard.core.verifier import verify_jws
from jwtguard.testing import private_key, public_jwk, sign
from tests.core.forge import AUDIENCE, CLAIMS, HEADER, ISSUER, NOW, SECRET, forge, make_guard
from tests.core.forge import token as good_token

RULES = [
    Rule(["/", "/open/**"], access="public"),
    Rule("/maybe/**", access="optional", credentials=["bearer", {"cookie": "c"}]),
    Rule("/files/**", opaque_tail=True),
    Rule("/t/{id}/**", require={"sub": {"path": "id"}}),
    Rule("/role", methods=["GET"], roles="admin"),
    Rule("/401", roles="x", status=401),
    Rule("/login", access="public"),
    Rule("/redirect", https="redirect"),
    Rule(
        "/**",
        scopes="a",
        credentials=[
            "bearer",
            {"cookie": "c"},
            {"header": "X-T", "prefix": "T "},
            {"query": "t"},
            {"subprotocol": "bearer"},
        ],
    ),
]
GUARDS = [
    make_guard(
        RULES,
        login="/login",
        variables="json",
        forward={"X-User": "sub", "X-N": "n", "X-Deep": "/n/0"},
        origins="https://app.test",
        public_url="https://own.test",
        preflight="answer",
        response_headers=True,
        strip_credentials=True,
        required_claims=[],
        audience=None,
    ),
    make_guard(variables="plain", remote_user="{issuer}:{n}", preflight="pass"),
    make_guard(issuer=None, any_iss=True, audience=None, required_claims=[], max_age=60),
]


def assert_decision(decision):
    assert isinstance(decision, Allow | Deny)
    if isinstance(decision, Deny):
        assert decision.status in {204, 302, 308, 400, 401, 403}, decision
        for name, value in decision.headers:
            assert name.isascii()
            assert value.isascii()
            assert value.isprintable(), (name, value)
        assert isinstance(decision.body, bytes)
    else:
        for name, value in decision.set:
            if name.startswith("X-"):  # ours; the others are what is left of the client's own
                assert not set(value) & set("\r\n\0"), name
                value.encode()
        for value in decision.variables.values():
            value.encode()


# Latin-1 is what servers hand over; the rest of Unicode is what a careless door might.
field_text = st.one_of(
    st.text(st.characters(max_codepoint=255)),
    st.text(),
    st.text(st.characters(categories=["Cs", "Lu", "Cc"])),
    st.text(string.ascii_letters + ' \t",;=.-_~+/\\\0\r\n'),
)
tokens = st.one_of(
    st.just(good_token()),
    st.just(good_token(scope="a", roles=["admin"], n=["x", {"y": None}])),
    st.text(string.ascii_letters + string.digits + "-_."),
    field_text,
)
field_names = st.sampled_from(
    [
        *("authorization", "cookie", "x-t", "origin", "host", "accept", "sec-fetch-site"),
        *("sec-fetch-mode", "x-requested-with", "sec-websocket-protocol", "upgrade", "x-user"),
        *("access-control-request-method", "access-control-request-headers", "X_User"),
        *("x-forwarded-for", "x-http-method-override", "x-original-url", "forwarded"),
    ]
)
field_values = st.one_of(
    field_text,
    st.builds("Bearer {}".format, tokens),
    st.builds("c={}".format, tokens),
    st.builds("c={}; a=b; c={}".format, tokens, tokens),
    st.builds("T {}".format, tokens),
    st.builds("bearer, {}".format, tokens),
    st.sampled_from(["text/html", "navigate", "same-origin", "https://app.test", "PUT", "null"]),
)
segments = st.sampled_from(
    [
        *("", ".", "..", "a", "open", "maybe", "files", "t", "role", "%2e", "%2F", "%5c", "%00"),
        *(";", "a;b", "\\", "#", "?", "%", "%25", "\n", "\x85", "\ufffd", "\ud800", "é", "login"),
    ]
)
paths = st.one_of(
    st.lists(segments, max_size=5).map(lambda parts: "/" + "/".join(parts)),
    st.text(max_size=40),
    field_text.map(lambda text: f"/{text}"),
)
requests = st.builds(
    Request,
    st.one_of(st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "get", "PROPFIND"]), field_text),
    paths,
    raw_path=st.one_of(st.none(), paths),
    query=st.one_of(st.just(""), st.builds("t={}".format, tokens), field_text),
    headers=st.lists(st.tuples(field_names, field_values), max_size=6),
    scheme=st.sampled_from(["http", "https", "ws", "wss", ""]),
    client=st.one_of(st.none(), st.text()),
    websocket=st.booleans(),
    mount=st.one_of(st.just(""), paths),
)


@given(requests)
def test_any_request_is_allowed_or_denied(request):
    for guard in GUARDS:
        assert_decision(guard.decide(request))


SEEN = good_token(scope="a", sub="a", roles=["admin"])


@given(
    st.sampled_from(["GET", "POST", "get", "HEAD", "OPTIONS"]) | field_text,
    paths,
    st.none() | paths,
    st.just(f"Bearer {SEEN}") | st.builds("Bearer {}".format, tokens) | field_values,
)
def test_what_is_recalled_is_what_would_be_decided(method, path, raw_path, field):
    for guard in GUARDS:
        request = Request(method, path, raw_path=raw_path, headers=[("authorization", field)])
        guard.decide(request)
        allow = guard.recall(method, path, raw_path, field)
        if allow is not None:
            decision = guard.decide(request)
            assert isinstance(decision, Allow)
            assert decision.rule is allow.rule
            assert decision.token.claims == allow.token.claims
            assert list(decision.set) == list(allow.set)
            assert decision.variables == allow.variables
            assert decision.remove == allow.remove


# Roots of everything that needs a token in the first guard, as an application would see them.
@given(st.builds(Request, st.just("GET"), paths, raw_path=st.one_of(st.none(), paths)))
def test_without_a_token_only_the_open_paths_are_reached(request):
    decision = GUARDS[0].decide(request)
    if isinstance(decision, Allow):
        path = request.path
        assert path in ("/", "/login", "/login/") or path.startswith(("/open", "/maybe"))
        assert path.partition("/")[2].partition("/")[0] in ("", "open", "maybe", "login")


@given(tokens)
def test_any_text_is_a_token_or_an_invalid_one(raw):
    for guard in GUARDS:
        with contextlib.suppress(errors.InvalidToken):
            assert guard.verify(raw).raw == raw


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=NOW - 100, max_value=NOW + 100)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text()
    | st.sampled_from([ISSUER, AUDIENCE, "a", "admin", 10**400, "\ud800", 1e308, -1]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
claim_names = (
    st.sampled_from(
        [
            "iss",
            "sub",
            "aud",
            "exp",
            "nbf",
            "iat",
            "jti",
            "scope",
            "scp",
            "role",
            "roles",
            "realm_access",
            "cnf",
            "n",
            "typ",
        ]
    )
    | st.text()
)
claim_sets = st.dictionaries(claim_names, json_values, max_size=6)
header_sets = st.dictionaries(
    st.sampled_from(
        ["alg", "kid", "typ", "cty", "crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "x"]
    )
    | st.text(),
    json_values | st.sampled_from(["HS256", "none", "JWT", "at+jwt", "RS256"]),
    max_size=4,
)


@given(claim_sets, st.booleans())
@example({"exp": 10**400}, True)
@example({"n": "\ud800"}, True)
@example({"aud": [[]]}, True)
def test_any_claims_in_a_correctly_signed_token(claims, on_top_of_good):
    raw = forge((CLAIMS if on_top_of_good else {}) | claims)
    for guard in GUARDS:
        for path in ("/x", "/role", "/t/a/b", "/maybe", "/401"):
            request = Request("GET", path, headers=[("authorization", f"Bearer {raw}")])
            assert_decision(guard.decide(request))
            assert_decision(guard.decide(request))


@given(header_sets, st.booleans())
def test_any_header_of_a_correctly_signed_token(header, on_top_of_good):
    raw = forge(CLAIMS, (HEADER if on_top_of_good else {}) | header)
    for guard in GUARDS:
        request = Request("GET", "/x", headers=[("authorization", f"Bearer {raw}")])
        assert_decision(guard.decide(request))


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_as_header_and_payload_of_a_correctly_signed_token(header, payload):
    for raw in (forge(payload), forge(CLAIMS, header), forge(payload, header)):
        assert_decision(
            GUARDS[0].decide(Request("GET", "/x", headers=[("authorization", f"Bearer {raw}")]))
        )


@given(st.text() | paths | field_text)
def test_a_return_address_never_leaves_the_site(target):
    address = return_address(target)
    assert address.startswith("/")
    assert not address.startswith(("//", "/\\"))
    assert address.isascii()
    assert address.isprintable()
    assert " " not in address
    assert return_address(address) == address


@given(json_values)
def test_any_mapping_as_a_key_set_is_taken_or_a_problem(mapping):
    for members in (mapping, {"keys": mapping}, {"keys": [mapping]}):
        source = JWKSet(members)
        assert source.problems or len(source.current()) > 0


jwk_members = st.dictionaries(
    st.sampled_from(["kty", "crv", "n", "e", "x", "y", "k", "alg", "use", "key_ops", "kid", "d"]),
    json_values
    | st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "sig", "RS256"])
    | st.text(string.ascii_letters + "-_", max_size=50),
)


@given(jwk_members)
def test_any_jwk_is_taken_or_a_problem(jwk):
    source = JWKSet({"keys": [jwk]})
    assert source.problems or len(source.current()) == 1


@given(st.text() | st.binary(), st.sampled_from(["utf8", "hex", "base64", "base64url", "x"]))
def test_any_secret_is_taken_or_a_problem(value, encoding):
    for short in (False, True):
        source = Secret(value, encoding, insecure_short_keys=short)
        assert source.problems or len(source.current()) == 1


# --- oracles ------------------------------------------------------------------------------------

KEYS = {name: private_key(name) for name in ("HS256", "RS256", "PS256", "ES256", "ES512", "EdDSA")}
SOURCES = {name: JWKSet(public_jwk(key)) for name, key in KEYS.items()}
TOKENS = {name: sign(CLAIMS, key, name) for name, key in KEYS.items()}


def pyjwt_accepts(raw, name):
    key = KEYS[name] if isinstance(KEYS[name], bytes) else KEYS[name].public_key()
    try:
        jwt.api_jws.decode_complete(raw, key, algorithms=[name])
    except (jwt.PyJWTError, ValueError):
        return False
    return True


def joserfc_accepts(raw, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of EdDSA's old name
        try:
            key = import_key(public_jwk(KEYS[name]))
            joserfc_jws.deserialize_compact(raw, key, algorithms=[name])
        except (JoseError, ValueError):
            return False
    return True


def mutations(raw):
    """A few changes to a good token: characters, segments, lengths."""
    alphabet = string.ascii_letters + string.digits + "-_.=+/ \n\0é"
    change = st.tuples(st.integers(0, len(raw)), st.integers(0, 3), st.text(alphabet, max_size=3))

    def apply(changes):
        text = raw
        for at, length, new in changes:
            text = text[:at] + new + text[at + length :]
        return text

    return st.lists(change, max_size=3).map(apply)


@pytest.mark.parametrize("name", KEYS)
def test_the_oracles_accept_what_is_good(name):
    assert verify_jws(TOKENS[name], SOURCES[name], [name])
    assert pyjwt_accepts(TOKENS[name], name)
    assert joserfc_accepts(TOKENS[name], name)


@given(st.data())
def test_nothing_is_accepted_that_both_others_refuse(data):
    name = data.draw(st.sampled_from(sorted(KEYS)))
    raw = data.draw(mutations(TOKENS[name]))
    try:
        verify_jws(raw, SOURCES[name], list(ALGORITHMS))
    except errors.InvalidToken:
        return
    assert raw == TOKENS[name]
    assert pyjwt_accepts(raw, name) or joserfc_accepts(raw, name)


@given(header_sets, claim_sets)
def test_no_claims_are_accepted_that_pyjwt_refuses(header, claims):
    """PyJWT's own checks of the registered claims, with the same expectations."""
    raw = forge(CLAIMS | {"exp": 99_999_999_999} | claims, HEADER | header)
    try:
        token = GUARDS[1].verify(raw)
    except errors.InvalidToken:
        return
    own = jwt.decode(
        raw,
        SECRET,
        algorithms=["HS256"],
        audience=AUDIENCE,
        issuer=ISSUER,
        leeway=10**11,  # the guard's clock stands still, PyJWT's does not
        options={"require": ["exp"]},
    )
    assert token.claims == own
    assert json.dumps(token.claims)
