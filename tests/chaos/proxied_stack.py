"""``labelworks dev`` with something between the service and its S3 server."""

from __future__ import annotations

import argparse
from pathlib import Path

from serve_app.embedded.stack import embedded_stack
from tests.chaos.announcement import Announcement


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--s3-port", type=int, required=True, help="where the S3 server listens")
    parser.add_argument("--s3-endpoint", required=True, help="where the service reaches it")
    told = parser.parse_args()
    announcement = Announcement()
    with embedded_stack(told.data, s3_port=told.s3_port, s3_endpoint=told.s3_endpoint) as ready:
        announcement.serve_until_stopped(ready)


if __name__ == "__main__":
    main()
