// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {JobSubscriptions} from "../../src/JobSubscriptions.sol";
import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";
import {PlainToken} from "../tokens/Tokens.sol";
import {Test} from "../base/Test.sol";
import {FakeRelay} from "./FakeRelay.sol";

/// Subscriptions in ETH and in a token begin, run, are answered, cancelled, refunded, paused and ended in any order.
contract SubscriptionsHandler is Test {
    FakeRelay public relay = new FakeRelay();
    JobSubscriptions public subscriptions = new JobSubscriptions(relay);
    PlainToken public token = new PlainToken();
    address[3] people = [makeAddress("one"), makeAddress("two"), makeAddress("three")];
    uint256[] jobs;

    /// Runs of one slot of one subscription.
    mapping(uint64 id => mapping(uint32 slot => uint256)) slotRuns;
    uint256 public ranTwice;
    mapping(uint256 jobId => uint256) refunds;
    uint256 public refundedTwice;
    /// What came in, was spent at the relay, came back and went out, for each token.
    mapping(address token => uint256) public paidIn;
    mapping(address token => uint256) public fees;
    mapping(address token => uint256) public back;
    mapping(address token => uint256) public paidOut;

    constructor() {
        vm.warp(1_800_000_000);
    }

    function subscribe(uint256 who, bool eth, uint96 fee, uint96 reward, uint256 period, uint256 deposit) external {
        address owner = people[who % 3];
        JobSubscriptions.Plan memory plan;
        plan.inputHash = "input";
        plan.answerWithin = 600;
        plan.token = eth ? address(0) : address(token);
        plan.fee = uint96(bound(fee, 1, 1e18));
        plan.reward = uint96(bound(reward, 0, 1e18));
        plan.period = uint32(bound(period, 60, 1 days));
        plan.start = uint40(block.timestamp);
        plan.slots = uint32(period % 5 == 0 ? 3 : 0);
        uint128 amount = uint128(bound(deposit, 0, 2e19));
        _fund(owner, plan.token, amount);
        vm.prank(owner);
        subscriptions.subscribe{value: eth ? amount : 0}(plan, amount);
        paidIn[plan.token] += amount;
    }

    function topUp(uint256 which, uint256 amount) external {
        uint64 id = _pick(which);
        if (id == 0 || subscriptions.accountOf(id).terminated) return;
        address in_ = subscriptions.planOf(id).token;
        uint128 more = uint128(bound(amount, 1, 2e19));
        _fund(people[0], in_, more);
        vm.prank(people[0]);
        subscriptions.topUp{value: in_ == address(0) ? more : 0}(id, more);
        paidIn[in_] += more;
    }

    function run(uint256 which, uint256 who) external {
        uint64 id = _pick(which);
        if (id == 0) return;
        vm.prank(people[who % 3]);
        try subscriptions.run(id) returns (uint256 jobId) {
            (, uint32 slot) = subscriptions.subscriptionOf(jobId);
            if (++slotRuns[id][slot] > 1) ++ranTwice;
            jobs.push(jobId);
            JobSubscriptions.Plan memory plan = subscriptions.planOf(id);
            fees[plan.token] += plan.fee;
        } catch (bytes memory) {
            JobSubscriptions.Account memory account = subscriptions.accountOf(id);
            JobSubscriptions.Plan memory plan = subscriptions.planOf(id);
            bool covered = account.balance >= uint256(plan.fee) + plan.reward;
            bool due = subscriptions.dueAt(id) <= block.timestamp;
            vm.assertFalse(covered && due && !account.paused && !account.terminated);
        }
    }

    function answer(uint256 which, uint256 who) external {
        if (jobs.length == 0) return;
        uint256 jobId = jobs[which % jobs.length];
        (IJobRelay.State state,,,) = relay.resultOf(jobId);
        if (state == IJobRelay.State.Requested) relay.answer(jobId, people[who % 3]);
    }

    function cancel(uint256 which) external {
        if (jobs.length == 0) return;
        uint256 jobId = jobs[which % jobs.length];
        (IJobRelay.State state,,,) = relay.resultOf(jobId);
        if (state == IJobRelay.State.Requested) relay.cancelJob(jobId);
    }

    function refund(uint256 which) external {
        if (jobs.length == 0) return;
        uint256 jobId = jobs[which % jobs.length];
        (IJobRelay.State state,,,) = relay.resultOf(jobId);
        try subscriptions.refund(jobId) {
            vm.assertTrue(state == IJobRelay.State.Cancelled);
            if (++refunds[jobId] > 1) ++refundedTwice;
            IJobRelay.Request memory asked = relay.requestOf(jobId);
            back[asked.token] += asked.fee;
        } catch (bytes memory) {
            vm.assertTrue(state != IJobRelay.State.Cancelled || refunds[jobId] == 1);
        }
    }

    function pause(uint256 which, bool paused) external {
        uint64 id = _pick(which);
        if (id == 0 || subscriptions.accountOf(id).terminated) return;
        vm.prank(subscriptions.accountOf(id).owner);
        subscriptions.setPaused(id, paused);
    }

    function withdraw(uint256 which, uint256 amount) external {
        uint64 id = _pick(which);
        JobSubscriptions.Account memory account = subscriptions.accountOf(id);
        if (account.balance == 0 || account.terminated) return;
        vm.prank(account.owner);
        subscriptions.withdraw(id, uint128(bound(amount, 1, account.balance)));
    }

    function terminate(uint256 which) external {
        uint64 id = _pick(which);
        JobSubscriptions.Account memory account = subscriptions.accountOf(id);
        if (id == 0 || account.terminated || which % 4 != 0) return;
        vm.prank(account.owner);
        subscriptions.terminate(id);
    }

    function claim(uint256 who, bool eth) external {
        address person = people[who % 3];
        address in_ = eth ? address(0) : address(token);
        if (subscriptions.owed(in_, person) == 0) return;
        vm.prank(person);
        paidOut[in_] += subscriptions.claim(in_, person);
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 12 hours));
    }

    /// What is owed in a token to everybody: balances, credits, and refunds that wait to be credited.
    function liabilities(address in_) external view returns (uint256 sum) {
        for (uint64 id = 1; id <= subscriptions.count(); ++id) {
            if (subscriptions.planOf(id).token == in_) sum += subscriptions.accountOf(id).balance;
        }
        for (uint256 i = 0; i < 3; ++i) {
            sum += subscriptions.owed(in_, people[i]);
        }
        sum += subscriptions.unassigned(in_);
    }

    function _pick(uint256 which) private view returns (uint64) {
        uint64 count = subscriptions.count();
        return count == 0 ? 0 : uint64(1 + which % count);
    }

    function _fund(address account, address in_, uint256 amount) private {
        if (in_ == address(0)) {
            vm.deal(account, account.balance + amount);
            return;
        }
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(subscriptions), type(uint256).max);
    }
}

contract JobSubscriptionsInvariants is Test {
    SubscriptionsHandler handler;
    JobSubscriptions subscriptions;
    PlainToken token;

    function setUp() external {
        handler = new SubscriptionsHandler();
        subscriptions = handler.subscriptions();
        token = handler.token();
        targetContract(address(handler));
    }

    function invariant_the_balance_covers_what_is_owed() external view {
        vm.assertEq(address(subscriptions).balance, handler.liabilities(address(0)));
        vm.assertEq(token.balanceOf(address(subscriptions)), handler.liabilities(address(token)));
    }

    function invariant_no_slot_runs_twice_and_no_run_is_refunded_twice() external view {
        vm.assertEq(handler.ranTwice(), 0);
        vm.assertEq(handler.refundedTwice(), 0);
    }

    function invariant_money_goes_nowhere_but_to_runs_and_to_whom_it_is_owed() external view {
        address[2] memory tokens = [address(0), address(token)];
        for (uint256 i = 0; i < 2; ++i) {
            address in_ = tokens[i];
            uint256 credited = handler.liabilities(in_) - subscriptions.unassigned(in_);
            vm.assertEq(credited + handler.paidOut(in_) + handler.fees(in_), handler.paidIn(in_) + handler.back(in_));
        }
    }
}
