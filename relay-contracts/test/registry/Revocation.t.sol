// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EnclaveRegistry} from "../../src/EnclaveRegistry.sol";
import {ImageList} from "../../src/registry/ImageList.sol";
import {VerifierList} from "../../src/registry/VerifierList.sol";
import {RegistryWorld} from "./RegistryWorld.sol";

contract RegistryRevocationTest is RegistryWorld {
    // Revocation.

    function test_revoking_an_image_ends_its_keys_at_once() external {
        register(claim(key, operator, workerImage), verifierKey, secret);
        vm.prank(revoker);
        registry.revokeImage(workerImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.ImageIsRevoked.selector, workerImage));
        registry.workerOperator(key, 0);
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.ImageIsRevoked.selector, workerImage));
        this.registerExternal(enclave, verifierKey, secret);
    }

    function test_revoking_a_verifier_ends_the_keys_it_vouched_for_at_once() external {
        register(claim(key, operator, workerImage), verifierKey, secret);
        vm.prank(revoker);
        registry.revokeKey(verifier);
        vm.assertFalse(registry.isVerifier(verifier));
        vm.expectRevert(abi.encodeWithSelector(VerifierList.VerifierIsRevoked.selector, verifier));
        registry.workerOperator(key, 0);
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.VerifierIsRevoked.selector, verifier));
        this.registerExternal(enclave, verifierKey, secret);
    }

    function test_revoking_a_verifier_image_ends_the_keys_below_it_at_once() external {
        register(claim(key, operator, workerImage), verifierKey, secret);
        vm.prank(revoker);
        registry.revokeImage(verifierImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.ImageIsRevoked.selector, verifierImage));
        registry.workerOperator(key, 0);
    }

    function test_revoking_the_first_verifier_ends_the_whole_chain_below_it() external {
        (address second, uint256 secondKey) = makeKey("second verifier");
        register(claim(second, operator, verifierImage), verifierKey, secondKey);
        register(claim(key, operator, workerImage), secondKey, secret);
        vm.assertEq(registry.workerOperator(key, 0), operator);
        vm.prank(revoker);
        registry.revokeKey(verifier);
        vm.assertFalse(registry.isVerifier(second));
        vm.expectRevert(abi.encodeWithSelector(VerifierList.VerifierIsRevoked.selector, verifier));
        registry.workerOperator(key, 0);
    }

    function test_a_key_whose_verifier_was_revoked_comes_back_by_another_one() external {
        (address second, uint256 secondKey) = makeKey("second verifier");
        vm.prank(approver);
        registry.proposeVerifier(second, verifierImage, START + 100 days);
        vm.warp(START + DELAY);
        registry.enrolVerifier(second);
        register(claim(key, operator, workerImage), verifierKey, secret);
        vm.prank(revoker);
        registry.revokeKey(verifier);
        register(claim(key, operator, workerImage), secondKey, secret);
        vm.assertEq(registry.workerOperator(key, 0), operator);
    }

    function test_an_operator_revokes_its_own_worker_for_good() external {
        register(claim(key, operator, workerImage), verifierKey, secret);
        vm.prank(operator);
        registry.revokeKey(key);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.KeyIsRevoked.selector, key));
        registry.workerOperator(key, 0);
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.KeyIsRevoked.selector, key));
        this.registerExternal(enclave, verifierKey, secret);
    }

    function test_a_stranger_revokes_nothing() external {
        register(claim(key, operator, workerImage), verifierKey, secret);
        vm.expectRevert(abi.encodeWithSelector(ImageList.NotRevoker.selector, address(this)));
        registry.revokeKey(key);
        vm.expectRevert(abi.encodeWithSelector(ImageList.NotRevoker.selector, address(this)));
        registry.revokeImage(workerImage);
        vm.prank(approver);
        vm.expectRevert(abi.encodeWithSelector(ImageList.NotRevoker.selector, approver));
        registry.revokeImage(workerImage);
    }

    function test_an_unknown_image_cannot_be_revoked() external {
        vm.prank(revoker);
        vm.expectRevert(abi.encodeWithSelector(ImageList.ImageUnknown.selector, keccak256("image")));
        registry.revokeImage(keccak256("image"));
    }
}
