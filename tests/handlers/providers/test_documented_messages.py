"""Every message that a vendor documents has a recorded case, and every member that it documents stands in one.

The names are those of the vendors' pages. That each leaf of a case is used or excused is the kit's to check.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from receiver.testing.fixtures import Case, load_cases
from receiver.testing.forms import read_form
from receiver.testing.provider import leaves, written

FIXTURES = Path(__file__).parents[3] / "fixtures"

CALLMISSED = {
    "conversation.started": "",
    "conversation.ended": "",
    "message.received": "conversation_id bot_id channel from message_id type text",
    "message.sent": "",
    "message.status": (
        "message_id status timestamp recipient phone_number_id conversation_id campaign_id error.* pricing.*"
    ),
    "voice_session.started": "session_id bot_id llm voice language",
    "voice_session.ended": "session_id bot_id duration_seconds turn_count end_reason",
    "voice_session.failed": "session_id bot_id end_reason duration_seconds",
    "call.started": "",
    "call.completed": "",
    "call.failed": "",
    "call.amd_detected": "amd_result voicemail_dropped amd_detector amd_category",
    "voice_analysis.completed": "analysis_id session_id bot_id disposition sentiment goal_met",
    "campaign.started": "",
    "campaign.completed": "",
    "campaign.failed": "",
    "voice_alert.triggered": "alert_id name metric comparison threshold value window_minutes bot_id scope",
    "budget.alert": "",
    "budget.exceeded": "",
    "credits.low": "",
    "api_key.expired": "",
    "invoice.created": "",
    "payment.succeeded": "",
    "payment.failed": "",
    "payment_request.partially_paid": "",
    "payment_request.paid": "",
    "payment_request.expired": "",
    "payment_request.cancelled": "",
    "quote.accepted": (
        "quote_id number status currency total_minor accepted_by_name accepted_at contact_id deal_id invoice_id"
    ),
    "invoice.paid": "invoice_id number status currency total_minor amount_paid_minor contact_id deal_id paid_at",
    "test": "message",
}
"""Members of `data`; of some events no page shows them."""

_AURA = "organizationId userId timestamp consultationSessionId id sentAt patientId requestSignature"
INVOX = {
    "callback": "requestId transcription[].* createdAt signature",
    "OnInvoxAuraTranscriptionFinished": f"{_AURA} vttTranscript",
    "OnInvoxAuraClinicalNoteCreated": f"{_AURA} summary",
    "OnInvoxAuraClinicalNoteFinished": (
        "organizationId userId timestamp consultationSessionId patientId clinicalNoteId language summary requestSignature"
        " metadata.id metadata.createdAt metadata.processingStatus metadata.organizationId metadata.userId"
        " metadata.updatedAt metadata.summary metadata.transcription[].* metadata.summaryLanguage metadata.summaryFormat"
        " metadata.audioDuration metadata.patientId metadata.consultationSessionId metadata.isFavorite"
        " metadata.isFinished metadata.finishedAt"
    ),
    "OnMedicalReportFinished": (
        "organizationId userId timestamp consultationSessionId medicalReport.summary medicalReport.createdAt"
        " medicalReport.fields[].id medicalReport.fields[].customHistory medicalReport.fields[].customContext"
        " medicalReport.fields[].templateId medicalReport.fields[].createdAt medicalReport.fields[].updatedAt"
        " medicalReport.fields[].customType medicalReport.fields[].order medicalReport.fields[].customValue"
        " medicalReport.fields[].enumerableSelectionOption medicalReport.fields[].customEnumerableOptions"
        " medicalReport.fields[].customName medicalReport.fields[].customDescription"
    ),
    "OnInvoxAuraAudioCreated": (
        "id duration userId organizationId consultationSessionId patientId sentAt requestSignature audio"
    ),
}

_JOB = "jobId api creationTime completionTime expirationTime status"
_WORDS = "response.words[].word response.words[].start response.words[].end response.words[].confidence"
_TURNS = "response.utterances[].start response.utterances[].end response.utterances[].speakerId"
_ACE = (
    "uuid event timestamp subscriptionId ownerId body.title body.domain body.sourceRecordId body.sourceSessionId"
    " body.callDirection body.ownerExtensionId body.recordingDurationMs body.recordingStartTime body.creationTime"
    " body.lastModifiedTime body.speakerInfo[].speakerId body.speakerInfo[].name body.speakerInfo[].accountId"
    " body.speakerInfo[].extensionId body.speakerInfo[].phoneNumber body.insights.Transcript[].start"
    " body.insights.Transcript[].end body.insights.Transcript[].text body.insights.Transcript[].speakerId"
    " body.insights.Summary[].* body.insights.Highlights[].* body.insights.NextSteps[].*"
    " body.insights.BulletedSummary[].* body.insights.AIScore[].value body.insights.CallNotes[].*"
    " body.insights.Sentiment[].value"
)
RINGCENTRAL = {
    "speech-to-text": (
        f"{_JOB} {_WORDS} {_TURNS} response.transcript response.words[].speakerId response.confidence"
        " response.speakerCount response.utterances[].text response.utterances[].confidence response.audio_duration"
        " response.utterances[].wordTimings[].start response.utterances[].wordTimings[].end"
        " response.utterances[].wordTimings[].word response.utterances[].wordTimings[].confidence"
        " response.utterances[].wordTimings[].speakerId"
    ),
    "speaker-diarize": f"{_JOB} {_TURNS} response.speakerCount response.utterances[].confidence",
    "speaker-identify": f"{_JOB} {_TURNS} response.utterances[].confidence",
    "recognize-emotion": "response[].start response[].end response[].emotion response[].confidence",
    "analyze-interaction": (
        f"{_JOB} response.utteranceInsights[].start response.utteranceInsights[].end response.utteranceInsights[].text"
        " response.utteranceInsights[].confidence response.utteranceInsights[].speakerId"
        " response.utteranceInsights[].wordTimings[].word response.utteranceInsights[].insights[].name"
        " response.utteranceInsights[].insights[].value response.utteranceInsights[].insights[].confidence"
        " response.speakerInsights.speakerCount response.speakerInsights.insights[].name"
        " response.speakerInsights.insights[].values[].speakerId response.speakerInsights.insights[].values[].value"
        " response.speakerInsights.insights[].values[].wpm"
        " response.speakerInsights.insights[].values[].questions[].text"
        " response.conversationalInsights[].name response.conversationalInsights[].values[].value"
        " response.conversationalInsights[].values[].start response.conversationalInsights[].values[].end"
        " response.conversationalInsights[].values[].confidence response.conversationalInsights[].values[].groupId"
        " response.conversationalInsights[].values[].speakerId response.conversationalInsights[].values[].assignee"
        " response.conversationalInsights[].values[].category response.conversationalInsights[].values[].text"
        " response.conversationalInsights[].values[].question response.conversationalInsights[].values[].answer"
    ),
    "summarize": (
        f"{_JOB} response.summaries[].name response.summaries[].values[].value response.summaries[].values[].start"
        " response.summaries[].values[].end response.summaries[].values[].confidence"
    ),
    "punctuate": f"{_JOB} response.texts[]",
    "Fail": "response.errors[].errorCode response.errors[].message response.errors[].parameterName",
    "InProgress": "jobId",
    "ace pbx": _ACE,
    "ace rcv": "",
    "ace rcx": "body.eventType body.rsRecordUri",
    "ace nice-incontact": "",
    "ace ms-teams": "",
    "telephony sessions": (
        "body.sequence body.sessionId body.telephonySessionId body.serverId body.eventTime body.origin.type"
        " body.parties[].accountId body.parties[].extensionId body.parties[].id body.parties[].direction"
        " body.parties[].to.* body.parties[].from.* body.parties[].status.code body.parties[].status.reason"
        " body.parties[].status.rcc body.parties[].recordings[].id body.parties[].recordings[].active"
        " body.parties[].missedCall body.parties[].standAlone body.parties[].muted"
    ),
    "handshake": "",
}

CALLCOV = {
    "completed": (
        "id object created livemode call.agent_id call.contact_id call.duration_ms call.duration_seconds call.call_type"
        " call.metadata.* audio.url audio.size_bytes audio.format audio.duration_seconds transcript.text"
        " transcript.segments[].speaker transcript.segments[].text transcript.segments[].start"
        " transcript.segments[].end transcript.segments[].confidence transcript.language results.summary"
        " results.quality.* results.coaching.* metadata.webhook_url metadata.completed_at metadata.processing_time_ms"
        " results.compliance.identity_verification.verified results.compliance.identity_verification.timestamp"
        " results.compliance.identity_verification.flagged results.compliance.mandatory_disclosures.read"
        " results.compliance.mandatory_disclosures.matched_disclosures[]"
        " results.compliance.mandatory_disclosures.missing_disclosures[]"
        " results.compliance.purpose_declaration.disclosed results.compliance.purpose_declaration.interaction_number"
        " results.compliance.purpose_declaration.flagged results.compliance.prohibited_phrases.used"
        " results.compliance.prohibited_phrases.instances[] results.compliance.sensitive_data.shared"
        " results.compliance.sensitive_data.instances[]"
    ),
    "failed": "id metadata.error_message error_message",
    "processing": "id",
    "generation a completed": "analysis_id created_at analysis.sentiment analysis.summary",
    "generation a failed": "analysis_id",
}


_TURN = (
    "Transcript[].Id Transcript[].ParticipantRole Transcript[].BeginOffsetMillis Transcript[].EndOffsetMillis"
    " Transcript[].Content Transcript[].Sentiment Transcript[].LoudnessScores"
)
RYTHMEX = {
    "COMPLETED": (
        f"JobStatus LanguageCode AccountId JobName Channel SessionId Participants[].ParticipantRole {_TURN}"
        " Transcript[].Items[].Type Transcript[].Items[].Content Transcript[].Items[].Confidence"
        " Transcript[].Items[].BeginOffsetMillis Transcript[].Items[].EndOffsetMillis"
        " Transcript[].Items[].Redaction[].Confidence"
        " Transcript[].Redaction.RedactedTimestamps[].BeginOffsetMillis"
        " Transcript[].IssuesDetected[].CharacterOffsets.Begin Transcript[].OutcomesDetected[].CharacterOffsets.End"
        " Transcript[].ActionItemsDetected[].CharacterOffsets.End"
        " Categories.MatchedCategories Categories.MatchedDetails.*"
        " ConversationCharacteristics.TotalConversationDurationMillis"
        " ConversationCharacteristics.NonTalkTime.Instances[].BeginOffsetMillis"
        " ConversationCharacteristics.NonTalkTime.Instances[].DurationMillis"
        " ConversationCharacteristics.NonTalkTime.Instances[].EndOffsetMillis"
        " ConversationCharacteristics.NonTalkTime.TotalTimeMillis ConversationCharacteristics.Interruptions.TotalCount"
        " ConversationCharacteristics.Interruptions.TotalTimeMillis"
        " ConversationCharacteristics.Interruptions.InterruptionsByInterrupter.*"
        " ConversationCharacteristics.Sentiment.OverallSentiment.*"
        " ConversationCharacteristics.Sentiment.SentimentByPeriod.QUARTER.*"
        " ConversationCharacteristics.TalkSpeed.DetailsByParticipant.*"
        " ConversationCharacteristics.TalkTime.DetailsByParticipant.*"
        " ConversationCharacteristics.TalkTime.TotalTimeMillis"
        " ConversationCharacteristics.ContactSummary.AutoGenerated.OverallSummary.Content"
        " ContentMetadata.Output ContentMetadata.RedactionTypes LanguageIdentification[].Code"
        " LanguageIdentification[].Score AnalyticsJobDetails.Skipped[].Feature"
        " AnalyticsJobDetails.Skipped[].ReasonCode AnalyticsJobDetails.Skipped[].Message"
    ),
    "FAILED": (
        "CallAnalyticsJob.CallAnalyticsJobName CallAnalyticsJob.CallAnalyticsJobStatus CallAnalyticsJob.FailureReason"
        " CallAnalyticsJob.CreationTime CallAnalyticsJob.StartTime CallAnalyticsJob.CompletionTime"
        " CallAnalyticsJob.Media.MediaFileUri CallAnalyticsJob.ChannelDefinitions[].ChannelId"
        " CallAnalyticsJob.Transcript.TranscriptFileUri"
    ),
    "QUEUED": "CallAnalyticsJob.CallAnalyticsJobName CallAnalyticsJob.MediaFormat",
}


def callmissed(case: Case, body: Any) -> Iterator[tuple[str, str]]:
    """Yield event and members of a webhook."""
    if isinstance(body, dict) and isinstance(body.get("event"), str):
        for path, _ in leaves(body.get("data")):
            yield body["event"], written(path)
        yield body["event"], ""


def invox(case: Case, body: Any) -> Iterator[tuple[str, str]]:
    """Yield name and members of an event or a callback."""
    form = read_form(case.body)
    if form is not None:
        name = form.get("eventName", b"").decode()
        yield from ((name, part) for part in form)
    elif isinstance(body, dict):
        for path, _ in leaves(body):
            yield body.get("eventName", "callback"), written(path)


def ringcentral(case: Case, body: Any) -> Iterator[tuple[str, str]]:
    """Yield kind and members of an AI response or a notification."""
    if "handshake" in case.expected:
        yield "handshake", ""
    if not isinstance(body, dict):
        return
    event, status = str(body.get("event", "")), body.get("status")
    kind = str(body.get("api", "recognize-emotion" if isinstance(body.get("response"), list) else "speech-to-text"))
    name = kind.rpartition("/")[2] if status == "Success" else str(status)
    if "/domains/" in event:
        name = f"ace {event.split('/')[-2]}"
    elif event.endswith("telephony/sessions"):
        name = "telephony sessions"
    for path, _ in leaves(body):
        yield name, written(path)


def callcov(case: Case, body: Any) -> Iterator[tuple[str, str]]:
    """Yield generation, status and members of an analysis."""
    if isinstance(body, dict) and isinstance(body.get("status"), str):
        name = body["status"] if "id" in body else f"generation a {body['status']}"
        for path, _ in leaves(body):
            yield name, written(path)


def rythmex(case: Case, body: Any) -> Iterator[tuple[str, str]]:
    """Yield status and members of a result, or of Amazon's job object."""
    if isinstance(body, dict):
        job = body.get("CallAnalyticsJob", {})
        for path, _ in leaves(body):
            yield str(body.get("JobStatus") or job.get("CallAnalyticsJobStatus")), written(path)


