"""Jobs: what was asked of providers - open, late, in doubt, lost - and one of them."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from receiver.store.job_lists import JobLists
from receiver.store.jobs import JobState
from receiver.store.lists import Lists
from receiver.web.pages.frame import Frame, asked_for

FILTERS = ("state", "source", "job_id")
STATES = {
    JobState.SUBMITTED: "Open",
    JobState.OVERDUE: "Late",
    JobState.UNCERTAIN: "Uncertain",
    JobState.LOST: "Lost",
    JobState.SUBMITTING: "Being submitted",
    JobState.COMPLETED: "Completed",
    JobState.FAILED: "Failed",
}


class JobPages:
    """The pages below /jobs."""

    def __init__(self, frame: Frame, lists: Lists, jobs: JobLists) -> None:
        self._frame = frame
        self._lists = lists
        self._jobs = jobs

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [self._frame.get("/jobs", self.list), self._frame.get("/jobs/{id}", self.one)]

    async def list(self, request: Request) -> Response:
        """Show jobs, newest first, of the state asked for."""
        page = await self._jobs.jobs(asked_for(request, *FILTERS, "cursor"))
        filters = asked_for(request, *FILTERS)
        counts = await self._jobs.waiting()
        return self._frame.page(request, "jobs.html", page=page, filters=filters, states=STATES, counts=counts)

    async def one(self, request: Request) -> Response:
        """Show one job, and what came of it."""
        job = await self._jobs.job(request.path_params["id"])
        results = []
        if job["job_id"] is not None:
            found = await self._lists.transcripts({"source": job["source"], "job_id": job["job_id"]}, whole=False)
            results = list(found.items)
        return self._frame.page(request, "job.html", job=job, results=results, states=STATES)
