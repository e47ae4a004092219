"""Issuers of identity providers: real shapes of tokens in, and the wrong ones kept out."""

import inspect
import json
import logging
import re
from pathlib import Path

import jwt
import pytest

from jwtguard import (
    Discovery,
    Guard,
    Issuer,
    JWKSet,
    RemoteKeys,
    Rule,
    errors,
    from_mapping,
    presets,
)
from jwtguard.core import Request
from jwtguard.presets import PROVIDERS
from jwtguard.signing import private_key, public_jwk

NOW = 1_900_000_000
API = "https://api.example.com"
TENANT = "3338040d-6c67-4c5b-b112-36a304b66dad"
OTHER_TENANT = "6731de76-14a6-49ae-97bc-6eba6914391e"
API_GUID = "00001111-aaaa-2222-bbbb-3333cccc4444"
CLIENT_GUID = "11112222-bbbb-3333-cccc-4444dddd5555"
CLIENT = "1008719970978-hb24n2dstb40o45d4feuo2ukqmcc6381.apps.googleusercontent.com"
BACKEND = "/projects/1234567890/global/backendServices/9876543210"

# preset -> the words somebody writes
WORDS = {
    "auth0": {"domain": "acme.eu.auth0.com", "audience": API},
    "keycloak": {"url": "https://sso.example.com", "realm": "acme", "audience": "reports-api"},
    "entra_v2": {"tenant": TENANT, "audience": API_GUID},
    "entra_v1": {"tenant": TENANT, "audience": f"api://{API_GUID}"},
    "cognito": {
        "region": "eu-central-1",
        "pool": "eu-central-1_AbCdEf123",
        "client_ids": ["1example23456789", "2example23456789"],
    },
    "okta": {"domain": "acme.okta.com", "server": "default", "audience": "api://default"},
    "google": {"audience": CLIENT},
    "google_iap": {"audience": BACKEND},
}
ISS = {
    "auth0": "https://acme.eu.auth0.com/",
    "keycloak": "https://sso.example.com/realms/acme",
    "entra_v2": f"https://login.microsoftonline.com/{TENANT}/v2.0",
    "entra_v1": f"https://sts.windows.net/{TENANT}/",
    "cognito": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123",
    "okta": "https://acme.okta.com/oauth2/default",
    "google": "https://accounts.google.com",
    "google_iap": "https://cloud.google.com/iap",
}
# preset -> claims of a good token, in the shape of the provider's own samples (None: not there)
CLAIMS = {
    "auth0": {
        "aud": [API, "https://acme.eu.auth0.com/userinfo"],
        "sub": "auth0|6553da60a54af58e29493993",
        "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja",
        "scope": "openid profile read:reports",
        "permissions": ["read:reports", "write:reports"],
    },
    "keycloak": {
        "aud": ["reports-api", "account"],
        "sub": "f1888f4d-5172-4359-be0c-af338505d86c",
        "typ": "Bearer",
        "azp": "web",
        "realm_access": {"roles": ["offline_access", "auditor"]},
        "resource_access": {"reports-api": {"roles": ["writer"]}, "account": {"roles": ["x"]}},
        "scope": "profile email",
    },
    "entra_v2": {
        "aud": API_GUID,
        "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
        "azp": CLIENT_GUID,
        "azpacr": "0",
        "scp": "reports.read user_impersonation",
        "roles": ["Auditor"],
        "oid": "00000000-0000-0000-66f3-3332eca7ea81",
        "tid": TENANT,
        "ver": "2.0",
    },
    "entra_v1": {
        "aud": f"api://{API_GUID}",
        "sub": "l3_roISQU222bULS9yi2k0XpqpOiMz5H3ZACo1GeXA",
        "appid": CLIENT_GUID,
        "appidacr": "0",
        "scp": "user_impersonation",
        "tid": TENANT,
        "ver": "1.0",
    },
    "cognito": {
        "aud": None,
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "client_id": "2example23456789",
        "token_use": "access",
        "scope": "reports/read openid",
        "cognito:groups": ["auditors"],
        "username": "jane",
    },
    "okta": {
        "aud": "api://default",
        "sub": "jane@example.com",
        "ver": 1,
        "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "cid": "0oabskvc6442nkvQO0h7",
        "uid": "00ujmkLgagxeRrAg20g3",
        "scp": ["openid", "reports.read"],
        "groups": ["Everyone", "auditors"],
    },
    "google": {
        "aud": CLIENT,
        "azp": CLIENT,
        "sub": "110169484474386276334",
        "email": "jane@example.com",
        "email_verified": True,
        "hd": "example.com",
    },
    "google_iap": {
        "aud": BACKEND,
        "sub": "accounts.google.com:110169484474386276334",
        "email": "jane@example.com",
        "hd": "example.com",
    },
}
# preset -> what comes out: scopes, roles
FOUND = {
    "auth0": ({"openid", "profile", "read:reports"}, {"read:reports", "write:reports"}),
    "keycloak": ({"profile", "email"}, {"offline_access", "auditor"}),
    "entra_v2": ({"reports.read", "user_impersonation"}, {"Auditor"}),
    "entra_v1": ({"user_impersonation"}, set()),
    "cognito": ({"reports/read", "openid"}, {"auditors"}),
    "okta": ({"openid", "reports.read"}, {"Everyone", "auditors"}),
    "google": (set(), set()),
    "google_iap": (set(), set()),
}
WITHOUT_TYP = {"cognito", "okta"}
KEYS = {algorithm: private_key(algorithm) for algorithm in ("RS256", "ES256")}


