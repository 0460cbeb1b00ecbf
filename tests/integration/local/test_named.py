"""A server that the environment names is asked before anything starts that would wait for it."""

from __future__ import annotations

import pytest

from deploy.local import named
from deploy.local.errors import LocalError
from deploy.local.named import check_named
from deploy.local.ports import LOOPBACK, free_port


async def test_servers_that_answer_are_taken(redis_url: str, amqp_url: str) -> None:
    await check_named({"REDIS_URL": redis_url, "AMQP_URL": amqp_url})
    await check_named({})


@pytest.mark.parametrize(
    ("name", "scheme", "kind"), [("REDIS_URL", "redis", "Redis"), ("AMQP_URL", "amqp", "RabbitMQ")]
)
async def test_one_where_nobody_listens_is_one_sentence_without_its_password(
    name: str, scheme: str, kind: str
) -> None:
    where = f"{LOOPBACK}:{free_port()}"
    with pytest.raises(LocalError) as caught:
        await check_named({name: f"{scheme}://chat:hunter2@{where}/"})
    assert str(caught.value).startswith(f"The {kind} of {name} ({where}) does not let us in: ")
    assert "hunter2" not in str(caught.value)
    assert not str(caught.value).endswith("..")


async def test_one_with_another_password_is_refused(redis_url: str, amqp_url: str) -> None:
    for name, url in (("REDIS_URL", redis_url), ("AMQP_URL", amqp_url)):
        with pytest.raises(LocalError, match="does not let us in"):
            await check_named({name: url.replace("@", "wrong@")})


async def test_a_redis_that_is_too_old_is_refused(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "OLDEST", (99, 0))
    with pytest.raises(LocalError, match=r"is version \d+\.\d+\.\d+: 6\.2 is needed"):
        await check_named({"REDIS_URL": redis_url})
