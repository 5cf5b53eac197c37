"""What a receiver is measured against: a plain Starlette route that checks the same HMAC and stores nothing.

uvicorn --app-dir tests/bench plain:app --no-access-log
"""

import hashlib
import hmac

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

SECRET = b"bench-secret-0123456789abcdef"  # of the benchmark only; load.lua signs with it


async def hook(request: Request) -> JSONResponse:
    """Answer 200 to a signed body and 401 to any other."""
    body = await request.body()
    mac = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest("sha256=" + mac, request.headers.get("x-signature", "")):
        return JSONResponse({"error": "not proven"}, status_code=401)
    return JSONResponse({"status": "accepted"})


app = Starlette(routes=[Route("/hooks/callcov", hook, methods=["POST"])])
