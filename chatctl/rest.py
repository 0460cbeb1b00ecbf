"""REST of the edge and tokens of the development issuer, for one person."""

from typing import Any

import aiohttp

JsonObject = dict[str, Any]
TIMEOUT = aiohttp.ClientTimeout(total=20)


class ProblemError(Exception):
    """The edge or the issuer answered, but not with what was asked for."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        """As the public contract lists them, e.g. `undeliverable`."""

    @classmethod
    async def of(cls, response: aiohttp.ClientResponse) -> "ProblemError":
        """Read a problem document; an answer that is none is told by its status."""
        try:
            body = await response.json(content_type=None)
            detail = str(body["detail"])
        except (ValueError, TypeError, KeyError):
            return cls(response.status, "internal", f"HTTP {response.status} from {response.url.origin()}")
        for each in body.get("errors", ()):
            detail += f" {each['pointer']}: {each['message']}."
        return cls(response.status, str(body.get("code", response.status)), detail)


async def fetch_token(session: aiohttp.ClientSession, issuer_url: str, person: JsonObject) -> str:
    """Return a token for `person`, as the issuer's POST /token describes it. Raises ProblemError."""
    async with session.post(f"{issuer_url}/token", json=person, timeout=TIMEOUT) as response:
        if response.status != 200:
            raise await ProblemError.of(response)
        return str((await response.json())["token"])


class Rest:
    """Routes under /v1, in one person's name."""

    def __init__(self, session: aiohttp.ClientSession, edge_url: str, token: str) -> None:
        self._session = session
        self._base = f"{edge_url}/v1"
        self._headers = {"Authorization": f"Bearer {token}"}

    async def request(
        self, method: str, path: str, body: JsonObject | None = None
    ) -> tuple[int, JsonObject | None]:
        """Return the status and the body, None for 204. Raises ProblemError from 400 on."""
        async with self._session.request(
            method, self._base + path, json=body, headers=self._headers, timeout=TIMEOUT
        ) as response:
            if response.status >= 400:
                raise await ProblemError.of(response)
            return response.status, None if response.status == 204 else await response.json()

    async def get(self, path: str) -> JsonObject:
        """GET. Raises ProblemError."""
        _, body = await self.request("GET", path)
        return body or {}
