// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {JobSubscriptions} from "../../src/JobSubscriptions.sol";
import {Vault} from "../../src/relay/Vault.sol";
import {SubscriptionsWorld} from "./SubscriptionsWorld.sol";

contract SubscriptionOwnerTest is SubscriptionsWorld {
    // The owner's rights.

    function test_a_paused_subscription_does_not_run_and_makes_up_for_nothing() external {
        uint64 id = subscribes(planIn(address(0)), 10 * (FEE + REWARD));
        toSlot(0);
        vm.prank(owner);
        subscriptions.setPaused(id, true);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.IsPaused.selector, id));
        subscriptions.run(id);
        toSlot(4);
        vm.prank(owner);
        vm.expectEmit();
        emit JobSubscriptions.Paused(id, false);
        subscriptions.setPaused(id, false);
        runs(id);
        vm.assertEq(balanceOf(id), 9 * (FEE + REWARD));
        vm.expectPartialRevert(JobSubscriptions.NotDue.selector);
        subscriptions.run(id);
    }

    function test_the_owner_takes_back_what_is_left() external {
        uint64 id = subscribes(planIn(address(0)), 1_000);
        vm.startPrank(owner);
        vm.expectRevert(JobSubscriptions.ZeroAmount.selector);
        subscriptions.withdraw(id, 0);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.TooLittleLeft.selector, 1_001, 1_000));
        subscriptions.withdraw(id, 1_001);
        subscriptions.withdraw(id, 400);
        uint256 before = owner.balance;
        vm.assertEq(subscriptions.claim(address(0), owner), 400);
        vm.assertEq(owner.balance, before + 400);
        vm.expectRevert(Vault.NothingOwed.selector);
        subscriptions.claim(address(0), owner);
        vm.assertEq(balanceOf(id), 600);
    }

    function test_only_the_owner_has_rights_over_a_subscription() external {
        uint64 id = subscribes(planIn(address(0)), 1_000);
        bytes memory refused = abi.encodeWithSelector(JobSubscriptions.NotOwner.selector, id);
        vm.startPrank(stranger);
        vm.expectRevert(refused);
        subscriptions.withdraw(id, 1);
        vm.expectRevert(refused);
        subscriptions.terminate(id);
        vm.expectRevert(refused);
        subscriptions.setPaused(id, true);
    }

    function test_terminated_is_for_good_and_jobs_under_way_still_refund_the_owner() external {
        uint64 id = subscribes(planIn(address(0)), 3 * (FEE + REWARD));
        toSlot(0);
        uint256 jobId = runs(id);
        vm.startPrank(owner);
        subscriptions.terminate(id);
        bytes memory over = abi.encodeWithSelector(JobSubscriptions.NotActive.selector, id);
        vm.expectRevert(over);
        subscriptions.terminate(id);
        vm.expectRevert(over);
        subscriptions.topUp{value: 1}(id, 1);
        vm.expectRevert(over);
        subscriptions.run(id);
        vm.stopPrank();
        vm.assertEq(subscriptions.owed(address(0), owner), 2 * (FEE + REWARD));
        relay.cancelJob(jobId);
        subscriptions.refund(jobId);
        vm.assertEq(subscriptions.owed(address(0), owner), 2 * (FEE + REWARD) + FEE);
        vm.assertEq(balanceOf(id), 0);
    }
}
