// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {JobRelay} from "../../src/JobRelay.sol";
import {IEnclaveRegistry} from "../../src/interfaces/IEnclaveRegistry.sol";
import {IInferenceCallback} from "../../src/interfaces/IInferenceCallback.sol";
import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";
import {OperatorDraw, SEATS} from "../../src/relay/OperatorDraw.sol";
import {Vault} from "../../src/relay/Vault.sol";
import {Roll} from "../../src/relay/Roll.sol";
import {VerifierList} from "../../src/registry/VerifierList.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Relays} from "../base/Relays.sol";

/// Measures what gas it is called with.
contract GasMeter is IInferenceCallback {
    uint256 public seen;

    function onInference(uint256, uint8, bytes calldata) external {
        uint256 left = gasleft();
        seen = left;
    }
}

/// Uses up whatever gas it is given, or reverts, or returns a megabyte.
contract Glutton is IInferenceCallback {
    enum Way {
        Burn,
        Revert,
        ReturnBomb,
        RevertBomb
    }

    Way public way;

    constructor(Way way_) {
        way = way_;
    }

    function onInference(uint256, uint8, bytes calldata) external view {
        Way chosen = way;
        if (chosen == Way.Burn) while (true) {}
        require(chosen != Way.Revert, "not today");
        assembly {
            if eq(chosen, 2) { return(0, 1000000) }
            revert(0, 1000000)
        }
    }
}

/// Tries, when it is called, to have the same job's money again by every door.
contract Reentrant is IInferenceCallback {
    JobRelay internal relay;
    IJobRelay.Job internal job;
    IJobRelay.Result internal result;
    bytes internal output;
    bytes internal signature;
    uint256 public stopped;
    uint256 public nested;

    constructor(JobRelay relay_) payable {
        relay = relay_;
    }

    function arm(
        IJobRelay.Job calldata job_,
        IJobRelay.Result calldata result_,
        bytes calldata output_,
        bytes calldata signature_
    ) external {
        (job, result, output, signature) = (job_, result_, output_, signature_);
    }

    function onInference(uint256, uint8, bytes calldata) external {
        try relay.submit(job, result, output, signature) {}
        catch {
            ++stopped;
        }
        try relay.cancel(job) {}
        catch {
            ++stopped;
        }
        try relay.slashLate(job) {}
        catch {
            ++stopped;
        }
        try relay.claim(address(0), address(this)) {}
        catch {
            ++stopped;
        }
        // To ask again from a callback is anybody's right.
        IJobRelay.Request memory again = job.request;
        again.inputHash = keccak256("next input");
        again.callback = address(0);
        again.callbackGas = 0;
        nested = relay.request{value: again.fee}(again, "");
    }
}

/// Takes no ETH, and asks for it all the same; or asks twice while it takes it.
contract Purse {
    JobRelay internal relay;
    bool internal refuses;
    uint256 public got;

    constructor(JobRelay relay_, bool refuses_) payable {
        (relay, refuses) = (relay_, refuses_);
    }

    function ask(IJobRelay.Request calldata request) external {
        relay.request{value: request.fee}(request, "input");
    }

    function claim(address to) external {
        relay.claim(address(0), to);
    }

    receive() external payable {
        require(!refuses, "no, thank you");
        got += msg.value;
        relay.claim(address(0), address(this));
    }
}

/// Asks for another job in the middle of paying for one.
contract HookedRequester {
    JobRelay internal relay;
    IJobRelay.Request internal request;
    uint256 internal depth;

    constructor(JobRelay relay_, IJobRelay.Request memory request_) {
        (relay, request) = (relay_, request_);
    }

    function ask() external {
        relay.request(request, "input");
    }

    function onTokens() external {
        if (++depth == 1) relay.request(request, "input");
    }
}

