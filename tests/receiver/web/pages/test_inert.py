"""Text of strangers on the pages: escaped, isolated, and nothing in it hides."""

from hypothesis import given
from hypothesis import strategies as st

from receiver.web.pages.inert import inert


def test_markup_is_text() -> None:
    """What looks like HTML is shown, in isolation."""
    assert inert('<b>&"') == '<bdi dir="auto">&lt;b&gt;&amp;&#34;</bdi>'


def test_what_hides_is_named() -> None:
    """Marks of direction, controls and characters without width say what they are; joiners of emoji stay."""
    for code in (0x202E, 0x2066, 0x200B, 0xFEFF, 0x07, 0x9B, 0x2028, 0xD800):
        shown = inert(f"a{chr(code)}b")
        assert f">U+{code:04X}</span>" in shown
        assert chr(code) not in shown
    assert 'title="RIGHT-TO-LEFT OVERRIDE"' in inert("\u202e")
    assert "\u200d" in inert("👩\u200d🚀")
    assert inert("a\tb\nc") == '<bdi dir="auto">a\tb\nc</bdi>'


@given(st.text())
def test_any_text_is_shown(text: str) -> None:
    """Whatever it is, there are no tags but ours, and it can be sent."""
    shown = inert(text)
    bare = shown.replace("<bdi", "").replace("</bdi>", "").replace("<span", "").replace("</span>", "")
    assert "<" not in bare
    assert shown.encode()
