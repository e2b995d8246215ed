// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {NodeBook} from "../../src/NodeBook.sol";
import {IEnclaveRegistry} from "../../src/interfaces/IEnclaveRegistry.sol";
import {OracleWorld} from "./OracleWorld.sol";

/// What operators say of their nodes.
contract NodeBookTest is OracleWorld {
    bytes16 constant OTHER = bytes16(uint128(2));
    address key = makeAddress("receipt key");
    address stranger = makeAddress("stranger");

    function setUp() external {
        build();
        vm.startPrank(operator);
    }

    function slotNow() internal view returns (uint64) {
        return uint64(block.timestamp * 1000 / 10_000);
    }

    function bitsOf(uint64 first, uint16 slots) internal view returns (uint256[] memory) {
        return nodes.answersFor(nodes.nodeKey(operator, NODE), first, slots);
    }

    function test_terms_without_slots_months_or_stake_are_refused() external {
        NodeBook.Terms memory bad = nodeTerms();
        bad.minNodeStake = 0;
        vm.expectRevert(NodeBook.TermsUnsound.selector);
        new NodeBook(bad);
        bad = nodeTerms();
        bad.slotMs = 0;
        vm.expectRevert(NodeBook.TermsUnsound.selector);
        new NodeBook(bad);
        bad = nodeTerms();
        bad.monthSlots = 0;
        vm.expectRevert(NodeBook.TermsUnsound.selector);
        new NodeBook(bad);
        bad = nodeTerms();
        bad.budgetSlots = bad.monthSlots + 1;
        vm.expectRevert(NodeBook.TermsUnsound.selector);
        new NodeBook(bad);
    }

    function test_stake_stands_behind_one_node_at_a_time() external {
        nodes.registerNode(OTHER, BEHIND - 1);
        vm.expectRevert(abi.encodeWithSelector(NodeBook.NotCovered.selector, 2 * BEHIND + 1, 2 * BEHIND));
        nodes.raiseNode(OTHER, 2);
        nodes.raiseNode(OTHER, 1);
        (, uint48 retiresAt, uint256 behind) = nodes.nodeOf(operator, OTHER);
        vm.assertEq(behind, BEHIND);
        vm.assertEq(retiresAt, 0);
        vm.assertTrue(nodes.isCovered(operator));
        staking.unbond(1);
        vm.assertFalse(nodes.isCovered(operator));
        vm.expectPartialRevert(NodeBook.NotCovered.selector);
        nodes.registerNode(bytes16(uint128(3)), 1000);
    }

    function test_a_node_is_registered_once_with_enough_behind_it() external {
        vm.expectRevert(abi.encodeWithSelector(NodeBook.NodeKnown.selector, NODE));
        nodes.registerNode(NODE, 1000);
        vm.expectRevert(abi.encodeWithSelector(NodeBook.TooLittleBehind.selector, 1000));
        nodes.registerNode(OTHER, 999);
    }

    function test_a_squatter_registers_only_a_node_of_its_own() external {
        vm.stopPrank();
        stakes(stranger, 1000);
        vm.startPrank(stranger);
        nodes.registerNode(NODE, 1000);
        vm.assertNotEq(nodes.nodeKey(stranger, NODE), nodes.nodeKey(operator, NODE));
        vm.expectRevert(abi.encodeWithSelector(NodeBook.NodeUnknown.selector, OTHER));
        nodes.raiseNode(OTHER, 1);
    }

    function test_what_stood_behind_a_node_at_a_time_stays_known() external {
        uint48 start = uint48(block.timestamp);
        vm.warp(start + 100);
        nodes.raiseNode(NODE, 500);
        bytes32 of_ = nodes.nodeKey(operator, NODE);
        vm.assertEq(nodes.behindAt(of_, start - 1), 0);
        vm.assertEq(nodes.behindAt(of_, start + 99), BEHIND);
        vm.assertEq(nodes.behindAt(of_, start + 100), BEHIND + 500);
    }

    /// Whoever sees its node go down cannot be gone before the slots are counted.
    function test_a_node_retires_with_notice_and_answers_until_then() external {
        uint64 slot = slotNow();
        nodes.retireNode(NODE);
        (, uint48 retiresAt,) = nodes.nodeOf(operator, NODE);
        vm.assertEq(retiresAt, block.timestamp + 3600);
        vm.assertEq(bitsOf(slot + 359, 2)[0], 1);
        vm.assertEq(nodes.committedBehind(operator), 0);
        vm.expectRevert(abi.encodeWithSelector(NodeBook.NodeUnknown.selector, NODE));
        nodes.retireNode(NODE);
        vm.expectRevert(abi.encodeWithSelector(NodeBook.NodeUnknown.selector, NODE));
        nodes.announceDrain(NODE, slot + 1000, slot + 1001);
        vm.expectRevert(abi.encodeWithSelector(NodeBook.NodeKnown.selector, NODE));
        nodes.registerNode(NODE, 1000);
    }

    function test_a_node_answers_for_whole_slots_from_its_registration_on() external {
        uint64 slot = slotNow() + 1000;
        vm.warp(uint256(slot) * 10 + 3);
        nodes.registerNode(OTHER, 1000);
        uint256[] memory bits = nodes.answersFor(nodes.nodeKey(operator, OTHER), slot, 3);
        vm.assertEq(bits[0], 6);
        bits = nodes.answersFor(nodes.nodeKey(stranger, OTHER), slot, 3);
        vm.assertEq(bits[0], 0);
    }

    function test_a_key_is_bound_to_one_node_of_its_operator() external {
        nodes.registerNode(OTHER, 1000);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyUnknown.selector, key));
        nodes.bindKey(NODE, key);
        registry.attest(key, stranger);
        vm.expectRevert(abi.encodeWithSelector(NodeBook.KeyOfAnother.selector, stranger));
        nodes.bindKey(NODE, key);
        registry.attest(key, operator);
        uint64 slot = slotNow();
        nodes.bindKey(NODE, key);
        vm.expectRevert(abi.encodeWithSelector(NodeBook.KeyBoundAlready.selector, key));
        nodes.bindKey(OTHER, key);
        bytes32 of_ = nodes.nodeKey(operator, NODE);
        vm.assertTrue(nodes.livedOn(key, of_, slot));
        vm.assertFalse(nodes.livedOn(key, of_, slot - 1));
        vm.assertFalse(nodes.livedOn(key, nodes.nodeKey(operator, OTHER), slot));
    }

    // Drains.

    function test_a_drain_needs_its_notice() external {
        vm.warp(block.timestamp + 1);
        uint64 earliest = slotNow() + 1 + 360;
        vm.expectRevert(abi.encodeWithSelector(NodeBook.DrainTimes.selector, earliest));
        nodes.announceDrain(NODE, earliest - 1, earliest + 5);
        vm.expectRevert(abi.encodeWithSelector(NodeBook.DrainTimes.selector, earliest));
        nodes.announceDrain(NODE, earliest, earliest);
        vm.expectEmit();
        emit NodeBook.DrainAnnounced(operator, NODE, earliest, earliest + 5);
        nodes.announceDrain(NODE, earliest, earliest + 5);
        vm.assertEq(bitsOf(earliest - 1, 7)[0], 1 | 1 << 6);
    }

    function test_a_drain_beyond_the_months_budget_is_refused() external {
        uint64 month = slotNow() / 259_200 + 1;
        uint64 begin = month * 259_200 + 7;
        nodes.announceDrain(NODE, begin, begin + 1_000);
        vm.expectRevert(abi.encodeWithSelector(NodeBook.DrainBudget.selector, month, 440));
        nodes.announceDrain(NODE, begin + 999, begin + 1_441);
        nodes.announceDrain(NODE, begin + 999, begin + 1_440);
        vm.assertEq(nodes.drained(nodes.nodeKey(operator, NODE), month), 1_440);
        vm.expectRevert(abi.encodeWithSelector(NodeBook.DrainBudget.selector, month, 0));
        nodes.announceDrain(NODE, begin + 2_000, begin + 2_001);
        // Not even a drain that no block could hold costs more than the budget.
        uint256 before = gasleft();
        vm.expectPartialRevert(NodeBook.DrainBudget.selector);
        nodes.announceDrain(NODE, begin + 259_200, type(uint64).max);
        vm.assertLt(before - gasleft(), 1_000_000);
        // Next month has its own.
        nodes.announceDrain(NODE, begin + 259_200, begin + 259_201);
        // What was announced before costs nothing again.
        nodes.announceDrain(NODE, begin, begin + 1_000);
    }

    function testFuzz_slots_are_drained_exactly_as_announced(uint256 from, uint256 length, uint256 look) external {
        uint64 base = (slotNow() / 259_200 + 1) * 259_200;
        uint64 begin = base + uint64(bound(from, 0, 250_000));
        uint64 end = begin + uint64(bound(length, 1, 1_440));
        nodes.announceDrain(NODE, begin, end);
        bytes32 of_ = nodes.nodeKey(operator, NODE);
        uint256 month = base / 259_200;
        vm.assertEq(nodes.drained(of_, month) + nodes.drained(of_, month + 1), end - begin);
        uint64 slot = uint64(bound(look, begin - 300, end + 300));
        vm.assertEq(nodes.isExcused(operator, NODE, slot), slot >= begin && slot < end);
        uint256[] memory bits = bitsOf(slot - 20, 300);
        for (uint64 i = 0; i < 300; ++i) {
            uint64 at_ = slot - 20 + i;
            bool answers = (bits[i >> 8] >> (i & 255)) & 1 == 1;
            vm.assertEq(answers, !(at_ >= begin && at_ < end));
        }
    }
}
