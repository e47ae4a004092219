"""Every row of the two reference systems that this version serves, through both doors.

A test is named after its row. Where the contract table holds the facts already, the row points to
them by name; what it adds is here.
"""

import base64
import hashlib
import hmac
import json
import logging
import re
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jwtguard import FromCookie, Guard, Issuer, JWKSet, PublicKey, Rule, Secret, errors
from jwtguard.testing import FakeIssuer, private_key, public_jwk, sign

from .contract import (
    BAD_REQUEST,
    CASES,
    DENIED,
    DENIED_401,
    EXPIRED,
    EXPIRED_TOKEN,
    FORGED,
    INVALID_TOKEN,
    NO_CREDENTIALS,
    TOKEN,
    Case,
    bearer,
    idp,
)
from .doors import BOTH, Ask
from .test_contract import check

SECRET = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"  # 64 bytes
NOW = 1_800_000_000

every_door = pytest.mark.parametrize("door", BOTH.values(), ids=BOTH)


def row(*names):
    """The facts of the contract table that make up a row, each through both doors."""

    def decorate(test):
        test = pytest.mark.parametrize("case", [CASES[name] for name in names], ids=names)(test)
        return every_door(test)

    return decorate


def status(door, guard, value=None, target="/x", **headers):
    pairs = {name.replace("_", "-"): text for name, text in headers.items()}
    if value is not None:
        pairs["Authorization"] = f"Bearer {value}"
    return door(guard, Ask(target, headers=tuple(pairs.items()))).status


def hs256(**claims):
    return sign({"exp": NOW + 60, **claims}, SECRET, "HS256")


def secret_guard(*rules, keys=None, algorithms=("HS256",), clock=lambda: NOW, **words):
    issuer = Issuer(
        name="secret",
        audience=None,
        algorithms=algorithms,
        keys=Secret(SECRET) if keys is None else keys,
        **words,
    )
    return Guard([issuer], rules, clock=clock)


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def refused_at_start(**words):
    """The problems of an issuer that must not come up."""
    with pytest.raises(errors.ConfigurationError) as raised:
        secret_guard(**words)
    return dict(raised.value.problems)


# --- A. nginx JWT module ------------------------------------------------------------------------


@row(
    "what no rule names needs a token",
    "what no rule names is open to a valid token",
    "/tree/** matches /tree/a",
    "a public rule does not look at credentials",
    "the first rule that matches decides, and it opens",
)
def test_a1_rules_switch_protection_per_path(case, door, caplog):
    check(case, door, caplog)


@row(
    "Authorization: Bearer carries the token",
    "Authorization: bearer in lower case carries the token",
    "Authorization: Basic is no credentials",
    "Authorization: an empty value is no credentials",
)
def test_a2_the_token_stands_in_authorization(case, door, caplog):
    check(case, door, caplog)


@row(
    "two Authorization fields are refused: the same token twice",
    "two Authorization fields are refused: a good and a bad token",
    "two Authorization fields are refused: Basic first",
)
def test_a3_two_authorization_fields_are_400(case, door, caplog):
    check(case, door, caplog)


@row(
    "a cookie carries the token: between others",
    "a cookie of the rule means that Authorization is not read",
    "the query carries the token and the app sees the rest",
    "a header carries the token",
    "a header of the rule means that Authorization is not read",
    "a rule with several places takes the header",
    "two explicit places carry a token: Authorization and header",
)
def test_a4_the_token_stands_where_the_rule_says(case, door, caplog):
    check(case, door, caplog)


@every_door
@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf8", SECRET.decode()),
        ("hex", SECRET.hex()),
        ("base64", base64.b64encode(SECRET).decode()),
        ("base64url", base64.urlsafe_b64encode(SECRET).rstrip(b"=").decode()),
    ],
)
def test_a5_a_secret_is_written_in_four_encodings_or_a_file(encoding, written, door, tmp_path):
    file = tmp_path / "secret"
    file.write_text(f"{written}\n")

    for keys in (Secret(written, encoding), Secret.from_file(file, encoding)):
        guard = secret_guard(keys=keys)
        assert status(door, guard, hs256()) == 200
        assert status(door, guard, sign({"exp": NOW + 60}, SECRET[::-1], "HS256")) == 401


