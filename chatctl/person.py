"""Who a command acts as: the options that every command with a person shares."""

from typing import Annotated, get_args

import aiohttp
import typer

from chatctl.rest import JsonObject, fetch_token
from chatctl.running import Running
from deploy.local.people import BY_ID, Role

ROLES = ", ".join(get_args(Role))

UserOption = Annotated[str, typer.Option("--user", help="Whose: a user id.")]
RoleOption = Annotated[str | None, typer.Option("--role", help=f"{ROLES}. The demo's people have one.")]
OrgOption = Annotated[str | None, typer.Option("--org", help="Organisation.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Shown name.")]


def describe(user: str, role: str | None, org: str | None = None, name: str | None = None) -> JsonObject:
    """What the issuer is asked for. Raises typer.BadParameter when no role is given for a stranger."""
    known = BY_ID.get(user)
    if role is None:
        if known is None:
            raise typer.BadParameter(f"--role is needed: {user!r} is none of the demo's people.")
        role = known.role
    if role not in get_args(Role):
        raise typer.BadParameter(f"--role is one of {ROLES}.")
    person: JsonObject = {"userId": user, "role": role}
    if org is not None:
        person["orgId"] = org
        if known is None or known.org is None or known.org.id != org:
            person["orgName"] = org
    if name is not None:
        person["displayName"] = name
    return person


async def token_for(session: aiohttp.ClientSession, running: Running, person: JsonObject) -> str:
    """Return a token of the running system's issuer. Raises ProblemError."""
    return await fetch_token(session, running.issuer_url, person)
