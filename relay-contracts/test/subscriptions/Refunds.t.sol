// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {JobSubscriptions} from "../../src/JobSubscriptions.sol";
import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";
import {SubscriptionsWorld} from "./SubscriptionsWorld.sol";

contract SubscriptionRefundsTest is SubscriptionsWorld {
    // Accounts go by jobs.

    /// The first run's job is cancelled long after others ran and were answered: its fee, and no other, comes back.
    function test_a_refund_is_of_the_run_that_was_cancelled_whatever_ran_since() external {
        uint64 id = subscribes(planIn(address(0)), 10 * (FEE + REWARD));
        toSlot(0);
        uint256 first = runs(id);
        toSlot(1);
        uint256 second = runs(id);
        relay.answer(second, stranger);
        toSlot(7);
        uint256 third = runs(id);
        relay.cancelJob(first);

        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NotCancelled.selector, second));
        subscriptions.refund(second);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NotCancelled.selector, third));
        subscriptions.refund(third);
        vm.expectEmit();
        emit JobSubscriptions.Refunded(id, 0, first, FEE);
        subscriptions.refund(first);
        vm.assertEq(balanceOf(id), 10 * (FEE + REWARD) - 3 * (FEE + REWARD) + FEE);
        vm.assertEq(subscriptions.accountOf(id).refunded, 1);
        vm.assertTrue(subscriptions.runOf(first).refunded);
        // The slot that it is now is as it was.
        vm.assertEq(subscriptions.dueAt(id), START + 8 * PERIOD);

        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NothingToRefund.selector, first));
        subscriptions.refund(first);
    }

    /// An answer that comes slots later is the answer of its own run: no slot since is charged, skipped or paid for by it.
    function test_a_late_answer_is_charged_to_its_own_slot() external {
        uint64 id = subscribes(planIn(address(0)), 10 * (FEE + REWARD));
        toSlot(0);
        uint256 first = runs(id);
        toSlot(3);
        relay.answer(first, stranger);
        vm.assertEq(balanceOf(id), 9 * (FEE + REWARD));
        vm.assertEq(subscriptions.dueAt(id), START + 3 * PERIOD);
        uint256 now_ = runs(id);
        (, uint32 slot) = subscriptions.subscriptionOf(now_);
        vm.assertEq(slot, 3);
        vm.assertEq(balanceOf(id), 8 * (FEE + REWARD));
    }

    function test_one_subscriptions_refund_is_never_anothers() external {
        uint64 one = subscribes(planIn(address(0)), FEE + REWARD);
        JobSubscriptions.Plan memory dear = planIn(address(0));
        dear.fee = 5 * FEE;
        uint64 two = subscribes(dear, 5 * FEE + REWARD);
        toSlot(0);
        uint256 cheapJob = runs(one);
        uint256 dearJob = runs(two);
        relay.cancelJob(dearJob);
        relay.cancelJob(cheapJob);
        // The relay pays both out at the first refund.
        subscriptions.refund(cheapJob);
        vm.assertEq(subscriptions.unassigned(address(0)), 5 * FEE);
        vm.assertEq(balanceOf(one), FEE);
        vm.assertEq(balanceOf(two), 0);
        subscriptions.refund(dearJob);
        vm.assertEq(balanceOf(two), 5 * FEE);
        vm.assertEq(subscriptions.unassigned(address(0)), 0);
    }

    function test_a_job_of_somebody_else_refunds_nothing() external {
        vm.deal(stranger, FEE);
        vm.startPrank(stranger);
        uint256 jobId =
            relay.request{value: FEE}(IJobRelay.Request("f", 0, "i", address(0), 0, START, address(0), FEE), "");
        relay.cancelJob(jobId);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NothingToRefund.selector, jobId));
        subscriptions.refund(jobId);
    }

    function test_no_refund_is_credited_that_the_relay_did_not_pay_out() external {
        uint64 id = subscribes(planIn(address(token)), FEE + REWARD);
        toSlot(0);
        uint256 jobId = runs(id);
        relay.cancelJob(jobId);
        relay.jam(true);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NotCancelled.selector, jobId));
        subscriptions.refund(jobId);
        relay.jam(false);
        subscriptions.refund(jobId);
        vm.assertEq(balanceOf(id), FEE);
    }
}
