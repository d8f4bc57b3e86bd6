"""Each scheme against what its own documentation says, and what is turned away.

GitHub's, Slack's and Standard Webhooks' documentation give an example whole; for Stripe and Shopify, which give only the
formula, `openssl dgst -sha256 -hmac` made the signature.
"""

import base64

import pytest

from integration_assets.errors import SpecError
from integration_assets.inbox.signatures import challenge, keys, refusal
from integration_assets.spec.events import GitHub, Hmac, Shopify, Signature, Slack, StandardWebhooks, Stripe

SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330"}
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
VECTORS: dict[str, tuple[Signature, str, dict[str, str], bytes, float]] = {
    "github": (
        GitHub(secret="S"),
        "It's a Secret to Everybody",
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
        0,
    ),
    "slack": (
        Slack(secret="S"),
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        SLACK_BODY,
        1531420618,
    ),
    "standard": (StandardWebhooks(secret="S"), WHSEC, MESSAGE | {"webhook-signature": V1}, b'{"test": 2432232314}', 1614265330),
    "stripe": (
        Stripe(secret="S"),
        "whsec_stripe_example",
        {"stripe-signature": "t=1700000000,v1=a2d1250572d2e121302b5b4ca5ddfe1700f3e1da84718e58d54d08c1de68a905,v0=00"},
        b'{"id":"evt_1"}',
        1700000000,
    ),
    "shopify": (
        Shopify(secret="S"),
        "shopify-example",
        {"x-shopify-hmac-sha256": "/s2LOFFBaq8Mx+7OPg3PGdiOX9dfIijPLlnpTKAOgUk="},
        b'{"id":820982911946154508}',
        0,
    ),
    "any other, in hex": (
        Hmac(secret="S", header="X-Sign", prefix="v=", encoding="hex"),
        "It's a Secret to Everybody",
        {"x-sign": "v=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17"},
        b"Hello, World!",
        0,
    ),
}
TIMED = ("slack", "standard", "stripe")


def judged(name: str, *, secret: str | None = None, body: bytes | None = None, at: float = 0, **headers: str) -> str | None:
    """What becomes of an example of which something is changed; headers with `_` for `-`."""
    signature, right, sent, content, now = VECTORS[name]
    changed = sent | {header.replace("_", "-"): text for header, text in headers.items()}
    used = keys(signature, [right if secret is None else secret])
    return refusal(signature, used, changed, content if body is None else body, now + at)


@pytest.mark.parametrize("name", VECTORS)
def test_the_documented_example_is_accepted(name: str) -> None:
    """The example of the scheme's documentation passes."""
    assert judged(name) is None


@pytest.mark.parametrize("name", VECTORS)
def test_one_changed_byte_is_refused(name: str) -> None:
    """Another body, or another secret, is a wrong signature; no signature is none."""
    other = "whsec_" + base64.b64encode(b"another").decode() if name == "standard" else "another"
    assert judged(name, body=VECTORS[name][3] + b" ") == "wrong signature"
    assert judged(name, secret=other) == "wrong signature"
    signature, secret, _, body, now = VECTORS[name]
    assert refusal(signature, keys(signature, [secret]), {}, body, now) in {"no signature", "no timestamp"}


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize(("at", "reason"), [(299, None), (-299, None), (301, "outside"), (-301, "outside")])
def test_a_signed_time_must_be_near(name: str, at: float, reason: str | None) -> None:
    """A delivery of five minutes ago, or of five minutes ahead, may be an old one that someone sends again."""
    found = judged(name, at=at)
    assert found == reason if reason is None else found is not None and reason in found


@pytest.mark.parametrize("text", ["", "soon", "-5", "१५३१४२०६१८", "9" * 5000])
def test_a_timestamp_that_is_none_is_refused(text: str) -> None:
    """What is not a number of seconds is refused without trouble."""
    assert judged("slack", x_slack_request_timestamp=text) == "no timestamp"


def test_the_time_is_part_of_what_is_signed() -> None:
    """A new timestamp on an old signature does not pass."""
    assert judged("standard", at=60, webhook_timestamp="1614265390") == "wrong signature"
    assert judged("standard", webhook_id="msg_another") == "wrong signature"


@pytest.mark.parametrize(
    "text", ["v1,", "v1,AAAA", "v1a,g0hM9SsE", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "é", "v1,é"]
)
def test_nonsense_for_a_signature_is_refused(text: str) -> None:
    """Other versions, broken base64 and no ASCII are no signature, and no error."""
    assert judged("standard", webhook_signature=text) in {"no signature", "wrong signature"}


def test_one_good_signature_among_several_is_enough() -> None:
    """While the sender rotates its keys it signs with both; either passes, wherever it stands, but not the seventeenth."""
    wrong = f"v1,{base64.b64encode(bytes(32)).decode()}"
    assert judged("standard", webhook_signature=f"{wrong} v1a,xyz {V1}") is None
    assert judged("standard", webhook_signature=" ".join([wrong] * 16 + [V1])) == "wrong signature"
    _, _, sent, _, _ = VECTORS["stripe"]
    assert judged("stripe", stripe_signature=sent["stripe-signature"].replace("v1=", f"v1={'00' * 32},v1=")) is None


def test_either_of_our_keys_is_enough() -> None:
    """While we rotate, what was signed with the earlier secret passes as well."""
    signature, secret, headers, body, now = VECTORS["github"]
    assert refusal(signature, keys(signature, ["the new one", secret]), headers, body, now) is None


def test_a_secret_that_is_not_base64_is_named_and_not_shown() -> None:
    """A Standard Webhooks secret that cannot be one is found when the receiver starts."""
    with pytest.raises(SpecError) as error:
        keys(StandardWebhooks(secret="SHOP_HOOK"), ["whsec_not base64!"])
    assert "SHOP_HOOK" in str(error.value)
    assert "not base64!" not in str(error.value)


def test_slack_s_challenge_is_answered_and_only_slack_s() -> None:
    """A new address is confirmed by giving the challenge back; an event that only mentions one is an event."""
    asked = b'{"type":"url_verification","challenge":"3eZbrw1aB"}'
    assert challenge(Slack(secret="S"), asked) == "3eZbrw1aB"
    assert challenge(GitHub(secret="S"), asked) is None
    assert challenge(Slack(secret="S"), b'{"type":"event_callback","note":"url_verification"}') is None
