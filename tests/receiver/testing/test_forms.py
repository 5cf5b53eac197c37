"""The kit takes forms apart as it does JSON: their parts are leaves."""

from receiver.testing.forms import read_form, with_part
from receiver.testing.provider import changed_bodies, paths

FORM = (
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="name=b"\r\n\r\n\x00\r\n\xff\r\n--x--\r\n'
)


def test_parts_are_leaves() -> None:
    """Each is changed in turn, and nothing else with it."""
    assert read_form(FORM) == {"a": b"1", "file": b"\x00\r\n\xff"}
    assert read_form(with_part(FORM, "a", b"longer")) == {"a": b"longer", "file": b"\x00\r\n\xff"}
    changed = dict(changed_bodies(FORM))
    assert changed.keys() == {("a",), ("file",)}
    assert changed["file",] == FORM.replace(b"\xff", b"x")
    assert list(paths(FORM)) == [("a",), ("file",)]


def test_other_bodies_are_none() -> None:
    """JSON, and a form that was cut."""
    assert read_form(b'{"a":1}') is None
    assert read_form(FORM[:-4]) is None
    assert list(changed_bodies(b'{"a":1}')) == [(("a",), b'{"a": 2}')]
