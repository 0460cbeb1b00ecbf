"""A private nginx with nchan: one channel, one worker process."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.local.child import Child
from deploy.local.folders import Folder
from deploy.local.packages import Need
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.program import tcp_open, until

_PROGRAM = Path("/usr/sbin/nginx")
_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
NEEDS = (Need("nginx", _PROGRAM.exists, None), Need("libnginx-mod-nchan", _MODULE.exists, None))
_CONNECTIONS = 10_000
"""At most: it makes room for all of them when it starts."""

PUBLISH, SUBSCRIBE = "/pub", "/ws"


class Nginx:
    """One server with its files in `folder`, on a port of its own. `stop` always."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._home = folder.data_home() / "nginx"
        self._log = folder.logs / "nginx.log"
        self._port = free_port()
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    def roots(self) -> dict[str, int]:
        """Its processes by name."""
        return {} if self._child is None else {"nginx": self._child.pid}

    async def start(self) -> None:
        """Returns once it listens. Raises LocalError with the end of its log when it does not."""
        self._home.mkdir()
        path = self._home / "nginx.conf"
        path.write_text(settings(self._port, self._home))
        command: list[str | Path] = [_PROGRAM, "-c", path, "-p", self._home, "-e", "stderr"]
        self._child = Child.spawn("nginx", command, log=self._log, ledger=self._folder.ledger)
        await until(tcp_open(LOOPBACK, self._port), self._child)

    async def stop(self) -> None:
        """Ends it."""
        if self._child is not None:
            await self._child.stop()


def settings(port: int, home: Path) -> str:
    """`nginx.conf`."""
    as_root = "user root;\n" if os.geteuid() == 0 else ""  # else its worker could not enter `home`
    folders = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"  {each}_temp_path {home}/{each};\n" for each in folders)
    return f"""\
load_module {_MODULE};
{as_root}worker_processes 1;
error_log stderr error;
pid {home}/nginx.pid;
daemon off;
events {{ worker_connections {_CONNECTIONS}; use epoll; multi_accept on; }}
http {{
  access_log off;
  tcp_nodelay on;
  nchan_max_reserved_memory 256M;
{temporary}  server {{
    listen {LOOPBACK}:{port} backlog=4096;
    location = {PUBLISH} {{
      nchan_publisher http;
      nchan_channel_id bench;
      nchan_message_buffer_length 200;
      nchan_message_timeout 10s;
    }}
    location = {SUBSCRIBE} {{
      nchan_subscriber websocket;
      nchan_channel_id bench;
      nchan_websocket_ping_interval 0;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""
