"""The topics, in the order in which they stand in the corpus."""

from cases import accepted, encoding, envelope, payload

TOPICS = [
    accepted.cases,
    envelope.cases,
    encoding.cases,
    payload.cases,
]
