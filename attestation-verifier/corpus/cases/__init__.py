"""The topics, in the order in which they stand in the corpus."""

from cases import (
    accepted,
    accepted_chains,
    age,
    authority,
    ber,
    binding,
    bombs,
    certificate,
    chain,
    document_signatures,
    encoding,
    envelope,
    extensions,
    headers,
    keys,
    measurements,
    order,
    payload,
    signatures,
    usage,
    windows,
    wrong_types,
)

TOPICS = [
    topic.cases
    for topic in (
        accepted,
        accepted_chains,
        envelope,
        headers,
        encoding,
        wrong_types,
        bombs,
        payload,
        chain,
        authority,
        certificate,
        ber,
        keys,
        extensions,
        signatures,
        document_signatures,
        age,
        measurements,
        windows,
        binding,
        usage,
        order,
    )
]
