// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {JobSubscriptions} from "../../src/JobSubscriptions.sol";
import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";
import {FeeToken, HookToken, IHooked, PlainToken} from "../tokens/Tokens.sol";
import {Test} from "../base/Test.sol";
import {FakeRelay} from "./FakeRelay.sol";

contract JobSubscriptionsTest is Test {
    uint96 constant FEE = 1_000;
    uint96 constant REWARD = 100;
    uint32 constant PERIOD = 1 hours;
    uint40 constant START = 1_800_000_000;

    FakeRelay relay = new FakeRelay();
    JobSubscriptions subscriptions = new JobSubscriptions(relay);
    PlainToken token = new PlainToken();
    address owner = makeAddress("owner");
    address keeper = makeAddress("keeper");
    address stranger = makeAddress("stranger");

    function setUp() external {
        vm.warp(START - 1 days);
        vm.deal(owner, 1 ether);
        token.mint(owner, 1_000_000);
        vm.prank(owner);
        token.approve(address(subscriptions), type(uint256).max);
    }

    function planIn(address in_) internal pure returns (JobSubscriptions.Plan memory) {
        return JobSubscriptions.Plan({
            functionDigest: "function",
            imageId: "image",
            inputHash: "input",
            callback: address(0xca11),
            callbackGas: 50_000,
            answerWithin: 10 minutes,
            token: in_,
            fee: FEE,
            reward: REWARD,
            start: START,
            period: PERIOD,
            slots: 0
        });
    }

    function subscribes(JobSubscriptions.Plan memory plan, uint128 deposit) internal returns (uint64) {
        vm.prank(owner);
        return subscriptions.subscribe{value: plan.token == address(0) ? deposit : 0}(plan, deposit);
    }

    function runs(uint64 id) internal returns (uint256) {
        vm.prank(keeper);
        return subscriptions.run(id);
    }

    function balanceOf(uint64 id) internal view returns (uint256) {
        return subscriptions.accountOf(id).balance;
    }

    function toSlot(uint256 slot) internal {
        vm.warp(START + slot * PERIOD);
    }

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
        vm.expectRevert(JobSubscriptions.ZeroAmount.selector);
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

    // Who does harm.

    function test_who_refuses_its_money_keeps_nobody_from_theirs() external {
        Refuser refuser = new Refuser(subscriptions);
        uint64 id = subscribes(planIn(address(0)), 2 * (FEE + REWARD));
        toSlot(0);
        refuser.run(id);
        vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.Refused.selector, address(refuser)));
        refuser.claim(address(refuser));
        toSlot(1);
        runs(id);
        vm.prank(keeper);
        vm.assertEq(subscriptions.claim(address(0), keeper), REWARD);
        // It is still owed, to somewhere else.
        refuser.claim(stranger);
        vm.assertEq(stranger.balance, REWARD);
    }

    function test_a_claimer_that_calls_back_is_paid_once() external {
        Greedy greedy = new Greedy(subscriptions);
        uint64 id = subscribes(planIn(address(0)), 2 * (FEE + REWARD));
        toSlot(0);
        greedy.run(id);
        greedy.claim();
        vm.assertEq(address(greedy).balance, REWARD);
        vm.assertTrue(greedy.refused());
    }

    function test_a_tokens_hook_cannot_run_a_slot_twice() external {
        HookToken hooks = new HookToken();
        hooks.mint(owner, 1_000_000);
        vm.prank(owner);
        hooks.approve(address(subscriptions), type(uint256).max);
        uint64 id = subscribes(planIn(address(hooks)), 5 * (FEE + REWARD));
        HookedKeeper hooked = new HookedKeeper(subscriptions, id);
        toSlot(0);
        runs(id);
        hooks.hook(address(hooked));
        toSlot(1);
        hooked.run();
        hooked.claim(address(hooks));
        vm.assertTrue(hooked.refused());
        vm.assertEq(hooks.balanceOf(address(hooked)), REWARD);
        vm.assertEq(subscriptions.accountOf(id).runs, 2);
    }
}

/// Takes no ETH.
contract Refuser {
    JobSubscriptions subscriptions;

    constructor(JobSubscriptions subscriptions_) {
        subscriptions = subscriptions_;
    }

    function run(uint64 id) external {
        subscriptions.run(id);
    }

    function claim(address to) external {
        subscriptions.claim(address(0), to);
    }

    receive() external payable {
        revert("no");
    }
}

/// Claims again while it is being paid.
contract Greedy {
    JobSubscriptions subscriptions;
    bool public refused;

    constructor(JobSubscriptions subscriptions_) {
        subscriptions = subscriptions_;
    }

    function run(uint64 id) external {
        subscriptions.run(id);
    }

    function claim() external {
        subscriptions.claim(address(0), address(this));
    }

    receive() external payable {
        try subscriptions.claim(address(0), address(this)) {}
        catch (bytes memory why) {
            bytes memory guard = abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            refused = keccak256(why) == keccak256(guard);
        }
    }
}

/// Runs again from within a token's transfer to it.
contract HookedKeeper is IHooked {
    JobSubscriptions subscriptions;
    uint64 id;
    bool public refused;

    constructor(JobSubscriptions subscriptions_, uint64 id_) {
        subscriptions = subscriptions_;
        id = id_;
    }

    function run() external {
        subscriptions.run(id);
    }

    function claim(address token) external {
        subscriptions.claim(token, address(this));
    }

    function onTokens() external {
        try subscriptions.run(id) {}
        catch (bytes memory why) {
            bytes memory guard = abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            refused = keccak256(why) == keccak256(guard);
        }
    }
}
