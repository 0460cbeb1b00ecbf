"""The demo page in a real browser: two people talk, and nothing that one writes runs at the other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Locator, Page, expect

from chatctl import access
from chatctl.announce import Severity, announce
from chatctl.rest import JsonObject, Rest, fetch_token
from chatctl.running import Running
from deploy.local.system import System
from tests.browser.conftest import LIMIT_MS, OpenPage

expect.set_options(timeout=LIMIT_MS)

# What must reach the other side as text, byte for byte.
SCRIPTS = [
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "<svg/onload=document.title='owned'>",
    "\"'><iframe srcdoc='<script>parent.document.title=`owned`</script>'></iframe>",
    "javascript:document.title='owned'",
    "{{constructor.constructor('document.title=`owned`')()}}",
    "<a href=\"javascript:document.title='owned'\">click</a>",
    "</li></ol><style>*{display:none}</style><b>bold</b> &lt;b&gt; &amp;",
    "<math><mtext><table><mglyph><style><img src=x onerror=document.title='owned'>",
    "a\u202eb  two  spaces\n\n    and lines",
]


def pane(page: Page, side: str) -> Locator:
    return page.locator(f'.pane[data-side="{side}"]')


def bubbles(side: Locator) -> Locator:
    return side.locator(".bubble p")


async def write(side: Locator, text: str) -> None:
    box = side.locator(".thread .composer textarea")
    await box.fill(text)
    await box.press("Enter")


async def test_a_request_becomes_a_conversation_and_a_block_ends_it(open_page: OpenPage) -> None:
    priya = pane(await open_page("priya.raman", "yuki.tanaka"), "left")
    noah_page = await open_page("kwame.boateng", "noah.kim")
    noah = pane(noah_page, "right")

    # A first message is a request, and the only one until it is accepted.
    await priya.get_by_role("button", name="New message").click()
    await priya.get_by_label("To", exact=True).select_option("noah.kim")
    await priya.get_by_label("About", exact=True).select_option(label="Lead Product Designer")
    first = priya.locator(".start textarea")
    await first.fill("Hello Noah,")
    await first.press("Shift+Enter")
    await first.press_sequentially("may I ask you something?")
    await first.press("Enter")
    await expect(bubbles(priya)).to_have_text(["Hello Noah,\nmay I ask you something?"])
    await expect(priya.get_by_text("1 message until Noah accepts.")).to_be_visible()
    await expect(priya.locator(".thread .composer")).to_have_count(0)
    await expect(priya.get_by_role("tab", name="Sent", selected=True)).to_be_visible()

    # It arrives by itself, is read before it is answered, and accepting opens both composers.
    await noah.get_by_role("tab", name="Requests, 1 pending").click()
    await noah.get_by_role("button", name="Priya Raman").click()
    await expect(noah.get_by_text("Priya Raman would like to talk with you.")).to_be_visible()
    await expect(noah.locator(".about")).to_contain_text("Lead Product Designer")
    await noah.get_by_role("button", name="Accept").click()
    await expect(noah.get_by_label("Message Priya")).to_be_visible()
    await expect(priya.get_by_label("Message Noah")).to_be_visible()
    await expect(priya.get_by_role("tab", name="Inbox", selected=True)).to_be_visible()

    # Both ways, live; what is on the other's screen is read.
    await write(priya, "Would four days a week suit you?")
    await expect(bubbles(noah).last).to_have_text("Would four days a week suit you?")
    await expect(priya.locator(".status.read")).to_be_visible()
    await write(noah, "It would 🎉")
    await expect(bubbles(priya).last).to_have_text("It would 🎉")

    # Elsewhere in the app, the count rises and the messages wait.
    await noah.get_by_role("button", name="New message").click()
    await write(priya, "One")
    await write(priya, "Two")
    await expect(noah.get_by_role("tab", name="Inbox, 2 unread")).to_be_visible()
    await expect(noah.locator(".row", has_text="Priya Raman").locator(".badge")).to_have_text("2 unread")
    await expect(noah_page).to_have_title("(2) Splits Network Chat")
    await expect(priya.locator(".status").last).to_have_text("Sent")
    await noah.get_by_role("button", name="Priya Raman").click()
    await expect(noah.locator(".day.new")).to_be_visible()
    await expect(noah.get_by_role("tab", name="Inbox", exact=True)).to_be_visible()
    await expect(noah_page).to_have_title("Splits Network Chat")
    await expect(priya.locator(".status").last).to_have_text("Read")

    # Blocked: told to the blocker, not to the blocked, whose message cannot be delivered.
    await noah.get_by_role("button", name="More actions").click()
    await noah.get_by_role("menuitem", name="Block Priya").click()
    await expect(noah.get_by_text("You blocked Priya.")).to_be_visible()
    await write(priya, "Are you there?")
    await expect(priya.locator(".message.failed .foot")).to_contain_text("Message could not be delivered.")
    await expect(priya.get_by_text("blocked")).to_have_count(0)
    await expect(bubbles(noah).last).to_have_text("Two")

    # Lifted: the same message goes through, once.
    await noah.get_by_role("button", name="Unblock").click()
    await expect(noah.get_by_label("Message Priya")).to_be_visible()
    await priya.get_by_role("button", name="Retry").click()
    await expect(bubbles(noah).last).to_have_text("Are you there?")
    await expect(priya.locator(".message.failed")).to_have_count(0)
    await expect(bubbles(priya).filter(has_text="Are you there?")).to_have_count(1)


async def test_the_end_of_a_thread_stays_on_screen_when_what_is_around_changes(open_page: OpenPage) -> None:
    page = await open_page("maya.lindqvist", "elena.petrova")
    maya, elena = pane(page, "left"), pane(page, "right")
    last = elena.locator(".message .foot").last
    await expect(elena.locator(".presence")).to_have_text("Online")
    await maya.get_by_label("Person on").select_option("priya.raman")
    await expect(elena.locator(".presence")).to_contain_text("Last seen at")  # on a line of its own
    await expect(last).to_be_in_viewport(ratio=1)
    # At once that line goes, and a notice takes the composer's place, which is higher.
    await elena.get_by_role("button", name="More actions").click()
    await elena.get_by_role("menuitem", name="Block Maya").click()
    await expect(elena.get_by_text("You blocked Maya.")).to_be_visible()
    await expect(last).to_be_in_viewport(ratio=1)
    await elena.get_by_role("button", name="Unblock").click()
    await expect(elena.get_by_label("Message Maya")).to_be_visible()
    await expect(last).to_be_in_viewport(ratio=1)


async def test_a_declined_request_goes_on_waiting_for_its_sender(open_page: OpenPage) -> None:
    page = await open_page("kwame.boateng", "luca.ferrari")
    kwame, luca = pane(page, "left"), pane(page, "right")
    await luca.get_by_role("tab", name="Requests").click()
    await kwame.get_by_role("button", name="New message").click()  # to the person of the other pane
    await kwame.get_by_label("About", exact=True).select_option(label="No particular job")
    await kwame.locator(".start textarea").fill("Do you also design dashboards?")
    await kwame.get_by_role("button", name="Send").click()
    await luca.locator(".row", has_text="Kwame Boateng").click()
    await luca.get_by_role("button", name="Decline").click()
    await expect(luca.get_by_text("This request is closed.")).to_be_visible()
    await expect(luca.get_by_text("No requests.")).to_be_visible()
    await expect(kwame.get_by_text("1 message until Luca accepts.")).to_be_visible()

    # Another person takes the pane over: their own lists, and nothing of the one before.
    await kwame.get_by_role("combobox").first.select_option("sofia.marchetti")
    await expect(kwame.locator('.connection[data-state="live"]')).to_be_attached()
    await expect(kwame.get_by_role("button", name="Noah Kim")).to_be_visible()
    await expect(kwame.get_by_text("Do you also design dashboards?")).to_have_count(0)


async def test_what_was_missed_offline_is_there_once_the_network_is_back(open_page: OpenPage) -> None:
    sofia_page = await open_page("sofia.marchetti", "aisha.bello")
    sofia = pane(sofia_page, "left")
    noah_page = await open_page("hannah.weiss", "noah.kim")
    noah = pane(noah_page, "right")
    await sofia.get_by_role("button", name="Noah Kim").click()
    await noah.get_by_role("button", name="Sofia Marchetti").click()
    await expect(bubbles(noah).last).to_contain_text("Thursday 15:30")

    await noah_page.context.set_offline(True)
    await expect(noah.get_by_text("Reconnecting…", exact=True)).to_be_visible()
    await write(sofia, "The plan of the second floor is in your inbox.")
    await expect(sofia.locator(".status").last).to_have_text("Sent")
    await expect(noah.get_by_role("button", name="Retry now")).to_be_visible()
    await noah_page.context.set_offline(False)
    await expect(bubbles(noah).last).to_have_text("The plan of the second floor is in your inbox.")
    await expect(noah.get_by_text("Live", exact=True)).to_be_visible()
    await expect(sofia.locator(".status").last).to_have_text("Read")


async def test_each_sees_whether_the_other_is_here_and_types(open_page: OpenPage, screenshots: Path) -> None:
    page = await open_page("maya.lindqvist", "elena.petrova")
    maya, elena = pane(page, "left"), pane(page, "right")
    for side in (maya, elena):
        await expect(side.locator(".presence")).to_have_text("Online")
    await maya.locator(".thread .composer textarea").press_sequentially("Hm", delay=20)
    await expect(elena.locator(".typing")).to_have_text("Maya is typing…")
    await expect(maya.locator(".typing")).to_have_text("")
    await page.screenshot(path=screenshots / "typing.png")
    await maya.locator(".thread .composer textarea").fill("")
    await expect(elena.locator(".typing")).to_have_text("")
    await maya.get_by_label("Person on").select_option("priya.raman")
    await expect(elena.locator(".presence")).to_contain_text("Last seen at")


async def test_an_announcement_is_shown_until_it_is_dismissed(open_page: OpenPage, system: System) -> None:
    page = await open_page("hannah.weiss", "aisha.bello")
    await announce(Running.of(system.describe()), "Back in <b>five</b> minutes.", Severity.WARNING)
    for side in (pane(page, "left"), pane(page, "right")):
        told = side.locator(".told")
        await expect(told.locator("span")).to_have_text("Back in <b>five</b> minutes.")
        await told.get_by_role("button", name="Dismiss").click()
        await expect(told).to_be_hidden()


async def test_a_session_that_was_ended_is_started_again(open_page: OpenPage, system: System) -> None:
    hannah = pane(await open_page("hannah.weiss", "aisha.bello"), "left")
    await access.revoke(Running.of(system.describe()), "hannah.weiss", "")
    await expect(hannah.get_by_text("The session has ended.")).to_be_visible()
    again = hannah.get_by_role("button", name="Start again")
    live = hannah.locator('.connection[data-state="live"]')
    async with asyncio.timeout(LIMIT_MS / 1000):
        while not await live.count():  # a token of the revocation's own second is over as well
            if await again.is_visible():
                await again.click()
            await asyncio.sleep(0.5)
    await expect(again).to_be_hidden()
    await expect(hannah.locator(".row").first).to_be_visible()


async def test_scripts_in_messages_names_and_titles_are_only_text(
    open_page: OpenPage, seeded: System
) -> None:
    mallory = {"userId": "mallory", "role": "recruiter", "displayName": SCRIPTS[1], "orgName": SCRIPTS[2]}
    async with aiohttp.ClientSession() as session:

        async def someone(person: JsonObject) -> Rest:
            rest = Rest(session, seeded.edge_url, await fetch_token(session, seeded.issuer_url, person))
            await rest.get("/me")
            return rest

        attacker = await someone(mallory)
        victim = await someone({"userId": "aisha.bello", "role": "candidate"})
        request = {
            "recipientId": "aisha.bello",
            "context": {"jobId": "job_x", "jobTitle": SCRIPTS[0]},
            "message": {"clientMessageId": "x-0", "text": SCRIPTS[0]},
        }
        _, started = await attacker.request("POST", "/conversations", request)
        conversation = (started or {})["conversation"]["id"]
        await victim.request("POST", f"/conversations/{conversation}/accept", {})
        page = await open_page("tomas.herrera", "aisha.bello")
        aisha = pane(page, "right")
        await aisha.get_by_role("button", name=SCRIPTS[0]).click()
        for number, text in enumerate(SCRIPTS[1:], start=1):
            message = {"clientMessageId": f"x-{number}", "text": text}
            await attacker.request("POST", f"/conversations/{conversation}/messages", message)
        await expect(bubbles(aisha)).to_have_count(len(SCRIPTS))

    assert await bubbles(aisha).evaluate_all("nodes => nodes.map((node) => node.textContent)") == SCRIPTS
    assert await bubbles(aisha).evaluate_all("nodes => nodes.every((node) => node.childElementCount === 0)")
    assert await aisha.locator(".thread h2").text_content() == SCRIPTS[1]
    assert await aisha.locator(".about strong").text_content() == SCRIPTS[0]
    assert (await page.title()).endswith("Splits Network Chat")
    assert await page.locator("script, iframe, .pane img, .pane style").count() == 1  # the page's own script


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_both_sides_stand_side_by_side(open_page: OpenPage, screenshots: Path, dark: bool) -> None:
    page = await open_page("maya.lindqvist", "elena.petrova", dark=dark)
    for side in ("left", "right"):
        await expect(bubbles(pane(page, side)).last).to_contain_text("notice period is still three months")
    await page.screenshot(path=screenshots / f"wide-{'dark' if dark else 'light'}.png")
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(15, 17, 19)") is dark
    await expect_fits(page)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_a_narrow_screen_shows_one_pane_and_one_view_at_a_time(
    open_page: OpenPage, screenshots: Path, dark: bool
) -> None:
    page = await open_page("maya.lindqvist", "elena.petrova", width=390, height=800, dark=dark)
    maya, elena = pane(page, "left"), pane(page, "right")
    await expect(maya).to_be_visible()
    await expect(elena).to_be_hidden()
    await page.screenshot(path=screenshots / f"narrow-list-{'dark' if dark else 'light'}.png")
    await expect_fits(page)
    await maya.get_by_role("button", name="Elena Petrova").click()
    await expect(maya.locator(".thread")).to_be_visible()
    await expect(maya.locator(".list")).to_be_hidden()
    await expect(bubbles(maya).last).to_be_in_viewport()
    await page.screenshot(path=screenshots / f"narrow-thread-{'dark' if dark else 'light'}.png")
    await expect_fits(page)
    await maya.get_by_role("button", name="Back to the list").click()
    await expect(maya.locator(".list")).to_be_visible()
    await page.get_by_role("button", name="applicant").click()
    await expect(elena).to_be_visible()
    await expect(maya).to_be_hidden()


async def expect_fits(page: Page) -> None:
    """Nothing sticks out sideways, and whatever can be pressed is large enough to be."""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = await page.locator("button:visible, select:visible").evaluate_all(
        """nodes => nodes.filter((node) => {
               const { width, height } = node.getBoundingClientRect();
               return width < 24 || height < 24;
           }).map((node) => node.outerHTML.slice(0, 80))"""
    )
    assert small == []
