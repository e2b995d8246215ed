// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {WatchersWords} from "./WatchersWords.sol";

/// @title Receipts of enclaves, checked on chain
/// @notice An enclave signs every answer: EIP-712, domain `{name: "Nacre", version: "1"}` without a chain, many receipts under
/// one Merkle root.
library Receipts {
    /// @notice What was asked. The caller's salt is hashed with it, so that the signed hash names the caller's nonce.
    struct Request {
        /// @notice HTTP method, upper case.
        string method;
        /// @notice Path with its query, as sent.
        string path;
        /// @notice `content-type`, empty where absent.
        string contentType;
        /// @notice `inference-header-content-length`, empty where absent.
        string inferenceHeaderLength;
        /// @notice Body after content decoding.
        bytes body;
    }

    /// @notice What was signed of the answer.
    struct Receipt {
        /// @notice The function that answered.
        bytes32 functionDigest;
        /// @notice Salted hash of the response.
        bytes32 responseHash;
        /// @notice When the work began, Unix milliseconds by the enclave's clock.
        uint64 startedMs;
        /// @notice Time in the model, microseconds.
        uint32 computeMicros;
        /// @notice HTTP status.
        uint16 status;
        /// @notice Place in the batch.
        uint32 index;
        /// @notice Receipts of the batch.
        uint32 size;
        /// @notice Path to the batch's root.
        bytes32[] path;
        /// @notice The receipt key's over the batch: r‖s‖v.
        bytes signature;
    }

    bytes32 private constant RECEIPT_TYPEHASH = keccak256(
        "InferenceReceipt(bytes32 functionDigest,bytes32 requestHash,bytes32 responseHash,uint64 startedMs,uint32 computeMicros,uint16 status)"
    );
    bytes32 private constant BATCH_TYPEHASH = keccak256("ReceiptBatch(bytes32 root)");
    bytes32 private constant DOMAIN_TYPEHASH = keccak256("EIP712Domain(string name,string version)");

    /// @notice The salted hash of a request.
    function requestHash(Request calldata request, bytes32 salt) internal pure returns (bytes32) {
        return sha256(
            abi.encodePacked(
                "nacre/request/v1",
                salt,
                _part(bytes(request.method)),
                _part(bytes(request.path)),
                _part(bytes(request.contentType)),
                _part(bytes(request.inferenceHeaderLength)),
                _part(request.body)
            )
        );
    }

    /// @notice Whose key signed this receipt of a request with that hash; zero where nobody did.
    function signer(Receipt calldata receipt, bytes32 request) internal pure returns (address) {
        bytes32 hashStruct = keccak256(
            abi.encode(
                RECEIPT_TYPEHASH,
                receipt.functionDigest,
                request,
                receipt.responseHash,
                receipt.startedMs,
                receipt.computeMicros,
                receipt.status
            )
        );
        bytes32 leaf = sha256(abi.encodePacked(bytes1(0), hashStruct));
        bytes32 root = WatchersWords.rootOf(leaf, receipt.index, receipt.size, receipt.path);
        bytes32 domain = keccak256(abi.encode(DOMAIN_TYPEHASH, keccak256("Nacre"), keccak256("1")));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", domain, keccak256(abi.encode(BATCH_TYPEHASH, root))));
        (address who, ECDSA.RecoverError wrong,) = ECDSA.tryRecoverCalldata(digest, receipt.signature);
        return wrong == ECDSA.RecoverError.NoError ? who : address(0);
    }

    /// @dev A part with its length before it, eight bytes, big-endian.
    function _part(bytes calldata part) private pure returns (bytes memory) {
        return abi.encodePacked(uint64(part.length), part);
    }
}
