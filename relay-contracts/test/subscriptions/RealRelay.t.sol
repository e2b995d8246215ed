// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {JobSubscriptions} from "../../src/JobSubscriptions.sol";
import {IInferenceCallback} from "../../src/interfaces/IInferenceCallback.sol";
import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";
import {Relays} from "../base/Relays.sol";

/// Is told the answers of one subscription.
contract Listener is IInferenceCallback {
    JobSubscriptions subscriptions;
    uint64 public subscription;
    uint32 public slot;
    bytes public output;

    constructor(JobSubscriptions subscriptions_) {
        subscriptions = subscriptions_;
    }

    function onInference(uint256 jobId, uint8, bytes calldata output_) external {
        require(msg.sender == address(subscriptions.RELAY()), "not the relay");
        (subscription, slot) = subscriptions.subscriptionOf(jobId);
        output = output_;
    }
}

/// Subscriptions with the relay that they are made for.
contract RealRelayTest is Relays {
    JobSubscriptions subscriptions;
    Listener listener;

    function setUp() external {
        deployRelay();
        subscriptions = new JobSubscriptions(relay);
        listener = new Listener(subscriptions);
        vm.prank(user);
        payToken.approve(address(subscriptions), type(uint256).max);
    }

    function planIn(address token) internal view returns (JobSubscriptions.Plan memory plan) {
        plan.functionDigest = FUNCTION;
        plan.inputHash = sha256("input");
        plan.callback = address(listener);
        plan.callbackGas = 200_000;
        plan.answerWithin = 300;
        plan.token = token;
        // Below the floor: no draw, anybody's at once.
        plan.fee = 1000;
        plan.reward = 10;
        plan.start = uint40(block.timestamp);
        plan.period = 3600;
    }

    function subscribes(JobSubscriptions.Plan memory plan) internal returns (uint64) {
        vm.prank(user);
        return subscriptions.subscribe{value: plan.token == address(0) ? 10_100 : 0}(plan, 10_100);
    }

    /// Runs the subscription; the job as the relay took it.
    function runs(uint64 id) internal returns (uint256 jobId, IJobRelay.Job memory job) {
        JobSubscriptions.Plan memory plan = subscriptions.planOf(id);
        job.requester = address(subscriptions);
        job.nonce = relay.drawState().nonce;
        job.request = IJobRelay.Request({
            functionDigest: plan.functionDigest,
            imageId: plan.imageId,
            inputHash: plan.inputHash,
            callback: plan.callback,
            callbackGas: plan.callbackGas,
            deadline: uint40(block.timestamp) + plan.answerWithin,
            token: plan.token,
            fee: plan.fee
        });
        jobId = subscriptions.run(id);
        vm.assertEq(jobId, relay.jobIdOf(job));
    }

    function test_a_run_is_answered_to_the_plans_callback() external {
        uint64 id = subscribes(planIn(address(0)));
        vm.warp(block.timestamp + 3600);
        for (uint256 i = 0; i < OPERATORS; ++i) {
            registerWorker(string.concat("worker ", digit(i)), operators[i]);
        }
        (, IJobRelay.Job memory job) = runs(id);
        answer(job, 0, "output");
        vm.assertEq(listener.subscription(), id);
        vm.assertEq(listener.slot(), 1);
        vm.assertEq(listener.output(), "output");
        vm.assertEq(relay.owed(address(0), payee(0)), 1000);
    }

    function test_a_run_that_nobody_answers_comes_back_in_eth_and_in_tokens() external {
        address[2] memory tokens = [address(0), address(payToken)];
        for (uint256 i = 0; i < 2; ++i) {
            uint64 id = subscribes(planIn(tokens[i]));
            (uint256 jobId, IJobRelay.Job memory job) = runs(id);
            vm.assertEq(subscriptions.accountOf(id).balance, 10_100 - 1010);
            vm.warp(block.timestamp + 301);
            vm.expectRevert(abi.encodeWithSelector(JobSubscriptions.NotCancelled.selector, jobId));
            subscriptions.refund(jobId);
            relay.cancel(job);
            subscriptions.refund(jobId);
            vm.assertEq(subscriptions.accountOf(id).balance, 10_100 - 10);
            vm.prank(user);
            subscriptions.terminate(id);
            vm.prank(user);
            vm.assertEq(subscriptions.claim(tokens[i], user), 10_100 - 10);
        }
    }
}
