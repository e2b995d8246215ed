// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EnclaveRegistry} from "../../src/EnclaveRegistry.sol";
import {ImageList} from "../../src/registry/ImageList.sol";
import {VerifierList} from "../../src/registry/VerifierList.sol";
import {Test} from "./Test.sol";

/// @title A registry with an image for workers, one for verifiers, and a verifier
abstract contract Enclaves is Test {
    bytes32 internal constant ROOT = keccak256("root certificate");
    uint40 internal constant DELAY = 3 days;
    uint40 internal constant MAX_AGE = 600;
    uint40 internal constant LIFETIME = 1 days;
    uint40 internal constant START = 1_800_000_000;

    EnclaveRegistry internal registry;
    address internal approver;
    address internal revoker;
    address internal verifier;
    uint256 internal verifierKey;
    bytes32 internal workerImage;
    bytes32 internal verifierImage;

    /// An image that nobody ever built, the same for the same name.
    function measurements(string memory name) internal pure returns (ImageList.Measurements memory) {
        bytes16 tail = bytes16(keccak256(bytes(name)));
        return ImageList.Measurements({
            pcr0: abi.encodePacked(keccak256(abi.encode(name, 0)), tail),
            pcr1: abi.encodePacked(keccak256(abi.encode(name, 1)), tail),
            pcr2: abi.encodePacked(keccak256(abi.encode(name, 2)), tail)
        });
    }

    function imageId(ImageList.Measurements memory image) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(image.pcr0, image.pcr1, image.pcr2));
    }

    function registryConfig() internal returns (EnclaveRegistry.Config memory config) {
        approver = makeAddress("approver");
        revoker = makeAddress("revoker");
        (verifier, verifierKey) = makeKey("verifier");
        workerImage = imageId(measurements("worker"));
        verifierImage = imageId(measurements("verifier"));
        config.rootId = ROOT;
        config.approver = approver;
        config.revoker = revoker;
        config.approvalDelay = DELAY;
        config.maxAge = MAX_AGE;
        config.keyLifetime = LIFETIME;
        config.images = new ImageList.InitialImage[](2);
        config.images[0] = ImageList.InitialImage(measurements("worker"), ImageList.ImageKind.Worker);
        config.images[1] = ImageList.InitialImage(measurements("verifier"), ImageList.ImageKind.Verifier);
        config.verifiers = new VerifierList.InitialVerifier[](1);
        config.verifiers[0] = VerifierList.InitialVerifier(verifier, verifierImage, START + 365 days);
    }

    function deployRegistry() internal {
        vm.warp(START);
        registry = new EnclaveRegistry(registryConfig());
    }

    /// What an honest verifier says of the enclave with this key, now.
    function claim(address key, address operator, bytes32 image)
        internal
        view
        returns (EnclaveRegistry.VerifiedEnclave memory)
    {
        return EnclaveRegistry.VerifiedEnclave({
            rootId: ROOT,
            imageId: image,
            receiptKey: key,
            operator: operator,
            userData: keccak256(abi.encode("identity", key)),
            timestampMs: uint64(block.timestamp * 1000),
            expiresMs: uint64((block.timestamp + 30 days) * 1000)
        });
    }

    /// Registers `enclave` with the signatures of these two keys, sent by its operator.
    function register(EnclaveRegistry.VerifiedEnclave memory enclave, uint256 vouchingKey, uint256 receiptKey)
        internal
    {
        bytes memory word = signed(vouchingKey, registry.enclaveDigest(enclave));
        bytes memory consent = signed(receiptKey, registry.consentDigest(enclave.receiptKey, enclave.operator));
        vm.prank(enclave.operator);
        registry.register(enclave, word, consent);
    }

    /// A worker enclave of this operator, registered; `name` makes its key.
    function registerWorker(string memory name, address operator) internal returns (address key, uint256 secret) {
        (key, secret) = makeKey(name);
        register(claim(key, operator, workerImage), verifierKey, secret);
    }
}
