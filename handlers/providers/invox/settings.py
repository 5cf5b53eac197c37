"""The settings of a source of INVOX Medical callbacks and events."""

from typing import Annotated, Literal

import msgspec

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, SourceSettings, about


class InvoxSettings(SourceSettings, frozen=True, kw_only=True):
    """A source of INVOX Medical callbacks, webhook events, or both."""

    webhook_api_key: Annotated[
        tuple[Secret, ...],
        about("the organization's webhook apiKey, which ends what is signed; one or several, all tried"),
    ] = ()
    webhook_secret_key: Annotated[
        tuple[Secret, ...], about("the organization's webhook secretKey, which signs events; one or several")
    ] = ()
    api_key: Annotated[
        tuple[Secret, ...],
        about("API Key of the AI-services application; the vendor does not say whether it signs", inferred=True),
    ] = ()
    callback_signature: Annotated[
        Literal["advisory", "required", "off"],
        about(
            "signature of the transcription callback, for which the scheme of the webhooks is assumed: "
            '"advisory" notes whether it matches, "required" refuses what does not, "off" does not look',
            inferred=True,
        ),
    ] = "advisory"
    event_tolerance: Annotated[
        Annotated[float, msgspec.Meta(gt=0)] | None,
        about(
            "seconds that the `timestamp` of a webhook event may differ from our clock; default: any. The vendor does not "
            "say whether a repeated event has a new one, and a replayed event is known by what was signed of it"
        ),
    ] = None

    def check(self) -> None:
        for key in ("token", "webhook_api_key", "webhook_secret_key", "api_key"):
            if any(not secret.value for secret in getattr(self, key)):
                raise ConfigError(f"{key}: it is empty; give its value or leave the key out")
        if self.webhook_secret_key and not (self.webhook_api_key or self.api_key):
            raise ConfigError("webhook_secret_key: it signs together with the apiKey; set webhook_api_key too")
        if self.webhook_api_key and not (self.webhook_secret_key or self.api_key):
            raise ConfigError("webhook_api_key: it signs nothing alone; set webhook_secret_key too")
        if self.callback_signature == "required" and not (self.webhook_secret_key or self.api_key):
            raise ConfigError(
                'callback_signature: "required" needs keys; set webhook_api_key and webhook_secret_key (or api_key), '
                'or set it to "advisory" and give a token'
            )
