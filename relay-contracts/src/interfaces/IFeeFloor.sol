// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What a job must pay at least, to be drawn
interface IFeeFloor {
    /// @notice Fees are not taken in this token.
    error TokenNotTaken(address token);

    /// @notice The least fee with which a job that is asked for in this block is drawn.
    /// @param token In what; zero: ETH.
    /// @param callbackGas The callback's gas.
    /// @return floor Base units.
    function feeFloor(address token, uint32 callbackGas) external view returns (uint256 floor);
}
