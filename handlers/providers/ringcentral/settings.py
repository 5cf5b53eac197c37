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

    client_id: Annotated[
        str | None, about("the app's client id: with client_secret and jwt RingCentral can be asked")
    ] = None
    client_secret: Annotated[Secret | None, about("the app's client secret")] = None
    jwt: Annotated[Secret | None, about("the user's JWT credential, from the developer console")] = None
    api_url: Annotated[str, about("RingCentral's API server")] = "https://platform.ringcentral.com"
    media_url: Annotated[str, about("RingCentral's server for recordings")] = "https://media.ringcentral.com"
    recording_access: Annotated[
        Literal["proxy", "token"],
        about(
            'how the AI API gets a recording of RingCentral: "proxy" passes it on under an address of ours, "token" puts '
            "an access token into its address, as the guide has it; such addresses may be logged elsewhere"
        ),
    ] = "proxy"
    call_log: Annotated[
        Literal["company", "user"],
        about("whose calls are listed: everybody's, which needs FullCompanyCallLog, or those of the JWT's user"),
    ] = "company"
    ace_domains: Annotated[
        tuple[Literal["pbx", "rcv", "rcx", "nice-incontact", "ms-teams"], ...],
        about("domains whose ACE insights `hookscribe sweep` reads, for every recording in the call log"),
    ] = ()
    subscribe: Annotated[
        tuple[str, ...],
        about("event filters that `hookscribe subscriptions create` subscribes to, as RingCentral writes them"),
    ] = ()
    subscription_seconds: Annotated[
        int, about("lifetime of a subscription; it is renewed when a third is left", ge=3600, le=315_360_000)
    ] = 604_800

    def check(self) -> None:
        given = [name for name in ("client_id", "client_secret", "jwt") if getattr(self, name) is not None]
        if given and len(given) < 3:
            raise ConfigError(f"{', '.join(given)}: client_id, client_secret and jwt are needed together")
        for secret in self.verification_token:
            if len(secret.value) < _SHORTEST:
                raise ConfigError(
                    f"verification_token: {len(secret.value)} characters can be guessed, {_SHORTEST} are the least; "
                    "`hookscribe keygen` prints a good one"
                )
            if not _SENDABLE.fullmatch(secret.value):
                raise ConfigError("verification_token: it stands in a header and may hold visible ASCII only")
