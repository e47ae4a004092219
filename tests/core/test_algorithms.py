"""Algorithms and keys: one name goes with one kind of key (RFC 8725 3.1, threats 1.2)."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc import jws as joserfc_jws
from joserfc.jwk import import_key

from jwtguard import JWKSet, PublicKey, Secret, errors
from jwtguard.core.algorithms import ALGORITHMS, names_for, same_algorithm
from jwtguard.core.verifier import verify_jws
from jwtguard.testing import private_key, public_jwk, sign

from .forge import CLAIMS, SECRET, as_bytes, b64, forge, make_guard, token

KEYS = {name: private_key(name) for name in ALGORITHMS}
RSA = KEYS["RS256"]
FAMILIES = {
    "HS256": "oct",
    "HS384": "oct",
    "HS512": "oct",
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "ES256K": "secp256k1",
    "EdDSA": "Ed25519/Ed448",
    "Ed25519": "Ed25519",
    "Ed448": "Ed448",
}


def source(name):
    key = KEYS[name]
    return Secret(key) if isinstance(key, bytes) else JWKSet(public_jwk(key))


def test_the_algorithms_are_exactly_these():
    assert {name: a.kind for name, a in ALGORITHMS.items()} == FAMILIES
    assert [name for name, a in ALGORITHMS.items() if a.symmetric] == ["HS256", "HS384", "HS512"]
    assert names_for("Ed25519") == {"EdDSA", "Ed25519"}
    assert names_for("Ed448") == {"EdDSA", "Ed448"}
    assert names_for("P-256") == {"ES256"}
    assert names_for("brainpoolP256r1") == frozenset()
    assert same_algorithm("RS256") == {"RS256"}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_algorithm_verifies_its_own_tokens(name):
    raw = sign(CLAIMS, KEYS[name], name)

    header, payload = verify_jws(raw, source(name), [name])

    assert header == {"alg": name, "typ": "JWT"}
    assert json.loads(payload) == CLAIMS
    assert make_guard(algorithms=[name], keys=source(name)).verify(raw).subject == "alice"


@pytest.mark.parametrize("name", FAMILIES)
def test_another_signature_or_payload_is_refused(name):
    head, payload, signature = sign(CLAIMS, KEYS[name], name).split(".")
    raw_signature = base64.urlsafe_b64decode(signature + "==")
    others = {
        "another payload": (b64(as_bytes(CLAIMS | {"sub": "root"})), raw_signature),
        "zeros (psychic signatures, CVE-2022-21449)": (payload, bytes(len(raw_signature))),
        "one byte short": (payload, raw_signature[:-1]),
        "one byte long": (payload, raw_signature + b"\0"),
        "leading zero": (payload, b"\0" + raw_signature),
        "empty": (payload, b""),
        "last bit": (payload, raw_signature[:-1] + bytes([raw_signature[-1] ^ 1])),
        "doubled": (payload, raw_signature * 2),
    }
    for body, signed in others.values():
        with pytest.raises(errors.BadSignature):
            verify_jws(f"{head}.{body}.{b64(signed)}", source(name), [name])


# (r, s) that a verifier with careless range checks takes: CVE-2022-21449, wycheproof.
ORDER = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES256K": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
}
HALVES = {
    "r = s = 0": lambda n: (0, 0),
    "r = 0, s = 1": lambda n: (0, 1),
    "r = 1, s = 0": lambda n: (1, 0),
    "r = s = 1": lambda n: (1, 1),
    "r = s = n": lambda n: (n, n),
    "r = n + 1": lambda n: (n + 1, 1),
    "r = s = n - 1": lambda n: (n - 1, n - 1),
    "r = s = 2^256 - 1": lambda n: (2**256 - 1, 2**256 - 1),
}


@pytest.mark.parametrize("name", ORDER)
@pytest.mark.parametrize("halves", HALVES.values(), ids=HALVES)
def test_ecdsa_numbers_out_of_range_are_refused(name, halves):
    head, payload, _ = sign(CLAIMS, KEYS[name], name).split(".")
    signature = b"".join(n.to_bytes(32, "big") for n in halves(ORDER[name]))
    with pytest.raises(errors.BadSignature):
        verify_jws(f"{head}.{payload}.{b64(signature)}", source(name), [name])


@pytest.mark.parametrize("name", ["ES256", "ES384", "ES512", "ES256K"])
def test_ecdsa_signatures_in_der_are_refused(name):
    key = KEYS[name]
    signing_input = f"{b64(as_bytes({'alg': name}))}.{b64(as_bytes(CLAIMS))}"
    hash_of = {"ES384": hashes.SHA384(), "ES512": hashes.SHA512()}.get(name, hashes.SHA256())
    from cryptography.hazmat.primitives.asymmetric import ec

    der = key.sign(signing_input.encode(), ec.ECDSA(hash_of))
    size = (key.key_size + 7) // 8
    r, s = decode_dss_signature(der)
    raw = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    assert verify_jws(f"{signing_input}.{b64(raw)}", source(name), [name])
    with pytest.raises(errors.BadSignature):
        verify_jws(f"{signing_input}.{b64(der)}", source(name), [name])


NOT_HS256 = [
    *("none", "None", "NONE", "nOnE", "", " ", "none ", " none", "hs256", "Hs256", "HS256 "),
    *("HS256\n", "\tHS256", "HS256\0", "HS2566", "HS25", "HS", "HS256,none", "HMAC", "SHA256"),
    *("HS384", "HS512", "RS256", "ES256K", "EdDSA", "ES521", "PS256", "RSA1_5", "dir", "A128KW"),
    *("НS256", "\uff28S256"),
]


@pytest.mark.parametrize("alg", NOT_HS256)
def test_alg_is_compared_exactly(alg):
    """RFC 8725 2.1; the MAC is good, so that only the name can be why."""
    for header in ({"alg": alg}, {"alg": alg, "typ": "JWT"}):
        with pytest.raises(errors.AlgorithmNotAllowed):
            make_guard().verify(token(header))
        with pytest.raises(errors.AlgorithmNotAllowed):
            verify_jws(token(header), Secret(SECRET), ["HS256"])


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "AA", "signature"])
def test_an_unsigned_token_is_refused(alg, signature):
    raw = f"{b64(as_bytes({'alg': alg}))}.{b64(as_bytes(CLAIMS))}.{signature}"
    with pytest.raises(errors.InvalidToken):
        make_guard().verify(raw)
    with pytest.raises(errors.InvalidToken):
        verify_jws(raw, Secret(SECRET), ["none", "HS256"])


def test_none_cannot_be_allowed_even_by_name():
    raw = f"{b64(as_bytes({'alg': 'none'}))}.{b64(as_bytes(CLAIMS))}."
    with pytest.raises(errors.AlgorithmNotAllowed):
        verify_jws(raw, Secret(SECRET), ["none"])


def test_one_algorithm_as_plain_text_is_that_one_alone():
    """``ES256`` is a substring of ``ES256K`` and must not pass for it."""
    raw = sign(CLAIMS, KEYS["ES256"], "ES256")
    assert verify_jws(raw, source("ES256"), "ES256")
    with pytest.raises(errors.AlgorithmNotAllowed):
        verify_jws(raw, source("ES256"), "ES256K")


# --- RS256 -> HS256: PyJWT CVE-2017-11424, CVE-2022-29217, CVE-2026-48526 (JWK as secret);
# python-jose CVE-2024-33663; Authlib CVE-2024-37568; fast-jwt CVE-2023-48223, CVE-2026-34950
# (white space before PEM), GHSA-ww5h-9m49-7xx4 (any byte before PEM) ----------------------------

_public = RSA.public_key()
Enc, Pub = serialization.Encoding, serialization.PublicFormat
PEM = _public.public_bytes(Enc.PEM, Pub.SubjectPublicKeyInfo)
SSH = _public.public_bytes(Enc.OpenSSH, Pub.OpenSSH)
JWK = json.dumps(public_jwk(RSA)).encode()
_ed, _ec = KEYS["Ed25519"].public_key(), KEYS["ES256"].public_key()


def certificate(encoding):
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_public)
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3650))
        .sign(RSA, hashes.SHA256())
    )
    return built.public_bytes(encoding)


def private(encoding, form, encryption=None):
    return RSA.private_bytes(encoding, form, encryption or serialization.NoEncryption())


_private = serialization.PrivateFormat
PUBLIC_MATERIAL = {
    "PEM": PEM,
    "PEM without the last newline": PEM.rstrip(),
    "PEM with CRLF": PEM.replace(b"\n", b"\r\n"),
    "PEM with spaces before": b"  \n" + PEM,
    "PEM with a byte before": b"x" + PEM,
    "PEM with a BOM": b"\xef\xbb\xbf" + PEM,
    "PEM with text before": b"# our public key\n" + PEM,
    "PKCS1 PEM": _public.public_bytes(Enc.PEM, Pub.PKCS1),
    "certificate PEM": certificate(Enc.PEM),
    "certificate DER": certificate(Enc.DER),
    "DER": _public.public_bytes(Enc.DER, Pub.SubjectPublicKeyInfo),
    "PKCS1 DER": _public.public_bytes(Enc.DER, Pub.PKCS1),
    "Ed25519 PEM": _ed.public_bytes(Enc.PEM, Pub.SubjectPublicKeyInfo),
    "Ed25519 DER": _ed.public_bytes(Enc.DER, Pub.SubjectPublicKeyInfo),
    "Ed25519 SSH": _ed.public_bytes(Enc.OpenSSH, Pub.OpenSSH),
    "P-256 DER": _ec.public_bytes(Enc.DER, Pub.SubjectPublicKeyInfo),
    "P-256 SSH": _ec.public_bytes(Enc.OpenSSH, Pub.OpenSSH),
    "SSH": SSH,
    "SSH with spaces before": b" \n" + SSH,
    "SSH with a comment": SSH + b" alice@host",
    "JWK": JWK,
    "JWK with spaces before": b" \n" + JWK,
    "JWK with a BOM": b"\xef\xbb\xbf" + JWK,
    "JWK in UTF-16": JWK.decode().encode("utf-16"),
    "JWK Set": b'{"keys":[' + JWK + b"]}",
    "Ed25519 JWK": json.dumps(public_jwk(KEYS["Ed25519"])).encode(),
    "private PEM": private(Enc.PEM, _private.PKCS8),
    "private DER": private(Enc.DER, _private.PKCS8),
    "private PKCS1 DER": private(Enc.DER, _private.TraditionalOpenSSL),
    "encrypted private DER": private(
        Enc.DER, _private.PKCS8, serialization.BestAvailableEncryption(b"x")
    ),
    "private OpenSSH": private(Enc.PEM, _private.OpenSSH),
}
DISGUISED = {
    "SSH with options before": b"no-pty,no-port-forwarding " + SSH,
    "SSH, the base64 part alone": SSH.split()[1],
    "SSH, the bytes of that": base64.b64decode(SSH.split()[1]),
    "SSH2 (RFC 4716)": b"---- BEGIN SSH2 PUBLIC KEY ----\n"
    + SSH.split()[1]
    + b"\n---- END SSH2 PUBLIC KEY ----\n",
    "array of JWKs": b"[" + JWK + b"]",
    "JWK within a JSON string": json.dumps(JWK.decode()).encode(),
    "PEM in UTF-16": PEM.decode().encode("utf-16"),
}


def lines(data):
    return b"\n".join(data[i : i + 64] for i in range(0, len(data), 64))


WRITTEN = {
    "as it stands": lambda m: (m, "utf8"),
    "hex": lambda m: (m.hex(), "hex"),
    "base64": lambda m: (base64.b64encode(m).decode(), "base64"),
    "base64url": lambda m: (b64(m), "base64url"),
    "base64 text as it stands": lambda m: (base64.b64encode(m), "utf8"),
    "base64 text in lines": lambda m: (lines(base64.b64encode(m)), "utf8"),
    "base64 of its base64": lambda m: (base64.b64encode(base64.b64encode(m)).decode(), "base64"),
}
WRITTEN_OTHERWISE = {
    "base64 without padding, as it stands": lambda m: (base64.b64encode(m).rstrip(b"="), "utf8"),
    "base64url text as it stands": lambda m: (b64(m), "utf8"),
    "padded base64url text": lambda m: (base64.urlsafe_b64encode(m), "utf8"),
    "hex text as it stands": lambda m: (m.hex(), "utf8"),
    "hex text in capitals": lambda m: (m.hex().upper(), "utf8"),
    "base64 of its base64url": lambda m: (base64.b64encode(b64(m).encode()).decode(), "base64"),
}


def assert_no_secret(value, encoding):
    secret = Secret(value, encoding)
    assert "not an HMAC secret" in secret.problems[0][1]
    assert len(secret.current()) == 0
    assert Secret(value, encoding, insecure_short_keys=True).problems


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("material", PUBLIC_MATERIAL.values(), ids=PUBLIC_MATERIAL)
def test_key_material_is_no_secret_however_it_is_written(material, written):
    assert_no_secret(*written(material))


@pytest.mark.parametrize("written", WRITTEN_OTHERWISE.values(), ids=WRITTEN_OTHERWISE)
@pytest.mark.parametrize("material", PUBLIC_MATERIAL.values(), ids=PUBLIC_MATERIAL)
def test_key_material_in_an_unusual_spelling_is_no_secret(material, written):
    assert_no_secret(*written(material))


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("material", DISGUISED.values(), ids=DISGUISED)
def test_disguised_key_material_is_no_secret(material, written):
    assert_no_secret(*written(material))


@pytest.mark.parametrize("material", PUBLIC_MATERIAL.values(), ids=PUBLIC_MATERIAL)
def test_a_jwk_does_not_smuggle_key_material_in_either(material):
    assert JWKSet({"kty": "oct", "k": b64(material)}).problems
    assert JWKSet({"kty": "oct", "alg": "HS256", "k": b64(material)}).problems


REAL_SECRETS = {
    "random bytes": bytes(range(7, 71)),
    "starts like DER": b"\x30\x82\x01\x0a" + bytes(60),
    "hex digits": "5f" * 64,
    "base64 text": base64.b64encode(bytes(range(100, 164))).decode(),
    "words": "correct horse battery staple, correct horse battery staple!!!!!!",
    "JSON, no key": json.dumps({"secret": "x" * 60}),
    "JSON number": "1" * 64,
    "deep JSON": "[" * 5000,
    "mentions ssh": "my ssh- and rsa passphrase is longer than sixty-four characters, indeed",
    "not ASCII": "é" * 40,
}


@pytest.mark.parametrize("value", REAL_SECRETS.values(), ids=REAL_SECRETS)
def test_a_real_secret_is_taken(value):
    secret = Secret(value)
    assert not secret.problems
    assert secret.current().keys[0].algorithms == {"HS256", "HS384", "HS512"}


@pytest.mark.parametrize("material", PUBLIC_MATERIAL.values(), ids=PUBLIC_MATERIAL)
def test_a_token_macced_with_the_public_key_is_refused(material):
    raw = forge(key=material)
    for keys in (PublicKey.from_pem(PEM), JWKSet(public_jwk(RSA))):
        with pytest.raises(errors.AlgorithmNotAllowed):
            make_guard(algorithms=["RS256"], keys=keys).verify(raw)
        with pytest.raises(errors.KeyNotFound):
            verify_jws(raw, keys, ["RS256", "HS256"])


@pytest.mark.parametrize("algorithms", [["HS256"], ["RS256", "HS256"], ["HS512", "RS256"]])
def test_hs_with_public_keys_alone_is_a_start_up_error(algorithms):
    for keys in (PublicKey.from_pem(PEM), JWKSet(public_jwk(RSA)), [PublicKey.from_pem(PEM)]):
        with pytest.raises(errors.ConfigurationError, match=r"issuers\[0\].algorithms: HS.*Secret"):
            make_guard(algorithms=algorithms, keys=keys)


def test_a_secret_beside_a_public_key_serves_hs_only():
    keys = [Secret(SECRET), PublicKey.from_pem(PEM)]
    guard = make_guard(algorithms=["HS256", "RS256"], keys=keys)
    assert guard.verify(token())
    assert guard.verify(sign(CLAIMS, RSA, "RS256"))
    with pytest.raises(errors.BadSignature):
        guard.verify(forge(key=PEM))


MISMATCHED = [
    (alg, other)
    for alg in FAMILIES
    for other in ("HS512", "RS256", "ES256", "ES384", "ES512", "ES256K", "Ed25519", "Ed448")
    if not names_for(ALGORITHMS[other].kind) & {alg}
]


@pytest.mark.parametrize(("alg", "key"), MISMATCHED, ids=[f"{a} with {k}" for a, k in MISMATCHED])
def test_a_key_of_another_kind_is_never_tried(alg, key):
    raw = sign(CLAIMS, KEYS[alg], alg)
    with pytest.raises(errors.KeyNotFound):
        verify_jws(raw, source(key), [alg])


def test_a_jwk_with_alg_serves_that_alg_only():
    """CVE-2026-48523: the allow-list alone does not decide."""
    keys = JWKSet(public_jwk(RSA, alg="RS256"))
    assert verify_jws(sign(CLAIMS, RSA, "RS256"), keys, ["RS256", "PS256", "RS512"])
    for other in ("PS256", "RS512", "RS384"):
        with pytest.raises(errors.KeyNotFound):
            verify_jws(sign(CLAIMS, RSA, other), keys, ["RS256", other])


RFC9864 = [
    ("Ed25519", alg, header)
    for alg in ("EdDSA", "Ed25519", None)
    for header in ("EdDSA", "Ed25519")
] + [("Ed448", alg, header) for alg in ("EdDSA", "Ed448", None) for header in ("EdDSA", "Ed448")]


@pytest.mark.parametrize(("kind", "alg", "header"), RFC9864)
def test_a_jwk_of_either_eddsa_name_serves_both(kind, alg, header):
    jwk = public_jwk(KEYS[kind]) | ({} if alg is None else {"alg": alg})
    assert verify_jws(sign(CLAIMS, KEYS[kind], header), JWKSet(jwk), [header])


@pytest.mark.parametrize(("kind", "alg"), [("Ed25519", "Ed448"), ("Ed448", "Ed25519")])
def test_a_jwk_with_the_other_curves_name_is_skipped(kind, alg):
    assert JWKSet(public_jwk(KEYS[kind], alg=alg)).problems


def test_the_eddsa_names_are_listed_separately():
    keys = JWKSet(public_jwk(KEYS["Ed25519"]))
    for listed, sent in (("EdDSA", "Ed25519"), ("Ed25519", "EdDSA")):
        with pytest.raises(errors.AlgorithmNotAllowed):
            make_guard(algorithms=[listed], keys=keys).verify(sign(CLAIMS, KEYS["Ed25519"], sent))


def test_a_small_rsa_key_is_refused_unless_told_otherwise():
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = small.public_key().public_bytes(Enc.PEM, Pub.SubjectPublicKeyInfo)
    assert "1024 bits" in PublicKey.from_pem(pem).problems[0][1]
    assert "1024 bits" in JWKSet(public_jwk(small)).problems[0][1]
    for keys in (
        PublicKey.from_pem(pem, insecure_short_keys=True),
        JWKSet(public_jwk(small), insecure_short_keys=True),
    ):
        assert not keys.problems
        assert keys.insecure


def test_joserfc_agrees_about_every_algorithm():
    for name in ("HS256", "RS256", "PS384", "ES512", "Ed25519", "Ed448"):
        key = KEYS[name]
        jwk = import_key(public_jwk(key))
        raw = sign(CLAIMS, key, name)
        assert joserfc_jws.deserialize_compact(raw, jwk, algorithms=[name]).payload
        assert verify_jws(raw, source(name), [name])
