"""What is known of identity providers: data only, with the documents it is taken from.

`jwtguard.presets` makes issuers of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """A part of a provider's words that is different for everybody.

    - ``meaning``: what belongs there, for people; ``example``: one such value.
    - ``pattern``: a regular expression that the whole value matches.
    - ``several``: a list of values may stand there.
    """

    meaning: str
    example: str
    pattern: str
    several: bool = False


@dataclass(frozen=True)
class Provider:
    """What is known of an identity provider.

    - ``title``: its name; ``places``: what each user of it fills in, by name.
    - ``audience``: what ``aud`` means in its tokens, and so what to write into ``audience``.
    - ``words``: those of ``[[issuer]]`` in a file, with ``{place}`` where a place goes.
    - ``notes``: what to know, each with the address of the document that says so.
    """

    title: str
    places: Mapping[str, Place]
    audience: str
    words: Mapping[str, Any]
    notes: tuple[tuple[str, str], ...]


_HOST = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"
_SEGMENT = r"[^\s/?#{}]+"

_TENANT = Place(
    "the directory (tenant) ID: tokens never carry a domain name, 'common' or 'organizations'",
    "3338040d-6c67-4c5b-b112-36a304b66dad",
    "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
)
_PRESENT = {"exists": True}
_ENTRA_TOKENS = "https://learn.microsoft.com/entra/identity-platform/access-tokens"
_ENTRA_CLAIMS = "https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference"
_ENTRA_NOTES = (
    (
        "The version of a token is the API's choice and not the client's: "
        "requestedAccessTokenVersion in the manifest of the API's app registration; null means 1.",
        _ENTRA_TOKENS,
    ),
    (
        "Delegated permissions are in scp, separated by spaces; application permissions and the "
        "roles of a user are in the array roles. A token with neither is one that any client of "
        "the tenant can get, and is refused.",
        "https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow"
        "#controlling-tokens-without-the-roles-claim",
    ),
    (
        "Tokens for Microsoft Graph are for Graph alone and cannot be verified by others.",
        _ENTRA_TOKENS,
    ),
    (
        "sub is different for every API; oid (with tid) is the user's across a tenant.",
        _ENTRA_CLAIMS,
    ),
)
_GOOGLE_SIGN_IN = "https://developers.google.com/identity/gsi/web/guides/verify-google-id-token"
_IAP = "https://cloud.google.com/iap/docs/signed-headers-howto"
_COGNITO_ACCESS = (
    "https://docs.aws.amazon.com/cognito/latest/developerguide/"
    "amazon-cognito-user-pools-using-the-access-token.html"
)
_OKTA_ORG = "https://support.okta.com/help/s/article/Signature-Validation-Failed-on-Access-Token"

PROVIDERS: Mapping[str, Provider] = {
    "auth0": Provider(
        title="Auth0",
        places={
            "domain": Place(
                "the tenant's host name or custom domain, without https://",
                "acme.eu.auth0.com",
                _HOST,
            ),
        },
        audience="the identifier of the API, as under Applications > APIs",
        words={
            "issuer": "https://{domain}/",
            "discovery": True,
            "algorithms": ["RS256"],
            "roles": ["permissions"],
        },
        notes=(
            (
                "iss ends in a slash. With a custom domain iss is that domain, and tokens got "
                "through the other one carry the other iss.",
                "https://auth0.com/docs/customize/custom-domains/"
                "configure-features-to-use-custom-domains",
            ),
            (
                "A client that asks without an audience gets an opaque token, which no API can "
                "verify.",
                "https://auth0.com/docs/secure/tokens/access-tokens",
            ),
            (
                "aud is a list where the client also asked for openid: the API and /userinfo.",
                "https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles",
            ),
            (
                "permissions is there where the API has RBAC and 'Add Permissions in the Access "
                "Token' switched on. Roles are in no claim until an Action adds one, under a "
                "namespace of your own.",
                "https://auth0.com/docs/get-started/apis/enable-role-based-access-control-for-apis",
            ),
        ),
    ),
    "keycloak": Provider(
        title="Keycloak",
        places={
            "url": Place(
                "the server's address without a slash at the end, as browsers see it; with /auth "
                "before Keycloak 17 or where http-relative-path says so",
                "https://sso.example.com",
                rf"https?://{_SEGMENT}(?:/{_SEGMENT})*",
            ),
            "realm": Place("the realm's name", "acme", _SEGMENT),
        },
        audience="the client ID of the API, which an audience mapper puts into aud",
        words={
            "issuer": "{url}/realms/{realm}",
            "discovery": True,
            "algorithms": ["RS256"],
            "require": {"typ": "Bearer"},
            "roles": ["/realm_access/roles"],
        },
        notes=(
            (
                "aud is 'account' or absent until a client scope has an Audience mapper, or the "
                "user has a role of the API's client.",
                "https://www.keycloak.org/docs/latest/server_admin/#audience-support",
            ),
            (
                "ID tokens are signed with the same keys; the claim typ tells them apart: Bearer, "
                "ID, Refresh, Offline, Logout.",
                "https://github.com/keycloak/keycloak/blob/main/core/src/main/java/org/keycloak/"
                "util/TokenUtil.java",
            ),
            (
                "Roles of a client are under /resource_access/CLIENT/roles; name that in roles "
                "where they count.",
                "https://www.keycloak.org/docs/latest/server_admin/",
            ),
            (
                "A realm or client may be set to ES256, PS256 or EdDSA: then write algorithms.",
                "https://www.keycloak.org/docs/latest/server_admin/",
            ),
        ),
    ),
    "entra_v2": Provider(
        title="Microsoft Entra ID, tokens of version 2.0",
        places={"tenant": _TENANT},
        audience="the application (client) ID of the API, a GUID",
        words={
            "issuer": "https://login.microsoftonline.com/{tenant}/v2.0",
            "discovery": True,
            "algorithms": ["RS256"],
            "require": [{"azp": _PRESENT, "scp": _PRESENT}, {"azp": _PRESENT, "roles": _PRESENT}],
            "roles": ["roles"],
        },
        notes=(
            *_ENTRA_NOTES,
            (
                "An ID token for the API's own registration has the same iss and aud; access "
                "tokens alone have azp.",
                "https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference",
            ),
        ),
    ),
    "entra_v1": Provider(
        title="Microsoft Entra ID, tokens of version 1.0",
        places={"tenant": _TENANT},
        audience="the application ID URI of the API (api://…), its client ID where clients ask "
        "for that, or both",
        words={
            "issuer": "https://sts.windows.net/{tenant}/",
            "discovery": "https://login.microsoftonline.com/{tenant}"
            "/.well-known/openid-configuration",
            "algorithms": ["RS256"],
            "require": [
                {"appid": _PRESENT, "scp": _PRESENT},
                {"appid": _PRESENT, "roles": _PRESENT},
            ],
            "roles": ["roles"],
        },
        notes=(
            *_ENTRA_NOTES,
            (
                "iss is on another host than discovery and ends in a slash; aud is whatever the "
                "client asked for: the URI or the GUID.",
                _ENTRA_CLAIMS,
            ),
        ),
    ),
    "cognito": Provider(
        title="Amazon Cognito user pools",
        places={
            "region": Place(
                "the region of the user pool", "eu-central-1", r"[a-z]+(?:-[a-z0-9]+)+"
            ),
            "pool": Place("the user pool ID", "eu-central-1_AbCdEf123", r"[\w-]+_[0-9A-Za-z]+"),
            "client_ids": Place(
                "the app clients that may speak here: access tokens have no aud, so without it "
                "every client of the pool could",
                "1example23456789",
                r"[\w+]+",
                several=True,
            ),
        },
        audience="the resource server's address, where clients bind their tokens to it (resource)",
        words={
            "issuer": "https://cognito-idp.{region}.amazonaws.com/{pool}",
            "audience": None,
            "discovery": True,
            "algorithms": ["RS256"],
            "require": {"token_use": "access", "client_id": "{client_ids}"},
            "roles": ["cognito:groups"],
        },
        notes=(
            (
                "Access tokens have client_id and no aud; ID tokens have aud and token_use 'id'.",
                "https://docs.aws.amazon.com/cognito/latest/developerguide/"
                "amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html",
            ),
            (
                "scope holds custom scopes as SERVER/SCOPE; tokens got through the API and not "
                "through managed login have aws.cognito.signin.user.admin alone.",
                _COGNITO_ACCESS,
            ),
            ("Groups are in cognito:groups.", _COGNITO_ACCESS),
        ),
    ),
    "okta": Provider(
        title="Okta, custom authorization servers",
        places={
            "domain": Place(
                "the org's host name or custom domain, without https:// and without -admin",
                "acme.okta.com",
                _HOST,
            ),
            "server": Place(
                "the ID of the custom authorization server; access tokens of the org server are "
                "for Okta alone and cannot be verified by others",
                "default",
                r"[0-9A-Za-z]+",
            ),
        },
        audience="the audience in the settings of the authorization server",
        words={
            "issuer": "https://{domain}/oauth2/{server}",
            "discovery": True,
            "algorithms": ["RS256"],
            "require": {"cid": _PRESENT},
            "roles": ["groups"],
        },
        notes=(
            (
                "Access tokens of the org authorization server (iss without /oauth2/…) are opaque "
                "to everybody but Okta; they may change without notice.",
                _OKTA_ORG,
            ),
            (
                "scp is an array. The client is in cid, which ID tokens do not have.",
                "https://developer.okta.com/docs/guides/validate-access-tokens/main/",
            ),
            (
                "groups is there once the authorization server has a claim of that name.",
                "https://developer.okta.com/docs/guides/customize-tokens-groups-claim/main/",
            ),
        ),
    ),
    "google": Provider(
        title="Google, ID tokens",
        places={},
        audience="your OAuth client ID (…apps.googleusercontent.com); a service's own address "
        "where service accounts ask for tokens for it",
        words={
            "issuer": "https://accounts.google.com",
            "discovery": True,
            "algorithms": ["RS256"],
            "roles": [],
        },
        notes=(
            (
                "Google's access tokens are opaque; ID tokens are the ones that can be verified.",
                "https://cloud.google.com/docs/authentication/token-types",
            ),
            (
                "Anybody with a Google account gets an ID token for your client. For one "
                "Workspace domain require hd; never trust the domain of email for it.",
                _GOOGLE_SIGN_IN,
            ),
            (
                "Some old clients get iss without https://; they need an issuer of their own.",
                "https://developers.google.com/identity/openid-connect/reference",
            ),
        ),
    ),
    "google_iap": Provider(
        title="Google Cloud Identity-Aware Proxy",
        places={},
        audience="/projects/NUMBER/global/backendServices/ID, or /projects/NUMBER/apps/ID for App "
        "Engine",
        words={
            "issuer": "https://cloud.google.com/iap",
            "jwks_uri": "https://www.gstatic.com/iap/verify/public_key-jwk",
            "algorithms": ["ES256"],
            "roles": [],
        },
        notes=(
            (
                "The token comes in the header x-goog-iap-jwt-assertion: name it in the rules' "
                "credentials. The headers x-goog-authenticated-user-… are not signed.",
                _IAP,
            ),
            ("Health checks carry no token: give them a public rule.", _IAP),
        ),
    ),
}
