"""Text for people: who said what and when, one turn a line, with what the provider concluded."""

from collections.abc import Iterator

from receiver.contract.model import Analysis, Transcript
from receiver.export.words import clock, line, name, speakers


def txt(transcript: Transcript) -> str:
    """Return a transcript as plain text."""
    blocks = [_head(transcript), _said(transcript), _analysis(transcript.analysis)]
    if transcript.error:
        blocks.append([f"Error: {line(transcript.error.code)} {line(transcript.error.message)}".rstrip()])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _head(transcript: Transcript) -> list[str]:
    about = [transcript.source, transcript.provider, transcript.operation, transcript.status]
    lines = [
        f"{transcript.id} version {transcript.version}, received {transcript.received_at}",
        ", ".join(line(part) for part in [*about, transcript.language] if part),
    ]
    if call := transcript.call:
        ends = " to ".join(line(end) for end in (call.from_, call.to) if end)
        parts = (call.id, call.external_id, call.started_at, call.direction, ends, call.agent_id)
        lines.append("Call: " + ", ".join(line(part) for part in parts if part))
    return lines


def _said(transcript: Transcript) -> list[str]:
    known = speakers(transcript)
    lines = []
    for segment in transcript.segments:
        start = "" if segment.start is None else f"[{clock(segment.start).partition('.')[0]}] "
        who = name(known.get(segment.speaker or ""), segment)
        lines.append(f"{start}{who}: {line(segment.text)}" if who else f"{start}{line(segment.text)}")
    return lines or [line(part) for part in (transcript.text or "").splitlines() if line(part)]


def _analysis(analysis: Analysis | None) -> list[str]:
    return [] if analysis is None else list(_concluded(analysis))


def _concluded(analysis: Analysis) -> Iterator[str]:
    if analysis.summary:
        yield f"Summary: {line(analysis.summary)}"
    if analysis.sentiment:
        yield f"Sentiment: {analysis.sentiment}"
    if analysis.topics:
        yield "Topics: " + ", ".join(map(line, analysis.topics))
    for item in analysis.action_items:
        yield f"To do: {line(item)}"
    for flag in analysis.flags:
        yield f"Check: {line(flag.name)}: {'unknown' if flag.ok is None else 'passed' if flag.ok else 'not passed'}"