def algorithm_of(preset):
    (algorithm,) = PROVIDERS[preset].words["algorithms"]
    return algorithm


def token(preset, header=(), **claims):
    """A good token of the provider but for *claims*; one given as None is left out."""
    times = {"iat": NOW, "nbf": NOW, "exp": NOW + 3600}
    full = {"iss": ISS[preset], **times, **CLAIMS[preset], **claims}
    algorithm = algorithm_of(preset)
    return jwt.encode(
        {name: value for name, value in full.items() if value is not None},
        KEYS[algorithm],
        algorithm,
        {"kid": algorithm, **({"typ": None} if preset in WITHOUT_TYP else {}), **dict(header)},
    )


def local_keys(preset):
    algorithm = algorithm_of(preset)
    return JWKSet(public_jwk(KEYS[algorithm], kid=algorithm, alg=algorithm, use="sig"))


def issuer(preset, **words):
    return presets.issuer(preset, **{**WORDS[preset], "keys": local_keys(preset), **words})


def guard(*issuers, rules=()):
    return Guard(issuers, rules, clock=lambda: NOW)


def reason(guard, raw):
    """Why the guard refuses a token, None where it does not."""
    decision = guard.decide(Request("GET", "/x", headers=[("Authorization", f"Bearer {raw}")]))
    return None if decision.status == 200 else (decision.status, decision.error.reason)


# --- what is good -------------------------------------------------------------------------------


def test_every_provider_is_tried():
    assert set(WORDS) == set(ISS) == set(CLAIMS) == set(FOUND) == set(PROVIDERS)


@pytest.mark.parametrize("preset", PROVIDERS)
def test_a_token_in_the_shape_of_the_providers_own_is_accepted(preset):
    found = guard(issuer(preset, name="them")).verify(token(preset))

    assert (found.issuer, found.subject) == ("them", CLAIMS[preset]["sub"])
    assert (found.scopes, found.roles) == FOUND[preset]


@pytest.mark.parametrize("preset", ["entra_v2", "entra_v1"])
def test_an_application_of_its_own_shows_roles_and_no_scopes(preset):
    app = token(preset, scp=None, roles=["Reports.Read.All"], sub="app", idtyp="app")
    found = guard(issuer(preset)).verify(app)

    assert (found.scopes, found.roles) == (set(), {"Reports.Read.All"})


def test_auth0_with_the_profile_of_rfc_9068_is_accepted():
    profile = token("auth0", {"typ": "at+jwt"}, azp=None, client_id="x", jti="y")

    assert guard(issuer("auth0")).verify(profile).header["typ"] == "at+jwt"


def test_roles_of_a_keycloak_client_count_where_they_are_named():
    roles = ["/realm_access/roles", "/resource_access/reports-api/roles"]
    found = guard(issuer("keycloak", roles=roles)).verify(token("keycloak"))

    assert found.roles == {"offline_access", "auditor", "writer"}


