"""Reads what lies at RingCentral: descriptions of recordings, pages of the call log, ACE insights.

Source: https://developers.ringcentral.com/guide/voice/call-log/recordings, SPEC (throttling groups, parameters), …/guide/ai/ace.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from handlers.providers.ringcentral import recordings
from handlers.providers.ringcentral.settings import RingCentralSettings
from receiver.contract.asking import Answer, Ask, Fetched, Found, Steps, Swept, ask
from receiver.contract.errors import UsageError
from receiver.contract.times import from_ms

_RINGSENSE = "/ai/ringsense/v1/public/accounts/~/domains/"
Fail = Callable[[Answer, str], Any]


class Library:
    """The recordings of one account, as the settings let them be read."""

    def __init__(self, settings: RingCentralSettings, fail: Fail) -> None:
        self._base = settings.api_url.rstrip("/")
        self.media = settings.media_url.rstrip("/")
        self._log = recordings.LOGS[settings.call_log]
        self._domains = settings.ace_domains
        self._fail = fail

    def content(self, recording_id: str) -> Ask:
        """Return the request for a recording's bytes, our token in its header. Raises UsageError."""
        url = recordings.content_url(self.media, recording_id)
        return Ask(method="GET", url=url, bucket="heavy", timeout=120.0)

    def found(self, recording_id: str) -> Steps[Found]:
        """Ask for the description of a recording."""
        answer = yield from self._get(recordings.metadata_path(recording_id), "heavy")
        if answer.status == 404:
            raise UsageError(f"RingCentral has no recording {recording_id}; it keeps them for 90 days")
        if not answer.ok:
            self._fail(answer, f"recording {recording_id} was not described")
        return Found(recording=recordings.described(answer.members(), self.media))

    def entry(self, body: bytes) -> Steps[tuple[Found, ...]]:
        """Read records of the call log, or recordings of meetings, and describe the recordings that they name."""
        found: list[Found] = []
        for record in recordings.records_in(body):
            meeting = recordings.meeting(record, self.media)
            if meeting is not None:
                found.append(meeting)
            else:
                found += yield from self._recorded(record)
        if not found:
            raise UsageError("the call-log entry names no recording: it has neither recording.id nor a meeting's url")
        return tuple(found)

    def recorded_since(self, since: float) -> Steps[tuple[Found, ...]]:
        """Read the call log and describe every recording in it."""
        found: list[Found] = []
        for record in (yield from self._calls(since)):
            found += yield from self._recorded(record)
        return tuple(found)

    def insights(self, since: float) -> Swept:
        """Read the ACE insights of every recording since then, and yield them as a subscription would send them.

        That a record of the domain is named by the id of its recording is inferred.
        """
        if not self._domains:
            raise UsageError(
                'ringcentral has no list of AI jobs. For ACE insights set ace_domains = ["pbx"]: those of recorded calls '
                "are read then"
            )
        for record in (yield from self._calls(since)):
            for name in recordings.recording_ids(record):
                for domain in self._domains:
                    yield from self._insights(domain, name)

    def _insights(self, domain: str, name: str) -> Swept:
        path = f"{_RINGSENSE}{quote(domain, safe='')}/records/{quote(name, safe='')}/insights"
        answer = yield from self._get(path, "light")
        if answer.status == 404:
            return
        if not answer.ok:
            self._fail(answer, f"the insights of {name} were not given")
        answer.members()
        event = f"{_RINGSENSE}{domain}/insights".encode()
        yield Fetched(body=b'{"event":"' + event + b'","body":' + answer.body + b"}", job_id=name)

    def _recorded(self, record: recordings.Record) -> Steps[list[Found]]:
        found = []
        for name in recordings.recording_ids(record):
            one = yield from self.found(name)
            found.append(Found(recording=one.recording, call=recordings.call_of(record, name)))
        return found

    def _calls(self, since: float) -> Steps[list[recordings.Record]]:
        """Return the records of recorded calls, page by page; Heavy, so that 250 come at once."""
        found: list[recordings.Record] = []
        asked = (
            ("recordingType", "All"),
            ("view", "Detailed"),
            ("type", "Voice"),
            ("dateFrom", from_ms(int(since * 1000))),
            ("perPage", str(recordings.PER_PAGE)),
        )
        for page in range(1, recordings.MOST_PAGES + 1):
            answer = yield from self._get(self._log, "heavy", (*asked, ("page", str(page))))
            if not answer.ok:
                self._fail(answer, "the call log cannot be read")
            document = answer.members()
            found += recordings.pages(document)
            if not recordings.has_more(document):
                break
        return found

    def _get(self, path: str, bucket: str, query: tuple[tuple[str, str], ...] = ()) -> Steps[Answer]:
        return ask(Ask(method="GET", url=self._base + path, query=query, bucket=bucket))
