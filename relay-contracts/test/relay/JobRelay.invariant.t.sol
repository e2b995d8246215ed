// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {JobRelay} from "../../src/JobRelay.sol";
import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";
import {OperatorDraw, SEATS} from "../../src/relay/OperatorDraw.sol";
import {Relays} from "../base/Relays.sol";

/// Everything that anybody can do, in any order, with what it must have come to beside it.
contract RelayHandler is Relays {
    IJobRelay.Job[] internal jobs;
    mapping(uint256 jobId => IJobRelay.State) public seen;
    mapping(uint256 jobId => uint256) public ends;
    mapping(uint256 jobId => uint256) public lateSlashes;
    mapping(address token => uint256) public escrow;
    mapping(address token => uint256) public credited;
    mapping(address token => uint256) public claimed;
    uint256 public stakeTaken;
    uint256 public jobsChangedAfterTheirEnd;

    constructor() {
        deployRelay();
        passServeDelay();
        startTerm();
    }

    function jobCount() external view returns (uint256) {
        return jobs.length;
    }

    function jobAt(uint256 index) external view returns (IJobRelay.Job memory) {
        return jobs[index];
    }

    function theRelay() external view returns (JobRelay) {
        return relay;
    }

    function stakingAndToken() external view returns (address, address) {
        return (address(staking), address(stakeToken));
    }

    function paymentToken() external view returns (address) {
        return address(payToken);
    }

    function claimants() public view returns (address[] memory all) {
        all = new address[](OPERATORS + 1);
        for (uint256 i = 0; i < OPERATORS; ++i) {
            all[i] = payee(i);
        }
        all[OPERATORS] = user;
    }

    function asks(uint256 kind, uint256 wait) external {
        IJobRelay.Request memory request = plain();
        if (kind & 1 == 1) {
            request.token = address(payToken);
            request.fee = uint96(relay.feeFloor(address(payToken), 0));
        }
        if (kind & 2 == 2) request.fee /= 2;
        if (kind & 4 == 4) request.callback = address(relay);
        request.deadline = uint40(block.timestamp + bound(wait, 2 * EXCLUSIVE, 1000));
        jobs.push(ask(request, "input"));
        escrow[request.token] += request.fee;
        watch(jobs.length - 1);
    }

    function reveals(uint256 seat, uint256 back) external {
        uint40 batch = relay.drawState().batch;
        if (batch == 0) return;
        batch -= uint40(bound(back, 0, batch - 1 > 3 ? 3 : batch - 1));
        if (block.number <= relay.drawState().batchBlock) nextBlock();
        (,, address[SEATS] memory seats,, uint40[SEATS] memory next,) = relay.termOf(relay.batchOf(batch).term);
        // Mostly all of them, else nothing would ever be drawn.
        uint8 left = seat % 4 == 0 ? uint8(seat / 4 % SEATS) : uint8(SEATS);
        for (uint8 chosen = 0; chosen < SEATS; ++chosen) {
            if (chosen != left && seats[chosen] != address(0) && next[chosen] <= batch) reveal(batch, chosen);
        }
    }

    function answers(uint256 pick, uint256 who) external {
        if (jobs.length == 0) return;
        pick = pickJob(pick);
        IJobRelay.Job memory job = jobs[pick];
        uint256 jobId = relay.jobIdOf(job);
        (address drawn, uint256 until) = relay.assignedTo(jobId);
        who = bound(who, 0, OPERATORS - 1);
        if (drawn != address(0) && block.timestamp <= until) who = indexOf(drawn);
        bool may = stateOf(job) == IJobRelay.State.Requested && block.timestamp <= job.request.deadline
            && (drawn != address(0) || block.timestamp > until);
        refreshKey(who);
        try this.answerExternal(job, who, "x") {
            vm.assertTrue(may, "answered out of turn");
            escrow[job.request.token] -= job.request.fee;
            credited[job.request.token] += job.request.fee;
            ++ends[jobId];
        } catch {
            vm.assertFalse(may, "could not be answered");
        }
        watch(pick);
    }

    function cancels(uint256 pick) external {
        if (jobs.length == 0) return;
        pick = pickJob(pick);
        IJobRelay.Job memory job = jobs[pick];
        bool may = stateOf(job) == IJobRelay.State.Requested && block.timestamp > job.request.deadline;
        try relay.cancel(job) {
            vm.assertTrue(may, "cancelled out of turn");
            escrow[job.request.token] -= job.request.fee;
            credited[job.request.token] += job.request.fee;
            ++ends[relay.jobIdOf(job)];
        } catch {
            vm.assertFalse(may, "could not be cancelled");
        }
        watch(pick);
    }

    function slashes(uint256 pick) external {
        if (jobs.length == 0) return;
        pick = pickJob(pick);
        uint256 jobId = relay.jobIdOf(jobs[pick]);
        (address drawn,) = relay.assignedTo(jobId);
        uint256 before = drawn == address(0) ? 0 : staking.stakeOf(drawn);
        try relay.slashLate(jobs[pick]) {
            ++lateSlashes[jobId];
            uint256 lost = before - staking.stakeOf(drawn);
            vm.assertLe(lost, LATE, "more than the penalty");
            stakeTaken += lost;
        } catch {}
        watch(pick);
    }

    function reports(uint256 back) external {
        uint40 batch = relay.drawState().batch;
        if (batch == 0) return;
        batch -= uint40(bound(back, 0, batch - 1 > 3 ? 3 : batch - 1));
        try relay.reportWithheld(batch) {} catch {}
    }

    function claims(uint256 pick, bool inTokens) external {
        address[] memory all = claimants();
        address who = all[bound(pick, 0, all.length - 1)];
        address token = inTokens ? address(payToken) : address(0);
        if (relay.owed(token, who) == 0) return;
        vm.prank(who);
        claimed[token] += relay.claim(token, makeAddress("purse"));
    }

    function waits(uint256 time) external {
        vm.roll(block.number + 1);
        vm.warp(block.timestamp + bound(time, 1, 90));
    }

    function terms() external {
        OperatorDraw.DrawState memory state = relay.drawState();
        if (state.seated != 0) vm.warp(uint256(state.startedAt) + TERM);
        else vm.warp(block.timestamp + REVEAL);
        vm.roll(block.number + 1);
        startTerm();
    }

    /// Late jobs are the ones of interest: of the last eight.
    function pickJob(uint256 pick) internal view returns (uint256) {
        uint256 count = jobs.length;
        return count - 1 - bound(pick, 0, count > 8 ? 7 : count - 1);
    }

    function refreshKey(uint256 who) internal {
        (,,, uint40 expiresAt) = registry.workerOf(workers[who]);
        if (block.timestamp + 1 >= expiresAt) registerWorker(string.concat("worker ", digit(who)), operators[who]);
    }

    function watch(uint256 index) internal {
        uint256 jobId = relay.jobIdOf(jobs[index]);
        IJobRelay.State before = seen[jobId];
        IJobRelay.State now_ = stateOf(jobs[index]);
        bool ended = before == IJobRelay.State.Answered || before == IJobRelay.State.Cancelled;
        if (ended && now_ != before) ++jobsChangedAfterTheirEnd;
        seen[jobId] = now_;
    }
}