def test_keycloak_under_a_path_has_it_in_iss():
    under = issuer("keycloak", url="https://sso.example.com/auth")

    assert under.issuer == "https://sso.example.com/auth/realms/acme"


def test_a_cognito_token_bound_to_a_resource_is_checked_for_it():
    bound = guard(issuer("cognito", audience=API))

    assert reason(bound, token("cognito", aud=API)) is None
    assert reason(bound, token("cognito", aud="https://other")) == (401, "audience_mismatch")
    assert reason(bound, token("cognito")) == (401, "audience_missing")


@pytest.mark.parametrize("preset", ["entra_v2", "entra_v1"])
def test_several_tenants_of_entra_are_told_apart_and_no_others_let_in(preset):
    words = {**WORDS[preset], "keys": local_keys(preset), "tenants": [TENANT, OTHER_TENANT]}
    del words["tenant"]
    several = guard(presets.issuer(preset, **words))
    theirs = ISS[preset].replace(TENANT, OTHER_TENANT)
    stranger = ISS[preset].replace(TENANT, "9188040d-6c67-4c5b-b112-36a304b66dad")

    assert several.verify(token(preset)).tenant == TENANT
    assert several.verify(token(preset, iss=theirs, tid=OTHER_TENANT)).tenant == OTHER_TENANT
    assert reason(several, token(preset, iss=stranger)) == (401, "unknown_issuer")


def test_iap_sends_its_token_in_a_header_of_its_own():
    header = "x-goog-iap-jwt-assertion"
    rules = [Rule("/healthz", access="public"), Rule("/**", credentials={"header": header})]
    behind = guard(issuer("google_iap"), rules=rules)

    def status(path, *headers):
        return behind.decide(Request("GET", path, headers=headers)).status

    assert status("/x", (header, token("google_iap"))) == 200
    assert status("/x", ("x-goog-authenticated-user-email", "accounts.google.com:a@b.c")) == 401
    assert status("/healthz") == 200


# --- what is not --------------------------------------------------------------------------------