@every_door
def test_a5_several_keys_serve_and_a_rule_names_its_issuers(door):
    def issuer(name, *secrets):
        keys = [Secret(secret) for secret in secrets]
        return Issuer(name=name, audience=None, algorithms="HS256", keys=keys)

    old, new, other = (SECRET, SECRET[::-1], SECRET.swapcase())
    rules = [Rule("/jobs/**", issuers="jobs"), Rule("/**", issuers="people")]
    guard = Guard([issuer("people", old, new), issuer("jobs", other)], rules)

    def ask(target, secret):
        token = sign({"exp": int(time.time()) + 60}, secret, "HS256")
        return status(door, guard, token, target)

    assert [ask("/x", secret) for secret in (old, new, other)] == [200, 200, 401]
    assert [ask("/jobs/x", secret) for secret in (old, new, other)] == [401, 401, 200]


@pytest.mark.parametrize("value", ["abc", "xyz!", "0g"])
def test_a6_bad_hex_is_a_start_up_error(value):
    problems = refused_at_start(keys=Secret(value, "hex"))

    assert "hexadecimal" in problems["issuers[0].keys.value"]


@pytest.mark.parametrize(
    ("value", "encoding"),
    [("a", "base64"), ("a*b=", "base64"), ("a+b/", "base64url"), ("", "utf8"), ("", "hex")],
)
def test_a7_bad_base64_and_an_empty_key_are_start_up_errors(value, encoding):
    assert "issuers[0].keys.value" in refused_at_start(keys=Secret(value, encoding))


@every_door
def test_a8_a_key_file_is_read_at_the_start_and_when_it_changes(door, tmp_path):
    file = tmp_path / "key.pem"
    old, new = private_key("RS256"), private_key("RS256")
    file.write_bytes(pem(old))
    guard = secret_guard(keys=PublicKey.from_file(file), algorithms="RS256")
    tokens = [sign({"exp": NOW + 60}, key, "RS256") for key in (old, new)]
    assert [status(door, guard, token) for token in tokens] == [200, 401]

    file.write_bytes(pem(new) + b"\n")
    deadline = time.monotonic() + 10  # it looks at most once a second
    while status(door, guard, tokens[1]) != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)

    assert [status(door, guard, token) for token in tokens] == [401, 200]


@pytest.mark.parametrize("content", [None, b"", b"\n", b"no key at all"])
def test_a8_a_missing_or_empty_key_file_is_a_start_up_error(content, tmp_path):
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)

    problems = refused_at_start(keys=PublicKey.from_file(file), algorithms="RS256")

    assert str(file) in problems["issuers[0].keys.file"]


@pytest.mark.parametrize("keys", [JWKSet({"keys": []}), []])
def test_a9_protection_without_a_key_is_a_start_up_error(keys):
    assert refused_at_start(keys=keys, algorithms="RS256")


def test_a9_a_guard_without_an_issuer_is_a_start_up_error():
    with pytest.raises(errors.ConfigurationError, match="issuers"):
        Guard([])


_ALGORITHMS = (
    *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "Ed448"),
)


@every_door
@pytest.mark.parametrize("algorithm", _ALGORITHMS)
def test_a10_every_algorithm_verifies_what_lists_it_and_nothing_else(algorithm, door):
    key = private_key(algorithm)
    keys = JWKSet({"keys": [public_jwk(key)]})
    other = "RS512" if algorithm == "RS256" else "RS256"
    header = {"alg": other}
    token = sign({"exp": NOW + 60}, key, algorithm)
    # The same signature under another name.
    parts = token.split(".")
    renamed = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()

    guard = secret_guard(keys=keys, algorithms=[algorithm])

    assert status(door, guard, token) == 200
    assert status(door, guard, ".".join([renamed, *parts[1:]])) == 401
    assert status(door, guard, token[:-12] + "A" * 12) == 401


@pytest.mark.parametrize("name", ["any", "none", "None", "hs256", "HS1", ""])
def test_a10_any_and_none_are_no_algorithms(name):
    assert "issuers[0].algorithms" in refused_at_start(algorithms=[name])


