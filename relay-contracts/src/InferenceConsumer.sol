// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IInferenceCallback} from "./interfaces/IInferenceCallback.sol";
import {IJobRelay} from "./interfaces/IJobRelay.sol";
import {TensorInput} from "./relay/TensorInput.sol";

/// @title What a contract inherits to ask for inferences and be answered
/// @notice Call `_infer` with the input; `_onAnswer` or `_onFailure` follows, once for each job. An answer whose callback
/// ran out of gas or reverted is not lost: `deliver` hands it in again, by anybody.
abstract contract InferenceConsumer is IInferenceCallback {
    /// @notice Only the relay tells answers.
    error NotRelay(address caller);

    /// @notice This contract does not wait for this job.
    error NotWaiting(uint256 jobId);

    /// @notice The relay has no answer to this job, or another one.
    error NotTheAnswer(uint256 jobId);

    /// @notice The job was not cancelled.
    error NotCancelled(uint256 jobId);

    /// @notice The relay whose answers count.
    IJobRelay public immutable RELAY;

    /// @notice For which jobs this contract waits.
    mapping(uint256 jobId => bool) public waiting;

    constructor(IJobRelay relay) {
        RELAY = relay;
    }

    /// @inheritdoc IInferenceCallback
    function onInference(uint256 jobId, uint8 status, bytes calldata output) external {
        if (msg.sender != address(RELAY)) revert NotRelay(msg.sender);
        _settle(jobId, status, output);
    }

    /// @notice Hands in an answer that the relay has and this contract has not: its callback failed. Anybody may send it;
    /// the bytes are in the relay's event.
    function deliver(uint256 jobId, bytes calldata output) external {
        (IJobRelay.State state, uint8 status,, bytes32 outputHash) = RELAY.resultOf(jobId);
        if (state != IJobRelay.State.Answered || outputHash != sha256(output)) revert NotTheAnswer(jobId);
        _settle(jobId, status, output);
    }

    /// @notice Ends the wait for a job that was cancelled. Anybody may send it.
    function giveUp(uint256 jobId) external {
        (IJobRelay.State state,,,) = RELAY.resultOf(jobId);
        if (state != IJobRelay.State.Cancelled) revert NotCancelled(jobId);
        if (!waiting[jobId]) revert NotWaiting(jobId);
        delete waiting[jobId];
        _onFailure(jobId, 0, "");
    }

    /// Asks for an inference over tensors as they are, and is answered in the same form: the data of the model's inputs,
    /// and of its outputs, in the model's order, little-endian, without gaps. The rest as in `_infer`.
    function _inferTensors(
        bytes32 functionDigest,
        bytes memory tensors,
        uint32 callbackGas,
        uint40 patience,
        uint256 fee
    ) internal returns (uint256 jobId) {
        return _infer(functionDigest, TensorInput.encode(tensors), callbackGas, patience, fee);
    }

    /// Asks for an inference over `input`, to be told to this contract, paid in ETH of this contract's.
    /// @param functionDigest Which function.
    /// @param input Its input, encoded for an enclave: `TensorInput` has one way.
    /// @param callbackGas What `_onAnswer` needs, and about 10,000 to get there.
    /// @param patience Seconds until the deadline.
    /// @param fee In wei; `RELAY.feeFloor(address(0), callbackGas)` and more is drawn.
    function _infer(bytes32 functionDigest, bytes memory input, uint32 callbackGas, uint40 patience, uint256 fee)
        internal
        returns (uint256 jobId)
    {
        IJobRelay.Request memory asked = IJobRelay.Request({
            functionDigest: functionDigest,
            imageId: 0,
            inputHash: 0,
            callback: address(this),
            callbackGas: callbackGas,
            deadline: uint40(block.timestamp) + patience,
            token: address(0),
            fee: SafeCast.toUint96(fee)
        });
        jobId = RELAY.request{value: fee}(asked, input);
        waiting[jobId] = true;
    }

    /// The model's answer. Comes once, and only for a job that `_infer` began.
    function _onAnswer(uint256 jobId, bytes calldata output) internal virtual;

    /// There is no answer: a refusal that model and input determine (`status` not 0, `reason` the enclave's), or the job
    /// was cancelled (`status` 0). Comes once, instead of `_onAnswer`.
    function _onFailure(uint256 jobId, uint8 status, bytes memory reason) internal virtual;

    /// Has what the relay owes this contract sent to `to`: refunds of cancelled jobs.
    function _claim(address to) internal returns (uint256 amount) {
        return RELAY.claim(address(0), to);
    }

    function _settle(uint256 jobId, uint8 status, bytes calldata output) private {
        if (!waiting[jobId]) revert NotWaiting(jobId);
        delete waiting[jobId];
        if (status == 0) _onAnswer(jobId, output);
        else _onFailure(jobId, status, output);
    }
}
