// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {NodeBook} from "../../src/NodeBook.sol";
import {UptimeOracle} from "../../src/UptimeOracle.sol";
import {Receipts} from "../../src/uptime/Receipts.sol";
import {WatchersWords} from "../../src/uptime/WatchersWords.sol";
import {OracleWorld} from "./OracleWorld.sol";

/// Reading JSON, as forge does it.
interface Json {
    function readFile(string calldata path) external view returns (string memory);
    function parseJsonUint(string calldata json, string calldata key) external pure returns (uint256);
    function parseJsonUintArray(string calldata json, string calldata key) external pure returns (uint256[] memory);
    function parseJsonBool(string calldata json, string calldata key) external pure returns (bool);
    function parseJsonBoolArray(string calldata json, string calldata key) external pure returns (bool[] memory);
    function parseJsonAddress(string calldata json, string calldata key) external pure returns (address);
    function parseJsonString(string calldata json, string calldata key) external pure returns (string memory);
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function parseJsonBytesArray(string calldata json, string calldata key) external pure returns (bytes[] memory);
    function parseJsonBytes32(string calldata json, string calldata key) external pure returns (bytes32);
    function parseJsonBytes32Array(string calldata json, string calldata key) external pure returns (bytes32[] memory);
    function toString(uint256 value) external pure returns (string memory);
}

