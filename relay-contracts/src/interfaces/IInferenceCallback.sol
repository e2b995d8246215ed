// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What a contract implements to be told the answer to its request
interface IInferenceCallback {
    /// @notice The relay has an answer. Called with exactly the gas that the request named; a revert costs nobody but
    /// the callee: the answer stays readable at the relay, and the fee is earned.
    /// @dev Check that the caller is the relay and that `jobId` is one that you asked for: anybody can name any callback.
    /// @param jobId The job.
    /// @param status 0: `output` is the model's answer. Otherwise a refusal that model and input determine.
    /// @param output The answer's bytes, as the function encodes them.
    function onInference(uint256 jobId, uint8 status, bytes calldata output) external;
}