DOCUMENTED = {
    "rythmex": (RYTHMEX, rythmex),
    "callmissed": (CALLMISSED, callmissed),
    "invox": (INVOX, invox),
    "ringcentral": (RINGCENTRAL, ringcentral),
    "callcov": (CALLCOV, callcov),
}


@cache
def recorded(provider: str) -> dict[str, set[str]]:
    """Return the members in the cases that are not refused, by message."""
    found: dict[str, set[str]] = defaultdict(set)
    for case in load_cases(FIXTURES / provider):
        if {"outcomes", "handshake"} & case.expected.keys():
            try:
                body = json.loads(case.body)
            except ValueError:
                body = None
            for message, member in DOCUMENTED[provider][1](case, body):
                found[message].add(member)
    return found


@pytest.mark.parametrize(
    ("provider", "message"), [(name, one) for name, (table, _) in DOCUMENTED.items() for one in table]
)
def test_a_documented_message_has_a_case_with_its_members(provider: str, message: str) -> None:
    """It is recorded, and so are its members; `.*` stands for whatever is below."""
    members = recorded(provider).get(message)
    assert members, "no case"
    lacking = [
        path
        for path in DOCUMENTED[provider][0][message].split()
        if not any(
            known == path or known.startswith(path.removesuffix("*") + ("" if path.endswith("*") else "["))
            for known in members
        )
    ]
    assert not lacking