@every_door
def test_a11_a_token_signed_with_the_public_key_as_a_secret_is_refused(door):
    key = private_key("RS256")
    guard = secret_guard(keys=PublicKey.from_pem(pem(key)), algorithms="RS256")
    header = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=").decode()
    payload = base64.urlsafe_b64encode(b'{"exp":%d}' % (NOW + 60)).rstrip(b"=").decode()
    for material in (pem(key), pem(key).strip(), pem(key).replace(b"\n", b"")):
        mac = hmac.digest(material, f"{header}.{payload}".encode(), hashlib.sha256)
        forged = f"{header}.{payload}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert status(door, guard, forged) == 401
    assert status(door, guard, sign({"exp": NOW + 60}, key, "RS256")) == 200


@pytest.mark.parametrize(
    "material",
    [
        pem(private_key("RS256")),
        b"\n " + pem(private_key("ES256")),
        json.dumps(public_jwk(private_key("RS256"))).encode(),
        json.dumps({"keys": [public_jwk(private_key("ES256"))]}).encode(),
        b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ me@here and some more text",
        private_key("RS256")
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["PEM", "PEM behind space", "JWK", "JWK Set", "SSH", "DER"],
)
def test_a11_key_material_is_no_secret(material):
    assert "issuers[0].keys.value" in refused_at_start(keys=Secret(material))


def test_a11_hs256_with_a_public_key_is_a_start_up_error():
    keys = PublicKey.from_pem(pem(private_key("RS256")))

    assert "public keys" in refused_at_start(keys=keys)["issuers[0].algorithms"]


@row(
    "requirement: status=401 answers 401 and a plain challenge",
    "requirement: one of any_role is enough",
    "requirement: none of any_role is not",
    "requirement: one scope of two is not all",
    "requirement: a check that says True allows",
    "requirement: a check that says something true does not",
    "a path parameter that differs from the claim does not",
)
def test_a12_a_requirement_answers_403_or_401(case, door, caplog):
    check(case, door, caplog)


@row("Authorization: an expired token", "Authorization: a forged token")
def test_a12_the_rules_status_is_not_that_of_a_bad_token(case, door, caplog):
    check(case, door, caplog)


@every_door
@pytest.mark.parametrize("value", ["", "0", False, None, [], {}, 0])
@pytest.mark.parametrize("wanted", [True, "yes", 1])
def test_a13_nothing_that_only_looks_true_passes(wanted, value, door):
    guard = secret_guard(Rule("/**", require={"flag": wanted}))

    assert status(door, guard, hs256(flag=value)) == 403


@every_door
@pytest.mark.parametrize(
    ("wanted", "claim", "expected"),
    [
        (True, True, 200),
        (True, 1, 403),
        (True, "true", 403),
        (1, 1, 200),
        (1, True, 403),
        (1, "1", 403),
        ("1", "1", 200),
        ("1", 1, 403),
        ("a", ["b", "a"], 200),
        ("a", ["ab"], 403),
        ("a", {"a": 1}, 403),
        (["a", "b"], "b", 200),
    ],
)
def test_a13_claims_are_compared_with_their_type(wanted, claim, expected, door):
    guard = secret_guard(Rule("/**", require={"c": wanted}))

    assert status(door, guard, hs256(c=claim)) == expected


@every_door
def test_a14_a_requirement_and_its_status_belong_to_one_rule(door):
    guard = secret_guard(
        Rule("/a/b/**", roles="admin", status=401), Rule("/a/**", roles="admin"), Rule("/**")
    )

    assert status(door, guard, hs256(), "/a/b/c") == DENIED_401.status
    assert status(door, guard, hs256(), "/a/c") == DENIED.status
    assert status(door, guard, hs256(), "/c") == 200


@every_door
def test_a15_cheap_checks_come_before_the_signature(door, caplog):
    guard = secret_guard(Rule("/**", roles="admin"))
    stranger = SECRET[::-1]

    def reason(claims, key, algorithm="HS256"):
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="jwtguard.refused"):
            assert status(door, guard, sign(claims, key, algorithm)) in (401, 403)
        return caplog.records[-1].reason

    assert reason({"exp": NOW - 60}, stranger, "HS512") == "algorithm_not_allowed"
    assert reason({"exp": NOW - 60}, stranger) == "expired"
    assert reason({"exp": NOW + 60}, stranger) == "bad_signature"
    assert reason({"exp": NOW + 60}, SECRET) == "role_missing"


