// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Tensors as an enclave takes them from a contract
/// @notice An input is deterministic CBOR that names its media type. Of bare tensors (`application/vnd.nacre.tensors`) the
/// body is the data of the model's inputs in the model's order, little-endian, without gaps, and the answer is its
/// outputs' in the same form. The salt is zero: what is on a chain is no secret.
library TensorInput {
    // {1: 1, 2: the media type, 3: "", 4: 32 zero bytes, 5: the body, whose length follows}
    bytes private constant HEAD = hex"a5010102781d6170706c69636174696f6e2f766e642e6e616372652e74656e736f727303600458200000000000000000000000000000000000000000000000000000000000000000"
        hex"05";

    /// The input that has these tensors.
    /// @param tensors The model's inputs; shorter than 2^32 bytes.
    function encode(bytes memory tensors) internal pure returns (bytes memory) {
        return bytes.concat(HEAD, _length(tensors.length), tensors);
    }

    /// The shortest head of a byte string, RFC 8949.
    function _length(uint256 length) private pure returns (bytes memory) {
        // Each cast is of a number that the comparison before it bounds.
        // forge-lint: disable-start(unsafe-typecast)
        if (length < 24) return abi.encodePacked(uint8(0x40 + length));
        if (length < 1 << 8) return abi.encodePacked(uint8(0x58), uint8(length));
        if (length < 1 << 16) return abi.encodePacked(uint8(0x59), uint16(length));
        return abi.encodePacked(uint8(0x5a), uint32(length));
        // forge-lint: disable-end(unsafe-typecast)
    }
}