/// The chain computes what watchers compute: `uptime/tests/chain.rs` wrote the file.
contract VectorsTest is OracleWorld {
    Json constant json = Json(address(uint160(uint256(keccak256("hevm cheat code")))));
    string file;
    UptimeOracle there;

    function setUp() external {
        build();
        file = json.readFile("test/vectors/uptime.json");
        // The vectors are for a contract at an address of their own.
        address place = json.parseJsonAddress(file, ".words.contract");
        vm.etch(place, address(oracle).code);
        there = UptimeOracle(place);
        vm.chainId(json.parseJsonUint(file, ".words.chainId"));
    }

    function path(string memory head, uint256 index, string memory tail) internal pure returns (string memory) {
        return string.concat(head, "[", json.toString(index), "]", tail);
    }

    function word(string memory key) internal view returns (bytes32) {
        return json.parseJsonBytes32(file, key);
    }

    function number(string memory key) internal view returns (uint256) {
        return json.parseJsonUint(file, key);
    }

    function nodeId(string memory key) internal view returns (bytes16) {
        return bytes16(json.parseJsonBytes(file, key));
    }

    // Libraries take calldata, so these are called from outside.

    function leafOf(bytes16 node, bytes32 evidenceRoot, bytes calldata outcomes) external pure returns (bytes32) {
        return WatchersWords.rowLeaf(node, evidenceRoot, outcomes);
    }

    function rootOf(bytes32 leaf, uint256 index, uint256 size, bytes32[] calldata proof)
        external
        pure
        returns (bytes32)
    {
        return WatchersWords.rootOf(leaf, index, size, proof);
    }

    function hashOf(Receipts.Request calldata request, bytes32 salt) external pure returns (bytes32) {
        return Receipts.requestHash(request, salt);
    }

    function signerOf(Receipts.Receipt calldata receipt, bytes32 request) external pure returns (address) {
        return Receipts.signer(receipt, request);
    }

    function test_rows_lead_to_the_root_that_the_watcher_commits_to() external view {
        bytes32 root = word(".words.root");
        for (uint256 i = 0; i < 5; ++i) {
            bytes16 node = nodeId(path(".words.rows", i, ".node"));
            bytes memory outcomes = json.parseJsonBytes(file, path(".words.rows", i, ".outcomes"));
            bytes32 leaf = this.leafOf(node, word(path(".words.rows", i, ".evidenceRoot")), outcomes);
            vm.assertEq(leaf, word(path(".words.rows", i, ".leaf")));
            bytes32[] memory proof = json.parseJsonBytes32Array(file, path(".words.rows", i, ".path"));
            vm.assertEq(this.rootOf(leaf, i, 5, proof), root);
        }
    }

    function test_a_watcher_seals_signs_and_reveals_the_same_here_and_there() external {
        address watcher = json.parseJsonAddress(file, ".words.watcher");
        uint64 epoch = uint64(number(".words.epoch"));
        (bytes32 salt, bytes32 root) = (word(".words.salt"), word(".words.root"));
        stakes(watcher, WATCHER_STAKE);
        bytes32 id = word(".words.watcherId");
        vm.prank(watcher);
        there.enroll(id);
        vm.assertEq(there.commitmentOf(watcher, epoch, salt, root), word(".words.commitment"));
        vm.assertEq(there.sealOf(watcher, epoch, salt, root), word(".words.seal"));

        toMs(there.commitsFrom(epoch));
        there.commitFor(watcher, epoch, word(".words.seal"), json.parseJsonBytes(file, ".words.sealSignature"));
        toMs(there.revealsFrom(epoch));
        there.reveal(watcher, epoch, salt, root);
    }

    function test_an_answer_names_the_watchers_nonce() external view {
        bytes32 nonce = WatchersWords.nonce(
            word(".words.salt"),
            word(".words.watcherId"),
            nodeId(".answer.node"),
            uint64(number(".answer.slot")),
            uint8(number(".answer.attempt"))
        );
        vm.assertEq(nonce, word(".answer.nonce"));
        Receipts.Request memory request = Receipts.Request(
            json.parseJsonString(file, ".answer.method"),
            json.parseJsonString(file, ".answer.path"),
            json.parseJsonString(file, ".answer.contentType"),
            json.parseJsonString(file, ".answer.inferenceHeaderLength"),
            json.parseJsonBytes(file, ".answer.body")
        );
        bytes32 hash = this.hashOf(request, nonce);
        vm.assertEq(hash, word(".answer.requestHash"));
        Receipts.Receipt memory receipt = Receipts.Receipt({
            functionDigest: word(".answer.functionDigest"),
            responseHash: word(".answer.responseHash"),
            startedMs: uint64(number(".answer.startedMs")),
            computeMicros: uint32(number(".answer.computeMicros")),
            status: uint16(number(".answer.status")),
            index: uint32(number(".answer.index")),
            size: uint32(number(".answer.size")),
            path: json.parseJsonBytes32Array(file, ".answer.proof"),
            signature: json.parseJsonBytes(file, ".answer.signature")
        });
        vm.assertEq(this.signerOf(receipt, hash), json.parseJsonAddress(file, ".answer.receiptKey"));
    }

    /// Watchers with these stakes say these words; as many slots are down as off chain.
    function test_the_same_words_come_to_the_same_verdicts() external {
        for (uint256 i = 0; i < 12; ++i) {
            uint256 snapshot = vm.snapshotState();
            uint256[] memory weights = json.parseJsonUintArray(file, path(".verdicts", i, ".stakes"));
            bytes[] memory outcomes = json.parseJsonBytesArray(file, path(".verdicts", i, ".outcomes"));
            for (uint256 j = 0; j < weights.length; ++j) {
                // Enough for a quorum, in the same proportions.
                watch(json.toString(j), weights[j] * 10);
            }
            all(EPOCH, outcomes);
            toClosed(EPOCH);
            uint256 down = number(path(".verdicts", i, ".down"));
            UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
            if (down < 44) vm.expectRevert(abi.encodeWithSelector(UptimeOracle.NotBelowLevel.selector, down));
            vm.recordLogs();
            accuses(shown);
            if (down >= 44) {
                (, uint256 missing,) = abi.decode(vm.getRecordedLogs()[0].data, (bytes32, uint256, address));
                vm.assertEq(missing, down);
            }
            delete watchers;
            vm.revertToState(snapshot);
        }
    }

    function test_the_same_downtime_costs_the_same() external view {
        for (uint256 i = 0; i < 7; ++i) {
            uint256 stake = number(path(".penalties", i, ".stake"));
            uint256 missing = number(path(".penalties", i, ".missing"));
            bool below = json.parseJsonBool(file, path(".penalties", i, ".below"));
            vm.assertEq(oracle.isBelow(missing), below);
            if (below) vm.assertEq(oracle.penalty(stake, missing), number(path(".penalties", i, ".amount")));
        }
    }

    function test_the_same_drains_excuse_the_same_slots() external {
        NodeBook.Terms memory terms = nodeTerms();
        vm.assertEq(terms.noticeSlots, number(".drains.noticeSlots"));
        vm.assertEq(terms.budgetSlots, number(".drains.budgetSlots"));
        vm.assertEq(terms.monthSlots, number(".drains.monthSlots"));
        toMs(number(".drains.announcedSlot") * terms.slotMs);
        uint256[] memory from = json.parseJsonUintArray(file, ".drains.from");
        uint256[] memory to = json.parseJsonUintArray(file, ".drains.to");
        vm.startPrank(operator);
        for (uint256 i = 0; i < from.length; ++i) {
            nodes.announceDrain(NODE, uint64(from[i]), uint64(to[i]));
        }
        bytes32 key = nodes.nodeKey(operator, NODE);
        uint256 month = from[0] / terms.monthSlots;
        vm.assertEq(nodes.drained(key, month), number(".drains.inFirstMonth"));
        vm.assertEq(nodes.drained(key, month) + nodes.drained(key, month + 1), number(".drains.excused"));
        uint256[] memory edges = json.parseJsonUintArray(file, ".drains.edges");
        bool[] memory excused = json.parseJsonBoolArray(file, ".drains.excusedAtEdges");
        for (uint256 i = 0; i < edges.length; ++i) {
            vm.assertEq(nodes.isExcused(operator, NODE, uint64(edges[i])), excused[i]);
        }
    }

    function test_time_is_cut_the_same() external view {
        uint64 epoch = uint64(number(".words.epoch"));
        vm.assertEq(oracle.lengths().slotMs, number(".times.slotMs"));
        vm.assertEq(oracle.lengths().epochSlots, number(".times.epochSlots"));
        vm.assertEq(oracle.lengths().windowSlots, number(".times.windowSlots"));
        vm.assertEq(oracle.commitsFrom(epoch), number(".times.commitsFrom"));
        vm.assertEq(oracle.revealsFrom(epoch), number(".times.revealsFrom"));
        vm.assertEq(oracle.closedFrom(epoch), number(".times.closedFrom"));
        vm.assertEq(oracle.windowOf(epoch), number(".times.window"));
    }
}
