"""The settings of a source of RingCentral's callbacks."""

import re
from typing import Annotated, Literal

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, SourceSettings, about

_SHORTEST = 16
_SENDABLE = re.compile(r"[!-~]+(?: [!-~]+)*")


class RingCentralSettings(SourceSettings, frozen=True, kw_only=True):
    """A source of AI responses, which only the token in the URL proves, and of subscription notifications."""

    verification_token: Annotated[
        tuple[Secret, ...],
        about(
            "what the subscription was created with as deliveryMode.verificationToken; RingCentral sends it as "
            "Verification-Token with every notification, never with an AI response; one or several"
        ),
    ] = ()
    require: Annotated[
        Literal["all", "any"],
        about(
            'where token and verification_token are both set: "all" that RingCentral sends with such a message, '
            'or "any" one proves'
        ),
    ] = "all"

    def check(self) -> None:
        for secret in self.verification_token:
            if len(secret.value) < _SHORTEST:
                raise ConfigError(
                    f"verification_token: {len(secret.value)} characters can be guessed, {_SHORTEST} are the least; "
                    "`hookscribe keygen` prints a good one"
                )
            if not _SENDABLE.fullmatch(secret.value):
                raise ConfigError("verification_token: it stands in a header and may hold visible ASCII only")
