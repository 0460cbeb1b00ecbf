"""chatctl: tokens, messages and health of the running system from the command line.

Exit codes: 0 done, 1 refused or unhealthy, 2 wrong usage, 3 nothing runs or nothing answers.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, NoReturn, TypeVar

import aiohttp
import orjson
import typer
from rich.console import Console

from chatctl.announce import LONGEST_TEXT, Severity
from chatctl.announce import announce as say_to_everybody
from chatctl.person import NameOption, OrgOption, RoleOption, UserOption, describe, token_for
from chatctl.rest import JsonObject, ProblemError
from chatctl.running import NotRunningError, Running, load
from chatctl.send import send as send_message
from chatctl.tail import ClosedError, frames, printable, readable
from servicekit.errors import ChatError
from servicekit.runner import StartError

T = TypeVar("T")

WhoArgument = Annotated[str, typer.Argument(help="Whom: a user id.")]

REFUSED = 1
NOT_RUNNING = 3

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Tokens, messages and health of the running system (`make run`).",
)
gates = typer.Typer(no_args_is_help=True, help="What conversations allow, as message_svc enforces it.")
app.add_typer(gates, name="gates")
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def _fail(text: str, code: int) -> NoReturn:
    err.print(f"chatctl: {text}", style="red")
    raise typer.Exit(code)


def _running() -> Running:
    try:
        return load()
    except NotRunningError as error:
        _fail(str(error), NOT_RUNNING)


def _run(work: Coroutine[object, object, T]) -> T:
    try:
        return asyncio.run(work)
    except ProblemError as problem:
        _fail(printable(f"{problem} ({problem.code})"), REFUSED)
    except ChatError as error:
        _fail(f"{error} ({error.reason.value})", NOT_RUNNING if error.retryable else REFUSED)
    except StartError as error:
        _fail(str(error), NOT_RUNNING)
    except ClosedError as closed:
        _fail(str(closed), REFUSED)
    except aiohttp.WSServerHandshakeError as refusal:
        _fail(f"The edge refused the connection ({refusal.status}).", REFUSED)
    except (aiohttp.ClientError, TimeoutError) as error:
        _fail(f"The system does not answer ({error or 'timeout'}). Does `make run` still run?", NOT_RUNNING)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def token(user: UserOption, role: RoleOption = None, org: OrgOption = None, name: NameOption = None) -> None:
    """Print a development token, and nothing else."""
    running = _running()
    person = describe(user, role, org, name)

    async def fetch() -> str:
        async with aiohttp.ClientSession() as session:
            return await token_for(session, running, person)

    typer.echo(_run(fetch()))


@app.command()
def send(
    text: Annotated[str, typer.Argument(help="What to say.")],
    user: UserOption,
    role: RoleOption = None,
    org: OrgOption = None,
    name: NameOption = None,
    to: Annotated[str | None, typer.Option("--to", help="Start a conversation with this person.")] = None,
    conversation: Annotated[str | None, typer.Option("--conversation", help="Or write in this one.")] = None,
    job: Annotated[str | None, typer.Option("--job", help="With --to: the job it is about.")] = None,
    job_title: Annotated[str | None, typer.Option("--job-title", help="With --to: its title.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Client message id: makes one row at most.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the stored message as JSON.")] = False,
) -> None:
    """Send one message and print where it stands."""
    if (to is None) == (conversation is None):
        raise typer.BadParameter("Give either --to or --conversation.")
    context: JsonObject = {"jobId": job, "jobTitle": job_title}
    message = _run(
        send_message(
            _running(),
            describe(user, role, org, name),
            text,
            conversation_id=conversation,
            recipient_id=to,
            context={field: value for field, value in context.items() if value},
            client_message_id=key,
        )
    )
    if as_json:
        typer.echo(orjson.dumps(message).decode())
    else:
        typer.echo(f"{message['conversationId']} #{message['seq']}")


@app.command()
def tail(
    user: UserOption,
    role: RoleOption = None,
    org: OrgOption = None,
    name: NameOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print whole frames, a line each.")] = False,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many frames.")] = None,
) -> None:
    """Print what happens to somebody, until Ctrl-C."""
    running = _running()
    person = describe(user, role, org, name)

    async def follow() -> None:
        seen = 0
        async with aclosing(frames(running, person)) as told:
            async for frame in told:
                typer.echo(orjson.dumps(frame).decode() if as_json else readable(frame))
                seen += 1
                if seen == count:
                    return

    _run(follow())


@app.command()
def announce(
    text: Annotated[str, typer.Argument(help="What everybody is told.")],
    severity: Annotated[Severity, typer.Option("--severity", help="How much it matters.")] = Severity.INFO,
) -> None:
    """Tell everybody who is connected now; who comes later is not told."""
    if not 1 <= len(text.strip()) <= LONGEST_TEXT:
        raise typer.BadParameter(f"An announcement has 1 to {LONGEST_TEXT} characters.")
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of the command line that are no text
        raise typer.BadParameter("An announcement is text in UTF-8.") from None
    edges = _run(say_to_everybody(_running(), text.strip(), severity))
    typer.echo(f"said at {edges} {'edge' if edges == 1 else 'edges'}")


@app.command()
def revoke(
    user: WhoArgument,
    sid: Annotated[str, typer.Option("--sid", help="Only this session: the `sid` of its tokens.")] = "",
) -> None:
    """End somebody's sessions: their tokens until now are over, their sockets close. Repeatable."""
    from chatctl import access  # noqa: PLC0415 - gRPC takes a while to import

    _run(access.revoke(_running(), user, sid))
    typer.echo(f"revoked: {f'session {sid} of ' if sid else ''}{user}")


