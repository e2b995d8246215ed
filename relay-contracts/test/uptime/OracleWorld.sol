// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {NodeBook} from "../../src/NodeBook.sol";
import {OperatorStaking} from "../../src/OperatorStaking.sol";
import {UptimeOracle} from "../../src/UptimeOracle.sol";
import {IEnclaveRegistry} from "../../src/interfaces/IEnclaveRegistry.sol";
import {Receipts} from "../../src/uptime/Receipts.sol";
import {Timetable} from "../../src/uptime/Timetable.sol";
import {PlainToken} from "../tokens/Tokens.sol";
import {Test} from "../base/Test.sol";

/// A registry that believes what it is told.
contract Registry is IEnclaveRegistry {
    mapping(address key => address operator) public operators;

    function attest(address key, address operator) external {
        operators[key] = operator;
    }

    function workerOperator(address key, bytes32) external view returns (address operator) {
        operator = operators[key];
        if (operator == address(0)) revert KeyUnknown(key);
    }
}

/// Watchers, a node, and an oracle over them, with the lengths that watchers use off chain.
abstract contract OracleWorld is Test {
    uint64 constant EPOCH = 3_000_077;
    uint256 constant EPOCH_MS = 600_000;
    uint16 constant SLOTS = 60;
    bytes16 constant NODE = bytes16(uint128(1));
    uint128 constant BEHIND = 1_000_000;
    uint128 constant WATCHER_STAKE = 10_000;
    bytes32 constant FUNCTION = "function";
    bytes32 constant RESPONSE = "response";
    uint64 constant DELAY = 14 days;

    /// What a watcher said, for the tests to show again.
    struct Said {
        bytes32 salt;
        bytes32 root;
        bytes outcomes;
        bytes32[] path;
    }

    PlainToken token;
    OperatorStaking staking;
    Registry registry;
    NodeBook nodes;
    UptimeOracle oracle;
    address treasury = makeAddress("treasury");
    address operator = makeAddress("operator");
    address accuser = makeAddress("accuser");
    address[] watchers;
    mapping(uint64 epoch => mapping(address watcher => Said)) said;

    function build() internal {
        vm.warp((uint256(EPOCH) * EPOCH_MS) / 1000 - 30 days);
        token = new PlainToken();
        staking = new OperatorStaking(OperatorStaking.Terms(token, treasury, DELAY, 100_000, 200_000));
        registry = new Registry();
        nodes = new NodeBook(nodeTerms());
        oracle = new UptimeOracle(setup(), lengths());
        address[] memory slashers = new address[](1);
        slashers[0] = address(oracle);
        staking.wire(slashers);
        stakes(operator, 2 * BEHIND);
        vm.prank(operator);
        nodes.registerNode(NODE, BEHIND);
    }

    function nodeTerms() internal view returns (NodeBook.Terms memory) {
        return NodeBook.Terms({
            registry: registry,
            staking: staking,
            minNodeStake: 1000,
            slotMs: 10_000,
            noticeSlots: 360,
            budgetSlots: 1_440,
            monthSlots: 30 * 8_640
        });
    }

    function setup() internal view returns (UptimeOracle.Setup memory) {
        return UptimeOracle.Setup({
            staking: staking,
            nodes: nodes,
            minWatcherStake: 1000,
            quorumStake: 5000,
            silencePpm: 10_000,
            doublePpm: 100_000
        });
    }

    function lengths() internal pure returns (Timetable.Lengths memory) {
        return Timetable.Lengths({
            slotMs: 10_000,
            epochSlots: SLOTS,
            windowSlots: 8_640,
            commitSlots: 6,
            revealSlots: 24,
            guardMs: 20_000,
            accuseSeconds: 1 days,
            disputeSeconds: 2 days,
            settleSeconds: 2 days
        });
    }

    // What people do.

    function stakes(address account, uint256 amount) internal {
        token.mint(account, amount);
        vm.startPrank(account);
        token.approve(address(staking), amount);
        staking.stake(account, amount);
        vm.stopPrank();
    }

    function watch(string memory name, uint256 stake) internal returns (address watcher) {
        watcher = makeAddress(name);
        stakes(watcher, stake);
        bytes32 id = idOf(watcher);
        vm.prank(watcher);
        oracle.enroll(id);
        watchers.push(watcher);
    }

    /// The id that a watcher signs with off chain.
    function idOf(address watcher) internal pure returns (bytes32) {
        return sha256(abi.encode("id", watcher));
    }

    /// The row of [`NODE`] in a tree of two, commited to under a salt of the watcher's.
    function prepares(address watcher, uint64 epoch, bytes memory outcomes) internal {
        prepares(watcher, epoch, outcomes, NODE);
    }

    function prepares(address watcher, uint64 epoch, bytes memory outcomes, bytes16 node) internal {
        Said storage words = said[epoch][watcher];
        words.salt = keccak256(abi.encode("salt", watcher, epoch));
        words.outcomes = outcomes;
        bytes32 other = sha256("another row");
        bytes32 leaf = sha256(abi.encodePacked(hex"00", "nacre/uptime-row/v1", node, bytes32(0), outcomes));
        words.root = sha256(abi.encodePacked(hex"01", leaf, other));
        words.path = new bytes32[](1);
        words.path[0] = other;
    }

    function sealFor(address watcher, uint64 epoch) internal view returns (bytes32) {
        return oracle.sealOf(watcher, epoch, said[epoch][watcher].salt, said[epoch][watcher].root);
    }

    function commits(address watcher, uint64 epoch, bytes memory outcomes) internal {
        prepares(watcher, epoch, outcomes);
        bytes32 seal = sealFor(watcher, epoch);
        vm.prank(watcher);
        oracle.commit(epoch, seal);
    }

    function reveals(address watcher, uint64 epoch) internal {
        oracle.reveal(watcher, epoch, said[epoch][watcher].salt, said[epoch][watcher].root);
    }

    /// Every watcher says its part of an epoch, in time.
    function all(uint64 epoch, bytes[] memory outcomes) internal {
        toCommit(epoch);
        for (uint256 i = 0; i < outcomes.length; ++i) {
            commits(watchers[i], epoch, outcomes[i]);
        }
        toReveal(epoch);
        for (uint256 i = 0; i < outcomes.length; ++i) {
            reveals(watchers[i], epoch);
        }
    }

    /// The same words of all.
    function all(uint64 epoch, bytes memory outcomes) internal {
        bytes[] memory each = new bytes[](watchers.length);
        for (uint256 i = 0; i < each.length; ++i) {
            each[i] = outcomes;
        }
        all(epoch, each);
    }

    // When.

    function toMs(uint256 ms) internal {
        vm.warp((ms + 999) / 1000);
    }

    function toCommit(uint64 epoch) internal {
        toMs(oracle.commitsFrom(epoch));
    }

    function toReveal(uint64 epoch) internal {
        toMs(oracle.revealsFrom(epoch));
    }

    function toClosed(uint64 epoch) internal {
        toMs(oracle.closedFrom(epoch));
    }

    // What is shown.

    /// An epoch of one outcome.
    function outcomesOf(uint8 outcome) internal pure returns (bytes memory outcomes) {
        return outcomesOf(outcome, SLOTS);
    }

    /// `many` slots of one outcome, the rest up.
    function outcomesOf(uint8 outcome, uint256 many) internal pure returns (bytes memory outcomes) {
        outcomes = new bytes(SLOTS);
        for (uint256 i = 0; i < SLOTS; ++i) {
            outcomes[i] = bytes1(i < many ? outcome : 1);
        }
    }

    function rowOf(address watcher, uint64 epoch) internal view returns (UptimeOracle.Row memory) {
        Said storage words = said[epoch][watcher];
        return UptimeOracle.Row({
            watcher: watcher,
            salt: words.salt,
            root: words.root,
            evidenceRoot: bytes32(0),
            outcomes: words.outcomes,
            index: 0,
            size: 2,
            path: words.path
        });
    }

    /// The rows of the first `many` watchers, sorted.
    function rowsOf(uint64 epoch, uint256 many) internal view returns (UptimeOracle.EpochRows memory shown) {
        address[] memory sorted = new address[](many);
        for (uint256 i = 0; i < many; ++i) {
            uint256 j = i;
            for (; j > 0 && sorted[j - 1] > watchers[i]; --j) {
                sorted[j] = sorted[j - 1];
            }
            sorted[j] = watchers[i];
        }
        shown.epoch = epoch;
        shown.rows = new UptimeOracle.Row[](many);
        for (uint256 i = 0; i < many; ++i) {
            shown.rows[i] = rowOf(sorted[i], epoch);
        }
    }

    function evidence(uint64 epoch) internal view returns (UptimeOracle.EpochRows[] memory shown) {
        return evidence(epoch, watchers.length);
    }

    function evidence(uint64 epoch, uint256 many) internal view returns (UptimeOracle.EpochRows[] memory shown) {
        shown = new UptimeOracle.EpochRows[](1);
        shown[0] = rowsOf(epoch, many);
    }

    function window() internal pure returns (uint64) {
        return EPOCH * SLOTS / 8_640;
    }

    function accuses(UptimeOracle.EpochRows[] memory shown) internal returns (bytes32) {
        vm.prank(accuser);
        return oracle.accuse(operator, NODE, window(), shown);
    }

    function settles(UptimeOracle.EpochRows[] memory shown) internal returns (uint256) {
        vm.warp(block.timestamp + 2 days);
        return oracle.settle(operator, NODE, window(), shown);
    }

    // An enclave's answers.

    function requestOf() internal pure returns (Receipts.Request memory) {
        return Receipts.Request("POST", "/v2/models/canary/infer", "application/json", "", bytes("{}"));
    }

    function slotOf(uint64 epoch, uint64 index) internal pure returns (uint64) {
        return epoch * SLOTS + index;
    }

    function nonceOf(address watcher, uint64 slot, uint8 attempt) internal view returns (bytes32) {
        bytes32 salt = said[slot / SLOTS][watcher].salt;
        return sha256(abi.encodePacked("nacre/uptime-nonce/v1", hex"00", salt, idOf(watcher), NODE, slot, attempt));
    }

    /// What an enclave with this key signs when it is asked with this nonce.
    function answerTo(bytes32 nonce, uint256 key, uint64 startedMs, uint16 status)
        internal
        pure
        returns (Receipts.Receipt memory receipt)
    {
        Receipts.Request memory request = requestOf();
        bytes memory parts = abi.encodePacked(part(bytes(request.method)), part(bytes(request.path)));
        parts = abi.encodePacked(parts, part(bytes(request.contentType)), part(""), part(request.body));
        bytes32 requestHash = sha256(abi.encodePacked("nacre/request/v1", nonce, parts));
        bytes32 hashed = keccak256(
            abi.encode(
                keccak256(
                    "InferenceReceipt(bytes32 functionDigest,bytes32 requestHash,bytes32 responseHash,uint64 startedMs,uint32 computeMicros,uint16 status)"
                ),
                FUNCTION,
                requestHash,
                RESPONSE,
                startedMs,
                uint32(12),
                status
            )
        );
        bytes32 leaf = sha256(abi.encodePacked(hex"00", hashed));
        bytes32 domain = keccak256(
            abi.encode(keccak256("EIP712Domain(string name,string version)"), keccak256("Nacre"), keccak256("1"))
        );
        bytes32 batch = keccak256(abi.encode(keccak256("ReceiptBatch(bytes32 root)"), leaf));
        receipt = Receipts.Receipt({
            functionDigest: FUNCTION,
            responseHash: RESPONSE,
            startedMs: startedMs,
            computeMicros: 12,
            status: status,
            index: 0,
            size: 1,
            path: new bytes32[](0),
            signature: signed(key, keccak256(abi.encodePacked(hex"1901", domain, batch)))
        });
    }

    function part(bytes memory bytes_) internal pure returns (bytes memory) {
        return abi.encodePacked(uint64(bytes_.length), bytes_);
    }

    function claimOn(address watcher, uint64 slot, address receiptKey)
        internal
        view
        returns (UptimeOracle.Claim memory)
    {
        Said storage words = said[slot / SLOTS][watcher];
        return UptimeOracle.Claim(watcher, words.salt, words.root, operator, NODE, slot, 0, receiptKey);
    }
}
