"""Makes vectors.json: what Python's eth-account (0.14.0) hashes, signs and recovers for VerifiedEnclave.

    python -m venv venv && venv/bin/pip install eth-account==0.14.0 && venv/bin/python vectors.py > vectors.json

Nothing here knows the Rust code: the typed data is written out as EIP-712 has it, and Rust must make the same.
"""

import json
from hashlib import sha256

from eth_account import Account
from eth_account.messages import encode_typed_data

KEY = bytes([0x42] * 32)


def field(kind, name):
    return {"name": name, "type": kind}


def typed(chain_id, contract, **message):
    return {
        "types": {
            "EIP712Domain": [
                field("string", "name"),
                field("string", "version"),
                field("uint256", "chainId"),
                field("address", "verifyingContract"),
            ],
            "VerifiedEnclave": [
                field("bytes32", "rootId"),
                field("bytes32", "imageId"),
                field("address", "receiptKey"),
                field("address", "operator"),
                field("bytes32", "userData"),
                field("uint64", "timestampMs"),
                field("uint64", "expiresMs"),
            ],
        },
        "primaryType": "VerifiedEnclave",
        "domain": {"name": "Nacre", "version": "1", "chainId": chain_id, "verifyingContract": contract},
        "message": message,
    }


def vector(data):
    # eth-account takes a chain id above 2^53 as a number; JSON that every reader keeps has it as a string.
    exact = json.loads(json.dumps(data))
    exact["domain"]["chainId"] = int(exact["domain"]["chainId"])
    signed = Account.sign_message(encode_typed_data(full_message=exact), KEY)
    return {
        "typed": data,
        "digest": "0x" + signed.message_hash.hex(),
        "signature": "0x" + signed.signature.hex(),
        "signer": Account.from_key(KEY).address,
    }


def hash32(text):
    return "0x" + sha256(text.encode()).hexdigest()


OPERATOR = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
CONTRACT = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
RECEIPT_KEY = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB"
first = dict(
    rootId=hash32("root"),
    imageId=hash32("image"),
    receiptKey=RECEIPT_KEY,
    operator=OPERATOR,
    userData=hash32("user data"),
    timestampMs=1_700_000_000_000,
    expiresMs=1_700_010_800_000,
)
zeros = dict(
    rootId="0x" + "00" * 32,
    imageId="0x" + "ff" * 32,
    receiptKey="0x" + "00" * 20,
    operator="0x" + "00" * 20,
    userData="0x" + "00" * 31 + "01",
    timestampMs=0,
    expiresMs=2**53 - 1,
)
vectors = [
    vector(typed(1, CONTRACT, **first)),
    vector(typed(42161, OPERATOR, **first)),
    vector(typed(2**53 - 1, CONTRACT, **zeros)),
    vector(typed(str(2**53), CONTRACT, **zeros)),
    vector(typed(str(2**256 - 1), CONTRACT, **zeros)),
]
print(json.dumps(vectors, indent=1))
