// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Which keys live in which attested enclaves, as the contracts that check their signatures see it
interface IEnclaveRegistry {
    /// @notice Nobody has shown that this key lives in an enclave.
    error KeyUnknown(address key);

    /// @notice The key's time ended at `expiresAt`, Unix seconds.
    error KeyExpired(address key, uint64 expiresAt);

    /// @notice The key's enclave runs another image than the one demanded.
    error OtherImage(bytes32 demanded, bytes32 actual);

    /// @notice The operator for whom the enclave behind `key` works; reverts unless the key is valid right now.
    /// @param key The address of a worker's receipt key.
    /// @param imageId The image that it must run, SHA-256(PCR0 ‖ PCR1 ‖ PCR2); zero: any approved one.
    /// @return operator To whom the key bound itself.
    function workerOperator(address key, bytes32 imageId) external view returns (address operator);
}
