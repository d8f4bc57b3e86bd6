"""Messages to people: what went wrong or right again, to Slack, by e-mail, or to a webhook. Knows nothing of Dagster.

Beside `extract` the only package that speaks HTTP: it answers to nobody's credential but that of the channel itself.
"""

from integration_assets.alert.channels import Channel, channels
from integration_assets.alert.message import About, Message

__all__ = ["About", "Channel", "Message", "channels"]
