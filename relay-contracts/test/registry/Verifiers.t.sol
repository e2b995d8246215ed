// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EnclaveRegistry} from "../../src/EnclaveRegistry.sol";
import {ImageList} from "../../src/registry/ImageList.sol";
import {VerifierList} from "../../src/registry/VerifierList.sol";
import {RegistryWorld} from "./RegistryWorld.sol";

contract RegistryVerifiersTest is RegistryWorld {
    // Verifiers.

    function test_a_named_verifier_counts_only_after_the_delay() external {
        vm.prank(approver);
        registry.proposeVerifier(key, verifierImage, START + 10 days);
        vm.warp(START + DELAY - 1);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.NotProposed.selector, key));
        registry.enrolVerifier(key);
        vm.warp(START + DELAY);
        registry.enrolVerifier(key);
        vm.assertTrue(registry.isVerifier(key));
        vm.expectRevert(abi.encodeWithSelector(VerifierList.NotProposed.selector, key));
        registry.enrolVerifier(key);
    }

    function test_a_named_verifier_can_be_revoked_during_the_delay() external {
        vm.prank(approver);
        registry.proposeVerifier(key, verifierImage, START + 10 days);
        vm.prank(revoker);
        registry.revokeKey(key);
        vm.warp(START + DELAY);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.KeyIsRevoked.selector, key));
        registry.enrolVerifier(key);
    }

    function test_only_verifier_images_make_verifiers() external {
        vm.startPrank(approver);
        vm.expectRevert(ImageList.NoImageKind.selector);
        registry.proposeVerifier(key, workerImage, START + 10 days);
        vm.expectRevert(abi.encodeWithSelector(ImageList.ImageUnknown.selector, bytes32(0)));
        registry.proposeVerifier(key, 0, START + 10 days);
    }

    function test_an_expired_verifier_vouches_for_nobody_more_but_its_keys_live_on() external {
        (address second, uint256 secondKey) = makeKey("second verifier");
        register(claim(second, operator, verifierImage), verifierKey, secondKey);
        vm.warp(START + LIFETIME - 10);
        register(claim(key, operator, workerImage), secondKey, secret);
        vm.warp(START + LIFETIME);
        vm.assertFalse(registry.isVerifier(second));
        vm.assertEq(registry.workerOperator(key, 0), operator);
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.VerifierExpired.selector, second));
        this.registerExternal(enclave, secondKey, secret);
    }

    function test_a_chain_of_verifiers_is_short() external {
        uint256 above = verifierKey;
        for (uint256 depth = 1; depth <= registry.MAX_VERIFIER_DEPTH(); ++depth) {
            (address next, uint256 nextKey) = makeKey(string(abi.encodePacked("verifier ", bytes1(uint8(48 + depth)))));
            register(claim(next, operator, verifierImage), above, nextKey);
            above = nextKey;
        }
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, verifierImage);
        vm.expectRevert(VerifierList.VerifierTooDeep.selector);
        this.registerExternal(enclave, above, secret);
    }

    function test_verifiers_cannot_come_to_vouch_for_each_other() external {
        (address second, uint256 secondKey) = makeKey("second verifier");
        register(claim(second, operator, verifierImage), verifierKey, secondKey);
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(verifier, operator, verifierImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.KeyTaken.selector, verifier));
        this.registerExternal(enclave, secondKey, verifierKey);
    }

    function test_a_verifier_is_prolonged_by_who_vouched_for_it() external {
        (address second, uint256 secondKey) = makeKey("second verifier");
        EnclaveRegistry.VerifiedEnclave memory older = claim(second, operator, verifierImage);
        register(older, verifierKey, secondKey);
        vm.warp(START + 500);
        register(claim(second, operator, verifierImage), verifierKey, secondKey);
        register(older, verifierKey, secondKey);
        vm.warp(START + LIFETIME + 499);
        vm.assertTrue(registry.isVerifier(second));
        vm.warp(START + LIFETIME + 500);
        vm.assertFalse(registry.isVerifier(second));
    }

    function test_a_verifier_keeps_its_image() external {
        vm.prank(approver);
        bytes32 image = registry.proposeImage(measurements("next"), ImageList.ImageKind.Verifier);
        register(claim(key, operator, verifierImage), verifierKey, secret);
        vm.warp(START + DELAY);
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, image);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.KeyTaken.selector, key));
        this.registerExternal(enclave, verifierKey, secret);
    }
}
