"""Named tokens over HTTP, against a receiver: each role does what it may, and the page's sessions carry it."""

from pathlib import Path

import httpx
from running_fakes import ADMIN, REGISTRY, configured

from receiver.contract.settings import Secret
from receiver.store.access import Role, Tokens
from receiver.web.serve import serving

SAME = {"sec-fetch-site": "same-origin"}


def bearer(token: Secret) -> dict[str, str]:
    """Return the header that a program sends."""
    return {"authorization": f"Bearer {token.value}"}


async def test_each_role_does_what_it_may(tmp_path: Path) -> None:
    """Read looks, operate acts too; what is refused says which role it takes. A revoked token opens nothing."""
    async with (
        serving(configured(tmp_path, admin_token=ADMIN), REGISTRY) as (run, where),
        httpx.AsyncClient(base_url=where.admin or "") as http,
    ):
        tokens = Tokens(run.runtime.store)
        made = {role: (await tokens.create(str(role), role))[1] for role in Role}
        for role, token in made.items():
            assert (await http.get("/api/v1/sinks", headers=bearer(token))).status_code == 200
            answer = await http.post("/api/v1/sinks/archive/pause", headers=bearer(token))
            assert answer.status_code == (403 if role is Role.READ else 200)
        refused = await http.post("/api/v1/sinks/archive/resume", headers=bearer(made[Role.READ]))
        assert refused.headers["content-type"] == "application/problem+json"
        assert (refused.json()["type"], refused.json()["needed"]) == ("urn:hookscribe:problem:role-needed", "operate")
        assert refused.json()["detail"] == "this needs the role operate, and the token read has read"
        assert (await http.get("/api/v1/sinks/archive", headers=bearer(Secret(ADMIN)))).json()["state"] == "paused"
        await tokens.revoke("operate")
        answer = await http.get("/api/v1/sinks", headers=bearer(made[Role.OPERATE]))
        assert (answer.status_code, answer.json()["detail"]) == (401, "a token is needed")


async def test_a_session_carries_the_role_of_its_token(tmp_path: Path) -> None:
    """What the token may not do, its session may not; it ends with the token, and its cookie cannot be made another's."""
    async with (
        serving(configured(tmp_path, admin_token=ADMIN), REGISTRY) as (run, where),
        httpx.AsyncClient(base_url=where.admin or "") as http,
    ):
        tokens = Tokens(run.runtime.store)
        shown, token = await tokens.create("guest", Role.READ)
        assert (await http.post("/login", data={"token": token.value + "x"}, headers=SAME)).status_code == 401
        assert (await http.post("/login", data={"token": token.value}, headers=SAME)).status_code == 303
        assert (await http.get("/api/v1/sinks")).status_code == 200
        assert (await http.post("/api/v1/sinks/archive/pause", headers=SAME)).status_code == 403
        cookie = next(iter(http.cookies.jar))
        assert cookie.value is not None
        raised = httpx.Cookies({cookie.name: cookie.value.replace(shown["id"], "")})
        async with httpx.AsyncClient(base_url=where.admin or "", cookies=raised) as other:
            assert (await other.get("/api/v1/sinks")).status_code == 401
        assert (await http.post("/logout", headers=SAME)).status_code == 303
        await http.post("/login", data={"token": token.value}, headers=SAME)
        await tokens.revoke("guest")
        assert (await http.get("/api/v1/sinks")).status_code == 401