@row(
    "login: a page request goes to the login page",
    "login: the path is percent-encoded",
    "login: the query comes along",
    "login: an absolute login gets an absolute address from public_url",
    "login: no redirect for a request of a script",
    "login: no redirect for POST",
    "login: the mount prefix '//evil.example' leads nowhere else",
)
def test_a16_a_401_sends_browsers_to_the_login(case, door, caplog):
    check(case, door, caplog)


@every_door
def test_a17_other_conditions_stand_in_check_and_optional_access(door):
    """``satisfy all`` is a check; ``satisfy any`` is optional access and a check of the app's."""
    inside = Rule("/all/**", check=lambda token, request: request.client == "127.0.0.1")
    nowhere = Rule("/none/**", check=lambda token, request: request.client == "192.0.2.1")
    guard = secret_guard(inside, nowhere, Rule("/any/**", access="optional"))

    assert status(door, guard, hs256(), "/all/x") == 200
    assert status(door, guard, None, "/all/x") == 401
    assert status(door, guard, hs256(), "/none/x") == 403
    assert status(door, guard, None, "/any/x") == 200
    assert status(door, guard, hs256(exp=NOW - 60), "/any/x") == 401


@row(
    "a preflight is judged by default",
    "preflight=pass lets a preflight through and publishes nothing",
    "preflight=pass judges OPTIONS without Origin",
    "preflight=answer replies to a listed origin without reaching the app",
)
def test_a18_only_a_real_preflight_may_pass(case, door, caplog):
    check(case, door, caplog)


@row("a rule for GET does not cover OPTIONS")
def test_a18_options_is_a_method_like_any(case, door, caplog):
    check(case, door, caplog)


@every_door
def test_a19_no_path_answers_before_it_is_judged(door):
    guard = secret_guard()

    for target in ("/", "/favicon.ico", "/robots.txt", "/.well-known/x", "/health"):
        answer = door(guard, Ask(target))
        assert (answer.status, answer.seen) == (401, None)


@row(
    "optional: an expired token in a cookie is anonymous",
    "optional: a forged token in a cookie is anonymous",
    "variables are absent where nobody was authenticated",
)
def test_a20_a_bad_token_fills_no_variables(case, door, caplog):
    check(case, door, caplog)


@row(
    "what no rule names needs a token",
    "Authorization: an expired token",
    "requirement: the challenge lists scopes as the rule does",
    "refusal: the realm stands in the challenge",
    "Authorization: two joined Bearers are two tokens",
)
def test_a21_a_refusal_carries_the_rfc_6750_challenge(case, door, caplog):
    check(case, door, caplog)


@every_door
def test_a22_keys_rotate_by_kid(door):
    issuer = FakeIssuer()
    guard = Guard([issuer.trusted()])
    first = issuer.token()
    assert status(door, guard, first) == 200

    issuer.rotate(keep=1)
    assert [status(door, guard, token) for token in (first, issuer.token())] == [200, 200]

    issuer.rotate(keep=1)
    assert status(door, guard, first) == 401  # its key is gone, although it was seen before


@every_door
def test_a22_a_jwk_set_is_searched_by_kid(door):
    keys = {kid: private_key("ES256") for kid in ("a", "b")}
    guard = secret_guard(
        keys=JWKSet({"keys": [public_jwk(key, kid=kid) for kid, key in keys.items()]}),
        algorithms="ES256",
    )

    def ask(key, **header):
        return status(door, guard, sign({"exp": NOW + 60}, keys[key], "ES256", header))

    assert ask("a", kid="a") == 200
    assert ask("b", kid="a") == 401
    assert ask("b", kid="unknown") == 401
    assert ask("b") == 200


@every_door
@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, 200),
        ({"iss": "https://issuer.test"}, 401),
        ({"iss": ["https://issuer.test/"]}, 401),
        ({"iss": None}, 401),
        ({"aud": "https://other.test"}, 401),
        ({"aud": ["https://other.test", "https://api.test"]}, 200),
        ({"aud": "https://api.test/x"}, 401),
        ({"aud": None}, 401),
        ({"nbf": NOW + 11}, 401),
        ({"nbf": NOW + 10}, 200),
        ({"iat": NOW + 11}, 401),
        ({"iat": NOW + 10}, 200),
    ],
)
def test_a22_iss_aud_nbf_and_iat_are_checked(claims, expected, door):
    guard = Guard([idp.trusted()], clock=lambda: NOW)
    token = idp.token(**({"exp": NOW + 60, "iat": NOW} | claims))

    assert status(door, guard, token) == expected


