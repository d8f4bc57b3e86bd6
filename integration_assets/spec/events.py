"""How a source says that something changed. An event is a hint of what to pull; the pull is the truth.

Where an event says something is written as a path into its JSON body (`data.object.id`) or as `header:NAME`, which for a queue
is the message's header or attribute of that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from integration_assets.errors import SpecError
from integration_assets.spec.auth import SecretName
from integration_assets.spec.base import Spec

HEADER = "header:"
TimeFormat = Literal["iso8601", "epoch_s", "epoch_ms"]
Place = Annotated[str, Field(pattern=r"^(header:[A-Za-z0-9_-]+|[^:.\s]+(\.[^:.\s]+)*)$")]


class Places(NamedTuple):
    """Where an event has its id, type and time; None where it has none, or where it is the author's to say."""

    id: str | None = None
    type: str | None = None
    time: str | None = None
    time_format: TimeFormat = "iso8601"


class _Signature(Spec):
    """What every scheme has: a secret by name, and the one before it, which is accepted too while keys rotate."""

    secret: SecretName
    previous_secret: SecretName | None = None


class GitHub(_Signature):
    """`X-Hub-Signature-256: sha256=<hex>` over the body."""

    kind: Literal["github"] = "github"


class Shopify(_Signature):
    """`X-Shopify-Hmac-Sha256: <base64>` over the body."""

    kind: Literal["shopify"] = "shopify"


class Hmac(_Signature):
    """HMAC-SHA256 over the body in a header of the API's choice, after `prefix`, as hex or base64."""

    kind: Literal["hmac"] = "hmac"
    header: str
    prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"


class Stripe(_Signature):
    """`Stripe-Signature: t=<seconds>,v1=<hex>[,v1=…]` over `<t>.<body>`; `tolerance` is how many seconds `t` may be off."""

    kind: Literal["stripe"] = "stripe"
    tolerance: float = Field(default=300.0, gt=0)


class Slack(_Signature):
    """`X-Slack-Signature: v0=<hex>` over `v0:<X-Slack-Request-Timestamp>:<body>`; answers the challenge of a new address."""

    kind: Literal["slack"] = "slack"
    tolerance: float = Field(default=300.0, gt=0)


class StandardWebhooks(_Signature):
    """standardwebhooks.com: `webhook-signature: v1,<base64>[ v1,…]` over `<webhook-id>.<webhook-timestamp>.<body>`.

    The secret is base64, with or without `whsec_` before it.
    """

    kind: Literal["standard"] = "standard"
    tolerance: float = Field(default=300.0, gt=0)


Signature = Annotated[GitHub | Shopify | Hmac | Stripe | Slack | StandardWebhooks, Field(discriminator="kind")]

_PLACES: Mapping[str, Places] = {
    "github": Places("header:X-GitHub-Delivery", "header:X-GitHub-Event"),
    "shopify": Places("header:X-Shopify-Webhook-Id", "header:X-Shopify-Topic", "header:X-Shopify-Triggered-At"),
    "stripe": Places("id", "type", "created", "epoch_s"),
    "slack": Places("event_id", "event.type", "event_time", "epoch_s"),
    "standard": Places("header:webhook-id", "type", "timestamp"),
}


class Webhook(Spec):
    """The API calls us: `POST /webhooks/<source>` of `integration inbox serve`. `max_bytes` is the largest body that is read."""

    kind: Literal["webhook"] = "webhook"
    signature: Signature
    max_bytes: int = Field(default=2**20, ge=1)


class Kafka(Spec):
    """A topic of a Kafka cluster, read by a consumer group.

    brokers : `host:port[,host:port]`; INTEGRATION_<SOURCE>_BROKERS overrides it.
    group   : the consumer group; `integration-<source>` when None.
    config  : further settings of librdkafka, none of them secret.
    secrets : settings of librdkafka whose values are secrets, by name: `{"sasl.password": "SHOP_KAFKA_PASSWORD"}`.
    """

    kind: Literal["kafka"] = "kafka"
    brokers: str
    topic: str
    group: str | None = None
    config: Mapping[str, str | int | float | bool] = {}
    secrets: Mapping[str, SecretName] = {}


class PubSub(Spec):
    """A subscription of Google Pub/Sub, read with the environment's Google credentials."""

    kind: Literal["pubsub"] = "pubsub"
    project: str
    subscription: str

    @property
    def path(self) -> str:
        """`projects/<project>/subscriptions/<subscription>`."""
        return f"projects/{self.project}/subscriptions/{self.subscription}"


Via = Annotated[Webhook | Kafka | PubSub, Field(discriminator="kind")]


class Events(Spec):
    """Where events come from, and which streams they make worth pulling.

    streams     : pattern of an event's type (`order.*`, `*`) -> the stream, or streams, to pull. Every pattern that matches
                  counts. An event that none matches is kept as `ignored` and causes nothing.
    id          : what is unique to the event, and the same when it is delivered again; never the record's own id.
    type        : its type; with none, only the pattern `*` matches.
    time        : when the record changed, on the API's clock and the cursor's axis. It decides the partition, and a pull must
                  reach past it before the event counts as done. With none, when the event came stands for it.
    time_format : how that is written: `iso8601`, `epoch_s` or `epoch_ms`.

    What is left out of id, type and time is what the signature's scheme (GitHub's, Stripe's, …) says; for a queue, the id is
    the message's own. The secrets are named here and never held.
    """

    via: Via
    streams: Mapping[str, str | tuple[str, ...]] = Field(min_length=1)
    id: Place | None = None
    type: Place | None = None
    time: Place | None = None
    time_format: TimeFormat | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Events:
        if isinstance(self.via, Webhook) and self.places.id is None:
            raise SpecError(
                "Events: nothing says where a delivery has its id",
                field="events.id",
                remedy="Give a path such as id, or header:X-Delivery-Id: without it a repeated delivery is taken for another.",
            )
        if self.places.type is None and set(self.streams) != {"*"}:
            raise SpecError(
                "Events: nothing says where an event has its type",
                field="events.type",
                remedy='Give a path such as type, or map every event: streams={"*": "orders"}.',
            )
        if self.time_format is not None and self.places.time is None:
            raise SpecError("Events: a time_format and no time", field="events.time", remedy="Give the path to the time.")
        return self

    @property
    def places(self) -> Places:
        """Where an event has its id, type and time: what is given here before what the scheme says."""
        known = _PLACES.get(self.via.signature.kind, Places()) if isinstance(self.via, Webhook) else Places()
        written = self.time_format or ("iso8601" if self.time else known.time_format)
        return Places(self.id or known.id, self.type or known.type, self.time or known.time, written)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every stream that an event can ask for."""
        return tuple(dict.fromkeys(name for names in self.streams.values() for name in _several(names)))

    def streams_of(self, type_: str) -> tuple[str, ...]:
        """The streams that an event of this type asks for; none when no pattern matches."""
        found = [name for pattern, names in self.streams.items() if fnmatchcase(type_, pattern) for name in _several(names)]
        return tuple(dict.fromkeys(found))

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The environment names of the secrets that receiving these events needs; an earlier key of a rotation may be unset."""
        match self.via:
            case Webhook(signature=signature):
                names = (signature.secret, signature.previous_secret)
                return tuple(name for name in names if name)
            case Kafka(secrets=secrets):
                return tuple(dict.fromkeys(secrets.values()))
            case PubSub():
                return ()


def _several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names
