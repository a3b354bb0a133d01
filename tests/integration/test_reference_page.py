from __future__ import annotations

import re

from tests.integration.service import RunningStack


def test_the_reference_page_loads_nothing_but_from_the_service(stack: RunningStack) -> None:
    with stack.client() as client:
        page = client.get("/docs").text
        loaded = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
        assert len(loaded) == 3
        assert {client.get(address).status_code for address in [*loaded, "/openapi.json"]} == {200}
        assert [address for address in loaded if not address.startswith("/")] == []