@every_door
@pytest.mark.parametrize(("leeway", "late"), [(0, 0), (10, 10), (60, 60)])
def test_a22_leeway_is_the_issuers(leeway, late, door):
    guard = secret_guard(leeway=leeway)

    assert status(door, guard, hs256(exp=NOW - late)) == 401
    assert status(door, guard, hs256(exp=NOW - late + 1)) == 200


@every_door
@pytest.mark.parametrize(
    ("exp", "expected"),
    [
        (NOW + 1, 200),
        (NOW + 0.5, 200),
        (NOW, 401),
        (NOW - 1, 401),
        (str(NOW + 60), 401),
        (True, 401),
        ([NOW + 60], 401),
        ({}, 401),
        (-1, 401),
        (1e300, 401),
        (10**50, 401),
        (253402300799, 200),
        (253402300800, 401),
    ],
)
def test_exp_is_a_finite_number_in_the_future(exp, expected, door):
    assert status(door, secret_guard(leeway=0), hs256(exp=exp)) == expected


@every_door
@pytest.mark.parametrize("exp", ["1e999", "-1e999", "NaN", "Infinity", "null"])
def test_exp_that_no_json_number_can_be_is_401(exp, door):
    token = sign({"exp": 0}, SECRET, "HS256")
    payload = base64.urlsafe_b64encode(f'{{"exp":{exp}}}'.encode()).rstrip(b"=").decode()
    head = f"{token.partition('.')[0]}.{payload}"
    mac = base64.urlsafe_b64encode(hmac.digest(SECRET, head.encode(), hashlib.sha256))

    assert status(door, secret_guard(), f"{head}.{mac.rstrip(b'=').decode()}") == 401


@every_door
def test_exp_is_required_unless_the_issuer_says_otherwise(door):
    eternal = sign({"sub": "a"}, SECRET, "HS256")

    assert status(door, secret_guard(), eternal) == 401
    assert status(door, secret_guard(required_claims=[]), eternal) == 200


@every_door
def test_exp_is_looked_at_again_for_a_token_seen_before(door):
    now = [NOW]
    guard = secret_guard(clock=lambda: now[0])
    token = hs256(exp=NOW + 60)
    assert status(door, guard, token) == 200

    now[0] = NOW + 69
    assert status(door, guard, token) == 200
    now[0] = NOW + 70
    assert status(door, guard, token) == EXPIRED_TOKEN.status


@row(
    "variables=json publishes every claim as JSON text",
    "variables=plain publishes strings without quotes",
    "variables are off unless set",
)
def test_v1_v2_v3_claims_and_header_are_variables(case, door, caplog):
    check(case, door, caplog)


def _seen(door, claims, **settings):
    guard = Guard([idp.trusted()], **settings)
    answer = door(guard, Ask("/x", headers=tuple(bearer(idp.bearer(**claims)).items())))
    assert answer.status == 200
    return answer.seen


@every_door
def test_v1_a_claim_is_json_text(door):
    claims = {"role": "admin", "n": 7, "nested": {"b": 1, "a": "ä"}, "empty": "", "no": False}
    variables = _seen(door, claims, variables="json").variables

    assert variables["jwt_claim_role"] == '"admin"'
    assert variables["jwt_claim_n"] == "7"
    assert variables["jwt_claim_nested"] == '{"a":"ä","b":1}'
    assert variables["jwt_claim_empty"] == '""'
    assert variables["jwt_claim_no"] == "false"
    assert "jwt_claim_absent" not in variables


@every_door
def test_v2_a_header_parameter_is_a_variable(door):
    variables = _seen(door, {"header": {"typ": "at+jwt"}}, variables="json").variables

    assert variables["jwt_header_alg"] == '"RS256"'
    assert variables["jwt_header_typ"] == '"at+jwt"'
    plain = _seen(door, {"header": {"typ": "at+jwt"}}, variables="plain").variables
    assert plain["jwt_header_alg"] == "RS256"


