// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What stake counted at a moment that is over
/// @notice For votes and draws that nobody may sway by staking after it knows what they are about.
interface IStakeHistory {
    /// @notice The moment is not over: what counts in it can still change.
    error NotPast(uint48 time);

    /// @notice The active stake of `account` at the end of the second `time`.
    /// @param time Unix seconds, in the past.
    function activeStakeAt(address account, uint48 time) external view returns (uint256 amount);
}
