"""The door of a source: a signature, other schemes of the kit, the token in the URL, all of them or any one."""

from collections.abc import Sequence
from typing import Literal

from receiver.contract.diagnosis import signed_otherwise
from receiver.contract.model import InboundRequest, Verdict
from receiver.contract.proof import Check, HmacScheme, Proven, Reason, Refused, SignatureSettings, Tokens
from receiver.contract.schemes import Scheme
from receiver.contract.settings import Secret, SourceSettings

_MISSING = frozenset({Reason.SIGNATURE_MISSING, Reason.TOKEN_MISSING, Reason.CREDENTIALS_MISSING})
_UNMATCHED = frozenset({Reason.SIGNATURE_MISSING, Reason.SIGNATURE_MALFORMED, Reason.SIGNATURE_MISMATCH})


class Door:
    """Proof by signature, by other schemes, by the token in the URL, as the settings of a source say."""

    def __init__(
        self,
        settings: SourceSettings,
        signature: SignatureSettings | None,
        secrets: Sequence[Secret],
        require: Literal["all", "any"],
        schemes: Sequence[Scheme] = (),
    ) -> None:
        self._tokens = Tokens(settings.token)
        self._token = settings.token[0].value if settings.token else None
        self._scheme = HmacScheme(signature, secrets) if signature else None
        self._schemes = tuple(schemes)
        self._secrets = tuple(secrets)
        self._any = require == "any"
        self._open = settings.verify == "none"

    def ways(self) -> tuple[str, ...]:
        """Return the ways of proof, in words."""
        signature = (f"{self._scheme.settings.algorithm} in {self._scheme.settings.header}",) if self._scheme else ()
        others = tuple(scheme.name for scheme in self._schemes)
        return (*signature, *others, "token in the URL") if self._tokens else (*signature, *others)

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Say who sent `request`; where `verify` is "none", what fails is only recorded."""
        tried = self._tried(request, now)
        passed = [verdict for verdict, refused in tried if refused is None]
        failed = [refused for _, refused in tried if refused is not None]
        checks = tuple(check for refused in failed for check in refused.checks)
        if passed and (self._any or not failed):
            return Proven(request=request, verdict=passed[0], checks=checks)
        if self._open:
            return Proven(request=request, verdict=Verdict.UNVERIFIED, checks=checks)
        return Refused(reason=_most_telling(failed), checks=checks)

    def explain(self, request: InboundRequest, now: float) -> tuple[Check, ...]:
        """Return which proof is right by itself, and what would have matched the signature."""
        tried = self._tried(request, now)
        checks = [_right(verdict) for verdict, refused in tried if refused is None]
        unmatched = [verdict for verdict, refused in tried if refused is not None and refused.reason in _UNMATCHED]
        if self._scheme is not None and Verdict.SIGNATURE in unmatched:
            checks += self._scheme.explain(request, now)
            checks += signed_otherwise(request, self._secrets)
        for scheme in self._schemes:
            checks += scheme.explain(request, now)
        return tuple(checks)

    def steps(self, request: InboundRequest) -> tuple[Check, ...]:
        """Return for every proof what was compared, and how each secret fares."""
        schemes = (*((self._scheme,) if self._scheme else ()), *self._schemes)
        return tuple(check for scheme in schemes for check in scheme.steps(request)) + tuple(
            self._tokens.steps(request.token)
        )

    def sign(self, body: bytes, now: float) -> tuple[str | None, list[tuple[bytes, bytes]]]:
        """Return the first token, and the headers of all schemes by their first secret.

        Raises UsageError where only the sender can sign.
        """
        headers = self._scheme.headers(body, now) if self._scheme else []
        return self._token, [*headers, *(header for scheme in self._schemes for header in scheme.headers(body, now))]

    def _tried(self, request: InboundRequest, now: float) -> list[tuple[Verdict, Refused | None]]:
        tried: list[tuple[Verdict, Refused | None]] = []
        if self._scheme is not None:
            tried.append((Verdict.SIGNATURE, self._scheme.refusal(request, now)))
        tried += [(scheme.verdict, scheme.refusal(request, now)) for scheme in self._schemes]
        if self._tokens:
            tried.append((Verdict.TOKEN, self._tokens.refusal(request.token)))
        return tried


def _right(verdict: Verdict) -> Check:
    return Check(scheme=verdict, ok=True, detail=f"the {verdict} is right")


def _most_telling(failed: list[Refused]) -> Reason:
    reasons = [refused.reason for refused in failed] or [Reason.TOKEN_MISSING]
    wrong = [reason for reason in reasons if reason not in _MISSING]
    return (wrong or reasons)[0]
