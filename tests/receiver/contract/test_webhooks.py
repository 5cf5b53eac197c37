"""Standard Webhooks signatures, judged by others: the reference package, openssl, and a published example."""

import base64
import re
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.contract.webhooks import generate, read_key, sign

# The specification's own example pair and message; the signatures are Svix's, from its test suite.
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WHSK = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
MESSAGE = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def test_published_examples() -> None:
    """Both versions sign the published message as others did; several keys stand side by side."""
    keys = [read_key(Secret(WHSEC)), read_key(Secret(WHSK))]
    assert sign(keys, *MESSAGE) == f"{V1} {V1A}"


@given(st.text("abcXYZ0189_", min_size=1), st.binary(max_size=300).map(lambda raw: raw.hex().encode()))
def test_the_reference_package_verifies_v1(message_id: str, body: bytes) -> None:
    """What we sign now, `standardwebhooks` accepts; another body it does not."""
    key = generate()
    now = int(time.time())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": sign([read_key(generate().secret), read_key(key.secret)], message_id, now, body),
    }
    judge = standardwebhooks.Webhook(key.secret.value)
    assert judge.sign(message_id, datetime.fromtimestamp(now, UTC), body.decode()) in headers["webhook-signature"]
    with pytest.raises(standardwebhooks.webhooks.WebhookVerificationError):
        judge.verify(body + b" ", headers)


def test_openssl_verifies_v1a(tmp_path: Path) -> None:
    """An Ed25519 signature of ours is good to openssl under the public half, and bad for another message."""
    key = generate("asymmetric")
    assert key.public
    signature = sign([read_key(key.secret)], "evt_1", 1700000000, b"\x00\xff body")
    der = bytes.fromhex("302a300506032b6570032100") + base64.b64decode(key.public.removeprefix("whpk_"))
    (tmp_path / "public.der").write_bytes(der)
    (tmp_path / "signature").write_bytes(base64.b64decode(signature.removeprefix("v1a,")))
    assert openssl_accepts(tmp_path, b"evt_1.1700000000.\x00\xff body")
    assert not openssl_accepts(tmp_path, b"evt_1.1700000001.\x00\xff body")


def openssl_accepts(folder: Path, content: bytes) -> bool:
    """Ask openssl whether the signature in a folder fits."""
    (folder / "content").write_bytes(content)
    command = "openssl pkeyutl -verify -pubin -keyform DER -inkey public.der -rawin -in content -sigfile signature"
    return subprocess.run(command.split(), cwd=folder, capture_output=True, check=False).returncode == 0


def test_new_keys_have_the_forms_of_the_standard() -> None:
    """32 random bytes behind whsec_, seed and public half behind whsk_, the public half behind whpk_; never twice."""
    shared, pair = generate(), generate("asymmetric")
    assert pair.public
    assert shared.public is None
    assert len(base64.b64decode(shared.secret.value.removeprefix("whsec_"))) == 32
    private = base64.b64decode(pair.secret.value.removeprefix("whsk_"))
    assert private[32:] == base64.b64decode(pair.public.removeprefix("whpk_"))
    assert generate().secret != shared.secret
    assert shared.secret.value not in repr(shared)


def test_a_seed_alone_and_missing_padding_are_read() -> None:
    """A private key of 32 bytes and keys without `=` sign like their long forms."""
    seed = "whsk_" + base64.b64encode(base64.b64decode(WHSK.removeprefix("whsk_"))[:32]).decode()
    for text in (seed, seed.rstrip("="), WHSK.rstrip("="), f" {WHSK}\n"):
        assert sign([read_key(Secret(text))], *MESSAGE) == V1A


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "starts with whsec_ or whsk_"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "starts with whsec_ or whsk_"),
        ("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", "only verifies"),
        ("whsec_", "24 to 64 bytes, this one 0"),
        ("whsec_" + base64.b64encode(b"k" * 23).decode(), "24 to 64 bytes, this one 23"),
        ("whsec_" + base64.b64encode(b"k" * 65).decode(), "24 to 64 bytes, this one 65"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILP!ZIo2LaLaSw", "not base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwä", "not base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwA", "not base64"),
        ("whsk_" + base64.b64encode(b"k" * 31).decode(), "32 or 64 bytes, this one 31"),
        ("whsk_" + base64.b64encode(b"k" * 64).decode(), "do not belong together"),
    ],
)
def test_wrong_keys_are_explained_and_not_shown(key: str, why: str) -> None:
    """A key of the wrong form is a ConfigError that says what is wrong and holds nothing of the key."""
    with pytest.raises(ConfigError, match=re.escape(why)) as caught:
        read_key(Secret(key))
    assert len(key) < 12 or key[6:12] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_read_keys_do_not_show_themselves() -> None:
    """The repr of a read key is stars."""
    assert repr([read_key(Secret(WHSEC)), read_key(Secret(WHSK))]) == "[SharedKey(***), PrivateKey(***)]"
