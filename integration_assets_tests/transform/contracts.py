"""A contract with personal columns, for the tests of masking."""

import pandera.pandas as pandera

from integration_assets.spec.contract import Int64, String, Timestamp, column


class Customer(pandera.DataFrameModel):
    """Someone who buys."""

    id: Int64 = column(nullable=False)
    email: String = column("contact.email", pii="partial", str_contains="@")
    phone: String = column("contact.phones[0]", pii="hash")
    name: String = column(pii="redact")
    passport: String = column(mask="hash")
    birthday: String = column(mask="redact")
    city: String = column("address.city")
    updated_at: Timestamp = column(nullable=False)


class Plain(pandera.DataFrameModel):
    """A contract that marks nothing."""

    id: Int64 = column(nullable=False)
    note: String = column()
