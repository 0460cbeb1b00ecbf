"""Measures the whole product on this machine; see `docs/performance.md` and `python -m bench --help`."""
