"""What all tests of this folder stand on: whatever happens between people, or devices, crosses edges."""

from __future__ import annotations

import pytest

from tests.support.people import Town


async def test_the_other_person_is_at_the_other_edge(town: Town) -> None:
    ada, bob, _ = await town.talking()
    assert ada.edge_url != bob.edge_url
    async with ada.live() as hers, bob.live() as his:
        assert (hers.edge_url, his.edge_url) == (ada.edge_url, bob.edge_url)


async def test_the_other_device_is_at_the_other_edge_and_so_is_whoever_comes_back(town: Town) -> None:
    ada, _, _ = await town.talking()
    async with ada.live() as desk, ada.live() as phone:
        assert {desk.edge_url, phone.edge_url} == set(town.edge_urls)
    async with ada.live() as desk:
        assert desk.edge_url == ada.edge_url
    async with ada.live(cursor=desk.cursor) as again:
        assert again.welcome["resumed"] is True
        assert again.edge_url != desk.edge_url


async def test_nobody_comes_to_a_town_of_one_edge(town: Town) -> None:
    one = Town(town.http, town.edge_urls[:1], town.issuer_url)
    with pytest.raises(AssertionError):
        await one.person()
