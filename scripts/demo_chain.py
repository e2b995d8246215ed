#!/usr/bin/env python3
"""A smart contract asks for an inference and acts on the answer, on this machine: `make demo-chain`.

The contract is examples/contract/Door.sol. It is compiled and deployed with what npm brings into relay-contracts, to the chain of
`nacre dev --chain`. Everything runs under a development root, in a folder of its own that is removed at the end. Only the standard
library is used: whatever is asked of the chain is JSON-RPC, as any wallet would ask it.
"""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from demo import EXAMPLES, NACRE, ROOT, draw, show, title

FORGE = ROOT / "relay-contracts" / "node_modules" / ".bin" / "forge"
DOOR = EXAMPLES / "contract" / "Door.sol"
# Wei.
FEE = 10**16
# How long an answer may take, in seconds.
PATIENCE = 90


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="nacre-demo-") as folder:
        env = {**os.environ, "NACRE_HOME": str(Path(folder) / "home"), "NACRE_LOG": "warn"}
        title("A platform and a chain: contracts, a staked operator, its enclave's key registered, a relay")
        command = ["--json", "dev", "--chain", "--rpc-port", "0", "--exit-on-stdin-eof"]
        command += ["--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0"]
        show(command)
        platform = subprocess.Popen([NACRE, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        try:
            line = platform.stdout.readline()
            if not line:
                sys.exit("demo: the platform did not start; its messages stand above")
            run(json.loads(line))
        finally:
            platform.stdin.close()
            platform.wait(timeout=30)


def run(ready: dict) -> None:
    chain = Chain(ready["chain"])
    print(f"chain {chain.ready['rpc']}, JobRelay {chain.relay}, function digit {chain.ready['function']}")

    title(f"The contract ({DOOR.relative_to(ROOT)})")
    print(DOOR.read_text().partition("/// @notice")[2].partition("\n")[2].rstrip())

    title("Compile and deploy it, with forge from npm")
    door = deploy(chain)
    print(f"Door {door}")

    title("Somebody draws a three")
    knock(chain, door, drawing(3), opens=False)
    title("Somebody draws a seven")
    answer = knock(chain, door, drawing(7), opens=True)

    title("What was checked before the door opened")
    verified(chain, answer, json.loads(Path(ready["policy"]).read_text()))


def deploy(chain: "Chain") -> str:
    words = ["create", f"{DOOR.relative_to(ROOT)}:Door", "--root", ".", "--rpc-url", chain.ready["rpc"], "--broadcast"]
    words += ["--unlocked", "--from", chain.user, "--json"]
    words += ["--constructor-args", chain.relay]
    print(f"$ forge {' '.join(words)}", flush=True)
    env = {**os.environ, "FOUNDRY_CONFIG": str(DOOR.with_name("foundry.toml"))}
    done = subprocess.run([FORGE, *words], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"demo: forge failed with exit status {done.returncode}\n{done.stdout}")
    return json.loads(done.stdout[done.stdout.index("{") :])["deployedTo"]


def knock(chain: "Chain", door: str, pixels: bytes, opens: bool) -> dict:
    draw([grey / 255 for grey in pixels])
    asked = chain.send(door, chain.selector("knock(bytes)") + abi_bytes(pixels), FEE)
    request = next(log for log in asked["logs"] if same(log["address"], chain.relay))
    job, mined = request["topics"][1], int(asked["blockNumber"], 16)
    print(f"job        {job}")
    print(f"request    {len(pixels)} bytes, fee {FEE / 10**18} ETH, block {mined}, {int(asked['gasUsed'], 16):,} gas")
    answered = chain.answer(job, mined, request["topics"][0])
    told = chain.rpc("eth_getTransactionReceipt", answered["transactionHash"])
    block = int(told["blockNumber"], 16)
    data = bytes.fromhex(answered["data"][2:])
    at = int.from_bytes(data[64:96], "big")
    output = data[at + 32 : at + 32 + int.from_bytes(data[at : at + 32], "big")]
    print(f"answer     a {output[0]}, block {block}, {int(told['gasUsed'], 16):,} gas with the callback")
    print(f"waited     {block - mined} block{'s' if block - mined != 1 else ''}")
    is_open = int(chain.view(door, "open()"), 16) == 1
    print(f"the door   is {'open' if is_open else 'shut'}")
    if is_open != opens:
        sys.exit("demo: the model was wrong about its own sample")
    return {"job": job, "output": output, "key": "0x" + data[12:32].hex()}


def verified(chain: "Chain", answer: dict, policy: dict) -> None:
    worker = chain.view(chain.ready["contracts"]["EnclaveRegistry"], "workerOf(address)", word(answer["key"]))
    operator, image, verifier, _ = (worker[2 + 64 * at : 66 + 64 * at] for at in range(4))
    measured = policy["measurements"][0]
    expected = hashlib.sha256(bytes.fromhex(measured["pcr0"] + measured["pcr1"] + measured["pcr2"])).hexdigest()
    result = chain.view(chain.relay, "resultOf(uint256)", word(answer["job"]))
    checks = [
        ("JobRelay took the answer by the signature of the key", answer["key"], "over its hash", result[-64:] == hashlib.sha256(answer["output"]).hexdigest()),
        ("which lives in an enclave of the image", "0x" + image, "(PCR0-2 of this very build)", image == expected),
        ("as the verifier", "0x" + verifier[24:], "says of its Nitro document (DEVELOPMENT ROOT)",
         same("0x" + verifier[24:], chain.ready["verifier"]["signer"])),
        ("and which works for the staked operator", "0x" + operator[24:], "by its own signature",
         same("0x" + operator[24:], chain.ready["operator"])),
    ]
    for what, which, then, holds in checks:
        print(f"{what} {which} {then}")
        if not holds:
            sys.exit("demo: that does not hold")


class Chain:
    """The chain of `nacre dev --chain`, and its account without a role."""

    def __init__(self, ready: dict) -> None:
        self.ready = ready
        self.relay = ready["contracts"]["JobRelay"]
        self.user = ready["user"]

    def rpc(self, method: str, *params: object) -> object:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.ready["rpc"], body, {"content-type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            said = json.load(answer)
        if "error" in said:
            sys.exit(f"demo: {method}: {said['error']['message']}")
        return said["result"]

    def selector(self, function: str) -> str:
        return self.rpc("web3_sha3", "0x" + function.encode().hex())[:10]

    def view(self, contract: str, function: str, arguments: str = "") -> str:
        return self.rpc("eth_call", {"to": contract, "data": self.selector(function) + arguments}, "latest")

    def send(self, contract: str, data: str, value: int) -> dict:
        # anvil has the keys of its accounts.
        sent = self.rpc("eth_sendTransaction", {"from": self.user, "to": contract, "data": data, "value": hex(value)})
        receipt = wait("the request to be mined", lambda: self.rpc("eth_getTransactionReceipt", sent))
        if int(receipt["status"], 16) != 1:
            sys.exit("demo: the contract refused the request")
        return receipt

    def answer(self, job: str, mined: int, requested: str) -> dict:
        of_job = {"address": self.relay, "topics": [None, job], "fromBlock": hex(mined)}

        def answered() -> dict | None:
            logs = self.rpc("eth_getLogs", of_job)
            return next((log for log in logs if log["topics"][0] != requested), None)

        return wait("an answer", answered)


def drawing(digit: int) -> bytes:
    """The first drawing of a digit that no model was trained on."""
    folder = EXAMPLES / "lenet-mnist"
    labels = gzip.decompress((folder / "held-out-labels.idx1-ubyte.gz").read_bytes())[8:]
    images = gzip.decompress((folder / "held-out-images.idx3-ubyte.gz").read_bytes())[16:]
    at = labels.index(digit) * 784
    return images[at : at + 784]


def wait(what: str, look: object) -> dict:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    sys.exit(f"demo: waited {PATIENCE} s for {what}")


def abi_bytes(data: bytes) -> str:
    """One argument of the type `bytes`: its offset, its length, itself in whole words."""
    words = data + bytes(-len(data) % 32)
    return (32).to_bytes(32, "big").hex() + len(data).to_bytes(32, "big").hex() + words.hex()


def word(number: str) -> str:
    return number.removeprefix("0x").rjust(64, "0")


def same(one: str, other: str) -> bool:
    return one.lower() == other.lower()


if __name__ == "__main__":
    main()