@every_door
def test_v3_payload_and_headers_are_whole_objects(door):
    seen = _seen(door, {"b": [1], "a": "ü"}, variables="json")

    assert json.loads(seen.variables["jwt_payload"]) == seen.claims
    assert json.loads(seen.variables["jwt_headers"]) == seen.token.header
    assert list(json.loads(seen.variables["jwt_payload"])) == sorted(seen.claims)
    assert "ü" in seen.variables["jwt_payload"]


@every_door
def test_v5_a_claim_keeps_its_name(door):
    claims = {"camelCase": 1, "https://x.test/roles": ["a"], "with space": 2, "ü": 3}
    variables = _seen(door, claims, variables="json").variables

    for name, value in claims.items():
        assert json.loads(variables[f"jwt_claim_{name}"]) == value


@row(
    "forward: the app gets the claim",
    "forward: text stands without quotes",
    "forward: a client's X-User-Id is removed on a public rule",
    "forward: a client's X_User_Id is removed on a protected rule",
    "forward: an absent claim leaves the header absent",
    "strip_credentials takes Authorization",
)
def test_v8_claims_are_headers_for_the_app(case, door, caplog):
    check(case, door, caplog)


@every_door
def test_c1_health_is_open(door):
    guard = secret_guard(Rule("/health", access="public"))

    assert status(door, guard, None, "/health") == 200
    assert status(door, guard, None, "/healthy") == 401


@every_door
def test_c1_a_single_page_app_keeps_its_token_in_a_cookie(door):
    rule = Rule("/api/**", credentials=["bearer", FromCookie("__Host-token")])
    guard = secret_guard(rule)
    cookie = f"theme=dark; __Host-token={hs256()}"

    assert status(door, guard, None, "/api/x", Cookie=cookie) == 200
    assert status(door, guard, hs256(), "/api/x") == 200
    assert status(door, guard, None, "/other", Cookie=cookie) == 401


@every_door
def test_c1_a_gateway_forwards_claims(door):
    seen = _seen(
        door,
        {"sub": "alice", "email": "a@x.test"},
        forward={"X-User-Id": "sub", "X-User-Email": "email"},
        strip_credentials=True,
    )

    assert seen.headers["x-user-id"] == ["alice"]
    assert seen.headers["x-user-email"] == ["a@x.test"]
    assert "authorization" not in seen.headers


@every_door
def test_c1_areas_want_roles(door):
    guard = secret_guard(
        Rule("/admin/**", any_role=["admin", "superuser"]), Rule("/editor/**", roles="editor")
    )

    for roles, admin, editor in (
        (["admin"], 200, 403),
        (["editor"], 403, 200),
        (["superuser", "editor"], 200, 200),
        ([], 403, 403),
    ):
        assert status(door, guard, hs256(roles=roles), "/admin/x") == admin
        assert status(door, guard, hs256(roles=roles), "/editor/x") == editor


@every_door
@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, r"401 no_credentials ref=\w{8} rule=closing:/\*\* GET /x"),
        (
            "Bearer abc",
            r"401 malformed_token ref=\w{8} rule=closing:/\*\* GET /x token=#\w{8} hint=.+",
        ),
        (
            EXPIRED,
            r"401 expired ref=\w{8} rule=closing:/\*\* GET /x issuer=https://issuer\.test/ "
            r'sub=#\w{8} token=#\w{8} found="\d+" want="> \d+" hint="\d+ s ago"',
        ),
        (
            idp.bearer(aud="https://api.test/"),
            r"401 audience_mismatch ref=.+ "
            r'found="https://api\.test/" want="https://api\.test" '
            r'hint="differs by a trailing slash"',
        ),
    ],
    ids=["no token", "no JWT", "expired", "audience"],
)
def test_c3_one_line_per_refusal_gives_the_reason_and_never_the_token(value, line, door, caplog):
    guard = Guard([idp.trusted()])
    headers = () if value is None else tuple(bearer(value).items())
    with caplog.at_level(logging.DEBUG, logger="jwtguard.refused"):
        answer = door(guard, Ask("/x", headers=headers))

    (record,) = [record for record in caplog.records if record.name == "jwtguard.refused"]
    assert re.fullmatch(line, record.getMessage())
    assert record.ref == json.loads(answer.body)["ref"]
    assert record.status == answer.status
    assert (record.method, record.path) == ("GET", "/x")
    if value is not None:
        assert value[7:] not in str(vars(record))
        assert "alice" not in str(vars(record))


