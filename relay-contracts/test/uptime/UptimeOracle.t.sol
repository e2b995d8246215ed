// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {NodeBook} from "../../src/NodeBook.sol";
import {UptimeOracle} from "../../src/UptimeOracle.sol";
import {Receipts} from "../../src/uptime/Receipts.sol";
import {WatchersWords} from "../../src/uptime/WatchersWords.sol";
import {OracleWorld} from "./OracleWorld.sol";

/// What becomes of watchers' words.
contract UptimeOracleTest is OracleWorld {
    address anna;
    address bert;
    address carl;
    address receiptKey;
    uint256 receiptSecret;

    function setUp() external {
        build();
        anna = watch("anna", WATCHER_STAKE);
        bert = watch("bert", WATCHER_STAKE);
        carl = watch("carl", WATCHER_STAKE);
        (receiptKey, receiptSecret) = makeKey("receipt key");
        registry.attest(receiptKey, operator);
        vm.prank(operator);
        nodes.bindKey(NODE, receiptKey);
    }

    /// Two of three saw all of an epoch down; it is closed.
    function dead() internal {
        bytes[] memory each = new bytes[](3);
        (each[0], each[1], each[2]) = (outcomesOf(4), outcomesOf(2), outcomesOf(1));
        all(EPOCH, each);
        toClosed(EPOCH);
    }

    function refuses(bytes memory why, UptimeOracle.EpochRows[] memory shown) internal {
        vm.expectRevert(why);
        oracle.accuse(operator, NODE, window(), shown);
    }

    // From words to stake.

    function test_a_dead_node_pays_five_percent_and_the_accuser_gets_the_bounty() external {
        dead();
        UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
        bytes32 id = keccak256(abi.encode(operator, NODE, window(), shown));
        vm.expectEmit();
        emit UptimeOracle.Accused(operator, NODE, window(), id, 60, accuser);
        vm.assertEq(accuses(shown), id);
        vm.expectEmit();
        emit UptimeOracle.Settled(operator, NODE, window(), 60, BEHIND / 20);
        vm.assertEq(settles(shown), BEHIND / 20);
        vm.assertEq(staking.activeStake(operator), 2 * BEHIND - BEHIND / 20);
        vm.assertEq(staking.owed(accuser), BEHIND / 200);
        vm.assertEq(staking.owed(treasury), BEHIND / 20 - BEHIND / 200);
    }

    function test_a_window_is_paid_for_once() external {
        dead();
        uint64 next = EPOCH + 1;
        all(next, outcomesOf(2));
        toClosed(next);
        UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
        UptimeOracle.EpochRows[] memory others = evidence(next);
        accuses(shown);
        accuses(others);
        settles(shown);
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.SettledAlready.selector, window()));
        oracle.settle(operator, NODE, window(), others);
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.SettledAlready.selector, window()));
        oracle.settle(operator, NODE, window(), shown);
        refuses(abi.encodeWithSelector(UptimeOracle.SettledAlready.selector, window()), others);
    }

    function test_unbonding_when_the_node_goes_down_saves_nothing() external {
        vm.prank(operator);
        staking.unbond(2 * BEHIND);
        dead();
        UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
        accuses(shown);
        vm.assertEq(settles(shown), BEHIND / 20);
    }

    function test_the_most_that_stood_behind_the_node_in_the_window_pays() external {
        dead();
        vm.prank(operator);
        nodes.raiseNode(NODE, 500_000);
        UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
        accuses(shown);
        // What is put behind it after the window is for later ones.
        vm.warp(oracle.windowEnd(window()) / 1000 + 1);
        vm.prank(operator);
        nodes.raiseNode(NODE, 500_000);
        vm.assertEq(settles(shown), (BEHIND + 500_000) / 20);
    }

    function test_exactly_at_the_level_is_not_below_it() external {
        vm.assertFalse(oracle.isBelow(43));
        vm.assertTrue(oracle.isBelow(44));
        all(EPOCH, outcomesOf(2, 43));
        toClosed(EPOCH);
        refuses(abi.encodeWithSelector(UptimeOracle.NotBelowLevel.selector, 43), evidence(EPOCH));
    }

    function test_epochs_of_a_window_add_up() external {
        all(EPOCH, outcomesOf(2, 22));
        all(EPOCH + 1, outcomesOf(2, 22));
        toClosed(EPOCH + 1);
        UptimeOracle.EpochRows[] memory shown = new UptimeOracle.EpochRows[](2);
        shown[0] = rowsOf(EPOCH, 3);
        shown[1] = rowsOf(EPOCH + 1, 3);
        accuses(shown);
        vm.assertEq(settles(shown), BEHIND / 20);
        // The same epoch twice is no more evidence.
        shown[1] = shown[0];
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.SettledAlready.selector, window()));
        oracle.accuse(operator, NODE, window(), shown);
    }

    function test_an_epoch_counts_once_in_its_window_and_when_it_is_closed() external {
        all(EPOCH, outcomesOf(2, 30));
        UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
        bytes memory refused = abi.encodeWithSelector(UptimeOracle.EpochRefused.selector, EPOCH);
        vm.warp(oracle.closedFrom(EPOCH) / 1000 - 1);
        refuses(refused, shown);
        toClosed(EPOCH);
        UptimeOracle.EpochRows[] memory twice = new UptimeOracle.EpochRows[](2);
        (twice[0], twice[1]) = (shown[0], shown[0]);
        refuses(refused, twice);
        vm.expectRevert(refused);
        oracle.accuse(operator, NODE, window() + 1, shown);
    }

    function test_drained_slots_do_not_count() external {
        uint64 first = slotOf(EPOCH, 0);
        vm.prank(operator);
        nodes.announceDrain(NODE, first + 10, first + 27);
        dead();
        refuses(abi.encodeWithSelector(UptimeOracle.NotBelowLevel.selector, 43), evidence(EPOCH));
    }

    function test_slots_before_a_node_was_registered_do_not_count() external {
        bytes16 young = bytes16(uint128(2));
        toMs(uint256(slotOf(EPOCH, 17)) * 10_000);
        vm.prank(operator);
        nodes.registerNode(young, BEHIND);
        toCommit(EPOCH);
        for (uint256 i = 0; i < 3; ++i) {
            prepares(watchers[i], EPOCH, outcomesOf(2), young);
            bytes32 seal = sealFor(watchers[i], EPOCH);
            vm.prank(watchers[i]);
            oracle.commit(EPOCH, seal);
        }
        toReveal(EPOCH);
        for (uint256 i = 0; i < 3; ++i) {
            reveals(watchers[i], EPOCH);
        }
        toClosed(EPOCH);
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.NotBelowLevel.selector, 43));
        oracle.accuse(operator, young, window(), evidence(EPOCH));
        // Nor those of a node that another operator never registered.
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.NotBelowLevel.selector, 0));
        oracle.accuse(accuser, young, window(), evidence(EPOCH));
    }

    // Whose words.

    function test_one_liar_of_three_takes_nothing() external {
        bytes[] memory each = new bytes[](3);
        (each[0], each[1], each[2]) = (outcomesOf(2), outcomesOf(1), outcomesOf(1));
        all(EPOCH, each);
        toClosed(EPOCH);
        refuses(abi.encodeWithSelector(UptimeOracle.NotBelowLevel.selector, 0), evidence(EPOCH));
        // Not by showing only its own row either: who is not shown saw it up.
        refuses(abi.encodeWithSelector(UptimeOracle.NotBelowLevel.selector, 0), evidence(EPOCH, 1));
    }

    function test_half_against_half_takes_nothing() external {
        bytes[] memory each = new bytes[](3);
        // One did not look: of the two that did, one saw it down.
        (each[0], each[1], each[2]) = (outcomesOf(2), outcomesOf(1), outcomesOf(0));
        all(EPOCH, each);
        toClosed(EPOCH);
        refuses(abi.encodeWithSelector(UptimeOracle.NotBelowLevel.selector, 0), evidence(EPOCH));
    }

    function test_who_did_not_look_says_nothing_about_the_node() external {
        bytes[] memory each = new bytes[](3);
        (each[0], each[1], each[2]) = (outcomesOf(2), outcomesOf(0), outcomesOf(0));
        all(EPOCH, each);
        toClosed(EPOCH);
        accuses(evidence(EPOCH));
    }

    function test_an_epoch_that_too_few_revealed_counts_against_nobody() external {
        toCommit(EPOCH);
        for (uint256 i = 0; i < 3; ++i) {
            commits(watchers[i], EPOCH, outcomesOf(2));
        }
        toReveal(EPOCH);
        reveals(anna, EPOCH);
        toClosed(EPOCH);
        refuses(abi.encodeWithSelector(UptimeOracle.NoQuorum.selector, EPOCH), evidence(EPOCH, 1));
    }

    function test_a_lone_watcher_with_little_stake_condemns_nobody() external {
        watch("tiny", 4_999);
        address tiny = watchers[3];
        toCommit(EPOCH);
        commits(tiny, EPOCH, outcomesOf(2));
        toReveal(EPOCH);
        reveals(tiny, EPOCH);
        toClosed(EPOCH);
        UptimeOracle.EpochRows[] memory shown = new UptimeOracle.EpochRows[](1);
        shown[0].epoch = EPOCH;
        shown[0].rows = new UptimeOracle.Row[](1);
        shown[0].rows[0] = rowOf(tiny, EPOCH);
        refuses(abi.encodeWithSelector(UptimeOracle.NoQuorum.selector, EPOCH), shown);
    }

    function test_a_row_counts_once_and_only_if_it_was_revealed() external {
        dead();
        UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
        address second = shown[0].rows[1].watcher;
        bytes memory refused = abi.encodeWithSelector(UptimeOracle.RowRefused.selector, EPOCH, second);

        // The same watcher twice, and out of order.
        UptimeOracle.Row memory first = shown[0].rows[0];
        shown[0].rows[0] = shown[0].rows[1];
        refuses(refused, shown);
        shown = evidence(EPOCH);
        shown[0].rows[0] = shown[0].rows[2];
        refuses(refused, shown);

        // Changed after it was revealed.
        shown = evidence(EPOCH);
        shown[0].rows[1].outcomes[7] = 0x09;
        refuses(refused, shown);
        shown = evidence(EPOCH);
        shown[0].rows[1].evidenceRoot = "x";
        refuses(refused, shown);
        shown = evidence(EPOCH);
        shown[0].rows[1].root = "x";
        refuses(abi.encodeWithSelector(UptimeOracle.NotRevealed.selector, second), shown);
        shown = evidence(EPOCH);
        shown[0].rows[1].salt = "x";
        refuses(abi.encodeWithSelector(UptimeOracle.NotRevealed.selector, second), shown);
        shown = evidence(EPOCH);
        shown[0].rows[0].watcher = address(1);
        refuses(abi.encodeWithSelector(UptimeOracle.NotRevealed.selector, address(1)), shown);

        // A path that leads nowhere.
        shown = evidence(EPOCH);
        shown[0].rows[0].index = 2;
        refuses(abi.encodeWithSelector(WatchersWords.PathMalformed.selector), shown);
        shown = evidence(EPOCH);
        shown[0].rows[0].size = 65_537;
        refuses(abi.encodeWithSelector(WatchersWords.PathMalformed.selector), shown);
        shown = evidence(EPOCH);
        shown[0].rows[0].path = new bytes32[](0);
        refuses(abi.encodeWithSelector(WatchersWords.PathMalformed.selector), shown);
        shown = evidence(EPOCH);
        shown[0].rows[0].path = new bytes32[](2);
        refuses(abi.encodeWithSelector(WatchersWords.PathMalformed.selector), shown);
        vm.assertEq(first.watcher, evidence(EPOCH)[0].rows[0].watcher);
    }

    function test_what_are_no_scores_is_refused() external {
        bytes[] memory each = new bytes[](3);
        (each[0], each[1], each[2]) = (outcomesOf(2), outcomesOf(2), outcomesOf(11));
        all(EPOCH, each);
        bytes memory short = new bytes(SLOTS - 1);
        uint64 next = EPOCH + 1;
        (each[0], each[1], each[2]) = (outcomesOf(2), outcomesOf(2), short);
        all(next, each);
        toClosed(next);
        refuses(abi.encodeWithSelector(UptimeOracle.RowRefused.selector, EPOCH, carl), evidence(EPOCH));
        refuses(abi.encodeWithSelector(UptimeOracle.RowRefused.selector, next, carl), evidence(next));
        // Without it, it counts as up.
        accuses(evidence(EPOCH, 2));
    }

    // Accusations.

    function test_an_accusation_has_its_time() external {
        dead();
        UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
        toMs(oracle.accusableUntil(window()));
        refuses(abi.encodeWithSelector(UptimeOracle.TooLateToAccuse.selector, window()), shown);
        vm.warp(block.timestamp - 1);
        bytes32 id = accuses(shown);
        refuses(abi.encodeWithSelector(UptimeOracle.AccusedAlready.selector, id), shown);

        uint256 until = block.timestamp + 2 days;
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.StillDisputable.selector, until));
        oracle.settle(operator, NODE, window(), shown);
        vm.warp(until + 2 days);
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.NotAccused.selector, id));
        oracle.settle(operator, NODE, window(), shown);
    }

    function test_only_what_was_accused_is_settled() external {
        dead();
        UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
        accuses(shown);
        UptimeOracle.EpochRows[] memory fewer = evidence(EPOCH, 2);
        vm.warp(block.timestamp + 2 days);
        vm.expectPartialRevert(UptimeOracle.NotAccused.selector);
        oracle.settle(operator, NODE, window(), fewer);
    }

    /// An operator that accuses itself with a part of the evidence pays what all of it would cost.
    function test_a_weak_accusation_shields_from_no_stronger_one() external {
        all(EPOCH, outcomesOf(2, 44));
        all(EPOCH + 1, outcomesOf(2));
        toClosed(EPOCH + 1);
        UptimeOracle.EpochRows[] memory weak = evidence(EPOCH);
        vm.prank(operator);
        oracle.accuse(operator, NODE, window(), weak);
        UptimeOracle.EpochRows[] memory strong = evidence(EPOCH + 1);
        accuses(strong);
        vm.assertEq(settles(weak), oracle.penalty(BEHIND, 8_640));
    }

    function testFuzz_below_the_level_everybody_pays_the_cap(uint128 behind, uint256 missing) external view {
        missing = bound(missing, 0, 8_640);
        uint256 amount = oracle.penalty(behind, missing);
        vm.assertLe(amount, uint256(behind) / 20);
        if (oracle.isBelow(missing)) vm.assertEq(amount, uint256(behind) * 50_000 / 1_000_000);
    }

    // Disputes.

    function claim(address watcher, uint64 slot)
        internal
        view
        returns (UptimeOracle.Claim memory made, Receipts.Receipt memory answer)
    {
        made = claimOn(watcher, slot, receiptKey);
        answer = answerTo(nonceOf(watcher, slot, 0), receiptSecret, slot * 10_000 + 1_234, 200);
    }

    function test_the_answer_to_a_watchers_own_nonce_overturns_its_word_on_that_slot() external {
        dead();
        uint64 slot = slotOf(EPOCH, 5);
        (UptimeOracle.Claim memory made, Receipts.Receipt memory answer) = claim(anna, slot);
        vm.expectEmit();
        emit UptimeOracle.Overturned(anna, operator, NODE, slot);
        oracle.dispute(made, requestOf(), answer);
        vm.assertTrue(oracle.isOverturned(anna, operator, NODE, slot));
        vm.assertFalse(oracle.isOverturned(bert, operator, NODE, slot));
        vm.assertFalse(oracle.isOverturned(anna, operator, NODE, slot + 1));
    }

    function test_a_dispute_that_brings_a_node_to_the_level_clears_it() external {
        dead();
        UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
        bytes32 id = accuses(shown);
        for (uint64 i = 0; i < 17; ++i) {
            (UptimeOracle.Claim memory made, Receipts.Receipt memory answer) = claim(anna, slotOf(EPOCH, 3 * i));
            oracle.dispute(made, requestOf(), answer);
        }
        vm.expectEmit();
        emit UptimeOracle.Cleared(operator, NODE, window(), id, 43);
        vm.assertEq(settles(shown), 0);
        vm.assertEq(staking.activeStake(operator), 2 * BEHIND);
        vm.assertFalse(oracle.settled(nodes.nodeKey(operator, NODE), window()));
    }

    /// The node answered one watcher; two others saw it down, and theirs stand.
    function test_a_dispute_overturns_no_other_watchers_word() external {
        all(EPOCH, outcomesOf(2));
        toClosed(EPOCH);
        UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
        accuses(shown);
        for (uint64 i = 0; i < 60; ++i) {
            (UptimeOracle.Claim memory made, Receipts.Receipt memory answer) = claim(anna, slotOf(EPOCH, i));
            oracle.dispute(made, requestOf(), answer);
        }
        vm.assertEq(settles(shown), BEHIND / 20);
    }

    /// An enclave can show that it lived, by answering somebody else: that says nothing of the watcher it did not answer.
    function test_an_answer_to_anybody_elses_nonce_overturns_nothing() external {
        dead();
        uint64 slot = slotOf(EPOCH, 5);
        UptimeOracle.Claim memory made = claimOn(anna, slot, receiptKey);
        uint64 time = slot * 10_000;
        refusesAnswer(made, answerTo("somebody's nonce", receiptSecret, time, 200));
        refusesAnswer(made, answerTo(nonceOf(bert, slot, 0), receiptSecret, time, 200));
        refusesAnswer(made, answerTo(nonceOf(anna, slot + 1, 0), receiptSecret, time, 200));
        refusesAnswer(made, answerTo(nonceOf(anna, slot, 1), receiptSecret, time, 200));
        refusesAnswer(made, answerTo(nonceOf(anna, slot, 0), receiptSecret + 1, time, 200));
        Receipts.Receipt memory cut = answerTo(nonceOf(anna, slot, 0), receiptSecret, time, 200);
        cut.signature = "cut";
        refusesAnswer(made, cut);
        made.attempt = 1;
        oracle.dispute(made, requestOf(), answerTo(nonceOf(anna, slot, 1), receiptSecret, time, 200));
    }

    function refusesAnswer(UptimeOracle.Claim memory made, Receipts.Receipt memory answer) internal {
        vm.expectRevert(UptimeOracle.AnswerInvalid.selector);
        oracle.dispute(made, requestOf(), answer);
    }

    function test_a_dispute_names_what_was_revealed() external {
        dead();
        uint64 slot = slotOf(EPOCH, 5);
        (UptimeOracle.Claim memory made, Receipts.Receipt memory answer) = claim(anna, slot);
        bytes memory refused = abi.encodeWithSelector(UptimeOracle.NotRevealed.selector, anna);
        made.salt = "another";
        vm.expectRevert(refused);
        oracle.dispute(made, requestOf(), answer);
        (made, answer) = claim(anna, slot);
        made.slot = slot + 60;
        vm.expectRevert(refused);
        oracle.dispute(made, requestOf(), answer);
        (made, answer) = claim(anna, slot);
        made.attempt = 3;
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.NoSuchTry.selector, 3));
        oracle.dispute(made, requestOf(), answer);
    }

    function test_an_answer_that_failed_or_came_at_another_time_overturns_nothing() external {
        dead();
        uint64 slot = slotOf(EPOCH, 5);
        UptimeOracle.Claim memory made = claimOn(anna, slot, receiptKey);
        bytes32 nonce = nonceOf(anna, slot, 0);
        uint64 begin = slot * 10_000;
        Receipts.Receipt memory answer = answerTo(nonce, receiptSecret, begin - 10_001, 200);
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.OutsideSlot.selector, begin - 10_001));
        oracle.dispute(made, requestOf(), answer);
        answer = answerTo(nonce, receiptSecret, begin + 20_000, 200);
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.OutsideSlot.selector, begin + 20_000));
        oracle.dispute(made, requestOf(), answer);
        answer = answerTo(nonce, receiptSecret, begin, 503);
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.AnswerRefused.selector, 503));
        oracle.dispute(made, requestOf(), answer);
        oracle.dispute(made, requestOf(), answerTo(nonce, receiptSecret, begin - 10_000, 200));
        oracle.dispute(made, requestOf(), answerTo(nonce, receiptSecret, begin + 19_999, 200));
    }

    function test_another_nodes_enclave_cannot_answer_for_this_one() external {
        bytes16 other = bytes16(uint128(2));
        (address otherKey, uint256 otherSecret) = makeKey("another enclave");
        registry.attest(otherKey, operator);
        vm.startPrank(operator);
        nodes.registerNode(other, BEHIND);
        nodes.bindKey(other, otherKey);
        vm.stopPrank();
        dead();
        uint64 slot = slotOf(EPOCH, 5);
        UptimeOracle.Claim memory made = claimOn(anna, slot, otherKey);
        Receipts.Receipt memory answer = answerTo(nonceOf(anna, slot, 0), otherSecret, slot * 10_000, 200);
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.OtherEnclave.selector, otherKey));
        oracle.dispute(made, requestOf(), answer);
        // Nor one that is bound when it is too late.
        (address lateKey, uint256 lateSecret) = makeKey("late enclave");
        registry.attest(lateKey, operator);
        vm.prank(operator);
        nodes.bindKey(NODE, lateKey);
        made = claimOn(anna, slot, lateKey);
        answer = answerTo(nonceOf(anna, slot, 0), lateSecret, slot * 10_000, 200);
        vm.expectRevert(abi.encodeWithSelector(UptimeOracle.OtherEnclave.selector, lateKey));
        oracle.dispute(made, requestOf(), answer);
    }
}
