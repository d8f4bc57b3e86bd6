"""`make demo` and `make dev`: the whole flow against the sandbox, on this machine, with no account."""
