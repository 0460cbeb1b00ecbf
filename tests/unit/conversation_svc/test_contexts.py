"""What a conversation is about: the company is the token's, addresses are from allowed origins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from conversation_svc.domain import Context, Role, check_context, origin_of, with_company
from conversation_svc.settings import ConversationSettings
from tests.support.situations import ADA

RULES = ConversationSettings(
    context_allowed_origins=(
        "https://jobs.example.com",
        "http://localhost:3000/",
        "HTTPS://Pics.Example.com:443",
        "https://xn--bcher-kva.example",
        "http://[::1]:8080",
    )
).rules()


@pytest.mark.parametrize(
    "url",
    [
        "https://jobs.example.com",
        "https://jobs.example.com/welder?ref=1#top",
        "https://jobs.example.com?ref=https://evil.example",
        "https://jobs.example.com#@evil.example",
        "https://jobs.example.com/a@evil.example",
        "https://jobs.example.com:443/",
        "https://jobs.example.com:0443/",
        "HTTPS://Jobs.Example.Com/",
        "http://localhost:3000/a.png",
        "https://pics.example.com/a%20b.png",
        "https://xn--bcher-kva.example/",
        "http://[::1]:8080/",
    ],
)
def test_addresses_of_allowed_origins_pass(url: str) -> None:
    assert check_context(Context(url=url, company_logo_url=url), RULES) == []


@pytest.mark.parametrize(
    "url",
    [
        # other origins
        "https://jobs.example.com.evil.example",
        "https://jobs.example.com.",
        "https://evil.example/https://jobs.example.com",
        "https://jobs.example.com:444/",
        "https://jobs.example.com:80/",
        "https://jobs.example.com:99999/",
        "http://jobs.example.com/",
        "http://localhost/",
        "https://localhost:3000/",
        # user names
        "https://jobs.example.com@evil.example/",
        "https://jobs.example.com:443@evil.example/",
        "https://user@jobs.example.com/",
        "https://user:word@jobs.example.com/",
        "https://@jobs.example.com/",
        # what browsers may read otherwise
        "https://jobs.example.com\\@evil.example",
        "https://jobs.example.com/\\evil.example",
        "https:\\\\jobs.example.com",
        "https://jobs.exam\nple.com/",
        "https://jobs.example.com/\n",
        "https://jobs.example.com\n",
        "https://jobs.example.com/a b",
        " https://jobs.example.com/",
        "https://jobs.example.com/\u202egpj.exe",
        "https:jobs.example.com",
        "https:/jobs.example.com",
        "https:///jobs.example.com",
        "//jobs.example.com/",
        "/jobs",
        "jobs",
        "https://",
        "https://[broken/",
        "https://jobs.example.com:/",
        "https://jobs.example.com:x/",
        # hosts beyond ASCII, which look or become like another
        "https://b\u00fccher.example/",
        "https://jobs.ex\u0430mple.com/",
        "https://jobs\u3002example\u3002com/",
        "https://jobs.example.com\uff0fevil.example/",
        "http\u017f://jobs.example.com/",
        "https://loca\u212ahost/",
        "https://jobs%2eexample.com/",
        # other schemes
        "javascript:alert(1)",
        "JavaScript://jobs.example.com/%0aalert(1)",
        "data:text/html,https://jobs.example.com",
        "blob:https://jobs.example.com/1",
        "view-source:https://jobs.example.com/",
        "ftp://jobs.example.com/",
        "wss://jobs.example.com/",
    ],
)
def test_all_other_addresses_are_refused_field_by_field(url: str) -> None:
    both = check_context(Context(url=url, company_logo_url=url), RULES)
    one = check_context(Context(url=url, company_logo_url="https://pics.example.com/a.png"), RULES)

    assert [field for field, _ in both] == ["company_logo_url", "url"]
    assert [field for field, _ in one] == ["url"]


def test_without_a_list_no_address_passes_and_none_is_needed() -> None:
    rules = ConversationSettings().rules()

    assert check_context(Context(job_id="job-1", job_title="Welder"), rules) == []
    assert len(check_context(Context(url="https://jobs.example.com"), rules)) == 1


@given(st.text(max_size=30))
def test_an_address_with_an_origin_is_plain_ascii_and_begins_with_it(tail: str) -> None:
    url = f"https://jobs.example.com{tail}"
    if origin_of(url) == "https://jobs.example.com":
        assert url.isascii()
        assert url.isprintable()
        assert tail == "" or tail[0] in "/?#:"
        assert "\\" not in url


@pytest.mark.parametrize(
    "origin",
    [
        "jobs.example.com",
        "https://jobs.example.com/path",
        "https://b\u00fccher.example",
        "*",
        "javascript:",
        "https://a.example?x",
        "",
    ],
)
def test_a_list_that_names_no_origins_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ValidationError, match="an origin is http or https"):
        ConversationSettings(context_allowed_origins=(origin,))


@pytest.mark.parametrize("role", Role)
def test_the_company_is_the_tokens_for_those_who_act_for_one(role: Role) -> None:
    me = replace(ADA, role=role, org_name="Harbour Talent")
    given_by_client = Context(job_id="job-1", company_name="Not theirs to give")

    shown = with_company(given_by_client, me)

    acts_for_one = role in (Role.RECRUITER, Role.COMPANY)
    assert shown == Context(job_id="job-1", company_name="Harbour Talent" if acts_for_one else "")
    assert with_company(given_by_client, replace(me, org_name="")).company_name == ""
