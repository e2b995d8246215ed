// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EnclaveRegistry} from "../../src/EnclaveRegistry.sol";
import {Enclaves} from "../base/Enclaves.sol";

/// A registry, and an operator with a receipt key.
abstract contract RegistryWorld is Enclaves {
    address internal operator;
    address internal key;
    uint256 internal secret;

    function setUp() external {
        deployRegistry();
        operator = makeAddress("operator");
        (key, secret) = makeKey("receipt key");
    }

    /// `register` as one call, which a revert can be expected of.
    function registerExternal(EnclaveRegistry.VerifiedEnclave memory enclave, uint256 vouchingKey, uint256 receiptKey)
        external
    {
        register(enclave, vouchingKey, receiptKey);
    }
}