@app.command()
def ban(
    user: WhoArgument,
    until: Annotated[
        str | None, typer.Option("--until", help="Such as 2027-01-31T12:00:00Z; else until `unban`.")
    ] = None,
) -> None:
    """Ban somebody, or change until when: nothing of theirs is served, their sockets close. Repeatable."""
    from chatctl import access  # noqa: PLC0415 - gRPC takes a while to import

    try:
        end = None if until is None else access.moment(until, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(f"--until: {error}") from None
    _run(access.ban(_running(), user, end))
    typer.echo(f"banned: {user}, until {'it is lifted' if end is None else end.isoformat()}")


@app.command()
def unban(user: WhoArgument) -> None:
    """Lift somebody's ban. Repeatable."""
    from chatctl import access  # noqa: PLC0415 - gRPC takes a while to import

    _run(access.unban(_running(), user))
    typer.echo(f"not banned: {user}")


@app.command()
def doctor() -> None:
    """Check every part of the running system; one line each."""
    from chatctl import doctor as checks  # noqa: PLC0415 - its drivers take most of a second to import

    running = _running()
    healthy = True
    out = Console(highlight=False, markup=False, soft_wrap=True)

    async def examine() -> None:
        nonlocal healthy
        async with aclosing(checks.examine(running)) as findings:  # also when nobody reads on
            async for finding in findings:
                healthy &= finding.healthy
                mark, style = ("ok  ", "green") if finding.healthy else ("FAIL", "bold red")
                out.print(mark, style=style, end=" ")
                out.print(printable(f"{finding.name:<28} {finding.detail}".rstrip()))

    _run(examine())
    if not healthy:
        raise typer.Exit(REFUSED)


@gates.command()
def repush() -> None:
    """Compute and push every conversation's rights again, as after a restore. Repeatable."""
    from chatctl.gates import repush as pages  # noqa: PLC0415 - gRPC takes a while to import

    running = _running()

    async def push() -> tuple[int, int]:
        pushed = owed = 0
        async for page in pages(running):
            pushed, owed = pushed + page.pushed, owed + page.owed
        return pushed, owed

    pushed, owed = _run(push())
    typer.echo(f"{pushed} gates pushed")
    if owed:
        _fail(f"{owed} could not be pushed and stay owed; conversation_svc logs `gate_not_pushed`", REFUSED)


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="chatctl")


if __name__ == "__main__":
    main()
