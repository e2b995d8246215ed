// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EnclaveRegistry} from "../../src/EnclaveRegistry.sol";
import {ImageList} from "../../src/registry/ImageList.sol";
import {VerifierList} from "../../src/registry/VerifierList.sol";
import {RegistryWorld} from "./RegistryWorld.sol";

contract RegistryImagesTest is RegistryWorld {
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
}
