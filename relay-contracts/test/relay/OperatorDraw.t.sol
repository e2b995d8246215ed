// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";
import {OperatorDraw, SEATS} from "../../src/relay/OperatorDraw.sol";
import {Roll} from "../../src/relay/Roll.sol";
import {Relays} from "../base/Relays.sol";

contract OperatorDrawTest is Relays {
    function setUp() external {
        deployRelay();
        passServeDelay();
    }

    // Terms.

    function test_the_first_committee_is_the_three_heaviest() external {
        startTerm();
        (,, address[SEATS] memory seats,,,) = relay.termOf(1);
        vm.assertEq(seats[0], operators[3]);
        vm.assertEq(seats[1], operators[2]);
        vm.assertEq(seats[2], operators[1]);
    }

    function test_a_term_lasts() external {
        startTerm();
        vm.warp(block.timestamp + TERM - 1);
        vm.expectRevert(abi.encodeWithSelector(OperatorDraw.TermRuns.selector, block.timestamp + 1));
        relay.startTerm();
        vm.warp(block.timestamp + 1);
        vm.assertEq(relay.startTerm(), 2);
    }

    function test_the_next_committee_is_drawn_by_a_seed_that_was_unknown_when_the_roll_was_frozen() external {
        startTerm();
        askAndDraw(plain());
        vm.warp(block.timestamp + TERM);
        (address roll,,,,,) = relay.termOf(1);
        bytes32 seed = keccak256(abi.encode(relay.batchOf(1).mixed, uint40(1)));
        startTerm();
        (,, address[SEATS] memory seats,,,) = relay.termOf(2);
        uint256 filled = 0;
        for (uint256 i = 0; i < SEATS; ++i) {
            address drawn = Roll.draw(roll, keccak256(abi.encode(seed, i)));
            // Who is drawn again has used its chain up by then: its second seat stays empty.
            if (filled == 0 || (drawn != seats[0] && (filled == 1 || drawn != seats[1]))) {
                vm.assertEq(seats[filled++], drawn);
            }
        }
        vm.assertGt(filled, 0);
    }

    function test_without_a_new_chain_a_seated_operator_is_off_the_next_roll() external {
        relay.startTerm();
        vm.warp(block.timestamp + TERM);
        relay.startTerm();
        (address roll,, address[SEATS] memory seats,,,) = relay.termOf(2);
        vm.assertEq(Roll.length(roll), 1);
        vm.assertEq(seats[0], operators[0]);
        vm.assertEq(seats[1], address(0));
    }

    function test_no_operators_no_draw_and_no_hang() external {
        for (uint256 i = 0; i < OPERATORS; ++i) {
            vm.prank(operators[i]);
            relay.delist();
        }
        relay.startTerm();
        IJobRelay.Job memory job = ask(plain(), "input");
        answer(job, 0, "x");
        vm.assertTrue(stateOf(job) == IJobRelay.State.Answered);
        (address nobody, uint256 until) = relay.assignedTo(relay.jobIdOf(job));
        vm.assertEq(nobody, address(0));
        vm.assertEq(until, 0);
    }

    function test_before_the_first_term_jobs_are_anybodys() external {
        IJobRelay.Job memory job = ask(plain(), "input");
        answer(job, 0, "x");
        vm.assertTrue(stateOf(job) == IJobRelay.State.Answered);
    }

    function test_nothing_is_drawn_from_a_roll_older_than_two_terms() external {
        startTerm();
        vm.warp(block.timestamp + 2 * TERM + 1);
        IJobRelay.Job memory job = ask(plain(), "input");
        uint40 batch = relay.recordOf(relay.jobIdOf(job)).batch;
        vm.assertTrue(relay.batchOf(batch).state == OperatorDraw.BatchState.Undrawable);
    }

    function test_stake_that_changes_after_the_freeze_changes_no_draw() external {
        startTerm();
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        uint256 stake = staking.stakeOf(operators[who]);
        vm.prank(operators[who]);
        staking.unbond(stake);
        staking.stake(operators[(who + 1) % OPERATORS], 500_000e18);
        (address operator,) = relay.assignedTo(relay.jobIdOf(job));
        vm.assertEq(operator, operators[who]);
    }

    // The list.

    function test_the_roll_needs_stake_and_a_chain() external {
        address small = makeAddress("small");
        staking.stake(small, MIN_STAKE - 1);
        vm.prank(small);
        vm.expectRevert(abi.encodeWithSelector(OperatorDraw.StakeTooSmall.selector, MIN_STAKE - 1, MIN_STAKE));
        relay.enlist(keccak256("tip"), address(0));
        vm.prank(operators[0]);
        vm.expectRevert(OperatorDraw.NoChain.selector);
        relay.enlist(0, address(0));
    }

    function test_who_lost_its_stake_is_off_the_next_roll() external {
        vm.prank(operators[3]);
        staking.unbond(3 * MIN_STAKE + 1);
        startTerm();
        (address roll,, address[SEATS] memory seats,,,) = relay.termOf(1);
        vm.assertEq(Roll.length(roll), 3);
        vm.assertEq(seats[0], operators[2]);
    }

    function test_leaving_the_list_keeps_the_others() external {
        vm.prank(operators[1]);
        relay.delist();
        (address[] memory listed, bytes32[] memory tips) = relay.listed();
        vm.assertEq(listed.length, OPERATORS - 1);
        for (uint256 i = 0; i < listed.length; ++i) {
            vm.assertNotEq(listed[i], operators[1]);
            vm.assertNotEq(tips[i], 0);
        }
        vm.prank(operators[1]);
        vm.expectRevert(abi.encodeWithSelector(OperatorDraw.NotListed.selector, operators[1]));
        relay.delist();
        enlist(operators[1]);
        (listed,) = relay.listed();
        vm.assertEq(listed.length, OPERATORS);
    }

    function test_a_full_list_yields_to_more_stake() external {
        for (uint256 i = OPERATORS; i < relay.MAX_OPERATORS(); ++i) {
            address one = address(uint160(0x10000 + i));
            staking.stake(one, MIN_STAKE);
            vm.prank(one);
            relay.enlist(keccak256("tip"), address(0));
        }
        address late = makeAddress("late");
        staking.stake(late, MIN_STAKE);
        vm.startPrank(late);
        vm.expectRevert(abi.encodeWithSelector(OperatorDraw.ListFull.selector, operators[0]));
        relay.enlist(keccak256("tip"), operators[0]);
        vm.expectRevert(abi.encodeWithSelector(OperatorDraw.ListFull.selector, late));
        relay.enlist(keccak256("tip"), late);
        vm.stopPrank();
        staking.stake(late, 1);
        vm.prank(late);
        relay.enlist(keccak256("tip"), operators[0]);
        (address[] memory listed,) = relay.listed();
        vm.assertEq(listed.length, relay.MAX_OPERATORS());
        uint256 gasBefore = gasleft();
        relay.startTerm();
        // One transaction has 16,777,216 (EIP-7825).
        vm.assertLt(gasBefore - gasleft(), 8_000_000);
        (address roll,,,,,) = relay.termOf(1);
        vm.assertEq(Roll.length(roll), relay.MAX_OPERATORS());
    }

    // Links.

    function test_a_batch_is_drawn_when_all_links_are_there() external {
        startTerm();
        IJobRelay.Job memory job = ask(plain(), "input");
        uint40 batch = relay.recordOf(relay.jobIdOf(job)).batch;
        nextBlock();
        reveal(batch, 2);
        reveal(batch, 0);
        vm.assertTrue(relay.batchOf(batch).state == OperatorDraw.BatchState.Waiting);
        reveal(batch, 1);
        vm.assertTrue(relay.batchOf(batch).state == OperatorDraw.BatchState.Drawn);
    }

    function test_the_jobs_of_a_block_are_a_batch() external {
        startTerm();
        uint40 first = relay.recordOf(relay.jobIdOf(ask(plain(), "a"))).batch;
        vm.assertEq(relay.recordOf(relay.jobIdOf(ask(plain(), "b"))).batch, first);
        nextBlock();
        vm.assertEq(relay.recordOf(relay.jobIdOf(ask(plain(), "c"))).batch, first + 1);
    }

    function test_one_link_covers_the_batches_before_it() external {
        startTerm();
        uint40 first = relay.recordOf(relay.jobIdOf(ask(plain(), "a"))).batch;
        nextBlock();
        ask(plain(), "b");
        nextBlock();
        ask(plain(), "c");
        drawBatch(first + 2);
        for (uint40 batch = first; batch < first + 3; ++batch) {
            vm.assertTrue(relay.batchOf(batch).state == OperatorDraw.BatchState.Drawn);
        }
    }

    function test_a_wrong_link_is_refused() external {
        startTerm();
        uint40 batch = relay.recordOf(relay.jobIdOf(ask(plain(), "a"))).batch;
        nextBlock();
        bytes32 other = linkOf(seatSeed[1][0], 2);
        vm.expectRevert(OperatorDraw.WrongLink.selector);
        relay.reveal(1, 0, batch, other);
    }

    function test_a_link_is_revealed_once_for_a_batch_of_its_term() external {
        startTerm();
        uint40 batch = relay.recordOf(relay.jobIdOf(ask(plain(), "a"))).batch;
        bytes32 link = linkFor(batch, 0);
        nextBlock();
        relay.reveal(1, 0, batch, link);
        vm.expectRevert(abi.encodeWithSelector(OperatorDraw.NothingToReveal.selector, 1, 0, batch));
        relay.reveal(1, 0, batch, link);
        vm.expectPartialRevert(OperatorDraw.NothingToReveal.selector);
        relay.reveal(1, 3, batch, link);
        vm.expectPartialRevert(OperatorDraw.NothingToReveal.selector);
        relay.reveal(2, 0, batch, link);
        vm.expectPartialRevert(OperatorDraw.NothingToReveal.selector);
        relay.reveal(1, 0, batch + 1, link);
    }

    function test_a_member_that_lags_far_behind_catches_up_in_steps() external {
        startTerm();
        for (uint256 i = 0; i <= relay.MAX_LINKS(); ++i) {
            vm.roll(block.number + 1);
            ask(plain(), "a");
        }
        uint40 last = relay.drawState().batch;
        vm.roll(block.number + 1);
        bytes32 link = linkFor(last, 0);
        vm.expectRevert(OperatorDraw.TooManyLinks.selector);
        relay.reveal(1, 0, last, link);
        reveal(last - 1, 0);
        reveal(last, 0);
    }

    // Withholding.

    function test_a_withheld_link_opens_the_jobs_and_costs_stake_and_seat() external {
        startTerm();
        IJobRelay.Job memory job = ask(plain(), "input");
        uint40 batch = relay.recordOf(relay.jobIdOf(job)).batch;
        nextBlock();
        reveal(batch, 0);
        reveal(batch, 1);
        vm.expectRevert(abi.encodeWithSelector(OperatorDraw.NothingWithheld.selector, batch));
        relay.reportWithheld(batch);
        vm.warp(block.timestamp + REVEAL);
        uint256 stake = staking.stakeOf(operators[1]);
        vm.prank(user);
        relay.reportWithheld(batch);
        vm.assertEq(staking.stakeOf(operators[1]), stake - WITHHELD);
        vm.assertEq(staking.owed(user), WITHHELD / 10);
        vm.assertEq(relay.drawState().seated, 3);
        vm.expectRevert(abi.encodeWithSelector(OperatorDraw.NothingWithheld.selector, batch));
        relay.reportWithheld(batch);
        // Too late to steer anything: the draw stays undone.
        reveal(batch, 2);
        vm.assertTrue(relay.batchOf(batch).state == OperatorDraw.BatchState.Waiting);
        answer(job, 0, "x");
        // The two that are left draw the next batch.
        IJobRelay.Job memory next = ask(plain(), "input");
        uint40 after_ = relay.recordOf(relay.jobIdOf(next)).batch;
        nextBlock();
        reveal(after_, 0);
        reveal(after_, 1);
        vm.assertTrue(relay.batchOf(after_).state == OperatorDraw.BatchState.Drawn);
    }

    function test_a_member_is_slashed_once_a_term_however_many_links_it_kept() external {
        startTerm();
        ask(plain(), "a");
        nextBlock();
        ask(plain(), "b");
        vm.warp(block.timestamp + REVEAL + 1);
        uint256 stake = staking.stakeOf(operators[3]);
        relay.reportWithheld(1);
        vm.expectRevert(abi.encodeWithSelector(OperatorDraw.NothingWithheld.selector, 2));
        relay.reportWithheld(2);
        vm.assertEq(staking.stakeOf(operators[3]), stake - WITHHELD);
        // Nobody is left: a new term may start at once.
        vm.assertEq(relay.drawState().seated, 0);
        startTerm();
        vm.assertEq(relay.drawState().term, 2);
        vm.assertNotEq(relay.drawState().seated, 0);
    }

    function test_withholding_in_the_last_term_unseats_nobody_in_this_one() external {
        startTerm();
        vm.warp(block.timestamp + TERM);
        ask(plain(), "a");
        nextBlock();
        startTerm();
        uint8 seated = relay.drawState().seated;
        vm.warp(block.timestamp + REVEAL);
        relay.reportWithheld(1);
        vm.assertEq(relay.drawState().seated, seated);
    }

    function test_links_of_the_last_term_still_count_in_their_time() external {
        startTerm();
        vm.warp(block.timestamp + TERM);
        IJobRelay.Job memory job = ask(plain(), "a");
        nextBlock();
        startTerm();
        for (uint8 seat = 0; seat < SEATS; ++seat) {
            reveal(1, seat);
        }
        (address operator,) = relay.assignedTo(relay.jobIdOf(job));
        vm.assertNotEq(operator, address(0));
    }

    // Fairness.

    /// Each operator's share of 2,000 draws is its share of the stake, within 3 percentage points.
    function test_draws_follow_the_stake() external {
        startTerm();
        (address roll,,,,,) = relay.termOf(1);
        uint256[OPERATORS] memory hits;
        for (uint256 i = 0; i < 2000; ++i) {
            ++hits[indexOf(Roll.draw(roll, keccak256(abi.encode(i))))];
        }
        for (uint256 i = 0; i < OPERATORS; ++i) {
            vm.assertApproxEqAbs(hits[i], 200 * (i + 1), 60);
        }
    }

    function testFuzz_every_ticket_finds_the_operator_whose_share_it_is(uint256 seed, uint64[8] memory raw) external {
        address[] memory who = new address[](8);
        uint64[] memory weights = new uint64[](8);
        uint256 sum = 0;
        for (uint256 i = 0; i < 8; ++i) {
            who[i] = address(uint160(i + 1));
            weights[i] = uint64(bound(raw[i], 1, type(uint64).max));
            sum += weights[i];
        }
        address drawn = Roll.draw(Roll.write(who, weights, 8), bytes32(seed));
        uint256 ticket = seed % sum;
        uint256 expected = 0;
        while (ticket >= weights[expected]) ticket -= weights[expected++];
        vm.assertEq(drawn, who[expected]);
    }

    function test_an_empty_roll_draws_nobody() external view {
        vm.assertEq(Roll.draw(address(0), keccak256("seed")), address(0));
    }
}