REFUSED = {
    "auth0, an ID token": ("auth0", {"aud": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja"}, "audience"),
    "auth0, another API": ("auth0", {"aud": "https://other.example.com"}, "audience"),
    "auth0, no slash": ("auth0", {"iss": "https://acme.eu.auth0.com"}, "unknown_issuer"),
    "auth0, another tenant": ("auth0", {"iss": "https://evil.eu.auth0.com/"}, "unknown_issuer"),
    "keycloak, an ID token": ("keycloak", {"typ": "ID"}, "claim_mismatch"),
    "keycloak, a refresh token": ("keycloak", {"typ": "Refresh"}, "claim_mismatch"),
    "keycloak, a logout token": ("keycloak", {"typ": "Logout"}, "claim_mismatch"),
    "keycloak, no mapper": ("keycloak", {"aud": "account"}, "audience_mismatch"),
    "keycloak, no aud": ("keycloak", {"aud": None}, "audience_missing"),
    "keycloak, another realm": (
        "keycloak",
        {"iss": "https://sso.example.com/realms/master"},
        "unknown_issuer",
    ),
    "v2, an ID token": ("entra_v2", {"azp": None, "scp": None, "nonce": "n"}, "claim_mismatch"),
    "v2, an ID token without roles": (
        "entra_v2",
        {"azp": None, "scp": None, "roles": None},
        "claim_mismatch",
    ),
    "v2, neither scp nor roles": ("entra_v2", {"scp": None, "roles": None}, "claim_mismatch"),
    "v2, another tenant": (
        "entra_v2",
        {"iss": ISS["entra_v2"].replace(TENANT, OTHER_TENANT), "tid": OTHER_TENANT},
        "unknown_issuer",
    ),
    "v2, another API": ("entra_v2", {"aud": CLIENT_GUID}, "audience_mismatch"),
    "v2, a v1 token": ("entra_v2", {"iss": ISS["entra_v1"], "ver": "1.0"}, "unknown_issuer"),
    "v1, a v2 token": ("entra_v1", {"iss": ISS["entra_v2"], "ver": "2.0"}, "unknown_issuer"),
    "v1, no slash": ("entra_v1", {"iss": ISS["entra_v1"].rstrip("/")}, "unknown_issuer"),
    "v1, an ID token": ("entra_v1", {"appid": None, "scp": None, "roles": ["a"]}, "claim_mismatch"),
    "v1, neither scp nor roles": ("entra_v1", {"scp": None}, "claim_mismatch"),
    "cognito, an ID token": (
        "cognito",
        {"token_use": "id", "aud": "1example23456789", "client_id": None},
        "claim_mismatch",
    ),
    "cognito, an ID token with client_id": ("cognito", {"token_use": "id"}, "claim_mismatch"),
    "cognito, another client": ("cognito", {"client_id": "3example23456789"}, "claim_mismatch"),
    "cognito, no client": ("cognito", {"client_id": None}, "claim_mismatch"),
    "cognito, another pool": (
        "cognito",
        {"iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other0000"},
        "unknown_issuer",
    ),
    "okta, the org server": (
        "okta",
        {"iss": "https://acme.okta.com", "aud": "https://acme.okta.com"},
        "unknown_issuer",
    ),
    "okta, another server": ("okta", {"iss": "https://acme.okta.com/oauth2/aus1"}, "unknown_iss"),
    "okta, an ID token": ("okta", {"aud": "0oabskvc6442nkvQO0h7", "cid": None}, "audience"),
    "okta, an ID token for us": ("okta", {"cid": None, "jti": "ID.x"}, "claim_mismatch"),
    "google, another client": ("google", {"aud": "other.apps.googleusercontent.com"}, "audience"),
    "google, the old iss": ("google", {"iss": "accounts.google.com"}, "unknown_issuer"),
    "google, no aud": ("google", {"aud": None}, "audience_missing"),
    "iap, another backend": ("google_iap", {"aud": BACKEND + "1"}, "audience_mismatch"),
}


@pytest.mark.parametrize(("preset", "claims", "why"), REFUSED.values(), ids=REFUSED)
def test_the_wrong_token_is_refused(preset, claims, why):
    protected = guard(issuer(preset))
    assert reason(protected, token(preset)) is None

    status, found = reason(protected, token(preset, **claims))
    assert (status, found.startswith(why)) == (401, True), found


@pytest.mark.parametrize("preset", PROVIDERS)
def test_the_keys_of_one_provider_open_no_door_of_another(preset):
    """Its own algorithm and iss, and the key of somebody else."""
    stranger = private_key(algorithm_of(preset))
    other = JWKSet(public_jwk(stranger, kid=algorithm_of(preset)))
    assert reason(guard(issuer(preset, keys=other)), token(preset)) == (401, "bad_signature")


def test_an_hd_of_google_is_required_where_it_is_written():
    ours = guard(issuer("google", require={"hd": "example.com"}))

    assert reason(ours, token("google")) is None
    assert reason(ours, token("google", hd="evil.example")) == (401, "claim_mismatch")
    assert reason(ours, token("google", hd=None)) == (401, "claim_mismatch")


def test_a_slash_that_is_missing_is_hinted_at_in_the_log(caplog):
    caplog.set_level(logging.WARNING, "jwtguard.refused")
    reason(guard(issuer("auth0")), token("auth0", iss="https://acme.eu.auth0.com"))
    (record,) = caplog.records

    assert record.hint == "differs by a trailing slash"


# --- the words ----------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PROVIDERS)
def test_the_file_and_python_make_the_same_issuer(preset):
    made = presets.issuer(preset, **WORDS[preset])
    (read,) = from_mapping({"issuer": {"preset": preset, **WORDS[preset]}}).issuers

    for word in ("issuer", "name", "audience", "algorithms", "typ", "types", "required_claims"):
        assert getattr(made, word) == getattr(read, word), word
    assert (made.require, made.roles, made.tenants) == (read.require, read.roles, read.tenants)
    assert (type(made.source), made.source.url) == (type(read.source), read.source.url)
    assert (made.issuer, made.problems) == (ISS[preset], [])
    assert "exp" in made.required_claims
    assert preset == "cognito" or made.audience is not None


ADDRESSES = {
    "auth0": (Discovery, "https://acme.eu.auth0.com/.well-known/openid-configuration"),
    "entra_v1": (
        Discovery,
        f"https://login.microsoftonline.com/{TENANT}/.well-known/openid-configuration",
    ),
    "google_iap": (RemoteKeys, "https://www.gstatic.com/iap/verify/public_key-jwk"),
}


@pytest.mark.parametrize("preset", ADDRESSES)
def test_where_the_keys_are(preset):
    source = presets.issuer(preset, **WORDS[preset]).source
    assert (type(source), source.url) == ADDRESSES[preset]


@pytest.mark.parametrize("preset", ["entra_v2", "entra_v1"])
def test_each_of_several_tenants_has_keys_of_its_own(preset):
    words = {"preset": preset, "tenants": [TENANT, OTHER_TENANT], "audience": API_GUID}
    (several,) = from_mapping({"issuer": words}).issuers

    assert several.issuer == PROVIDERS[preset].words["issuer"]
    assert [type(source) for source in several.sources] == [Discovery, Discovery]
    for source, tenant in zip(several.sources, [TENANT, OTHER_TENANT], strict=True):
        assert source.url.startswith(f"https://login.microsoftonline.com/{tenant}/")
        assert source.url.endswith("/.well-known/openid-configuration")
        assert source.issuer == several.issuer.replace("{tenant}", tenant)


@pytest.mark.parametrize("preset", ["entra_v1", "entra_v2"])
def test_a_function_may_say_which_tenants_of_entra_speak(preset):
    words = {**WORDS[preset], "tenants": [TENANT].__contains__}
    del words["tenant"]
    assert not presets.issuer(preset, **words).problems


def test_what_browsers_ask_for_unasked_can_be_opened_by_one_rule():
    guard = Guard(
        [presets.issuer("auth0", **WORDS["auth0"])], [Rule(presets.BROWSER_FILES, access="public")]
    )
    assert guard.decide(Request("GET", "/favicon.ico")).status == 200
    assert guard.decide(Request("GET", "/favicon.ico/x")).status == 401


def test_any_word_of_an_issuer_beside_a_preset_counts_instead_of_it():
    words = {"name": "people", "algorithms": ["PS256"], "roles": ["r"], "leeway": 0}
    made = presets.issuer("auth0", **WORDS["auth0"], **words)
    (read,) = from_mapping({"issuer": {"preset": "auth0", **WORDS["auth0"], **words}}).issuers

    for one in (made, read):
        assert (one.name, one.algorithms, one.roles, one.leeway) == (
            "people",
            ("PS256",),
            ("r",),
            0,
        )


def test_keys_of_ones_own_count_instead_of_the_providers(tmp_path):
    jwks = {"keys": [public_jwk(KEYS["RS256"], kid="RS256")]}
    (tmp_path / "keys.json").write_text(json.dumps(jwks))
    words = {"preset": "cognito", **WORDS["cognito"], "jwks_file": "keys.json"}
    local = from_mapping({"issuer": words}, tmp_path)
    del words["jwks_file"]
    remote = from_mapping({"issuer": words | {"jwks_uri": "https://k.test/"}})

    assert not local.issuers[0].fetches
    assert remote.issuers[0].source.url == "https://k.test/"


def test_how_keys_are_fetched_is_set_beside_a_preset():
    words = {"preset": "okta", **WORDS["okta"], "remote": {"max_stale": 43_200}}
    (one,) = from_mapping({"issuer": words}).issuers

    assert one.source.max_stale == 43_200


def test_an_issuer_of_ones_own_needs_no_places():
    china = "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_AbCdEf123"
    one = presets.issuer("cognito", issuer=china, client_ids="1example23456789")

    assert one.source.url == f"{china}/.well-known/openid-configuration"
    assert one.require == {"token_use": "access", "client_id": "1example23456789"}


# what the preset requires, what is written beside it -> both
REQUIRE = [
    ("auth0", {"org": "a"}, {"org": "a"}),
    ("keycloak", {"azp": "web"}, {"typ": "Bearer", "azp": "web"}),
    ("keycloak", {}, {"typ": "Bearer"}),
    ("keycloak", {"typ": ["Bearer", "x"]}, {"typ": ["Bearer", "x"]}),
    ("keycloak", [{"a": 1}, {"b": 1}], [{"typ": "Bearer", "a": 1}, {"typ": "Bearer", "b": 1}]),
    (
        "entra_v2",
        {"azp": CLIENT_GUID},
        [
            {"azp": CLIENT_GUID, "scp": {"exists": True}},
            {"azp": CLIENT_GUID, "roles": {"exists": True}},
        ],
    ),
]


@pytest.mark.parametrize(("preset", "written", "both"), REQUIRE)
def test_what_is_required_beside_a_preset_is_required_on_top_of_it(preset, written, both):
    made = presets.issuer(preset, **WORDS[preset], require=written)
    words = {"preset": preset, **WORDS[preset], "require": written}

    assert made.require == both
    assert from_mapping({"issuer": words}).issuers[0].require == both


def test_places_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("AUTH0_DOMAIN", "acme.eu.auth0.com")
    words = {"preset": "auth0", "domain": {"env": "AUTH0_DOMAIN"}, "audience": API}

    assert from_mapping({"issuer": words}).issuers[0].issuer == ISS["auth0"]


def test_a_preset_is_a_word_of_included_files_too(tmp_path):
    (tmp_path / "people.toml").write_text(
        """
        [[issuer]]
        preset   = "okta"
        domain   = "acme.okta.com"
        server   = "default"
        audience = "api://default"
        """
    )
    (one,) = from_mapping({"include": "people.toml"}, tmp_path).issuers

    assert one.issuer == ISS["okta"]


# --- problems -----------------------------------------------------------------------------------

# preset, words (None: left out) -> the problems' places, and part of what they say
PROBLEMS = {
    "no place": ("auth0", {"domain": None}, {"domain": "such as 'acme.eu.auth0.com'"}),
    "no audience": ("auth0", {"audience": None}, {"audience": "is missing: the identifier of"}),
    "nothing": ("okta", dict.fromkeys(WORDS["okta"]), dict.fromkeys(WORDS["okta"], "is missing")),
    "an address": ("auth0", {"domain": "https://acme.eu.auth0.com/"}, {"domain": "without https"}),
    "upper case": ("auth0", {"domain": "Acme.eu.auth0.com"}, {"domain": "found 'Acme"}),
    "a newline": ("auth0", {"domain": "acme.eu.auth0.com\n"}, {"domain": "found"}),
    "no text": ("auth0", {"domain": 5}, {"domain": "found 5"}),
    "a list": ("auth0", {"domain": ["acme.eu.auth0.com"]}, {"domain": "found ['acme"}),
    "a brace": ("keycloak", {"realm": "{tenant}"}, {"realm": "found '{tenant}'"}),
    "a slash at the end": (
        "keycloak",
        {"url": "https://sso.example.com/"},
        {"url": "without a sl"},
    ),
    "the common tenant": ("entra_v2", {"tenant": "common"}, {"tenant": "never carry"}),
    "a domain as tenant": ("entra_v1", {"tenant": "acme.onmicrosoft.com"}, {"tenant": "never"}),
    "tenant and tenants": ("entra_v2", {"tenants": [TENANT]}, {"tenant": "beside tenants"}),
    "the common tenants": (
        "entra_v2",
        {"tenant": None, "tenants": [TENANT, "common"]},
        {"tenants": "found 'common'"},
    ),
    "no clients": ("cognito", {"client_ids": None}, {"client_ids": "every client of the pool"}),
    "empty clients": ("cognito", {"client_ids": []}, {"client_ids": "found []"}),
    "clients no text": ("cognito", {"client_ids": ["a", 5]}, {"client_ids": "found 5"}),
    "the org server": ("okta", {"server": None}, {"server": "the org server are for Okta alone"}),
    "place and issuer": ("auth0", {"issuer": "https://x.test/"}, {"domain": "beside issuer"}),
}


def placed(preset, words):
    return {word: value for word, value in {**WORDS[preset], **words}.items() if value is not None}


@pytest.mark.parametrize(("preset", "words", "wanted"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_names_its_word_and_says_what_belongs_there(preset, words, wanted):
    given = placed(preset, words)
    with pytest.raises(errors.ConfigurationError) as made:
        presets.issuer(preset, **given)
    with pytest.raises(errors.ConfigurationError) as read:
        from_mapping({"issuer": {"preset": preset, **given}})

    for prefix, caught in ((preset, made), ("issuer[0]", read)):
        found = dict(caught.value.problems)
        assert set(found) == {f"{prefix}.{word}" for word in wanted}
        for word, what in wanted.items():
            assert what in found[f"{prefix}.{word}"]


@pytest.mark.parametrize("preset", ["auth", "Auth0", "", 5, None, ["auth0"]])
def test_an_unknown_provider_is_told_which_there_are(preset):
    with pytest.raises(errors.ConfigurationError, match="is not one of 'auth0', 'keycloak'"):
        presets.issuer(preset)
    with pytest.raises(errors.ConfigurationError, match="is not one of 'auth0'") as caught:
        from_mapping({"issuer": {"preset": preset}})
    assert [where for where, _ in caught.value.problems] == ["issuer[0].preset"]


def test_an_unknown_word_is_told_what_was_meant():
    with pytest.raises(errors.ConfigurationError, match="did you mean 'domain'"):
        presets.issuer("auth0", domian="acme.eu.auth0.com", audience=API)
    with pytest.raises(errors.ConfigurationError, match=r"auth0\.jwks_uri: is no word"):
        presets.issuer("auth0", **WORDS["auth0"], jwks_uri="https://x.test/")


# words of one [[issuer]] -> place and what is said, all of them
FILES = [
    ({"preset": "auth0", **WORDS["auth0"], "region": "x"}, {"region": "preset = 'cognito'"}),
    ({"domain": "acme.okta.com"}, {"domain": "preset = 'auth0' or 'okta'"}),
    (
        {"preset": "cognito", "region": {"env": "NOT_SET"}, "pool": "x", "leewey": 1},
        {
            "region": "NOT_SET is not set",
            "pool": "found 'x'",
            "client_ids": "is missing",
            "leewey": "did you mean 'leeway'",
        },
    ),
    (
        {"preset": "okta", **WORDS["okta"], "require": 5, "algorithms": ["none"]},
        {"require": "is a mapping", "algorithms": "never accepted"},
    ),
]


@pytest.mark.parametrize(("words", "wanted"), FILES)
def test_all_problems_of_a_table_are_told_at_once(words, wanted, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(errors.ConfigurationError) as caught:
        from_mapping({"issuer": words})
    found = {where.removeprefix("issuer[0]."): what for where, what in caught.value.problems}
    if "preset" in words:
        assert set(found) == set(wanted)
    for word, what in wanted.items():
        assert what in found[word]


# --- the data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PROVIDERS)
def test_the_data_is_plain_and_says_where_it_is_from(preset):
    provider = PROVIDERS[preset]
    allowed = set(inspect.signature(Issuer).parameters) | {"discovery", "jwks_uri"}

    assert provider.words.keys() <= allowed
    assert len(provider.words.keys() & {"discovery", "jwks_uri"}) == 1
    assert json.loads(json.dumps(dict(provider.words))) == provider.words
    assert all(re.fullmatch(r"https://[\w./#-]+", source) for _, source in provider.notes)
    assert provider.notes
    for place in provider.places.values():
        assert re.fullmatch(place.pattern, place.example)


@pytest.mark.parametrize("preset", PROVIDERS)
def test_making_an_issuer_leaves_the_data_as_it_is(preset):
    before = repr(PROVIDERS[preset])
    presets.issuer(preset, **WORDS[preset], require={"x": 1}, roles=["y"])

    assert repr(PROVIDERS[preset]) == before


@pytest.mark.parametrize("preset", PROVIDERS)
def test_every_provider_has_a_section_in_the_documentation(preset):
    text = (Path(__file__).parents[1] / "docs" / "providers.md").read_text("utf-8")
    (section,) = [part for part in text.split("\n## ") if f'preset     = "{preset}"' in part]

    assert f'presets.issuer("{preset}"' in section
    assert "Common mistakes" in section
