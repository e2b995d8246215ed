// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";

/// A relay that takes and gives money as the real one does, and answers and cancels when a test says so.
contract FakeRelay is IJobRelay {
    struct Kept {
        State state;
        address requester;
        Request asked;
    }

    mapping(uint256 jobId => Kept) public jobs;
    mapping(address token => mapping(address account => uint256)) public owed;
    uint256[] public ids;
    /// Where set, claims fail.
    bool public stuck;

    function request(Request calldata asked, bytes calldata input) external payable returns (uint256 jobId) {
        require(input.length == 0 && asked.inputHash != 0, "by reference");
        require(msg.value == (asked.token == address(0) ? asked.fee : 0), "fee");
        jobId = uint256(keccak256(abi.encode(block.chainid, address(this), ids.length, asked)));
        ids.push(jobId);
        jobs[jobId] = Kept(State.Requested, msg.sender, asked);
        if (asked.token != address(0)) IERC20(asked.token).transferFrom(msg.sender, address(this), asked.fee);
    }

    function answer(uint256 jobId, address payee) external {
        require(jobs[jobId].state == State.Requested, "state");
        jobs[jobId].state = State.Answered;
        owed[jobs[jobId].asked.token][payee] += jobs[jobId].asked.fee;
    }

    function cancelJob(uint256 jobId) external {
        require(jobs[jobId].state == State.Requested, "state");
        jobs[jobId].state = State.Cancelled;
        owed[jobs[jobId].asked.token][jobs[jobId].requester] += jobs[jobId].asked.fee;
    }

    function feeFloor(address, uint32) external pure returns (uint256) {
        return 0;
    }

    function claim(address token, address to) external returns (uint256 amount) {
        amount = owed[token][msg.sender];
        require(amount != 0 && !stuck, "nothing");
        owed[token][msg.sender] = 0;
        if (token != address(0)) {
            IERC20(token).transfer(to, amount);
        } else {
            (bool taken,) = to.call{value: amount}("");
            require(taken, "refused");
        }
    }

    function jam(bool stuck_) external {
        stuck = stuck_;
    }

    function requestOf(uint256 jobId) external view returns (Request memory) {
        return jobs[jobId].asked;
    }

    function made() external view returns (uint256) {
        return ids.length;
    }

    function resultOf(uint256 jobId) external view returns (State, uint8, uint64, bytes32) {
        return (jobs[jobId].state, 0, 0, 0);
    }

    function submit(Job calldata, Result calldata, bytes calldata, bytes calldata) external pure {
        revert("not here");
    }

    function cancel(Job calldata) external pure {
        revert("not here");
    }

    function slashLate(Job calldata) external pure {
        revert("not here");
    }
}
