// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A full on-chain check of a Nitro attestation document
/// @notice What an `EnclaveRegistry` asks where nobody's word is to be taken. Fixed when the registry is deployed.
interface IEnclaveProof {
    /// @notice Checks a document's envelope, certificate chain, signature and measurements; reverts unless all hold.
    /// @param proof The document, and hints of the prover's that make it cheaper to check.
    /// @return rootId SHA-256 of the root certificate's DER.
    /// @return imageId SHA-256(PCR0 ‖ PCR1 ‖ PCR2), none of them zero.
    /// @return receiptKey The address of the document's public key.
    /// @return userData The document's user data.
    /// @return timestampMs When the document was made, Unix milliseconds.
    /// @return expiresMs When the first certificate of its chain ends, Unix milliseconds.
    function prove(bytes calldata proof)
        external
        view
        returns (
            bytes32 rootId,
            bytes32 imageId,
            address receiptKey,
            bytes32 userData,
            uint64 timestampMs,
            uint64 expiresMs
        );
}
