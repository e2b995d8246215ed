// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {JobRelay} from "../../src/JobRelay.sol";
import {IFeeFloor} from "../../src/interfaces/IFeeFloor.sol";
import {IInferenceCallback} from "../../src/interfaces/IInferenceCallback.sol";
import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";
import {FeeTable} from "../../src/relay/FeeTable.sol";
import {OperatorDraw} from "../../src/relay/OperatorDraw.sol";
import {Vault} from "../../src/relay/Vault.sol";
import {Relays} from "../base/Relays.sol";

/// Remembers what it was told.
contract Listener is IInferenceCallback {
    uint256 public jobId;
    uint8 public status;
    bytes public output;

    function onInference(uint256 jobId_, uint8 status_, bytes calldata output_) external {
        (jobId, status, output) = (jobId_, status_, output_);
    }
}

contract JobRelayTest is Relays {
    function setUp() external {
        deployRelay();
        passServeDelay();
        startTerm();
    }

    // The way of a job.

    function test_a_request_is_answered_and_paid() external {
        Listener listener = new Listener();
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(withCallback(address(listener), 200_000));
        answer(job, who, "a model's answer");
        vm.assertEq(listener.jobId(), relay.jobIdOf(job));
        vm.assertEq(listener.output(), "a model's answer");
        vm.assertEq(relay.owed(address(0), payee(who)), job.request.fee);
        (IJobRelay.State state, uint8 status, uint64 executedMs, bytes32 outputHash) =
            relay.resultOf(relay.jobIdOf(job));
        vm.assertTrue(state == IJobRelay.State.Answered);
        vm.assertEq(status, 0);
        vm.assertEq(executedMs, block.timestamp * 1000);
        vm.assertEq(outputHash, sha256("a model's answer"));
        vm.prank(payee(who));
        vm.assertEq(relay.claim(address(0), makeAddress("purse")), job.request.fee);
        vm.assertEq(makeAddress("purse").balance, job.request.fee);
        vm.assertEq(address(relay).balance, 0);
    }

    function test_a_signed_refusal_is_an_answer_too() external {
        Listener listener = new Listener();
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(withCallback(address(listener), 200_000));
        IJobRelay.Result memory result = resultFor(who);
        result.status = 4;
        relay.submit(job, result, "bad shape", sign(job, result, "bad shape", who));
        vm.assertEq(listener.status(), 4);
        vm.assertEq(relay.owed(address(0), payee(who)), job.request.fee);
    }

    function test_only_the_drawn_operator_answers_until_its_time_is_over() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        uint256 other = (who + 1) % OPERATORS;
        uint256 opens = block.timestamp - 1 + EXCLUSIVE;
        vm.expectRevert(
            abi.encodeWithSelector(IJobRelay.NotAssigned.selector, operators[who], operators[other], opens + 1)
        );
        this.answerExternal(job, other, "x");
        vm.warp(opens + 1);
        answer(job, other, "x");
        vm.assertTrue(stateOf(job) == IJobRelay.State.Answered);
    }

    function test_before_the_draw_nobody_answers_and_without_one_everybody_may() external {
        IJobRelay.Job memory job = ask(plain(), "input");
        uint256 opens = block.timestamp + REVEAL;
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.NotDrawnYet.selector, opens + 1));
        this.answerExternal(job, 0, "x");
        (address nobody, uint256 until) = relay.assignedTo(relay.jobIdOf(job));
        vm.assertEq(nobody, address(0));
        vm.assertEq(until, opens);
        vm.warp(opens + 1);
        answer(job, 0, "x");
        vm.assertTrue(stateOf(job) == IJobRelay.State.Answered);
        vm.assertFalse(relay.recordOf(relay.jobIdOf(job)).inTime);
    }

    function test_a_job_below_the_floor_is_anybodys_at_once() external {
        IJobRelay.Request memory request = plain();
        request.fee -= 1;
        IJobRelay.Job memory job = ask(request, "input");
        vm.assertEq(relay.recordOf(relay.jobIdOf(job)).batch, 0);
        (address nobody, uint256 until) = relay.assignedTo(relay.jobIdOf(job));
        vm.assertEq(nobody, address(0));
        vm.assertEq(until, 0);
        answer(job, 2, "x");
        vm.assertEq(relay.owed(address(0), payee(2)), request.fee);
    }

    function test_an_input_by_reference_is_drawn_but_not_assured() external {
        IJobRelay.Request memory request = plain();
        request.inputHash = sha256("somewhere else");
        IJobRelay.Job memory job = ask(request, "");
        JobRelay.Record memory record = relay.recordOf(relay.jobIdOf(job));
        vm.assertFalse(record.assured);
        vm.assertNotEq(record.batch, 0);
    }

    function test_only_what_is_served_is_assured() external {
        IJobRelay.Request memory request = plain();
        vm.assertTrue(relay.recordOf(relay.jobIdOf(ask(request, "input"))).assured);
        request.imageId = workerImage;
        vm.assertTrue(relay.recordOf(relay.jobIdOf(ask(request, "input"))).assured);
        request.imageId = keccak256("another image");
        vm.assertFalse(relay.recordOf(relay.jobIdOf(ask(request, "input"))).assured);
        request.imageId = 0;
        request.functionDigest = keccak256("another function");
        vm.assertFalse(relay.recordOf(relay.jobIdOf(ask(request, "input"))).assured);
        vm.prank(curator);
        relay.serve(request.functionDigest, true);
        vm.assertFalse(relay.recordOf(relay.jobIdOf(ask(request, "input"))).assured);
        vm.prank(curator);
        relay.serve(FUNCTION, false);
        vm.assertFalse(relay.recordOf(relay.jobIdOf(ask(plain(), "input"))).assured);
    }

    function test_only_the_curator_says_what_is_served() external {
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.NotCurator.selector, address(this)));
        relay.serve(FUNCTION, true);
    }

    function test_a_fee_in_tokens_goes_the_same_way() external {
        IJobRelay.Request memory request = plain();
        request.token = address(payToken);
        request.fee = uint96(relay.feeFloor(address(payToken), 0));
        vm.assertEq(request.fee, 1e18 + 120_000 * 1e12);
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(request);
        answer(job, who, "x");
        vm.prank(payee(who));
        relay.claim(address(payToken), makeAddress("purse"));
        vm.assertEq(payToken.balanceOf(makeAddress("purse")), request.fee);
        vm.assertEq(payToken.balanceOf(address(relay)), 0);
    }

    function test_a_job_for_nothing_is_possible() external {
        IJobRelay.Request memory request = plain();
        request.fee = 0;
        IJobRelay.Job memory job = ask(request, "input");
        answer(job, 0, "x");
        vm.assertEq(relay.owed(address(0), payee(0)), 0);
        request.token = address(payToken);
        answer(ask(request, "input"), 0, "x");
    }

    // The end of a job.

    function test_up_to_the_deadline_answer_and_after_it_cancel_never_both() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        (IJobRelay.Job memory other,) = askAndDraw(plain());
        vm.warp(job.request.deadline);
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.DeadlineNotPassed.selector, job.request.deadline));
        relay.cancel(job);
        answer(job, who, "x");
        vm.warp(uint256(other.request.deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.DeadlinePassed.selector, other.request.deadline));
        this.answerExternal(other, 0, "x");
        relay.cancel(other);
        vm.assertEq(relay.owed(address(0), user), other.request.fee);
    }

    function test_a_job_ends_once() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        uint256 jobId = relay.jobIdOf(job);
        answer(job, who, "x");
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.WrongState.selector, jobId, IJobRelay.State.Answered));
        this.answerExternal(job, who, "x");
        vm.warp(uint256(job.request.deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.WrongState.selector, jobId, IJobRelay.State.Answered));
        relay.cancel(job);
        IJobRelay.Job memory dropped = ask(plain(), "input");
        vm.warp(uint256(dropped.request.deadline) + 1);
        relay.cancel(dropped);
        vm.expectPartialRevert(IJobRelay.WrongState.selector);
        relay.cancel(dropped);
        vm.expectPartialRevert(IJobRelay.WrongState.selector);
        this.answerExternal(dropped, who, "x");
    }

    function testFuzz_nothing_of_a_job_can_be_changed_after_it_was_asked_for(uint256 field, uint256 noise) external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        bytes memory before = abi.encode(job);
        field = bound(field, 0, 9);
        if (field == 0) job.requester = address(uint160(noise));
        if (field == 1) job.nonce = uint64(noise);
        if (field == 2) job.request.functionDigest = bytes32(noise);
        if (field == 3) job.request.imageId = bytes32(noise);
        if (field == 4) job.request.inputHash = bytes32(noise);
        if (field == 5) job.request.callback = address(uint160(noise));
        if (field == 6) job.request.callbackGas = uint32(noise);
        if (field == 7) job.request.deadline = uint40(noise);
        if (field == 8) job.request.token = address(uint160(noise));
        if (field == 9) job.request.fee = uint96(noise);
        vm.assume(keccak256(before) != keccak256(abi.encode(job)));
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.WrongState.selector, relay.jobIdOf(job), IJobRelay.State.None));
        this.answerExternal(job, who, "x");
        vm.expectPartialRevert(IJobRelay.WrongState.selector);
        relay.cancel(job);
        vm.expectPartialRevert(IJobRelay.NotLate.selector);
        relay.slashLate(job);
    }

    // What is not taken.

    function test_input_or_its_hash_never_both_never_neither() external {
        IJobRelay.Request memory request = plain();
        vm.startPrank(user);
        vm.expectRevert(IJobRelay.BadInput.selector);
        relay.request{value: request.fee}(request, "");
        request.inputHash = sha256("input");
        vm.expectRevert(IJobRelay.BadInput.selector);
        relay.request{value: request.fee}(request, "input");
    }

    function test_a_long_input_goes_by_reference() external {
        IJobRelay.Request memory request = plain();
        uint256 limit = relay.MAX_INPUT();
        vm.startPrank(user);
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.InputTooLong.selector, limit + 1, limit));
        relay.request{value: request.fee}(request, new bytes(limit + 1));
        relay.request{value: request.fee}(request, new bytes(limit));
    }

    function test_a_deadline_leaves_time_and_has_an_end() external {
        IJobRelay.Request memory request = plain();
        uint256 earliest = block.timestamp + 2 * EXCLUSIVE;
        uint256 latest = block.timestamp + 1 days;
        vm.startPrank(user);
        request.deadline = uint40(earliest - 1);
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.BadDeadline.selector, earliest, latest));
        relay.request{value: request.fee}(request, "input");
        request.deadline = uint40(latest + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.BadDeadline.selector, earliest, latest));
        relay.request{value: request.fee}(request, "input");
        request.deadline = uint40(latest);
        relay.request{value: request.fee}(request, "input");
    }

    function test_callback_gas_is_bounded_and_needs_a_callback() external {
        IJobRelay.Request memory request = plain();
        vm.startPrank(user);
        request.callbackGas = 1;
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.BadCallbackGas.selector, 0));
        relay.request{value: request.fee}(request, "input");
        request.callback = user;
        request.callbackGas = 10_000_001;
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.BadCallbackGas.selector, 10_000_000));
        relay.request{value: request.fee}(request, "input");
    }

    function test_the_value_is_the_fee() external {
        IJobRelay.Request memory request = plain();
        vm.startPrank(user);
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.BadValue.selector, request.fee, request.fee - 1));
        relay.request{value: request.fee - 1}(request, "input");
        request.token = address(payToken);
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.BadValue.selector, 0, 1));
        relay.request{value: 1}(request, "input");
    }

    function test_a_token_that_nobody_named_is_not_taken() external {
        IJobRelay.Request memory request = plain();
        request.token = address(stakeToken);
        vm.expectRevert(abi.encodeWithSelector(IFeeFloor.TokenNotTaken.selector, address(stakeToken)));
        relay.request(request, "input");
    }

    function test_an_answer_has_a_payee() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        IJobRelay.Result memory result = resultFor(who);
        result.payee = address(0);
        bytes memory signature = sign(job, result, "x", who);
        vm.expectRevert(IJobRelay.NoPayee.selector);
        relay.submit(job, result, "x", signature);
    }

    function test_nothing_owed_is_nothing_claimed() external {
        vm.expectRevert(Vault.NothingOwed.selector);
        relay.claim(address(0), user);
    }

    // Being late.

    function test_a_late_operator_is_slashed_once_for_the_requester_and_the_reporter() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        uint256 stake = staking.stakeOf(operators[who]);
        vm.expectPartialRevert(IJobRelay.NotLate.selector);
        relay.slashLate(job);
        vm.warp(block.timestamp + EXCLUSIVE);
        address reporter = makeAddress("reporter");
        vm.prank(reporter);
        relay.slashLate(job);
        vm.assertEq(staking.stakeOf(operators[who]), stake - LATE);
        vm.assertEq(staking.owed(reporter), LATE / 10);
        vm.assertEq(staking.owed(user), LATE * 8 / 10);
        vm.expectPartialRevert(IJobRelay.NotLate.selector);
        relay.slashLate(job);
    }

    function test_an_operator_that_was_late_is_slashed_though_another_one_answered() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        vm.warp(block.timestamp + EXCLUSIVE);
        answer(job, (who + 1) % OPERATORS, "x");
        uint256 stake = staking.stakeOf(operators[who]);
        relay.slashLate(job);
        vm.assertEq(staking.stakeOf(operators[who]), stake - LATE);
    }

    function test_an_operator_is_slashed_for_a_cancelled_job_too_but_not_for_ever() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        (IJobRelay.Job memory forgotten,) = askAndDraw(plain());
        vm.warp(uint256(job.request.deadline) + 7 days);
        relay.cancel(job);
        uint256 stake = staking.stakeOf(operators[who]);
        relay.slashLate(job);
        vm.assertEq(staking.stakeOf(operators[who]), stake - LATE);
        vm.warp(uint256(forgotten.request.deadline) + 7 days + 1);
        vm.expectPartialRevert(IJobRelay.NotLate.selector);
        relay.slashLate(forgotten);
    }

    function test_who_answered_in_time_is_not_slashed() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        vm.warp(block.timestamp - 1 + EXCLUSIVE);
        answer(job, who, "x");
        vm.warp(block.timestamp + 1000);
        vm.expectPartialRevert(IJobRelay.NotLate.selector);
        relay.slashLate(job);
    }

    function test_nobody_is_slashed_for_a_job_that_was_not_drawn() external {
        IJobRelay.Job memory job = ask(plain(), "input");
        vm.warp(block.timestamp + 1000);
        vm.expectPartialRevert(IJobRelay.NotLate.selector);
        relay.slashLate(job);
    }

    function test_an_operator_that_left_is_still_within_reach() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        uint256 stake = staking.stakeOf(operators[who]);
        vm.prank(operators[who]);
        staking.unbond(stake);
        vm.warp(uint256(job.request.deadline) + 7 days);
        relay.slashLate(job);
        vm.assertEq(staking.stakeOf(operators[who]), stake - LATE);
    }

    // Deployment.

    function test_a_senseless_configuration_is_refused() external {
        JobRelay.Config memory config = relayConfig();
        config.curator = address(0);
        vm.expectRevert(OperatorDraw.BadDrawConfig.selector);
        new JobRelay(config);
        config = relayConfig();
        config.exclusive = 2 * REVEAL - 1;
        vm.expectRevert(OperatorDraw.BadDrawConfig.selector);
        new JobRelay(config);
        config = relayConfig();
        config.latePenalty = WITHHELD + 1;
        vm.expectRevert(OperatorDraw.BadDrawConfig.selector);
        new JobRelay(config);
        config = relayConfig();
        config.draw.term = 11 days;
        vm.expectRevert(OperatorDraw.BadDrawConfig.selector);
        new JobRelay(config);
        config = relayConfig();
        config.draw.minStake = 0;
        vm.expectRevert(OperatorDraw.BadDrawConfig.selector);
        new JobRelay(config);
        config = relayConfig();
        config.draw.term = REVEAL - 1;
        vm.expectRevert(OperatorDraw.BadDrawConfig.selector);
        new JobRelay(config);
        config = relayConfig();
        config.fees[1].token = address(payToken);
        vm.expectRevert(abi.encodeWithSelector(FeeTable.TokenTwice.selector, address(payToken)));
        new JobRelay(config);
    }
}
