// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EnclaveRegistry} from "../src/EnclaveRegistry.sol";
import {Enclaves} from "./base/Enclaves.sol";

/// Reading JSON, as forge does it.
interface ConsentFile {
    function readFile(string calldata path) external view returns (string memory);
    function parseJsonAddress(string calldata json, string calldata key) external pure returns (address);
    function parseJsonUint(string calldata json, string calldata key) external pure returns (uint256);
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function parseJsonBytes32(string calldata json, string calldata key) external pure returns (bytes32);
}

/// The registry takes what an enclave signs: `protocol/src/operator_consent/tests.rs` wrote the file.
contract ConsentTest is Enclaves {
    ConsentFile constant json = ConsentFile(address(uint160(uint256(keccak256("hevm cheat code")))));
    string file;
    EnclaveRegistry there;

    function setUp() external {
        file = json.readFile("test/vectors/consent.json");
        vm.chainId(json.parseJsonUint(file, ".chainId"));
        // What a contract is deployed with stands in its code: it is made here, and stands at the vectors' address.
        address place = json.parseJsonAddress(file, ".registry");
        vm.warp(START);
        deployRegistryTo(place);
        there = EnclaveRegistry(place);
    }

    function deployRegistryTo(address place) private {
        bytes memory creation = abi.encodePacked(type(EnclaveRegistry).creationCode, abi.encode(registryConfig()));
        vm.etch(place, creation);
        (bool made, bytes memory code) = place.call("");
        vm.assertTrue(made);
        vm.etch(place, code);
    }

    function test_an_enclaves_consent_registers_its_key() external {
        for (uint256 i = 0; i < 2; ++i) {
            string memory entry = i == 0 ? ".consents[0]" : ".consents[1]";
            address key = json.parseJsonAddress(file, string.concat(entry, ".receiptKey"));
            address operator = json.parseJsonAddress(file, string.concat(entry, ".operator"));
            bytes memory consent = json.parseJsonBytes(file, string.concat(entry, ".signature"));
            vm.assertEq(
                there.consentDigest(key, operator), json.parseJsonBytes32(file, string.concat(entry, ".digest"))
            );
            EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
            bytes memory word = signed(verifierKey, there.enclaveDigest(enclave));
            vm.prank(enclave.operator);
            there.register(enclave, word, consent);
            vm.assertEq(there.workerOperator(key, workerImage), operator);
        }
    }

    function test_the_same_consent_is_none_to_another_operator() external {
        address key = json.parseJsonAddress(file, ".consents[0].receiptKey");
        bytes memory consent = json.parseJsonBytes(file, ".consents[0].signature");
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, makeAddress("thief"), workerImage);
        bytes memory word = signed(verifierKey, there.enclaveDigest(enclave));
        vm.expectPartialRevert(EnclaveRegistry.NoConsent.selector);
        vm.prank(enclave.operator);
        there.register(enclave, word, consent);
    }
}
