"""The door: the token in the URL, the static header of subscriptions, and the handshake that comes before these.

RingCentral signs neither product. An AI response carries nothing, a notification `Verification-Token`, the string that
the subscription was created with; the guide has called it `Validation-Token` since 2023-12, against the specification,
so both names are read. The name alone therefore makes no handshake: the empty body does.
"""

import hmac
import re
from collections.abc import Iterator

from handlers.providers.ringcentral.identity import of_subscription
from handlers.providers.ringcentral.settings import RingCentralSettings
from receiver.contract.model import InboundRequest, Verdict
from receiver.contract.proof import Check, Proven, Reason, Refused, Tokens, digest, outcomes
from receiver.contract.provider import Reply
from receiver.contract.schemes import presented_elsewhere

_CHALLENGE = b"validation-token"
_PROOF = "verification-token"
_PROOFS = (_PROOF, "validation-token")
_SCHEME = "verification_token"
_ECHOED = re.compile(rb"[!-~]{1,512}")
"""What is echoed: nothing that could end a header, and half of the 1024 bytes that the whole answer may have."""


class SubscriptionDoor:
    """Proof by the token in the URL, by the header, or by both, as the settings of a source say."""

    def __init__(self, settings: RingCentralSettings) -> None:
        settings.check()
        self._tokens = Tokens(settings.token)
        self._known = tuple(digest(secret.raw) for secret in settings.verification_token)
        self._secrets = tuple(secret.raw for secret in settings.verification_token)
        self._first = (
            settings.token[0].value if settings.token else None,
            settings.verification_token[0].raw if settings.verification_token else None,
        )
        self._any = settings.require == "any"
        self._open = settings.verify == "none"

    def ways(self) -> tuple[str, ...]:
        """Return the ways of proof, in words."""
        return ("token in the URL",) * bool(self._tokens) + ("Verification-Token",) * bool(self._known)

    def prove(self, request: InboundRequest) -> Proven | Refused:
        """Say who sent `request`; where `verify` is "none", what fails is only recorded."""
        tried = [refused for _, refused in self._tried(request)]
        failed = [refused for refused in tried if refused is not None]
        checks = tuple(check for refused in failed for check in refused.checks)
        if tried and (not failed or (self._any and len(failed) < len(tried))):
            return Proven(request=request, verdict=Verdict.TOKEN, checks=checks)
        if self._open:
            return Proven(request=request, verdict=Verdict.UNVERIFIED, checks=checks)
        unknown = any(refused.reason is Reason.TOKEN_UNKNOWN for refused in failed)
        return Refused(reason=Reason.TOKEN_UNKNOWN if unknown else Reason.TOKEN_MISSING, checks=checks)

    def steps(self, request: InboundRequest) -> tuple[Check, ...]:
        """Return how each configured token fares, of the URL and of the header."""
        given = next((value for name in _PROOFS if (value := request.header(name)) is not None), None)
        made = [hmac.compare_digest(digest((given or "").encode("latin-1")), known) for known in self._known]
        header = outcomes(_SCHEME, _PROOF, made, "value") if given is not None else ()
        return (*header, *self._tokens.steps(request.token))

    def explain(self, request: InboundRequest) -> tuple[Check, ...]:
        """Return which proof is right by itself, and other headers that hold a subscription's token, for operators."""
        tried = list(self._tried(request))
        right = (Check(scheme=way, ok=True, detail=f"the {way} is right") for way, refused in tried if refused is None)
        lacks = any(way == _SCHEME and refused is not None for way, refused in tried)
        return (*right, *(presented_elsewhere(request, self._secrets, _SCHEME) if lacks else ()))

    def handshake(self, request: InboundRequest) -> Reply | None:
        """Echo the challenge to who knows the address; to others it is a request like any, and refused as such.

        RingCentral asks at the very address that it will post to, so the token in the URL must be right: without that,
        anybody could have a header of this server's say what they like, and learn which sources there are.
        `Verification-Token` comes with it where the subscription has one. A wrong one is refused, so that the
        subscription fails at once and not with each notification; an absent one only where no token is in the URL.
        """
        if request.body or not self._admits(request):
            return None
        challenge = next((value for name, value in request.headers if name == _CHALLENGE), b"")
        if not _ECHOED.fullmatch(challenge):
            return None
        return Reply(headers=((b"Validation-Token", challenge),))

    def headers(self, body: bytes) -> tuple[str | None, tuple[tuple[bytes, bytes], ...]]:
        """Return the URL's token and the headers that RingCentral would send `body` with."""
        token, proof = self._first
        if not of_subscription(body):
            plain = ((b"content-type", b"application/json"),)
            return token, plain + (((_PROOF.encode(), proof),) if proof and token is None else ())
        headers = ((b"content-type", b"application/json; charset=UTF-8"), (b"user-agent", b"RingCentral-Webhook/8.3"))
        return token, headers + (((_PROOF.encode(), proof),) if proof else ())

    def _tried(self, request: InboundRequest) -> Iterator[tuple[str, Refused | None]]:
        """Yield every proof that such a message can have, with why it fails.

        An AI response never has the header: it is asked for one only where that is the only proof, or one of several
        ways, so that both products can come to one source.
        """
        if self._tokens:
            yield "token", self._tokens.refusal(request.token)
        if self._known and (self._any or not self._tokens or of_subscription(request.body)):
            yield _SCHEME, self._refusal(request, _PROOFS if request.body else (_PROOF,))

    def _admits(self, request: InboundRequest) -> bool:
        if self._open:
            return True
        header = self._refusal(request, (_PROOF,)) if self._known else None
        if not self._tokens:
            return bool(self._known) and header is None
        if self._tokens.refusal(request.token) is not None:
            return self._any and bool(self._known) and header is None
        return self._any or header is None or header.reason is Reason.TOKEN_MISSING

    def _refusal(self, request: InboundRequest, names: tuple[str, ...]) -> Refused | None:
        """Return None where one of the headers holds a known token, compared by digest in constant time."""
        given = [value for name in names if (value := request.header(name)) is not None]
        if not given:
            check = Check(scheme=_SCHEME, ok=None, header=_PROOF, detail="header Verification-Token is absent")
            return Refused(reason=Reason.TOKEN_MISSING, checks=(check,))
        found = False
        for value in given:
            for known in self._known:
                found |= hmac.compare_digest(digest(value.encode("latin-1")), known)
        if found:
            return None
        detail = f"header Verification-Token ({len(given[0])} characters) is none of the {len(self._known)} configured"
        return Refused(
            reason=Reason.TOKEN_UNKNOWN, checks=(Check(scheme=_SCHEME, ok=False, header=_PROOF, detail=detail),)
        )
