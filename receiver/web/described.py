"""Every endpoint there is, as declared: for the pages of the documentation, without a store behind it."""

from typing import Any

from receiver.store.audit import Trail
from receiver.store.lists import Lists
from receiver.web.api import Api, trail_endpoints
from receiver.web.endpoint import Endpoint
from receiver.web.jobs import JobsApi
from receiver.web.openapi import Description
from receiver.web.payloads import Payloads
from receiver.web.refused import Refused
from receiver.web.stream import Streams


class Nothing:
    """Stands where a store would: nothing is asked of it."""

    engine = None


def declared() -> list[Endpoint]:
    """Return the endpoints in the order of the page; none of them can be called."""
    nothing: Any = None
    store: Any = Nothing()
    api = Api(Lists(nothing), nothing, nothing, sources={}, sinks={}, now=float)
    endpoints = [
        *api.endpoints(),
        *trail_endpoints(Trail(store)),
        *JobsApi(store, nothing, nothing).endpoints(),
        *Streams(store).endpoints(),
        *Payloads(nothing, nothing).endpoints({}),
        *Refused(nothing, nothing, {}).endpoints(),
    ]
    return [*Description(endpoints).all]