@every_door
def test_c3_what_a_client_sends_cannot_break_the_line(door, caplog):
    guard = secret_guard(Rule("/**", require={"a": "b"}))
    evil = 'x"\r\n200 ok ref=00000000 \x1b[2J' + "y" * 1000
    with caplog.at_level(logging.DEBUG, logger="jwtguard.refused"):
        status(door, guard, hs256(a=evil, sub=evil))
        door(guard, Ask("/a%0a200%20ok", method="GE\nT"))

    for record in caplog.records:
        assert record.getMessage().isprintable()
        assert record.getMessage().isascii()
        assert len(record.found) <= 200


# --- B. OpenResty, lua-resty-jwt, OAuth 2.0 -----------------------------------------------------


@every_door
def test_b1_the_public_key_comes_from_a_pem_file(door, tmp_path):
    key = private_key("RS256")
    file = tmp_path / "public.pem"
    file.write_bytes(pem(key))
    guard = secret_guard(keys=PublicKey.from_file(file), algorithms="RS256")

    assert status(door, guard, sign({"exp": NOW + 60}, key, "RS256")) == 200
    assert status(door, guard, sign({"exp": NOW + 60}, private_key("RS256"), "RS256")) == 401


@every_door
@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_b2_b3_an_algorithm_that_is_not_listed_is_refused(algorithm, door):
    key = private_key("RS256")
    guard = secret_guard(keys=PublicKey.from_pem(pem(key)), algorithms="RS256")

    assert status(door, guard, sign({"exp": NOW + 60}, key, algorithm)) == 401
    assert status(door, guard, sign({"exp": NOW + 60}, key, "RS256")) == 200


@every_door
@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"exp": NOW + 60, "nbf": NOW - 60}, 200),
        ({"exp": NOW - 60, "nbf": NOW - 120}, 401),
        ({"exp": NOW + 60, "nbf": NOW + 30}, 401),
        ({"exp": NOW + 60, "nbf": str(NOW - 60)}, 401),
        ({"exp": NOW + 60, "nbf": True}, 401),
    ],
)
def test_b4_exp_and_nbf_are_checked(claims, expected, door):
    assert status(door, secret_guard(), hs256(**claims)) == expected


@row(
    "Authorization: Bearer inside another scheme",
    "Authorization: a scheme that only ends alike",
    "Authorization: something behind the token is malformed",
    "Authorization: a comma before the token is malformed",
)
def test_b6_the_whole_header_is_read(case, door, caplog):
    check(case, door, caplog)


@every_door
def test_b7_the_user_is_sub_email_and_roles(door):
    seen = _seen(
        door,
        {"sub": "alice", "email": "a@x.test", "roles": ["user", "admin"], "user_id": "7"},
        forward={"X-Auth-User-Id": "sub", "X-Auth-Email": "email", "X-Auth-Roles": "roles"},
    )

    assert seen.token.subject == "alice"
    assert seen.token.roles == {"user", "admin"}
    assert seen.headers["x-auth-user-id"] == ["alice"]
    assert seen.headers["x-auth-email"] == ["a@x.test"]
    assert json.loads(seen.headers["x-auth-roles"][0]) == ["user", "admin"]


@every_door
def test_b7_no_other_claim_stands_in_for_the_subject(door):
    seen = _seen(door, {"sub": None, "user_id": "7"}, forward={"X-Auth-User-Id": "sub"})

    assert seen.token.subject is None
    assert "x-auth-user-id" not in seen.headers


@every_door
@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        (None, NO_CREDENTIALS),
        (EXPIRED, EXPIRED_TOKEN),
        (FORGED, INVALID_TOKEN),
        ("Bearer a b", BAD_REQUEST),
    ],
    ids=["none", "expired", "forged", "malformed"],
)
def test_b8_a_refusal_is_json_with_error_and_message(value, refusal, door, caplog):
    headers = {} if value is None else bearer(value)
    check(Case(name="b8", headers=headers, refused=refusal), door, caplog)


