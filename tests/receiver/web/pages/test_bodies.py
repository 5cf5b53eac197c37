"""Bodies on the pages: laid out or as they came, without tokens of callback addresses, cut where they are long."""

from receiver.web.pages.bodies import SHOWN, shown_body


def test_json_is_laid_out() -> None:
    """Other bytes are not."""
    assert shown_body(b'{"a":1}')["pretty"] == '{\n  "a": 1\n}'
    for raw in (b"\xff\x00", b"{", b"[" * 5000):
        assert shown_body(raw)["pretty"] is None


def test_tokens_are_not_shown() -> None:
    """Providers repeat the address that they call."""
    for raw in (
        b'{"u":"https://a.example/hooks/acme/s3cret-token?x=1"}',
        b'{"u":"https:\\/\\/a.example\\/hooks\\/acme\\/s3cret-token"}',
    ):
        shown = shown_body(raw)
        assert "s3cret" not in str(shown)
        assert "***" in shown["raw"]


def test_long_ones_are_cut() -> None:
    """And say so."""
    shown = shown_body(b"x" * (SHOWN + 1))
    assert (shown["whole"], len(shown["raw"])) == (False, SHOWN)
