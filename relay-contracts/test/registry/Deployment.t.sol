// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EnclaveRegistry} from "../../src/EnclaveRegistry.sol";
import {IEnclaveProof} from "../../src/interfaces/IEnclaveProof.sol";
import {ImageList} from "../../src/registry/ImageList.sol";
import {VerifierList} from "../../src/registry/VerifierList.sol";
import {RegistryWorld} from "./RegistryWorld.sol";

/// Says of a proof what its bytes say.
contract RepeatingProof is IEnclaveProof {
    function prove(bytes calldata proof) external pure returns (bytes32, bytes32, address, bytes32, uint64, uint64) {
        return abi.decode(proof, (bytes32, bytes32, address, bytes32, uint64, uint64));
    }
}

contract RegistryDeploymentTest is RegistryWorld {
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
}
