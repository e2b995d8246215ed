// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {EnclaveRegistry} from "../../src/EnclaveRegistry.sol";
import {IEnclaveRegistry} from "../../src/interfaces/IEnclaveRegistry.sol";
import {ImageList} from "../../src/registry/ImageList.sol";
import {VerifierList} from "../../src/registry/VerifierList.sol";
import {RegistryWorld} from "./RegistryWorld.sol";

contract RegistryKeysTest is RegistryWorld {
    // What a registered key is.

    function test_a_registered_key_answers_for_its_operator() external {
        register(claim(key, operator, workerImage), verifierKey, secret);
        vm.assertEq(registry.workerOperator(key, 0), operator);
        vm.assertEq(registry.workerOperator(key, workerImage), operator);
        (address owner, bytes32 image, address voucher, uint40 expiresAt) = registry.workerOf(key);
        vm.assertEq(owner, operator);
        vm.assertEq(image, workerImage);
        vm.assertEq(voucher, verifier);
        vm.assertEq(expiresAt, START + LIFETIME);
    }

    function test_a_key_of_another_image_than_the_demanded_one_is_refused() external {
        register(claim(key, operator, workerImage), verifierKey, secret);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.OtherImage.selector, verifierImage, workerImage));
        registry.workerOperator(key, verifierImage);
    }

    function test_an_unknown_key_is_refused() external {
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyUnknown.selector, key));
        registry.workerOperator(key, 0);
    }

    function test_every_key_expires() external {
        register(claim(key, operator, workerImage), verifierKey, secret);
        vm.warp(START + LIFETIME - 1);
        vm.assertEq(registry.workerOperator(key, 0), operator);
        vm.warp(START + LIFETIME);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyExpired.selector, key, START + LIFETIME));
        registry.workerOperator(key, 0);
    }

    function test_a_key_ends_with_the_first_certificate_of_its_chain() external {
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        enclave.expiresMs = uint64(START + 3600) * 1000;
        register(enclave, verifierKey, secret);
        vm.warp(START + 3600);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyExpired.selector, key, START + 3600));
        registry.workerOperator(key, 0);
    }

    function test_a_new_document_prolongs_a_key_and_an_older_one_does_not_shorten_it() external {
        EnclaveRegistry.VerifiedEnclave memory older = claim(key, operator, workerImage);
        vm.warp(START + 300);
        register(claim(key, operator, workerImage), verifierKey, secret);
        register(older, verifierKey, secret);
        (,,, uint40 expiresAt) = registry.workerOf(key);
        vm.assertEq(expiresAt, START + 300 + LIFETIME);
    }

    // Who can register what.

    function test_nobody_claims_an_enclave_without_its_own_signature() external {
        (address thief, uint256 thiefKey) = makeKey("thief");
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, thief, workerImage);
        bytes memory word = signed(verifierKey, registry.enclaveDigest(enclave));
        bytes memory own = signed(thiefKey, registry.consentDigest(key, thief));
        vm.expectRevert(abi.encodeWithSelector(EnclaveRegistry.NoConsent.selector, thief));
        registry.register(enclave, word, own);
        // The enclave's consent to somebody else is of no use to the thief.
        bytes memory forOther = signed(secret, registry.consentDigest(key, operator));
        vm.expectPartialRevert(EnclaveRegistry.NoConsent.selector);
        registry.register(enclave, word, forOther);
    }

    function test_nobody_puts_his_enclave_to_anothers_name() external {
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        bytes memory word = signed(verifierKey, registry.enclaveDigest(enclave));
        bytes memory consent = signed(secret, registry.consentDigest(key, operator));
        address host = makeAddress("host");
        vm.prank(host);
        vm.expectRevert(abi.encodeWithSelector(EnclaveRegistry.NotTheOperator.selector, host, operator));
        registry.register(enclave, word, consent);
        vm.prank(operator);
        registry.register(enclave, word, consent);
        // What he has agreed to once, anybody may prolong.
        vm.prank(host);
        registry.register(enclave, word, consent);
        vm.assertEq(registry.workerOperator(key, workerImage), operator);
    }

    function test_consent_and_claim_count_for_one_chain_and_one_contract() external {
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        bytes memory word = signed(verifierKey, registry.enclaveDigest(enclave));
        bytes memory consent = signed(secret, registry.consentDigest(key, operator));
        EnclaveRegistry other = new EnclaveRegistry(registryConfig());
        vm.expectPartialRevert(VerifierList.NotVerifier.selector);
        other.register(enclave, word, consent);
        bytes memory wordForOther = signed(verifierKey, other.enclaveDigest(enclave));
        vm.expectPartialRevert(EnclaveRegistry.NoConsent.selector);
        other.register(enclave, wordForOther, consent);
        vm.chainId(999);
        vm.expectPartialRevert(VerifierList.NotVerifier.selector);
        registry.register(enclave, word, consent);
    }

    function test_a_bound_key_never_changes_its_operator() external {
        register(claim(key, operator, workerImage), verifierKey, secret);
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, makeAddress("other operator"), workerImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.KeyTaken.selector, key));
        this.registerExternal(enclave, verifierKey, secret);
    }

    function test_a_worker_vouches_for_nobody() external {
        register(claim(key, operator, workerImage), verifierKey, secret);
        (address next, uint256 nextSecret) = makeKey("next");
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(next, operator, workerImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.NotVerifier.selector, key));
        this.registerExternal(enclave, secret, nextSecret);
    }

    function test_a_verifier_answers_no_job() external {
        register(claim(key, operator, verifierImage), verifierKey, secret);
        vm.assertTrue(registry.isVerifier(key));
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyUnknown.selector, key));
        registry.workerOperator(key, 0);
    }

    function test_a_key_has_one_kind_for_ever() external {
        register(claim(key, operator, workerImage), verifierKey, secret);
        EnclaveRegistry.VerifiedEnclave memory asVerifier = claim(key, operator, verifierImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.KeyTaken.selector, key));
        this.registerExternal(asVerifier, verifierKey, secret);
        EnclaveRegistry.VerifiedEnclave memory asWorker = claim(verifier, operator, workerImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.KeyTaken.selector, verifier));
        this.registerExternal(asWorker, verifierKey, verifierKey);
    }

    function test_a_worker_without_operator_is_refused() external {
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, address(0), workerImage);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.KeyTaken.selector, key));
        this.registerExternal(enclave, verifierKey, secret);
    }

    function test_stale_and_future_documents_are_refused() external {
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        enclave.timestampMs -= uint64(MAX_AGE) * 1000 + 1;
        vm.expectRevert(abi.encodeWithSelector(EnclaveRegistry.DocumentTime.selector, enclave.timestampMs));
        this.registerExternal(enclave, verifierKey, secret);
        enclave.timestampMs = uint64(START) * 1000 + 30_001;
        vm.expectRevert(abi.encodeWithSelector(EnclaveRegistry.DocumentTime.selector, enclave.timestampMs));
        this.registerExternal(enclave, verifierKey, secret);
        enclave.timestampMs = uint64(START) * 1000 + 30_000;
        this.registerExternal(enclave, verifierKey, secret);
        vm.assertEq(registry.workerOperator(key, 0), operator);
    }

    function test_ended_certificates_are_refused() external {
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        enclave.expiresMs = uint64(START) * 1000;
        vm.expectRevert(abi.encodeWithSelector(VerifierList.DocumentExpired.selector, START));
        this.registerExternal(enclave, verifierKey, secret);
        enclave.imageId = verifierImage;
        vm.expectRevert(abi.encodeWithSelector(VerifierList.DocumentExpired.selector, START));
        this.registerExternal(enclave, verifierKey, secret);
    }

    function test_another_root_is_refused() external {
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        enclave.rootId = sha256("development root");
        vm.expectRevert(abi.encodeWithSelector(EnclaveRegistry.OtherRoot.selector, enclave.rootId));
        this.registerExternal(enclave, verifierKey, secret);
    }

    function test_an_image_that_nobody_named_is_refused() external {
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, keccak256("image"));
        vm.expectRevert(abi.encodeWithSelector(ImageList.ImageUnknown.selector, enclave.imageId));
        this.registerExternal(enclave, verifierKey, secret);
    }

    function testFuzz_no_field_of_a_claim_can_be_changed(uint256 field, bytes32 noise) external {
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        bytes memory word = signed(verifierKey, registry.enclaveDigest(enclave));
        bytes memory before = abi.encode(enclave);
        field = bound(field, 0, 6);
        if (field == 0) enclave.rootId = noise;
        if (field == 1) enclave.imageId = noise;
        if (field == 2) enclave.receiptKey = address(bytes20(noise));
        if (field == 3) enclave.operator = address(bytes20(noise));
        if (field == 4) enclave.userData = noise;
        if (field == 5) enclave.timestampMs = uint64(uint256(noise));
        if (field == 6) enclave.expiresMs = uint64(uint256(noise));
        vm.assume(keccak256(before) != keccak256(abi.encode(enclave)));
        vm.expectPartialRevert(VerifierList.NotVerifier.selector);
        registry.register(enclave, word, "");
    }

    function test_a_signature_has_one_form() external {
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, workerImage);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(verifierKey, registry.enclaveDigest(enclave));
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        bytes memory flipped = abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        vm.expectPartialRevert(ECDSA.ECDSAInvalidSignatureS.selector);
        registry.register(enclave, flipped, "");
        vm.expectPartialRevert(ECDSA.ECDSAInvalidSignatureLength.selector);
        registry.register(enclave, abi.encodePacked(r, s), "");
    }
}
