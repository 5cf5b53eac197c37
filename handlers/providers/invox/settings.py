"""The settings of a source of INVOX Medical callbacks and events."""

from typing import Annotated, Literal

import msgspec

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, Settings, SourceSettings, about


class TokenRequest(Settings, frozen=True, kw_only=True):
    """How an access token is asked for, and where the answer has it: no readable page says so much.

    Documented is that the Base64 of `APP Id:API Key` calls a service that is "based on OAuth2"
    (developer.invoxmedical.com/ai-services/credentials), and that calls carry `Bearer <accessToken>`.
    """

    method: Annotated[Literal["POST", "GET"], about("how it is asked for", inferred=True)] = "POST"
    authorization: Annotated[
        str,
        about(
            "Authorization header; {credentials} is the Base64 of `APP Id:API Key`, and empty text sends no header",
            inferred=True,
        ),
    ] = "Basic {credentials}"
    body: Annotated[
        str, about("body, in which {credentials} is replaced too; empty text sends none", inferred=True)
    ] = "grant_type=client_credentials"
    content_type: Annotated[str, about("media type of the body", inferred=True)] = "application/x-www-form-urlencoded"
    member: Annotated[
        tuple[str, ...],
        about("members that may hold the token, a.b for an inner one; the first that is there counts", inferred=True),
    ] = ("accessToken", "access_token", "token")
    expiry_member: Annotated[
        tuple[str, ...],
        about("members that may hold its lifetime in seconds; without one the documented two hours", inferred=True),
    ] = ("expiresIn", "expires_in")


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
        about(
            "API Key of the AI-services application, the first of which asks for tokens; the vendor does not say whether "
            "it signs",
            inferred=True,
        ),
    ] = ()
    callback_signature: Annotated[
        Literal["advisory", "required", "off"],
        about(
            "signature of the transcription callback, for which the scheme of the webhooks is assumed: "
            '"advisory" notes whether it matches, "required" refuses what does not, "off" does not look',
            inferred=True,
        ),
    ] = "advisory"
    app_id: Annotated[
        str | None,
        about("APP Id of the AI-services application: with api_key, api_url and token_url INVOX can be asked"),
    ] = None
    api_url: Annotated[
        str | None,
        about("INVOX's API server, https://…; the vendor's pages leave it to an introduction that cannot be read"),
    ] = None
    token_url: Annotated[
        str | None, about("where an access token is given: an address, or a path on api_url; not in any readable page")
    ] = None
    api_version: Annotated[
        str | None,
        about(
            "value of X-Invox-Medical-Api-Version; polling exists since 2025-10-01. Without it the header is not sent",
            inferred=True,
        ),
    ] = "2025-10-01"
    token_request: Annotated[
        TokenRequest, about("how a token is asked for, where INVOX does not do it as OAuth 2 has it")
    ] = TokenRequest()
    event_tolerance: Annotated[
        Annotated[float, msgspec.Meta(gt=0)] | None,
        about(
            "seconds that the `timestamp` of a webhook event may differ from our clock; default: any. The vendor does not "
            "say whether a repeated event has a new one, and a replayed event is known by what was signed of it"
        ),
    ] = None

    def unused(self) -> frozenset[str]:
        """Without an application's credentials INVOX is not asked."""
        return frozenset() if self.app_id else frozenset({"api_version", "token_request"})

    def check(self) -> None:
        for key in ("token", "webhook_api_key", "webhook_secret_key", "api_key"):
            if any(not secret.value for secret in getattr(self, key)):
                raise ConfigError(f"{key}: it is empty; give its value or leave the key out")
        given = [name for name in ("app_id", "api_url", "token_url") if getattr(self, name)]
        if given and (len(given) < 3 or not self.api_key):
            raise ConfigError(
                f"{', '.join(given)}: app_id, api_key, api_url and token_url are needed together to ask INVOX; the vendor "
                "names both addresses in its portal only"
            )
        if self.webhook_secret_key and not (self.webhook_api_key or self.api_key):
            raise ConfigError("webhook_secret_key: it signs together with the apiKey; set webhook_api_key too")
        if self.webhook_api_key and not (self.webhook_secret_key or self.api_key):
            raise ConfigError("webhook_api_key: it signs nothing alone; set webhook_secret_key too")
        if self.callback_signature == "required" and not (self.webhook_secret_key or self.api_key):
            raise ConfigError(
                'callback_signature: "required" needs keys; set webhook_api_key and webhook_secret_key (or api_key), '
                'or set it to "advisory" and give a token'
            )
