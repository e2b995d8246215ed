// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title A frozen list of operators and weights, from which draws are made
/// @notice Kept as the code of an account: written once, never changed, and read at the price of a call, however long.
/// @dev Byte 0 is STOP. Then 32 bytes an operator: its address, and in the low 96 bits the sum of the weights up to and
/// including its own.
library Roll {
    /// @notice The account that holds the roll could not be made.
    error RollNotWritten();

    /// Writes the roll. Weights are positive.
    function write(address[] memory operators, uint64[] memory weights, uint256 count) internal returns (address roll) {
        // PUSH2 size, DUP1, PUSH1 10, PUSH0, CODECOPY, PUSH0, RETURN: what follows becomes the account's code.
        uint256 size = 1 + 32 * count;
        bytes memory code = abi.encodePacked(hex"61", SafeCast.toUint16(size), hex"80600a5f395ff3", new bytes(size));
        uint256 sum = 0;
        for (uint256 i = 0; i < count; ++i) {
            sum += weights[i];
            uint256 entry = (uint256(uint160(operators[i])) << 96) | sum;
            assembly ("memory-safe") {
                // 32 of length, 10 of constructor, 1 STOP.
                mstore(add(code, add(43, mul(32, i))), entry)
            }
        }
        assembly ("memory-safe") {
            roll := create(0, add(code, 32), mload(code))
        }
        if (roll == address(0)) revert RollNotWritten();
    }

    /// Draws one, each with the probability of its share of the weight; zero from an empty roll.
    function draw(address roll, bytes32 seed) internal view returns (address operator) {
        uint256 count = length(roll);
        if (count == 0) return address(0);
        // 2^256 is no multiple of the sum; the bias is below 2^-160.
        uint256 ticket = uint256(seed) % uint96(entryAt(roll, count - 1));
        // The first entry whose sum is above the ticket.
        (uint256 low, uint256 high) = (0, count - 1);
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (uint96(entryAt(roll, middle)) > ticket) high = middle;
            else low = middle + 1;
        }
        return address(uint160(entryAt(roll, low) >> 96));
    }

    /// How many are on it.
    function length(address roll) internal view returns (uint256) {
        return roll == address(0) ? 0 : (roll.code.length - 1) / 32;
    }

    function entryAt(address roll, uint256 index) internal view returns (uint256 entry) {
        assembly ("memory-safe") {
            extcodecopy(roll, 0, add(1, mul(32, index)), 32)
            entry := mload(0)
        }
    }
}
