// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {EnclaveRegistry} from "../src/EnclaveRegistry.sol";
import {IEnclaveProof} from "../src/interfaces/IEnclaveProof.sol";
import {IEnclaveRegistry} from "../src/interfaces/IEnclaveRegistry.sol";
import {ImageList} from "../src/registry/ImageList.sol";
import {VerifierList} from "../src/registry/VerifierList.sol";
import {Enclaves} from "./base/Enclaves.sol";

/// Says of a proof what its bytes say.
contract RepeatingProof is IEnclaveProof {
    function prove(bytes calldata proof) external pure returns (bytes32, bytes32, address, bytes32, uint64, uint64) {
        return abi.decode(proof, (bytes32, bytes32, address, bytes32, uint64, uint64));
    }
}

contract EnclaveRegistryTest is Enclaves {
    address internal operator;
    address internal key;
    uint256 internal secret;

    function setUp() external {
        deployRegistry();
        operator = makeAddress("operator");
        (key, secret) = makeKey("receipt key");
    }

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

    // Images.

    function test_an_image_counts_only_after_the_delay() external {
        vm.prank(approver);
        bytes32 image = registry.proposeImage(measurements("next"), ImageList.ImageKind.Worker);
        vm.assertEq(image, imageId(measurements("next")));
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, image);
        vm.expectRevert(abi.encodeWithSelector(ImageList.ImageNotYetValid.selector, image, START + DELAY));
        this.registerExternal(enclave, verifierKey, secret);
        vm.warp(START + DELAY);
        register(claim(key, operator, image), verifierKey, secret);
        vm.assertEq(registry.workerOperator(key, image), operator);
    }

    function test_an_image_can_be_revoked_before_it_counts_and_never_comes_back() external {
        vm.prank(approver);
        bytes32 image = registry.proposeImage(measurements("next"), ImageList.ImageKind.Worker);
        vm.prank(revoker);
        registry.revokeImage(image);
        vm.prank(approver);
        vm.expectRevert(abi.encodeWithSelector(ImageList.ImageKnown.selector, image));
        registry.proposeImage(measurements("next"), ImageList.ImageKind.Worker);
        vm.warp(START + DELAY);
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operator, image);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.ImageIsRevoked.selector, image));
        this.registerExternal(enclave, verifierKey, secret);
        (ImageList.ImageKind kind, uint40 validFrom, bool revoked) = registry.imageOf(image);
        vm.assertTrue(kind == ImageList.ImageKind.Worker);
        vm.assertEq(validFrom, START + DELAY);
        vm.assertTrue(revoked);
    }

    function test_a_debug_image_is_never_named() external {
        ImageList.Measurements memory image = measurements("debug");
        image.pcr1 = new bytes(48);
        vm.prank(approver);
        vm.expectRevert(abi.encodeWithSelector(ImageList.ZeroMeasurement.selector, 1));
        registry.proposeImage(image, ImageList.ImageKind.Worker);
    }

    function testFuzz_one_set_bit_is_a_measurement(uint256 bit) external {
        bit = bound(bit, 0, 383);
        ImageList.Measurements memory image = measurements("one bit");
        image.pcr2 = new bytes(48);
        image.pcr2[bit / 8] = bytes1(uint8(1 << (bit % 8)));
        vm.prank(approver);
        registry.proposeImage(image, ImageList.ImageKind.Verifier);
    }

    function testFuzz_a_measurement_has_48_bytes(uint256 length) external {
        length = bound(length, 0, 200);
        vm.assume(length != 48);
        ImageList.Measurements memory image = measurements("short");
        image.pcr0 = new bytes(length);
        vm.prank(approver);
        vm.expectRevert(abi.encodeWithSelector(ImageList.MeasurementLength.selector, 0, length));
        registry.proposeImage(image, ImageList.ImageKind.Worker);
    }

    function test_an_image_has_a_kind() external {
        vm.prank(approver);
        vm.expectRevert(ImageList.NoImageKind.selector);
        registry.proposeImage(measurements("none"), ImageList.ImageKind.None);
    }

    function test_only_the_approver_names_images_and_verifiers() external {
        vm.prank(revoker);
        vm.expectRevert(abi.encodeWithSelector(ImageList.NotApprover.selector, revoker));
        registry.proposeImage(measurements("next"), ImageList.ImageKind.Worker);
        vm.expectRevert(abi.encodeWithSelector(ImageList.NotApprover.selector, address(this)));
        registry.proposeVerifier(key, verifierImage, START + 10 days);
    }

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

    // The proof on chain.

    function test_a_proof_on_chain_needs_no_verifier() external {
        EnclaveRegistry.Config memory config = registryConfig();
        config.proof = new RepeatingProof();
        EnclaveRegistry proving = new EnclaveRegistry(config);
        bytes memory proof = abi.encode(
            ROOT, workerImage, key, bytes32("user data"), uint64(START) * 1000, uint64(START + 30 days) * 1000
        );
        bytes memory consent = signed(secret, proving.consentDigest(key, operator));
        vm.prank(revoker);
        proving.revokeKey(verifier);
        vm.expectRevert(abi.encodeWithSelector(EnclaveRegistry.NotTheOperator.selector, address(this), operator));
        proving.registerProven(proof, operator, consent);
        vm.prank(operator);
        proving.registerProven(proof, operator, consent);
        vm.assertEq(proving.workerOperator(key, workerImage), operator);
        (,, address voucher,) = proving.workerOf(key);
        vm.assertEq(voucher, address(0));
    }

    function test_where_no_proof_is_deployed_none_is_taken() external {
        vm.expectRevert(EnclaveRegistry.NoProof.selector);
        registry.registerProven("", operator, "");
    }

    // Deployment.

    function test_a_senseless_configuration_is_refused() external {
        EnclaveRegistry.Config memory config = registryConfig();
        config.revoker = config.approver;
        vm.expectRevert(ImageList.BadRoles.selector);
        new EnclaveRegistry(config);
        config = registryConfig();
        config.approver = address(0);
        vm.expectRevert(ImageList.BadRoles.selector);
        new EnclaveRegistry(config);
        config = registryConfig();
        config.approvalDelay = 91 days;
        vm.expectRevert(ImageList.BadRoles.selector);
        new EnclaveRegistry(config);
        config = registryConfig();
        config.rootId = 0;
        vm.expectRevert(EnclaveRegistry.BadConfig.selector);
        new EnclaveRegistry(config);
        config = registryConfig();
        config.keyLifetime = 366 days;
        vm.expectRevert(EnclaveRegistry.BadConfig.selector);
        new EnclaveRegistry(config);
        config = registryConfig();
        config.verifiers[0].imageId = workerImage;
        vm.expectRevert(ImageList.NoImageKind.selector);
        new EnclaveRegistry(config);
        config = registryConfig();
        config.verifiers[0].key = address(0);
        vm.expectRevert(abi.encodeWithSelector(VerifierList.KeyTaken.selector, address(0)));
        new EnclaveRegistry(config);
    }

    /// The digest is the one that the verifier service signs: its own test vector, made by an independent implementation.
    function test_the_digest_is_the_verifier_services() external {
        address place = 0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359;
        vm.etch(place, address(registry).code);
        vm.chainId(1);
        EnclaveRegistry.VerifiedEnclave memory enclave = EnclaveRegistry.VerifiedEnclave({
            rootId: 0x4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2,
            imageId: 0x6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d,
            receiptKey: 0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB,
            operator: 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed,
            userData: 0x52408ce928fcece4a50261fcbb1c3a1556b12bd3ad2c32ee0fd5a8d429b46193,
            timestampMs: 1700000000000,
            expiresMs: 1700010800000
        });
        vm.assertEq(
            EnclaveRegistry(place).enclaveDigest(enclave),
            0xa4c8ceb0864f0197b316320fb3c96952163e7c7d92bd3972c283cc76fa0d6274
        );
    }

    /// `register` as one call, which a revert can be expected of.
    function registerExternal(EnclaveRegistry.VerifiedEnclave memory enclave, uint256 vouchingKey, uint256 receiptKey)
        external
    {
        register(enclave, vouchingKey, receiptKey);
    }
}
