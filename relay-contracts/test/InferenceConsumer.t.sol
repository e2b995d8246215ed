// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../src/InferenceConsumer.sol";
import {DigitGate} from "../src/examples/DigitGate.sol";
import {RiskParameter} from "../src/examples/RiskParameter.sol";
import {IJobRelay} from "../src/interfaces/IJobRelay.sol";
import {TensorInput} from "../src/relay/TensorInput.sol";
import {Relays} from "./base/Relays.sol";

contract InferenceConsumerTest is Relays {
    DigitGate internal gate;
    RiskParameter internal risk;
    address internal guardian;

    function setUp() external {
        deployRelay();
        passServeDelay();
        startTerm();
        guardian = makeAddress("guardian");
        vm.deal(guardian, 10 ether);
        vm.deal(address(this), 10 ether);
        gate = new DigitGate{value: 1 ether}(relay, FUNCTION, 7);
        risk = new RiskParameter(
            relay,
            FUNCTION,
            guardian,
            RiskParameter.Limits({lowest: 5000, highest: 9000, step: 300, delay: 1 hours}),
            7500
        );
    }

    // The digit.

    function test_the_first_to_draw_the_digit_wins_the_prize() external {
        IJobRelay.Job memory job = play(user);
        draw(job);
        vm.assertTrue(gate.waiting(relay.jobIdOf(job)));
        reply(job, 0, hex"07");
        vm.assertFalse(gate.waiting(relay.jobIdOf(job)));
        vm.assertEq(gate.winner(), user);
        job = play(guardian);
        draw(job);
        reply(job, 0, hex"07");
        vm.assertEq(gate.winner(), user);
        uint256 before = user.balance;
        vm.prank(user);
        gate.collect();
        vm.assertEq(user.balance, before + 1 ether);
        vm.prank(user);
        vm.expectRevert(DigitGate.NothingToCollect.selector);
        gate.collect();
    }

    function test_another_digit_wins_nothing() external {
        IJobRelay.Job memory job = play(user);
        draw(job);
        vm.expectEmit(address(gate));
        emit DigitGate.Seen(user, 3, false);
        reply(job, 0, hex"03");
        vm.assertEq(gate.winner(), address(0));
    }

    function test_what_is_no_digit_and_what_is_refused_wins_nothing() external {
        bytes[3] memory outputs = [bytes(hex"0a"), bytes(hex"0707"), bytes("")];
        for (uint256 i = 0; i < 3; ++i) {
            IJobRelay.Job memory job = play(user);
            draw(job);
            vm.expectEmit(address(gate));
            emit DigitGate.NotSeen(user);
            reply(job, i == 2 ? 4 : 0, outputs[i]);
        }
        vm.assertEq(gate.refunds(user), 0);
    }

    function test_a_drawing_is_an_image_and_pays_its_way() external {
        vm.deal(user, 10 ether);
        vm.startPrank(user);
        vm.expectRevert(abi.encodeWithSelector(DigitGate.NotAnImage.selector, 783));
        gate.play{value: 1 ether}(new bytes(783));
        vm.expectPartialRevert(DigitGate.FeeTooLow.selector);
        gate.play{value: 1}(new bytes(784));
    }

    function test_the_fee_of_a_cancelled_drawing_comes_back_to_its_player() external {
        IJobRelay.Job memory job = play(user);
        IJobRelay.Job memory other = play(guardian);
        uint256 jobId = relay.jobIdOf(job);
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotCancelled.selector, jobId));
        gate.giveUp(jobId);
        vm.warp(uint256(job.request.deadline) + 1);
        relay.cancel(job);
        relay.cancel(other);
        gate.giveUp(jobId);
        gate.giveUp(relay.jobIdOf(other));
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotWaiting.selector, jobId));
        gate.giveUp(jobId);
        uint256 before = user.balance;
        vm.prank(user);
        gate.collectRefund();
        vm.assertEq(user.balance, before + job.request.fee);
        vm.prank(guardian);
        gate.collectRefund();
        vm.assertEq(address(gate).balance, gate.prize());
        vm.prank(user);
        vm.expectRevert(DigitGate.NothingToCollect.selector);
        gate.collectRefund();
    }

    function test_a_player_that_takes_no_money_loses_none() external {
        IJobRelay.Job memory job = play(address(this));
        vm.warp(uint256(job.request.deadline) + 1);
        relay.cancel(job);
        gate.giveUp(relay.jobIdOf(job));
        vm.expectRevert(DigitGate.Refused.selector);
        gate.collectRefund();
        vm.assertEq(gate.refunds(address(this)), job.request.fee);
    }

    function test_only_the_relay_sends_it_money() external {
        vm.prank(user);
        (bool taken,) = address(gate).call{value: 1}("");
        vm.assertFalse(taken);
    }

    // Who may tell.

    function test_only_the_relay_tells_answers_and_only_awaited_ones() external {
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotRelay.selector, address(this)));
        gate.onInference(1, 0, hex"07");
        // Somebody else's job that names this contract for its callback.
        IJobRelay.Job memory job = ask(withCallback(address(gate), 100_000), "input");
        draw(job);
        vm.expectEmit(address(relay));
        emit IJobRelay.CallbackFailed(relay.jobIdOf(job));
        reply(job, 0, hex"07");
        vm.assertEq(gate.winner(), address(0));
    }

    function test_an_answer_whose_callback_failed_is_delivered_later() external {
        IJobRelay.Job memory job = play(user);
        draw(job);
        uint256 jobId = relay.jobIdOf(job);
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotTheAnswer.selector, jobId));
        gate.deliver(jobId, hex"07");
        bytes memory code = address(gate).code;
        vm.etch(address(gate), hex"fe");
        reply(job, 0, hex"07");
        vm.etch(address(gate), code);
        vm.assertEq(gate.winner(), address(0));
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotTheAnswer.selector, jobId));
        gate.deliver(jobId, hex"08");
        gate.deliver(jobId, hex"07");
        vm.assertEq(gate.winner(), user);
        vm.expectRevert(abi.encodeWithSelector(InferenceConsumer.NotWaiting.selector, jobId));
        gate.deliver(jobId, hex"07");
    }

    // The risk parameter.

    function testFuzz_whatever_the_model_says_moves_it_by_one_step_within_its_bounds(uint16 said) external {
        for (uint256 i = 0; i < 3; ++i) {
            uint16 before = risk.value();
            IJobRelay.Job memory job = refresh();
            draw(job);
            reply(job, 0, uint16le(said));
            vm.assertEq(risk.value(), before);
            vm.warp(block.timestamp + 1 hours);
            uint256 now_ = risk.value();
            vm.assertGe(now_, 5000);
            vm.assertLe(now_, 9000);
            vm.assertLe(now_ > before ? now_ - before : before - now_, 300);
            if (said >= 7500) vm.assertGe(now_, before);
            for (uint256 j = 0; j < OPERATORS; ++j) {
                registerWorker(string.concat("worker ", digit(j)), operators[j]);
            }
        }
    }

    function test_it_reaches_its_bounds_and_stays_there() external {
        for (uint256 i = 0; i < 10; ++i) {
            IJobRelay.Job memory job = refresh();
            draw(job);
            reply(job, 0, uint16le(0));
            vm.warp(block.timestamp + 1 hours);
        }
        vm.assertEq(risk.value(), 5000);
    }

    function test_the_guardian_drops_an_answer_before_it_counts() external {
        IJobRelay.Job memory job = refresh();
        draw(job);
        reply(job, 0, uint16le(8000));
        vm.expectRevert(RiskParameter.NotGuardian.selector);
        risk.drop();
        vm.startPrank(guardian);
        vm.expectRevert(RiskParameter.Busy.selector);
        risk.refresh{value: 1 ether}("features");
        risk.drop();
        vm.warp(block.timestamp + 1 hours);
        vm.assertEq(risk.value(), 7500);
        risk.drop();
        vm.assertEq(risk.value(), 7500);
    }

    function test_one_question_at_a_time_by_the_guardian() external {
        vm.expectRevert(RiskParameter.NotGuardian.selector);
        risk.refresh("features");
        refresh();
        vm.prank(guardian);
        vm.expectRevert(RiskParameter.Busy.selector);
        risk.refresh{value: 1 ether}("features");
    }

    function test_no_answer_changes_nothing_and_frees_it_for_the_next() external {
        IJobRelay.Job memory job = refresh();
        draw(job);
        reply(job, 3, "refused");
        job = refresh();
        draw(job);
        reply(job, 0, "not a number");
        job = refresh();
        vm.warp(uint256(job.request.deadline) + 1);
        relay.cancel(job);
        risk.giveUp(relay.jobIdOf(job));
        uint256 before = guardian.balance;
        vm.assertEq(risk.refund(), job.request.fee);
        vm.assertEq(guardian.balance, before + job.request.fee);
        vm.assertEq(risk.value(), 7500);
        refresh();
    }

    function test_limits_that_contradict_each_other_are_refused() external {
        RiskParameter.Limits[4] memory wrong = [
            RiskParameter.Limits(7501, 9000, 1, 1),
            RiskParameter.Limits(5000, 7499, 1, 1),
            RiskParameter.Limits(5000, 9000, 0, 1),
            RiskParameter.Limits(5000, 9000, 1, 0)
        ];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectRevert(RiskParameter.BadLimits.selector);
            new RiskParameter(relay, FUNCTION, guardian, wrong[i], 7500);
        }
    }

    /// Basis points as a model's UINT16.
    function uint16le(uint256 value) internal pure returns (bytes memory) {
        return abi.encodePacked(uint8(value), uint8(value >> 8));
    }

    function play(address player) internal returns (IJobRelay.Job memory job) {
        uint256 fee = relay.feeFloor(address(0), 120_000);
        job = jobOf(address(gate), 120_000, fee, TensorInput.encode(new bytes(784)));
        vm.prank(player);
        vm.assertEq(gate.play{value: fee}(new bytes(784)), relay.jobIdOf(job));
    }

    function refresh() internal returns (IJobRelay.Job memory job) {
        uint256 fee = relay.feeFloor(address(0), 150_000);
        job = jobOf(address(risk), 150_000, fee, TensorInput.encode("features"));
        vm.prank(guardian);
        vm.assertEq(risk.refresh{value: fee}("features"), relay.jobIdOf(job));
    }

    function jobOf(address requester, uint32 callbackGas, uint256 fee, bytes memory input)
        internal
        view
        returns (IJobRelay.Job memory job)
    {
        job.requester = requester;
        job.nonce = relay.drawState().nonce;
        job.request = IJobRelay.Request({
            functionDigest: FUNCTION,
            imageId: 0,
            inputHash: sha256(input),
            callback: requester,
            callbackGas: callbackGas,
            deadline: uint40(block.timestamp) + 600,
            token: address(0),
            fee: uint96(fee)
        });
    }

    function draw(IJobRelay.Job memory job) internal {
        drawBatch(relay.recordOf(relay.jobIdOf(job)).batch);
    }

    /// The drawn operator's answer.
    function reply(IJobRelay.Job memory job, uint8 status, bytes memory output) internal {
        (address operator,) = relay.assignedTo(relay.jobIdOf(job));
        uint256 who = indexOf(operator);
        IJobRelay.Result memory result = resultFor(who);
        result.status = status;
        relay.submit(job, result, output, sign(job, result, output, who));
    }
}
