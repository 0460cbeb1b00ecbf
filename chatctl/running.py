"""The running system, as `make run` describes it in <state>/run.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.folders import state_path


class NotRunningError(Exception):
    """There is no running system; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """Where its parts are."""

    edge_url: str
    issuer_url: str
    ops_url: str
    targets: dict[str, str]
    """gRPC address of each service."""
    keys_dir: Path
    """Where the keys of callers lie, chatctl's own among them."""
    database_urls: dict[str, str] = field(repr=False)
    """Each service's own."""
    redis_url: str = field(repr=False)
    amqp_url: str = field(repr=False)

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> "Running":
        """Read the content of run.json. Raises KeyError, TypeError or ValueError where it makes no sense."""
        return cls(
            edge_url=str(described["edgeUrl"]).rstrip("/"),
            issuer_url=str(described["issuerUrl"]).rstrip("/"),
            ops_url=str(described["opsUrl"]).rstrip("/"),
            targets=dict(described["targets"]),
            keys_dir=Path(described["keysDir"]),
            database_urls=dict(described["databaseUrls"]),
            redis_url=str(described["redisUrl"]),
            amqp_url=str(described["amqpUrl"]),
        )


def run_file() -> Path:
    """run.json of STATE_DIR, or of .state in the checkout."""
    return state_path() / "run.json"


def load() -> Running:
    """Read the description of the running system. Raises NotRunningError."""
    path = run_file()
    try:
        return Running.of(json.loads(path.read_text()))
    except FileNotFoundError:
        raise NotRunningError(f"Nothing runs: there is no {path}. Start it with `make run`.") from None
    except OSError as error:
        raise NotRunningError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError):
        raise NotRunningError(f"{path} does not describe a running system.") from None