@row("requirement: none of any_role is not", "requirement: a role is compared whole")
def test_b9_a_missing_role_is_403_of_the_same_shape(case, door, caplog):
    check(case, door, caplog)


@every_door
@pytest.mark.parametrize(
    ("target", "token"),
    [("/api/public", None), ("/api/public", TOKEN), ("/api/x", TOKEN), ("/health", None)],
)
def test_b10_no_identity_header_of_a_client_reaches_the_app(target, token, door):
    names = ("X-Auth-User-ID", "X-Auth-User-Email", "X-Auth-User-Roles")
    guard = Guard(
        [idp.trusted()],
        [Rule(["/health", "/api/public"], access="public")],
        forward=dict(zip(names, ("sub", "email", "roles"), strict=True)),
    )
    forged = [(spelling, "root") for name in names for spelling in (name, name.replace("-", "_"))]
    headers = forged + ([("Authorization", f"Bearer {token}")] if token else [])

    answer = door(guard, Ask(target, headers=tuple(headers)))

    assert answer.status == 200
    assert "root" not in str(answer.seen.headers)
    signed_in = target == "/api/x"
    assert answer.seen.headers.get("x-auth-user-id") == (["alice"] if signed_in else None)
    assert "x-auth-user-roles" not in answer.seen.headers


@every_door
def test_b11_the_locations_of_the_reference_set_up(door):
    guard = Guard(
        [idp.trusted()],
        [
            Rule(["/health", "/api/public/**", "/auth/login", "/auth/callback", "/static/**"],
                 access="public"),
            Rule("/api/admin/**", roles="admin"),
        ],
    )  # fmt: skip
    admin = idp.token("root", roles=["admin"])

    for target, nobody, alice, root in (
        ("/health", 200, 200, 200),
        ("/api/public", 200, 200, 200),
        ("/api/public/x", 200, 200, 200),
        ("/api/publicX", 401, 200, 200),
        ("/api/protected", 401, 200, 200),
        ("/api/admin", 401, 403, 200),
        ("/api/admin/x", 401, 403, 200),
        ("/auth/login", 200, 200, 200),
        ("/auth/callback?code=x&state=y", 200, 200, 200),
        ("/static/app.js", 200, 200, 200),
        ("/anything/else", 401, 200, 200),
    ):
        found = [status(door, guard, token, target) for token in (None, TOKEN, admin)]
        assert found == [nobody, alice, root], target


@row(
    "response_headers=True sets four, and the app's own stay",
    "response_headers=True sets four on refusals",
    "a mapping of response_headers is exactly these",
    "response_headers are off unless set",
)
def test_b16_response_headers_are_one_switch(case, door, caplog):
    check(case, door, caplog)


@every_door
def test_b17_an_access_log_can_name_the_user(door):
    """WSGI servers log REMOTE_USER (tests.test_wsgi); either door hands over the token."""
    seen = _seen(door, {"sub": "alice"})

    assert f"{seen.token.issuer}:{seen.token.subject}" == f"{idp.issuer}:alice"


@row(
    "require_https=redirect sends GET to public_url",
    "require_https=redirect sends HEAD to public_url",
    "require_https=redirect refuses POST",
    "require_https=redirect refuses what carried a token",
    "require_https=refuse refuses plain http",
)
def test_b18_plain_http_is_sent_to_https(case, door, caplog):
    check(case, door, caplog)


def test_b18_a_redirect_needs_public_url():
    with pytest.raises(errors.ConfigurationError, match="public_url"):
        Guard([idp.trusted()], require_https="redirect")


# --- all of them --------------------------------------------------------------------------------

ROWS = (
    *(f"a{number}" for number in range(1, 23)),
    *("exp", "v1", "v2", "v3", "v5", "v8", "c1", "c3"),
    *("b1", "b2", "b3", "b4", "b6", "b7", "b8", "b9", "b10", "b11", "b16", "b17", "b18"),
)


def test_every_row_has_a_test_of_its_name():
    source = Path(__file__).read_text()
    named = "_".join(re.findall(r"^def test_(\w+)\(", source, re.MULTILINE)).split("_")

    assert [name for name in ROWS if name not in named] == []
