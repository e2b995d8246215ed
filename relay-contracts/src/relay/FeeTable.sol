// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IFeeFloor} from "../interfaces/IFeeFloor.sol";

/// @title What a job must pay for, to be drawn
/// @notice A job that pays the floor is assigned to an operator. One that pays less is anybody's who finds it worth it.
/// Which tokens are taken, and their floors, is fixed at deployment.
abstract contract FeeTable is IFeeFloor {
    /// @notice A token that fees are taken in.
    struct TokenFee {
        address token;
        /// Base units a job pays at least.
        uint96 floor;
        /// Base units a gas of submission and callback, times 2^32.
        uint96 perGas;
    }

    struct Fee {
        bool taken;
        uint96 floor;
        uint96 perGas;
    }

    /// @notice A token is named twice, or ETH among the tokens.
    error TokenTwice(address token);

    /// @notice What a submission costs besides its callback, in gas, as the floor counts it.
    uint256 public constant SUBMISSION_GAS = 120_000;

    /// @notice What a job in ETH pays at least, in wei, beside its gas at twice the base fee of its block.
    uint96 public immutable ETH_FLOOR;

    mapping(address token => Fee) private _fees;

    constructor(uint96 ethFloor, TokenFee[] memory fees) {
        ETH_FLOOR = ethFloor;
        for (uint256 i = 0; i < fees.length; ++i) {
            TokenFee memory fee = fees[i];
            if (fee.token == address(0) || _fees[fee.token].taken) revert TokenTwice(fee.token);
            _fees[fee.token] = Fee({taken: true, floor: fee.floor, perGas: fee.perGas});
        }
    }

    /// @inheritdoc IFeeFloor
    function feeFloor(address token, uint32 callbackGas) public view override returns (uint256 floor) {
        uint256 gas_ = SUBMISSION_GAS + callbackGas;
        if (token == address(0)) return ETH_FLOOR + 2 * block.basefee * gas_;
        Fee memory fee = _fees[token];
        if (!fee.taken) revert TokenNotTaken(token);
        return fee.floor + ((gas_ * fee.perGas) >> 32);
    }
}
