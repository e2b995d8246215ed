// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOperatorStaking} from "./IOperatorStaking.sol";

/// @title Nodes as the contract that judges them sees them
interface INodeBook {
    /// @notice Length of the slots that the book counts in, milliseconds.
    function SLOT_MS() external view returns (uint32);

    /// @notice Where the operators' stake is that stands behind nodes.
    function STAKING() external view returns (IOperatorStaking);

    /// @notice Under which key a node of an operator is kept.
    function nodeKey(address operator, bytes16 node) external pure returns (bytes32);

    /// @notice In which slots a node has to be up: those that it is registered for as a whole, and that no drain excuses.
    /// @param firstSlot The first of the slots asked for.
    /// @param slots How many.
    /// @return bits Bit i modulo 256 of word i / 256 is set where the node answers for slot firstSlot + i.
    function answersFor(bytes32 key, uint64 firstSlot, uint16 slots) external view returns (uint256[] memory bits);

    /// @notice The most that stood behind a node until then, base units: it only ever rises.
    /// @param time Unix seconds.
    function behindAt(bytes32 key, uint48 time) external view returns (uint256);

    /// @notice Whether a receipt key's enclave was bound to the node before the slot was over.
    function livedOn(address receiptKey, bytes32 key, uint64 slot) external view returns (bool);
}