contract JobRelayInvariants is Relays {
    RelayHandler internal handler;
    JobRelay internal tested;

    function setUp() external {
        handler = new RelayHandler();
        tested = handler.theRelay();
        targetContract(address(handler));
        bytes4[] memory doors = new bytes4[](9);
        doors[0] = RelayHandler.asks.selector;
        doors[1] = RelayHandler.reveals.selector;
        doors[2] = RelayHandler.answers.selector;
        doors[3] = RelayHandler.cancels.selector;
        doors[4] = RelayHandler.slashes.selector;
        doors[5] = RelayHandler.reports.selector;
        doors[6] = RelayHandler.claims.selector;
        doors[7] = RelayHandler.waits.selector;
        doors[8] = RelayHandler.terms.selector;
        targetSelector(address(handler), doors);
    }

    /// forge-config: default.invariant.runs = 48
    /// forge-config: default.invariant.depth = 64
    /// forge-config: long.invariant.runs = 256
    /// forge-config: long.invariant.depth = 256
    /// Solvency to the unit; no double pay; one end a job; no double slash; stake is conserved.
    function invariant_money_and_jobs_and_stake_add_up() external view {
        address token = handler.paymentToken();
        vm.assertEq(address(tested).balance, handler.escrow(address(0)) + owed(address(0)), "ETH");
        (, bytes memory balance) = token.staticcall(abi.encodeWithSignature("balanceOf(address)", address(tested)));
        vm.assertEq(abi.decode(balance, (uint256)), handler.escrow(token) + owed(token), "tokens");
        vm.assertEq(handler.credited(address(0)), owed(address(0)) + handler.claimed(address(0)), "credits in ETH");
        vm.assertEq(handler.credited(token), owed(token) + handler.claimed(token), "credits in tokens");
        vm.assertEq(handler.jobsChangedAfterTheirEnd(), 0, "a job ended twice");
        for (uint256 i = 0; i < handler.jobCount(); ++i) {
            uint256 jobId = tested.jobIdOf(handler.jobAt(i));
            vm.assertLe(handler.ends(jobId), 1, "paid twice");
            vm.assertLe(handler.lateSlashes(jobId), 1, "slashed twice");
        }
        (address stakes, address stakeToken_) = handler.stakingAndToken();
        (, balance) = stakeToken_.staticcall(abi.encodeWithSignature("balanceOf(address)", stakes));
        (, bytes memory held) = stakes.staticcall(abi.encodeWithSignature("totalStake()"));
        (, bytes memory due) = stakes.staticcall(abi.encodeWithSignature("totalOwed()"));
        vm.assertEq(abi.decode(balance, (uint256)), abi.decode(held, (uint256)) + abi.decode(due, (uint256)), "stake");
    }

    function owed(address token) internal view returns (uint256 sum) {
        address[] memory all = handler.claimants();
        for (uint256 i = 0; i < all.length; ++i) {
            sum += tested.owed(token, all[i]);
        }
    }
}
