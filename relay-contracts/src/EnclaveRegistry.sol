// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IEnclaveProof} from "./interfaces/IEnclaveProof.sol";
import {IEnclaveRegistry} from "./interfaces/IEnclaveRegistry.sol";
import {VerifierList} from "./registry/VerifierList.sol";
import {ImageList} from "./registry/ImageList.sol";

/// @title Which receipt keys live in attested enclaves, and for whom those work
/// @notice A key is registered by two signatures: a verifier enclave's, that a Nitro document under the one root shows
/// the key in an enclave of an approved image; and the key's own, that it works for this operator at this contract on
/// this chain. Without the second anybody could claim anybody's enclave; and the operator
/// himself sends a worker's first registration, so that nobody puts his enclaves to another's name. Where a full on-chain proof is deployed, it
/// stands in for the first. Every key ends; and it ends at once when its image, its verifier, or it itself is revoked.
/// @dev A valid key costs its reader four or five cold storage slots, whatever is registered besides.
contract EnclaveRegistry is IEnclaveRegistry, VerifierList, EIP712 {
    /// @notice What a verifier says of an enclave: the words that its service signs.
    struct VerifiedEnclave {
        /// SHA-256 of the root certificate's DER.
        bytes32 rootId;
        /// SHA-256(PCR0 ‖ PCR1 ‖ PCR2).
        bytes32 imageId;
        /// The address of the document's public key.
        address receiptKey;
        /// Whom the asker named: the key's own signature must name him, too.
        address operator;
        /// The document's user data.
        bytes32 userData;
        /// When the document was made, Unix milliseconds.
        uint64 timestampMs;
        /// When the first certificate of its chain ends, Unix milliseconds.
        uint64 expiresMs;
    }

    /// @notice What is fixed at deployment.
    struct Config {
        /// SHA-256 of the only root certificate's DER.
        bytes32 rootId;
        address approver;
        address revoker;
        /// Seconds from naming an image or verifier until it counts.
        uint40 approvalDelay;
        /// How old a document may be when its key is registered, in seconds.
        uint40 maxAge;
        /// How long a key is valid after its document was made, in seconds; the certificates' end may come first.
        uint40 keyLifetime;
        /// The on-chain proof; zero where there is none.
        IEnclaveProof proof;
        /// Images and verifiers that count from the start.
        InitialImage[] images;
        InitialVerifier[] verifiers;
    }

    struct Worker {
        address operator;
        uint40 expiresAt;
        // Index in `_verifiers`; 0: proven on chain.
        uint24 voucher;
        uint24 image;
        bool revoked;
    }

    /// @notice `key` answers for `operator` until `expiresAt`, Unix seconds.
    event WorkerRegistered(
        address indexed key,
        address indexed operator,
        bytes32 indexed imageId,
        address verifier,
        bytes32 userData,
        uint40 expiresAt
    );

    /// @notice `key` is worth nothing from now on, and so is every key that it vouched for.
    event KeyRevoked(address indexed key, address by);

    /// @notice The document is under another root.
    error OtherRoot(bytes32 rootId);

    /// @notice The document was made more than `maxAge` ago, or more than 30 s ahead.
    error DocumentTime(uint64 timestampMs);

    /// @notice The key itself did not agree to work for this operator here.
    error NoConsent(address signer);

    /// @notice A key works for whom it names only where he brings it himself; afterwards anybody may prolong it.
    error NotTheOperator(address caller, address operator);

    /// @notice There is no on-chain proof at this registry.
    error NoProof();

    /// @notice A setting is zero or out of range.
    error BadConfig();

    /// @notice How far ahead a document's time may be, in milliseconds.
    uint256 public constant MAX_AHEAD_MS = 30_000;

    /// @notice The longest that a key can be valid, in seconds: one year.
    uint40 public constant MAX_KEY_LIFETIME = 365 days;

    /// @notice The EIP-712 type that a verifier signs.
    bytes32 public constant ENCLAVE_TYPEHASH = keccak256(
        "VerifiedEnclave(bytes32 rootId,bytes32 imageId,address receiptKey,address operator,bytes32 userData,uint64 timestampMs,uint64 expiresMs)"
    );

    /// @notice The EIP-712 type that the receipt key signs.
    bytes32 public constant CONSENT_TYPEHASH = keccak256("OperatorConsent(address receiptKey,address operator)");

    /// @notice SHA-256 of the only root certificate's DER.
    bytes32 public immutable ROOT_ID;

    /// @notice How old a document may be when its key is registered, in seconds.
    uint40 public immutable MAX_AGE;

    /// @notice How long a key is valid after its document was made, in seconds.
    uint40 public immutable KEY_LIFETIME;

    /// @notice The on-chain proof; zero where there is none.
    IEnclaveProof public immutable PROOF;

    mapping(address key => Worker) private _workers;

    constructor(Config memory config)
        ImageList(config.approver, config.revoker, config.approvalDelay)
        EIP712("Nacre", "1")
    {
        if (config.rootId == 0 || config.maxAge == 0 || config.maxAge > MAX_KEY_LIFETIME) revert BadConfig();
        if (config.keyLifetime == 0 || config.keyLifetime > MAX_KEY_LIFETIME) revert BadConfig();
        ROOT_ID = config.rootId;
        MAX_AGE = config.maxAge;
        KEY_LIFETIME = config.keyLifetime;
        PROOF = config.proof;
        for (uint256 i = 0; i < config.images.length; ++i) {
            _addImage(config.images[i].measurements, config.images[i].kind, uint40(block.timestamp));
        }
        for (uint256 i = 0; i < config.verifiers.length; ++i) {
            InitialVerifier memory verifier = config.verifiers[i];
            uint256 image = _validImage(verifier.imageId);
            if (_images[image].kind != ImageKind.Verifier) revert NoImageKind();
            _putVerifier(verifier.key, image, verifier.expiresAt, 0);
        }
    }

    /// @inheritdoc IEnclaveRegistry
    function workerOperator(address key, bytes32 imageId) external view returns (address operator) {
        Worker memory worker = _workers[key];
        if (worker.operator == address(0)) revert KeyUnknown(key);
        if (worker.revoked) revert KeyIsRevoked(key);
        if (block.timestamp >= worker.expiresAt) revert KeyExpired(key, worker.expiresAt);
        Image storage image = _images[worker.image];
        if (image.revoked) revert ImageIsRevoked(image.id);
        if (imageId != 0 && imageId != image.id) revert OtherImage(imageId, image.id);
        _checkVouchers(worker.voucher);
        return worker.operator;
    }

    /// @notice Registers a key, or prolongs it, by a verifier's word. The operator sends a worker's first; the rest anybody may.
    /// @param enclave What the verifier says.
    /// @param verifierSignature The verifier's signature over `enclave`: r‖s‖v, this contract's EIP-712 domain.
    /// @param consent The receipt key's own, over `OperatorConsent(receiptKey, operator)`, same domain.
    function register(VerifiedEnclave calldata enclave, bytes calldata verifierSignature, bytes calldata consent)
        external
    {
        address signer = ECDSA.recoverCalldata(enclaveDigest(enclave), verifierSignature);
        _register(enclave, _voucherFor(signer), consent);
    }

    /// @notice Registers a key, or prolongs it, by a full proof on chain. Who sends it: as in `register`.
    /// @param proof What `PROOF` takes.
    /// @param operator Whom the key works for.
    /// @param consent As in `register`.
    function registerProven(bytes calldata proof, address operator, bytes calldata consent) external {
        if (address(PROOF) == address(0)) revert NoProof();
        VerifiedEnclave memory enclave;
        enclave.operator = operator;
        (
            enclave.rootId,
            enclave.imageId,
            enclave.receiptKey,
            enclave.userData,
            enclave.timestampMs,
            enclave.expiresMs
        ) = PROOF.prove(proof);
        _register(enclave, 0, consent);
    }

    /// @notice Ends a key at once and for good, registered or not; with a verifier's, every key that it vouched for.
    /// @dev The revoker may end any, and an operator its own workers'.
    function revokeKey(address key) external {
        if (msg.sender != REVOKER && msg.sender != _workers[key].operator) revert NotRevoker(msg.sender);
        _banned[key] = true;
        if (_workers[key].operator != address(0)) _workers[key].revoked = true;
        uint256 index = _verifierIndex[key];
        if (index != 0) _verifiers[index].expiresAt = 0;
        emit KeyRevoked(key, msg.sender);
    }

    /// @notice What is registered of a worker's key, valid or not.
    /// @return operator Whom it works for; zero where it was never registered.
    /// @return imageId What it runs.
    /// @return verifier Who vouched for it; zero where it was proven on chain.
    /// @return expiresAt When it ends, Unix seconds.
    function workerOf(address key)
        external
        view
        returns (address operator, bytes32 imageId, address verifier, uint40 expiresAt)
    {
        Worker memory worker = _workers[key];
        return (worker.operator, _images[worker.image].id, _verifiers[worker.voucher].key, worker.expiresAt);
    }

    /// @notice What the receipt key signs to work for `operator` here: the EIP-712 digest.
    function consentDigest(address receiptKey, address operator) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CONSENT_TYPEHASH, receiptKey, operator)));
    }

    /// @notice What a verifier signs of `enclave` for this registry: the EIP-712 digest.
    function enclaveDigest(VerifiedEnclave calldata enclave) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    ENCLAVE_TYPEHASH,
                    enclave.rootId,
                    enclave.imageId,
                    enclave.receiptKey,
                    enclave.operator,
                    enclave.userData,
                    enclave.timestampMs,
                    enclave.expiresMs
                )
            )
        );
    }

    function _register(VerifiedEnclave memory enclave, uint256 voucher, bytes calldata consent) private {
        if (enclave.rootId != ROOT_ID) revert OtherRoot(enclave.rootId);
        uint256 nowMs = block.timestamp * 1000;
        if (enclave.timestampMs > nowMs + MAX_AHEAD_MS || enclave.timestampMs + uint256(MAX_AGE) * 1000 < nowMs) {
            revert DocumentTime(enclave.timestampMs);
        }
        uint256 image = _validImage(enclave.imageId);
        address signer = ECDSA.recoverCalldata(consentDigest(enclave.receiptKey, enclave.operator), consent);
        if (signer != enclave.receiptKey) revert NoConsent(signer);
        uint256 expiresAt = enclave.timestampMs / 1000 + KEY_LIFETIME;
        if (enclave.expiresMs / 1000 < expiresAt) expiresAt = enclave.expiresMs / 1000;
        if (_images[image].kind == ImageKind.Worker) _putWorker(enclave, image, expiresAt, voucher);
        else _putVerifier(enclave.receiptKey, image, expiresAt, voucher);
    }

    function _putWorker(VerifiedEnclave memory enclave, uint256 image, uint256 expiresAt, uint256 voucher) private {
        address key = enclave.receiptKey;
        if (_banned[key]) revert KeyIsRevoked(key);
        if (block.timestamp >= expiresAt) revert DocumentExpired(expiresAt);
        if (_verifierIndex[key] != 0 || enclave.operator == address(0)) revert KeyTaken(key);
        Worker storage worker = _workers[key];
        if (worker.operator != address(0)) {
            if (worker.operator != enclave.operator || worker.image != image) revert KeyTaken(key);
            // An older document of the same enclave does not shorten what a younger one showed.
            if (expiresAt < worker.expiresAt) expiresAt = worker.expiresAt;
        } else if (msg.sender != enclave.operator) {
            // A key's consent is its host's word: without the operator's own, anybody's enclave could answer in his turn.
            revert NotTheOperator(msg.sender, enclave.operator);
        }
        _workers[key] = Worker({
            operator: enclave.operator,
            expiresAt: SafeCast.toUint40(expiresAt),
            voucher: SafeCast.toUint24(voucher),
            image: SafeCast.toUint24(image),
            revoked: false
        });
        emit WorkerRegistered(
            key,
            enclave.operator,
            enclave.imageId,
            _verifiers[voucher].key,
            enclave.userData,
            SafeCast.toUint40(expiresAt)
        );
    }

    function _isWorker(address key) internal view override returns (bool) {
        return _workers[key].operator != address(0);
    }
}
