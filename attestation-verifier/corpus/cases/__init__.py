"""The topics, in the order in which they stand in the corpus."""

from cases import (
    accepted,
    appraisal,
    ber,
    binding,
    certificate,
    chain,
    encoding,
    envelope,
    extensions,
    keys,
    order,
    payload,
    signatures,
    usage,
)

TOPICS = [
    accepted.cases,
    envelope.cases,
    encoding.cases,
    payload.cases,
    chain.cases,
    certificate.cases,
    ber.cases,
    keys.cases,
    extensions.cases,
    signatures.cases,
    appraisal.cases,
    binding.cases,
    usage.cases,
    order.cases,
]
