"""Who took part in a call, as vCon parties: every voice once, and who called whom."""

import re
from typing import Any

from receiver.contract.model import Call, Speaker, Transcript

_PHONE = re.compile(r"\+?[0-9(][0-9 ()./-]{2,30}")
_ENDS = {
    ("inbound", "from"): "customer",
    ("inbound", "to"): "agent",
    ("outbound", "from"): "agent",
    ("outbound", "to"): "customer",
}


class Parties:
    """Collects parties; others refer to them by their place in `items`."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._places: dict[tuple[str, ...], int] = {}

    def place(self, *key: str, **members: Any) -> int:
        """Return the place of a party by what tells it from others; made of `members` where it is new."""
        if key not in self._places:
            self._places[key] = len(self.items)
            self.items.append({name: value for name, value in members.items() if value})
        return self._places[key]

    def speakers(self, transcript: Transcript) -> dict[str, int]:
        """Return the place of each speaker of a transcript; those of one role in one call are one party."""
        count = {role: sum(one.role == role for one in transcript.speakers) for role in ("agent", "customer")}
        return {one.id: self._speaker(transcript, one, count) for one in transcript.speakers}

    def _speaker(self, transcript: Transcript, one: Speaker, count: dict[str, int]) -> int:
        if one.role and count[one.role] == 1:
            place = self.place("role", one.role)
            self.items[place].setdefault("name", one.label or one.role)
            return place
        return self.place(transcript.source, transcript.operation, one.id, name=one.label or one.id)

    def voice(self, transcript: Transcript, speaker: str | None, channel: Any) -> int:
        """Return the place of a voice that is not among the speakers: by its id or channel, else nobody known."""
        if speaker is not None:
            return self.place(transcript.source, transcript.operation, speaker, name=speaker)
        if channel is not None:
            return self.place("channel", str(channel), name=f"channel {channel}")
        return self.place("unknown")

    def ends(self, call: Call) -> None:
        """Add who called whom, to the speaker of that role where there is one."""
        for end, address in (("from", call.from_), ("to", call.to)):
            role = _ENDS.get((call.direction or "", end))
            if address:
                place = self.place(*(("role", role) if role else ("address", address)))
                for name, value in _address(address).items():
                    self.items[place].setdefault(name, value)
        if call.agent_id:
            self.items[self.place("role", "agent")].setdefault("uuid", call.agent_id)


def _address(text: str) -> dict[str, str]:
    if _PHONE.fullmatch(text):
        return {"tel": "tel:" + re.sub(r"[^+0-9]", "", text)}
    if text.startswith(("sip:", "sips:")):
        return {"sip": text}
    return {"mailto": f"mailto:{text}"} if re.fullmatch(r"[^@\s]+@[^@\s]+", text) else {"name": text}
