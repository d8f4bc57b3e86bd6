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
SAME_KIND = frozenset(
    {
        "array of a million", "objects nested a million deep", "a name of a megabyte",
        "resets at once", "half closed without a word", "status line byte by byte", "one informational answer",
        "length of nothing", "negative length", "chunk size is no number", "last chunk never comes", "http 1.0 cut off",
        "http 3 in words", "binary noise",
        "status 201 Created", "status 205 Reset Content", "status 300 Multiple Choices", "status 410 Gone",
        "status 451 Unavailable",
        "status 599", "status 203", "thousand headers", "header that is folded", "gzip in two members", "gzip in gzip",
        "br", "zstd",
        "asks to wait for ever", "asks to wait until the past", "asks to wait in a zone beyond all", "date beyond all",
        "redirect to nowhere", "redirect to no url", "redirect without a scheme", "redirect to gopher",
        "redirect to the host in six groups", "redirect to another name of here",
        "certificate early", "certificate other authority",
        "next link to a file of one slash", "next link to here by another name", "next link to here as one number",
        "next link to a script", "next link to half an address", "next link to a port that is none",
        "next link to a host of no letters", "link header of no ascii", "next is a list", "next is a fraction", "next is no text",
        "count below nothing", "count in words",
        "credential in an error as a url", "credential in a header that is none", "credential in a chunk's size",
        "credential in the content encoding", "credential in a redirect's small host", "credential in a next link that is none",
        "credential in a charset", "credential in an XML encoding",
        "the list is a text", "the list is a number", "the list is true", "the list is not there, for the body is a text",
        "the list is not there, for the body is a number", "body cut off in a text", "body of two lines",
        "body with a comma too many", "body in single quotes", "body in UTF-32", "body in blanks", "half a character in a name",
        "NaN beside the list", "lines with two records in one",
        "CSV with old line ends", "CSV in UTF-16 that nobody tells of", "CSV in the charset undefined",
        "CSV in a charset that is no text", "CSV of blank lines", "XML with a parameter entity",
        "XML with a document type elsewhere",
        "XML in an encoding that is unknown", "XML in an encoding of several bytes", "XML in latin-1",
    }
)  # fmt: skip
"""Cases of which another one like them runs always; these run with INTEGRATION_SOAK."""
assert CASES.keys() >= SAME_KIND
