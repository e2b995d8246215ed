"""Makes vectors.json: what Python's eth-account (0.14.0) hashes and signs for OperatorConsent.

    python -m venv venv && venv/bin/pip install eth-account==0.14.0 && venv/bin/python vectors.py > vectors.json

Nothing here knows the Rust code: the typed data is written out as EIP-712 has it, and Rust must make the same.
"""

import json

from eth_account import Account
from eth_account.messages import encode_typed_data

OPERATORS = ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x" + "00" * 19 + "01"]
REGISTRIES = [
    (1, "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"),
    (31337, "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"),
    (2**256 - 1, "0x" + "ff" * 20),
]


def vector(seed, operator, chain_id, registry):
    key = bytes([seed] * 32)
    receipt_key = Account.from_key(key).address
    data = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "OperatorConsent": [
                {"name": "receiptKey", "type": "address"},
                {"name": "operator", "type": "address"},
            ],
        },
        "primaryType": "OperatorConsent",
        "domain": {"name": "Nacre", "version": "1", "chainId": chain_id, "verifyingContract": registry},
        "message": {"receiptKey": receipt_key, "operator": operator},
    }
    signed = Account.sign_message(encode_typed_data(full_message=data), key)
    return {
        "seed": seed,
        "receiptKey": receipt_key,
        "operator": operator,
        "registry": f"{chain_id}:{registry}",
        "digest": "0x" + signed.message_hash.hex(),
        "signature": "0x" + signed.signature.hex(),
    }


seeds = [0x42, 7]
vectors = [vector(s, o, *r) for s, o in zip(seeds, OPERATORS) for r in REGISTRIES]
print(json.dumps(vectors, indent=1))
