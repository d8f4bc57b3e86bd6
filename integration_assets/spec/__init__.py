"""What a source is: plain typed data that imports nothing else of ours. Contracts live in `spec.contract`.

`spec.contract` is not re-exported: it imports pandas and pandera, which loading the definitions must not.
"""

from integration_assets.spec.auth import ApiKeyHeader, ApiKeyQuery, Auth, Basic, Bearer, NoAuth
from integration_assets.spec.candidate import Candidate, Tolerance
from integration_assets.spec.cursor import Cursor, Slice
from integration_assets.spec.events import Events, GitHub, Hmac, Kafka, PubSub, Shopify, Slack, StandardWebhooks, Stripe, Webhook
from integration_assets.spec.files import Files
from integration_assets.spec.formats import Csv, Format, Json, Ndjson, Parquet, Xml
from integration_assets.spec.freshness import Freshness
from integration_assets.spec.limits import Breaker, Limits
from integration_assets.spec.paging import NextLink, Offset, PageNumber, Paging, Single, Token
from integration_assets.spec.parent import Parent
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.probe import ConditionalProbe, Probe, ValueProbe
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream, Tombstone
from integration_assets.spec.sweep import Sweep
from integration_assets.spec.tenants import Listing, Tenants

__all__ = [
    "ApiKeyHeader",
    "ApiKeyQuery",
    "Auth",
    "Basic",
    "Bearer",
    "Breaker",
    "Candidate",
    "ConditionalProbe",
    "Csv",
    "Cursor",
    "Events",
    "Files",
    "Format",
    "Freshness",
    "GitHub",
    "Hmac",
    "Json",
    "Kafka",
    "Limits",
    "Listing",
    "Ndjson",
    "NextLink",
    "NoAuth",
    "Offset",
    "PageNumber",
    "Paging",
    "Parent",
    "Parquet",
    "Partitions",
    "Probe",
    "PubSub",
    "Receipt",
    "Shopify",
    "Single",
    "Slack",
    "Slice",
    "Source",
    "StandardWebhooks",
    "Stream",
    "Stripe",
    "Sweep",
    "Tenants",
    "Token",
    "Tolerance",
    "Tombstone",
    "ValueProbe",
    "Webhook",
    "Xml",
]
