"""A durable inbox of events: a webhook's delivery or a queue's message is kept here until what it hints at has been pulled.

Nothing here knows Dagster, HTTP clients or the lake. `receiver` and `consume` fill the inbox, `drain` says what to pull for
it and when an event is done; the sensor in `orchestrate` only carries that to Dagster and back.
"""
