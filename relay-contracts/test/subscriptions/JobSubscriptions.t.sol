// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {JobSubscriptions} from "../../src/JobSubscriptions.sol";
import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";
import {FeeToken} from "../tokens/Tokens.sol";
import {SubscriptionsWorld} from "./SubscriptionsWorld.sol";

contract JobSubscriptionsTest is SubscriptionsWorld {
    // Beginning and paying.

    function test_a_plan_without_period_time_input_or_fee_is_refused() external {
        for (uint256 i = 0; i < 4; ++i) {
            JobSubscriptions.Plan memory plan = planIn(address(0));
            if (i == 0) plan.period = 0;
            if (i == 1) plan.answerWithin = 0;
            if (i == 2) plan.inputHash = 0;
            if (i == 3) plan.fee = 0;
            vm.expectRevert(JobSubscriptions.PlanUnsound.selector);
            subscriptions.subscribe(plan, 0);
        }
    }

    function test_a_start_that_is_past_means_now() external {
        vm.warp(START + 7);
        uint64 id = subscribes(planIn(address(0)), 0);
        vm.assertEq(subscriptions.planOf(id).start, START + 7);
        vm.assertEq(subscriptions.dueAt(id), START + 7);
    }

    function test_the_money_sent_is_the_money_credited() external {
        JobSubscriptions.Plan memory plan = planIn(address(0));
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.BadValue.selector, 10, 9));
        subscriptions.subscribe{value: 9}(plan, 10);
        plan = planIn(address(token));
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.BadValue.selector, 0, 9));
        subscriptions.subscribe{value: 9}(plan, 10);
        uint64 id = subscriptions.subscribe(plan, 10);
        subscriptions.topUp(id, 5);
        vm.expectRevert(JobSubscriptions.ZeroAmount.selector);
        subscriptions.topUp(id, 0);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NotActive.selector, id + 1));
        subscriptions.topUp(id + 1, 5);
        vm.stopPrank();
        vm.assertEq(balanceOf(id), 15);
        vm.assertEq(token.balanceOf(address(subscriptions)), 15);
    }

    function test_anybody_may_top_up() external {
        uint64 id = subscribes(planIn(address(0)), 0);
        vm.deal(stranger, 50);
        vm.prank(stranger);
        vm.expectEmit();
        emit JobSubscriptions.ToppedUp(id, stranger, 50);
        subscriptions.topUp{value: 50}(id, 50);
        vm.assertEq(balanceOf(id), 50);
    }

    function test_a_token_that_takes_a_fee_is_refused() external {
        FeeToken fee = new FeeToken();
        fee.mint(owner, 1_000);
        vm.startPrank(owner);
        fee.approve(address(subscriptions), 1_000);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.TransferTookFee.selector, 1_000, 990));
        subscriptions.subscribe(planIn(address(fee)), 1_000);
        vm.stopPrank();
    }

    function test_eth_comes_with_a_top_up_or_from_the_relay() external {
        vm.prank(owner);
        (bool taken,) = address(subscriptions).call{value: 1}("");
        vm.assertFalse(taken);
    }

    // Running.

    function test_every_run_is_a_job_of_its_own() external {
        uint64 id = subscribes(planIn(address(0)), 10 * (FEE + REWARD));
        toSlot(0);
        uint256 first = runs(id);
        toSlot(1);
        uint256 second = runs(id);
        vm.assertNotEq(first, second);
        IJobRelay.Request memory asked = relay.requestOf(second);
        vm.assertEq(asked.functionDigest, "function");
        vm.assertEq(asked.imageId, "image");
        vm.assertEq(asked.inputHash, "input");
        vm.assertEq(asked.callback, address(0xca11));
        vm.assertEq(asked.callbackGas, 50_000);
        vm.assertEq(asked.deadline, block.timestamp + 10 minutes);
        vm.assertEq(asked.fee, FEE);
        (uint64 of_, uint32 slot) = subscriptions.subscriptionOf(second);
        vm.assertEq(of_, id);
        vm.assertEq(slot, 1);
        (of_,) = subscriptions.subscriptionOf(123);
        vm.assertEq(of_, 0);
        vm.assertEq(balanceOf(id), 8 * (FEE + REWARD));
        vm.assertEq(subscriptions.accountOf(id).runs, 2);
        vm.assertEq(subscriptions.owed(address(0), keeper), 2 * REWARD);
        vm.assertEq(address(relay).balance, 2 * FEE);
    }

    function test_fees_in_tokens_reach_the_relay() external {
        uint64 id = subscribes(planIn(address(token)), 5 * (FEE + REWARD));
        toSlot(0);
        runs(id);
        toSlot(1);
        runs(id);
        vm.assertEq(token.balanceOf(address(relay)), 2 * FEE);
        vm.prank(keeper);
        subscriptions.claim(address(token), keeper);
        vm.assertEq(token.balanceOf(keeper), 2 * REWARD);
    }

    function test_a_slot_is_run_once_and_not_before_its_time() external {
        uint64 id = subscribes(planIn(address(0)), 10 * (FEE + REWARD));
        vm.warp(START - 1);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NotDue.selector, START));
        subscriptions.run(id);
        toSlot(0);
        runs(id);
        vm.warp(START + PERIOD - 1);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NotDue.selector, START + PERIOD));
        subscriptions.run(id);
        vm.assertEq(subscriptions.dueAt(id), START + PERIOD);
        toSlot(1);
        runs(id);
    }

    /// A keeper that comes late in its slot neither delays the next one nor gets two out of one.
    function test_slots_do_not_drift_however_late_the_keeper_is() external {
        uint64 id = subscribes(planIn(address(0)), 10 * (FEE + REWARD));
        vm.warp(START + PERIOD - 1);
        uint256 late = runs(id);
        toSlot(1);
        uint256 next = runs(id);
        (, uint32 slot) = subscriptions.subscriptionOf(late);
        vm.assertEq(slot, 0);
        (, slot) = subscriptions.subscriptionOf(next);
        vm.assertEq(slot, 1);
        vm.assertEq(subscriptions.dueAt(id), START + 2 * PERIOD);
    }

    function test_slots_that_nobody_ran_are_neither_paid_for_nor_made_up() external {
        uint64 id = subscribes(planIn(address(0)), 10 * (FEE + REWARD));
        toSlot(0);
        runs(id);
        toSlot(5);
        vm.assertEq(subscriptions.dueAt(id), START + 5 * PERIOD);
        uint256 jobId = runs(id);
        (, uint32 slot) = subscriptions.subscriptionOf(jobId);
        vm.assertEq(slot, 5);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NotDue.selector, START + 6 * PERIOD));
        subscriptions.run(id);
        vm.assertEq(balanceOf(id), 8 * (FEE + REWARD));
    }

    function test_a_plan_ends_after_its_slots() external {
        JobSubscriptions.Plan memory plan = planIn(address(0));
        plan.slots = 2;
        uint64 id = subscribes(plan, 10 * (FEE + REWARD));
        toSlot(1);
        runs(id);
        vm.assertEq(subscriptions.dueAt(id), type(uint256).max);
        toSlot(2);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NotDue.selector, type(uint256).max));
        subscriptions.run(id);
        id = subscribes(plan, 10 * (FEE + REWARD));
        vm.warp(block.timestamp + 3 * PERIOD);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NotDue.selector, type(uint256).max));
        subscriptions.run(id);
    }

    function test_a_run_that_is_not_covered_is_not_begun() external {
        uint64 id = subscribes(planIn(address(0)), FEE + REWARD - 1);
        toSlot(0);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.TooLittleLeft.selector, FEE + REWARD, FEE + REWARD - 1));
        subscriptions.run(id);
        vm.assertEq(relay.made(), 0);
    }

    function test_nothing_runs_for_nobody() external {
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NotActive.selector, 9));
        subscriptions.run(9);
        vm.assertEq(subscriptions.dueAt(9), 0);
    }
}
