"""All cases, by name."""

from __future__ import annotations

from integration_assets_tests.chaos import (
    cases_body,
    cases_connection,
    cases_http,
    cases_paging,
    cases_secret,
    cases_size,
    cases_text,
    cases_tls,
    cases_values,
)

_MODULES = (
    cases_size, cases_connection, cases_http, cases_tls, cases_paging, cases_secret, cases_body, cases_values, cases_text,
)  # fmt: skip
CASES = {case.name: case for module in _MODULES for case in module.CASES}
assert len(CASES) == sum(len(module.CASES) for module in _MODULES)
