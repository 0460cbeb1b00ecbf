"""The routes of the development issuer."""

import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import ValidationError

from deploy.local.issuer.claims import TokenRequest, claims_for
from deploy.local.issuer.keys import SigningKey
from deploy.local.issuer.settings import IssuerSettings, is_loopback
from deploy.local.people import PEOPLE, Person

BODY_LIMIT_BYTES = 16 * 1024


def make_app(settings: IssuerSettings, key: SigningKey) -> web.Application:
    """Wire the routes."""

    async def configuration(_request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": settings.url,
                "jwks_uri": f"{settings.url}/.well-known/jwks.json",
                "token_endpoint": f"{settings.url}/token",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def jwks(_request: web.Request) -> web.Response:
        return web.json_response({"keys": [key.jwk]}, headers={"Cache-Control": "public, max-age=300"})

    async def personas(_request: web.Request) -> web.Response:
        return web.json_response({"items": [_persona(person) for person in PEOPLE]})

    async def token(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return _problem(415, "Send JSON with Content-Type: application/json.")
        try:
            wanted = TokenRequest.model_validate_json(await request.read())
        except ValidationError as error:
            return _problem(400, "The request is not valid.", error)
        claims = claims_for(wanted, settings, now=int(time.time()))
        expires_at = datetime.fromtimestamp(int(str(claims["exp"])), UTC)
        return web.json_response(
            {"token": key.sign(claims), "expiresAt": expires_at.isoformat().replace("+00:00", ".000Z")},
            headers={"Cache-Control": "no-store"},
        )

    app = web.Application(
        middlewares=[_loopback_names(settings), _cors(settings)], client_max_size=BODY_LIMIT_BYTES
    )
    app.router.add_get("/.well-known/openid-configuration", configuration)
    app.router.add_get("/.well-known/jwks.json", jwks)
    app.router.add_get("/personas", personas)
    app.router.add_post("/token", token)
    return app


def _loopback_names(
    settings: IssuerSettings,
) -> Middleware:
    """Refuse other names: a page that points its own name at 127.0.0.1 must not get tokens from here."""
    own_name = urlsplit(settings.url).hostname

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = urlsplit(f"//{request.host}").hostname or ""
        if name != own_name and not is_loopback(name):
            return _problem(421, "This issuer answers on loopback only.")
        return await handler(request)

    return middleware


def _cors(settings: IssuerSettings) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        allowed = origin in settings.allowed_origins
        preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        response = web.Response(status=204) if preflight else await handler(request)
        response.headers["Vary"] = "Origin"
        if origin and allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            if preflight:
                response.headers["Access-Control-Allow-Methods"] = "GET, POST"
                response.headers["Access-Control-Allow-Headers"] = "Content-Type"
                response.headers["Access-Control-Max-Age"] = "600"
        return response

    return middleware


def _persona(person: Person) -> dict[str, object]:
    return {
        "userId": person.id,
        "displayName": person.name,
        "role": person.role,
        "headline": person.headline,
        "orgId": person.org.id if person.org else None,
        "orgName": person.org.name if person.org else None,
        "orgVerified": person.org.verified if person.org else False,
        "jobs": [{"jobId": job.id, "jobTitle": job.title} for job in person.jobs],
    }


def _problem(status: int, detail: str, invalid: ValidationError | None = None) -> web.Response:
    body: dict[str, object] = {"type": "about:blank", "status": status, "detail": detail}
    if invalid is not None:
        body["errors"] = [
            {
                "pointer": "".join(f"/{part}" for part in each["loc"]),
                "code": each["type"],
                "message": each["msg"],
            }
            for each in invalid.errors(include_url=False, include_input=False, include_context=False)
        ]
    return web.json_response(body, status=status, content_type="application/problem+json")
