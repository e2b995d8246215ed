// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The bytes that watchers commit to and ask with
/// @notice The same as off chain, hash for hash, so that one set of scores serves the control plane and the chain.
library WatchersWords {
    /// @notice A tree is empty, too large, or its path has another length than the leaf's place has.
    error PathMalformed();

    /// @notice The most leaves of one tree.
    uint256 internal constant MAX_LEAVES = 1 << 16;

    /// @notice A watcher's commitment to an epoch's scores.
    function commitment(bytes32 salt, bytes32 watcherId, uint64 epoch, uint32 slotMs, uint16 epochSlots, bytes32 root)
        internal
        pure
        returns (bytes32)
    {
        return
            sha256(
                abi.encodePacked("nacre/uptime-commit/v1", bytes1(0), salt, watcherId, epoch, slotMs, epochSlots, root)
            );
    }

    /// @notice The nonce of one try: nobody knows it before the watcher sends it, and who knows the salt can tell whose it was.
    function nonce(bytes32 salt, bytes32 watcherId, bytes16 node, uint64 slot, uint8 attempt)
        internal
        pure
        returns (bytes32)
    {
        return sha256(abi.encodePacked("nacre/uptime-nonce/v1", bytes1(0), salt, watcherId, node, slot, attempt));
    }

    /// @notice The leaf of one node's row in an epoch's tree.
    function rowLeaf(bytes16 node, bytes32 evidenceRoot, bytes calldata outcomes) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0), "nacre/uptime-row/v1", node, evidenceRoot, outcomes));
    }

    /// @notice The RFC 6962 root to which a leaf and its path lead (RFC 9162 §2.1.3.2).
    function rootOf(bytes32 leaf, uint256 index, uint256 size, bytes32[] calldata path)
        internal
        pure
        returns (bytes32 hash)
    {
        if (size > MAX_LEAVES || index >= size) revert PathMalformed();
        hash = leaf;
        uint256 used;
        for (uint256 last = size - 1; last != 0; last >>= 1) {
            if (index & 1 == 1 || index < last) {
                if (used == path.length) revert PathMalformed();
                bytes32 other = path[used++];
                hash = index & 1 == 1 ? _inner(other, hash) : _inner(hash, other);
            }
            index >>= 1;
        }
        if (used != path.length) revert PathMalformed();
    }

    function _inner(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }
}
