"""One order at an ACME authority, from the account to the certificate, by certbot's client library. It blocks.

In: a host, the account's key, and where a challenge is put. Out: a certificate with its key, or an ``OrderError``.
It must not know when an order is due.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from acme import challenges, client, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from swarm_xds.certs import check
from swarm_xds.certs.acme.options import AcmeOptions, ChallengeType
from swarm_xds.certs.acme.tls_alpn import TlsAlpn01, answer

#: Characters of an authority's own words that are repeated.
_WORDS = 300
#: Seconds that an answer, and a whole order, may take.
_ANSWER, _ORDER = 30, 90
_AGENT = "swarm-xds"
_TOO_MANY, _AWAY = 429, 503
#: Seconds of rest after such an answer that does not say how long.
_REST = 60.0
_KINDS = {ChallengeType.HTTP_01: challenges.HTTP01, ChallengeType.TLS_ALPN_01: TlsAlpn01}
_NO_ACCOUNT = "accountDoesNotExist"
#: Puts an answer where the authority will look: of which type, its token, and the answer itself, which is a text for
#: HTTP, and a certificate with its key as PEM for a handshake.
Show = Callable[[ChallengeType, str, str], None]


class OrderError(Exception):
    """An order failed; the message is the reason, in the authority's own words where it gave any.

    Attributes:
        rest: Seconds that the authority wants not to hear of us, for any host; 0 if it did not say so.
        account: The account's URI; empty if there is none.
    """

    def __init__(self, reason: str, rest: float, account: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rest = rest
        self.account = account


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What came of an order: a PEM file with certificate, chain and key, and the account's URI."""

    content: bytes
    account: str

    def __repr__(self) -> str:
        return f"Ordered(redacted, account={self.account})"


def order(
    host: str,
    types: tuple[ChallengeType, ...],
    options: AcmeOptions,
    *,
    key: ec.EllipticCurvePrivateKey,
    account: str,
    show: Show,
) -> Ordered:
    """Order a certificate for one host.

    Args:
        host: Its name.
        types: Of challenges: the first that the authority offers is taken.
        options: The authority, and whether its terms are agreed to.
        key: The account's.
        account: The account's URI; empty: there is none, and one is registered.
        show: Returns when every proxy answers so.

    Raises:
        OrderError: There is no certificate.
    """
    rests: list[float] = []
    network = connection(options, key)
    network.session.hooks["response"].append(lambda response, *_, **__: _note(response, rests))
    try:
        authority = client.ClientV2(client.ClientV2.get_directory(options.directory, network), network)
        account = _log_in(authority, options, account)
        try:
            content = _order(authority, host, types, show)
        except messages.Error as error:
            if error.code != _NO_ACCOUNT:
                raise
            authority.net.account, account = None, ""
            account = _log_in(authority, options, "")
            content = _order(authority, host, types, show)
    # Whatever an authority answers, and the library makes of it, is the failure of one order.
    except Exception as error:
        raise OrderError(_reason(error), max(rests, default=0), account) from None
    finally:
        network.session.close()
    return Ordered(content=content, account=account)


def connection(options: AcmeOptions, key: ec.EllipticCurvePrivateKey | None) -> client.ClientNetwork:
    """Return what speaks to the authority, in the name of the account whose key it is; its session has to be closed."""
    signing = None if key is None else JWKEC(key=key)
    network = client.ClientNetwork(signing, alg=ES256, user_agent=_AGENT, timeout=_ANSWER)
    if options.ca is not None:
        network.verify_ssl = str(options.ca)  # type: ignore[assignment] # it is handed on to requests, which takes both
    return network


def _log_in(authority: client.ClientV2, options: AcmeOptions, account: str) -> str:
    """Have an account, and return its URI."""
    if account:
        body = messages.Registration()
        authority.net.account = messages.RegistrationResource(body=body, uri=account)
        return account
    contact = (f"mailto:{options.email}",) if options.email else ()
    wanted = messages.NewRegistration(contact=contact, terms_of_service_agreed=options.terms_agreed)
    try:
        return str(authority.new_account(wanted).uri)
    except errors.ConflictError as error:  # this key has one already, whose URI was lost
        authority.net.account = messages.RegistrationResource(body=messages.Registration(), uri=error.location)
        return str(error.location)


def _order(authority: client.ClientV2, host: str, types: tuple[ChallengeType, ...], show: Show) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=False)
    order = authority.new_order(request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    for authorization in order.authorizations:
        if authorization.body.status != messages.STATUS_VALID:
            kind, challenge = _offered(authorization, types)
            response, proof = challenge.response_and_validation(authority.net.key)
            shown = answer(host, proof).decode() if kind is ChallengeType.TLS_ALPN_01 else proof
            show(kind, challenge.chall.encode("token"), shown)
            authority.answer_challenge(challenge, response)
    done = authority.poll_and_finalize(order, datetime.now() + timedelta(seconds=_ORDER))  # noqa: DTZ005 - as it asks
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    content: bytes = done.fullchain_pem.encode() + pem
    checked = check.read(host, content).material
    if checked.reason or checked.chain is None:
        raise ValueError(f"the certificate that came cannot be used: {checked.reason}")
    if host not in checked.chain.names:
        raise ValueError(f"the certificate that came does not name {host}")
    return content


def _offered(
    authorization: messages.AuthorizationResource, types: tuple[ChallengeType, ...]
) -> tuple[ChallengeType, messages.ChallengeBody]:
    for kind in types:
        for challenge in authorization.body.challenges:
            if isinstance(challenge.chall, _KINDS[kind]):
                return kind, challenge
    raise ValueError(f"the authority does not offer the challenge {' or '.join(types)}")


def _note(response: Any, rests: list[float]) -> None:  # noqa: ANN401 - of a library that this does not import
    """Take down for how long an authority that refuses wants to be left alone (RFC 8555, 6.6)."""
    if response.status_code in {_TOO_MANY, _AWAY}:
        rests.append(rest_until(response.headers.get("Retry-After", ""), datetime.now(UTC)))


def rest_until(value: str, now: datetime) -> float:
    """Return the seconds that a ``Retry-After`` asks for: it is a number, or a date (RFC 9110, 10.2.3)."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return _REST


def _words(text: object) -> str:
    """Return an authority's words on one printable line."""
    return "".join(each if each.isprintable() else " " for each in str(text)[:_WORDS]).strip()


def _reason(error: Exception) -> str:
    if isinstance(error, errors.ValidationError):
        found = [
            (each.typ, each.error)
            for authorization in error.failed_authzrs
            for each in authorization.body.challenges
            if each.error is not None
        ]
        if not found:
            return "the authority did not say why"
        kind, told = found[0]
        return _words(f"the authority did not get the answer ({kind}): {told.detail}")
    if isinstance(error, messages.Error):
        return _words(f"{error.code or error.typ}: {error.detail}")
    if isinstance(error, errors.TimeoutError):
        return "the authority did not come to an end in time"
    if isinstance(error, KeyError):
        return _words(f"the authority's directory lacks {error}")
    return _words(str(error) or type(error).__name__)