contract JobRelayAttacksTest is Relays {
    function setUp() external {
        deployRelay();
        passServeDelay();
        startTerm();
    }

    // The public holes of other relays.

    /// A submitter that brings too little gas either gets its transaction undone, or the callee has all it was promised.
    function testFuzz_gas_starved_callback_is_never_paid(uint256 gas_, uint256 callbackGas) external {
        callbackGas = bound(callbackGas, 30_000, 2_000_000);
        GasMeter meter = new GasMeter();
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(withCallback(address(meter), uint32(callbackGas)));
        IJobRelay.Result memory result = resultFor(who);
        bytes memory signature = sign(job, result, "x", who);
        gas_ = bound(gas_, 30_000, callbackGas + 300_000);
        try relay.submit{gas: gas_}(job, result, "x", signature) {
            // What the callee spends before it looks: its dispatch, and decoding three arguments.
            vm.assertGe(meter.seen() + 1500, callbackGas, "the callee was starved");
            vm.assertEq(relay.owed(address(0), payee(who)), job.request.fee);
        } catch {
            vm.assertEq(relay.owed(address(0), payee(who)), 0, "paid without a callback");
            vm.assertTrue(stateOf(job) == IJobRelay.State.Requested);
            answer(job, who, "x");
        }
    }

    function test_gas_starvation_says_how_much_is_needed() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(withCallback(address(new GasMeter()), 1_000_000));
        IJobRelay.Result memory result = resultFor(who);
        bytes memory signature = sign(job, result, "x", who);
        vm.expectPartialRevert(IJobRelay.NotEnoughGas.selector);
        relay.submit{gas: 900_000}(job, result, "x", signature);
    }

    function test_no_callback_keeps_the_fee_or_the_answer_back() external {
        for (uint256 way = 0; way < 4; ++way) {
            Glutton glutton = new Glutton(Glutton.Way(way));
            (IJobRelay.Job memory job, uint256 who) = askAndDraw(withCallback(address(glutton), 3_000_000));
            IJobRelay.Result memory result = resultFor(who);
            bytes memory signature = sign(job, result, "x", who);
            uint256 owed = relay.owed(address(0), payee(who));
            uint256 before = gasleft();
            relay.submit{gas: 3_400_000}(job, result, "x", signature);
            // A return bomb costs its maker's gas, not the submitter's.
            vm.assertLt(before - gasleft(), 3_300_000);
            vm.assertEq(relay.owed(address(0), payee(who)), owed + job.request.fee);
            (,,, bytes32 outputHash) = relay.resultOf(relay.jobIdOf(job));
            vm.assertEq(outputHash, sha256("x"));
        }
    }

    function test_a_failed_callback_is_told() external {
        Glutton glutton = new Glutton(Glutton.Way.Revert);
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(withCallback(address(glutton), 100_000));
        IJobRelay.Result memory result = resultFor(who);
        bytes memory signature = sign(job, result, "x", who);
        vm.expectEmit(address(relay));
        emit IJobRelay.CallbackFailed(relay.jobIdOf(job));
        relay.submit(job, result, "x", signature);
    }

    function test_a_requester_that_refuses_its_refund_sticks_nobody() external {
        Purse purse = new Purse{value: 1 ether}(relay, true);
        IJobRelay.Request memory request = plain();
        IJobRelay.Job memory job;
        job.requester = address(purse);
        job.nonce = relay.drawState().nonce;
        job.request = request;
        purse.ask(request);
        job.request.inputHash = sha256("input");
        vm.warp(uint256(job.request.deadline) + 1);
        relay.cancel(job);
        vm.expectRevert(abi.encodeWithSelector(Vault.Refused.selector, address(purse)));
        purse.claim(address(purse));
        // Nothing is lost: it goes where it is taken.
        address elsewhere = makeAddress("elsewhere");
        purse.claim(elsewhere);
        vm.assertEq(elsewhere.balance, job.request.fee);
    }

    function test_a_signature_is_worth_nothing_on_another_chain() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        IJobRelay.Result memory result = resultFor(who);
        bytes memory signature = sign(job, result, "x", who);
        uint256 here = block.chainid;
        vm.chainId(here + 1);
        // The same words are another job there.
        vm.expectPartialRevert(IJobRelay.WrongState.selector);
        relay.submit(job, result, "x", signature);
        // Even if the job existed there, the signature is of another domain.
        bytes32 there = relay.resultDigest(job, result, sha256("x"));
        vm.chainId(here);
        vm.assertNotEq(there, relay.resultDigest(job, result, sha256("x")));
        relay.submit(job, result, "x", signature);
    }

    function test_a_signature_is_worth_nothing_at_another_contract() external {
        JobRelay other = new JobRelay(relayConfig());
        IJobRelay.Request memory request = plain();
        request.fee = 0;
        vm.startPrank(user);
        // The same nonce, requester and request at both.
        while (other.drawState().nonce < relay.drawState().nonce) other.request(request, "input");
        vm.stopPrank();
        IJobRelay.Job memory job = ask(request, "input");
        vm.prank(user);
        uint256 theirs = other.request(request, "input");
        vm.assertEq(other.jobIdOf(job), theirs);
        vm.assertNotEq(theirs, relay.jobIdOf(job));
        IJobRelay.Result memory result = resultFor(0);
        bytes memory signature = sign(job, result, "x", 0);
        vm.expectPartialRevert(IEnclaveRegistry.KeyUnknown.selector);
        other.submit(job, result, "x", signature);
        relay.submit(job, result, "x", signature);
    }

    function test_a_signature_is_worth_nothing_for_another_job_or_function() external {
        IJobRelay.Request memory request = plain();
        request.fee = 0;
        IJobRelay.Job memory job = ask(request, "input");
        IJobRelay.Job memory again = ask(request, "input");
        request.functionDigest = keccak256("another function");
        IJobRelay.Job memory other = ask(request, "input");
        IJobRelay.Result memory result = resultFor(0);
        bytes memory signature = sign(job, result, "x", 0);
        vm.expectPartialRevert(IEnclaveRegistry.KeyUnknown.selector);
        relay.submit(again, result, "x", signature);
        vm.expectPartialRevert(IEnclaveRegistry.KeyUnknown.selector);
        relay.submit(other, result, "x", signature);
        vm.expectPartialRevert(IEnclaveRegistry.KeyUnknown.selector);
        relay.submit(job, result, "y", signature);
        result.status = 1;
        vm.expectPartialRevert(IEnclaveRegistry.KeyUnknown.selector);
        relay.submit(job, result, "x", signature);
    }

    function test_a_key_that_expired_answers_nothing() external {
        vm.warp(block.timestamp + LIFETIME - 30);
        (IJobRelay.Job memory job,) = askAndDraw(plain());
        vm.warp(block.timestamp + EXCLUSIVE);
        vm.expectPartialRevert(IEnclaveRegistry.KeyExpired.selector);
        this.answerExternal(job, 0, "x");
    }

    function test_a_key_of_a_revoked_image_answers_nothing() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        vm.prank(revoker);
        registry.revokeImage(workerImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.ImageIsRevoked.selector, workerImage));
        this.answerExternal(job, who, "x");
    }

    function test_another_image_than_the_named_one_answers_nothing() external {
        IJobRelay.Request memory request = plain();
        request.imageId = keccak256("the image that was audited");
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(request);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.OtherImage.selector, request.imageId, workerImage));
        this.answerExternal(job, who, "x");
    }

    // Signatures out of their time.

    function test_stale_and_future_answers_are_refused() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        uint256 asked = (block.timestamp - 1) * 1000;
        IJobRelay.Result memory result = resultFor(who);
        result.executedMs = uint64(asked - 30_001);
        bytes memory signature = sign(job, result, "x", who);
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.BadExecutionTime.selector, result.executedMs));
        relay.submit(job, result, "x", signature);
        result.executedMs = uint64(block.timestamp * 1000 + 30_001);
        signature = sign(job, result, "x", who);
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.BadExecutionTime.selector, result.executedMs));
        relay.submit(job, result, "x", signature);
        result.executedMs = uint64(asked - 30_000);
        signature = sign(job, result, "x", who);
        relay.submit(job, result, "x", signature);
    }

    // Front-running.

    function test_a_copied_submission_pays_its_owner() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        IJobRelay.Result memory result = resultFor(who);
        bytes memory signature = sign(job, result, "x", who);
        address copyist = makeAddress("copyist");
        // The copy with the copyist for payee is nobody's signature.
        IJobRelay.Result memory stolen = resultFor(who);
        stolen.payee = copyist;
        vm.prank(copyist);
        vm.expectPartialRevert(IEnclaveRegistry.KeyUnknown.selector);
        relay.submit(job, stolen, "x", signature);
        vm.prank(copyist);
        relay.submit(job, result, "x", signature);
        vm.assertEq(relay.owed(address(0), copyist), 0);
        vm.assertEq(relay.owed(address(0), payee(who)), job.request.fee);
    }

    function test_the_loser_of_a_race_pays_little() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        IJobRelay.Result memory result = resultFor(who);
        bytes memory signature = sign(job, result, "x", who);
        relay.submit(job, result, "x", signature);
        vm.cool(address(relay));
        uint256 before = gasleft();
        try relay.submit(job, result, "x", signature) {
            revert("answered twice");
        } catch {}
        vm.assertLt(before - gasleft(), 20_000);
    }

    // Who is drawn.

    function test_nobody_sees_a_link_and_still_asks_in_its_batch() external {
        uint40 batch = relay.recordOf(relay.jobIdOf(ask(plain(), "input"))).batch;
        // A builder that holds a link cannot put it, and a request that was made to fit, into one block.
        bytes32 link = linkFor(batch, 0);
        vm.expectRevert(abi.encodeWithSelector(OperatorDraw.BatchStillOpen.selector, batch));
        relay.reveal(1, 0, batch, link);
        nextBlock();
        relay.reveal(1, 0, batch, link);
        vm.assertEq(relay.recordOf(relay.jobIdOf(ask(plain(), "made to fit"))).batch, batch + 1);
    }

    /// Two of three members and the requester together: what they can compute before the block ends says no more of who is
    /// drawn than the stakes do. 60 jobs; the guess of the heaviest operator's share is 40 %.
    function test_a_requester_in_league_with_two_members_does_not_know_whom_it_draws() external {
        uint256 right = 0;
        (address roll,,,,,) = relay.termOf(1);
        for (uint256 i = 0; i < 60; ++i) {
            IJobRelay.Job memory job = ask(plain(), abi.encode(i));
            uint256 jobId = relay.jobIdOf(job);
            uint40 batch = relay.recordOf(jobId).batch;
            uint256 known = uint256(keccak256(abi.encode(batch, uint8(0), linkFor(batch, 0))))
                ^ uint256(keccak256(abi.encode(batch, uint8(1), linkFor(batch, 1))));
            address guess = Roll.draw(roll, keccak256(abi.encode(uint168(known), jobId)));
            drawBatch(batch);
            (address drawn,) = relay.assignedTo(jobId);
            if (drawn == guess) ++right;
        }
        // By chance alone 30 %: 18 of 60, and more than 32 once in ten thousand such tests.
        vm.assertLt(right, 33);
    }

    /// What a block builder sets (its number apart, which names the batch) moves no draw.
    function test_a_block_builder_moves_no_draw() external {
        IJobRelay.Job memory job = ask(plain(), "input");
        uint256 jobId = relay.jobIdOf(job);
        uint40 batch = relay.recordOf(jobId).batch;
        uint256 before = vm.snapshotState();
        drawBatch(batch);
        (address drawn,) = relay.assignedTo(jobId);
        for (uint256 i = 1; i < 8; ++i) {
            vm.revertToState(before);
            vm.roll(block.number + i);
            vm.warp(block.timestamp + i);
            vm.fee(i * 7 gwei);
            // In another order, from another sender.
            vm.prank(address(uint160(i)));
            reveal(batch, 2);
            reveal(batch, i % 2 == 0 ? 0 : 1);
            reveal(batch, i % 2 == 0 ? 1 : 0);
            (address again,) = relay.assignedTo(jobId);
            vm.assertEq(again, drawn);
        }
    }

    // Reentrancy.

    function test_a_callback_gets_nothing_by_coming_back() external {
        Reentrant reentrant = new Reentrant(relay);
        vm.deal(address(reentrant), 10 ether);
        IJobRelay.Request memory request = withCallback(address(reentrant), 1_000_000);
        IJobRelay.Job memory job = askAs(address(reentrant), request, "input");
        drawBatch(relay.recordOf(relay.jobIdOf(job)).batch);
        (address operator,) = relay.assignedTo(relay.jobIdOf(job));
        uint256 who = indexOf(operator);
        IJobRelay.Result memory result = resultFor(who);
        bytes memory signature = sign(job, result, "x", who);
        reentrant.arm(job, result, "x", signature);
        relay.submit(job, result, "x", signature);
        vm.assertEq(reentrant.stopped(), 4);
        vm.assertEq(relay.owed(address(0), payee(who)), job.request.fee);
        (IJobRelay.State state,,,) = relay.resultOf(reentrant.nested());
        vm.assertTrue(state == IJobRelay.State.Requested);
        vm.assertEq(address(relay).balance, 2 * job.request.fee);
    }

    function test_a_purse_that_claims_while_it_is_paid_gets_it_once() external {
        Purse purse = new Purse{value: 1 ether}(relay, false);
        IJobRelay.Request memory request = plain();
        IJobRelay.Job memory job;
        job.requester = address(purse);
        job.nonce = relay.drawState().nonce;
        job.request = request;
        purse.ask(request);
        job.request.inputHash = sha256("input");
        ask(plain(), "somebody else's money");
        vm.warp(uint256(job.request.deadline) + 1);
        relay.cancel(job);
        vm.expectRevert(abi.encodeWithSelector(Vault.Refused.selector, address(purse)));
        purse.claim(address(purse));
        vm.assertEq(relay.owed(address(0), address(purse)), job.request.fee);
    }

    function test_a_token_that_calls_back_pays_for_one_job_what_one_job_costs() external {
        IJobRelay.Request memory request = plain();
        request.token = address(hookToken);
        request.fee = 1e18;
        HookedRequester requester = new HookedRequester(relay, request);
        hookToken.mint(address(requester), 10e18);
        vm.prank(address(requester));
        hookToken.approve(address(relay), type(uint256).max);
        hookToken.hook(address(requester));
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        requester.ask();
    }

    // Tokens.

    function test_a_token_that_takes_a_fee_is_refused_when_it_does() external {
        feeToken.mint(user, 10e18);
        IJobRelay.Request memory request = plain();
        request.token = address(feeToken);
        request.fee = 1e18;
        vm.startPrank(user);
        feeToken.approve(address(relay), type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IJobRelay.FeeOnTransfer.selector, 1e18, 0.99e18));
        relay.request(request, "input");
    }

    function test_money_that_nobody_owes_is_not_taken() external {
        (bool taken,) = address(relay).call{value: 1}("");
        vm.assertFalse(taken);
    }
}
