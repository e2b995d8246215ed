// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {ImageList} from "./ImageList.sol";

/// @title Verifier enclaves: who may vouch for other enclaves
/// @notice The first one is named by the approver, after the same delay as an image. From then on verifiers vouch for
/// each other, so that one that restarts with a new key waits for nobody; the chain up to the approver is short, and
/// revoking any of its links ends everything below it at once.
abstract contract VerifierList is ImageList {
    /// @notice A verifier that counts from the start.
    struct InitialVerifier {
        address key;
        bytes32 imageId;
        uint40 expiresAt;
    }

    struct Verifier {
        address key;
        // 0: revoked.
        uint40 expiresAt;
        // Index in `_verifiers` of who vouched for it; 0: the approver, or proven on chain.
        uint24 voucher;
        uint24 image;
        uint8 depth;
    }

    struct ProposedVerifier {
        uint40 validFrom;
        uint40 expiresAt;
        uint24 image;
    }

    /// @notice `key` vouches for others until `expiresAt`, Unix seconds; `voucher` vouched for it: zero where the approver
    /// or a proof did.
    event VerifierRegistered(address indexed key, bytes32 indexed imageId, address voucher, uint40 expiresAt);

    /// @notice The approver named a verifier, which can be enrolled from `validFrom` on, Unix seconds.
    event VerifierProposed(address indexed key, bytes32 indexed imageId, uint40 validFrom, uint40 expiresAt);

    /// @notice The key, a verifier's or a worker's, was revoked.
    error KeyIsRevoked(address key);

    /// @notice The image of the enclave, or of a verifier that vouched for it, was revoked.
    error ImageIsRevoked(bytes32 imageId);

    /// @notice The verifier that vouched for the key, or one that vouched for that verifier, was revoked.
    error VerifierIsRevoked(address verifier);

    /// @notice What is to be registered has expired already.
    error DocumentExpired(uint256 expiresAt);

    /// @notice The signer of the claim is no verifier.
    error NotVerifier(address signer);

    /// @notice The verifier's own time ended.
    error VerifierExpired(address verifier);

    /// @notice The key is registered for another operator, image or kind of image, and those never change.
    error KeyTaken(address key);

    /// @notice A chain of verifiers that vouch for each other is at most `MAX_VERIFIER_DEPTH` long.
    error VerifierTooDeep();

    /// @notice No such proposal, or not yet.
    error NotProposed(address key);

    /// @notice The most verifiers between a verifier and the approver or a proof.
    uint8 public constant MAX_VERIFIER_DEPTH = 4;

    /// From 1 on: index 0 means none. No array, whose length every reader would have to load.
    mapping(uint256 index => Verifier) internal _verifiers;
    uint256 private _verifierCount;
    mapping(address key => uint256 index) internal _verifierIndex;
    mapping(address key => bool) internal _banned;
    mapping(address key => ProposedVerifier) private _proposed;

    /// @notice Names a verifier whose document the approver checked itself: how the first one comes. It can be enrolled
    /// after `APPROVAL_DELAY`; whoever disagrees has that long to have it revoked.
    /// @param key Its receipt key.
    /// @param imageId The image that it runs, one for verifiers.
    /// @param expiresAt Until when it counts, Unix seconds.
    function proposeVerifier(address key, bytes32 imageId, uint40 expiresAt) external onlyApprover {
        uint256 image = _imageIndex[imageId];
        if (image == 0) revert ImageUnknown(imageId);
        if (_images[image].kind != ImageKind.Verifier) revert NoImageKind();
        uint40 validFrom = uint40(block.timestamp) + APPROVAL_DELAY;
        _proposed[key] = ProposedVerifier({validFrom: validFrom, expiresAt: expiresAt, image: SafeCast.toUint24(image)});
        emit VerifierProposed(key, imageId, validFrom, expiresAt);
    }

    /// @notice Makes a proposed verifier count, once its delay is over. Anybody may send it.
    function enrolVerifier(address key) external {
        ProposedVerifier memory proposed = _proposed[key];
        if (proposed.validFrom == 0 || block.timestamp < proposed.validFrom) revert NotProposed(key);
        delete _proposed[key];
        uint256 image = _validImage(_images[proposed.image].id);
        _putVerifier(key, image, proposed.expiresAt, 0);
    }

    /// @notice Whether this verifier's signature would be taken now.
    function isVerifier(address key) external view returns (bool) {
        uint256 index = _verifierIndex[key];
        if (index == 0 || block.timestamp >= _verifiers[index].expiresAt) return false;
        (bool alive,,) = _vouchers(index);
        return alive;
    }

    /// The index of the verifier who signed `digest`, if its word counts now.
    function _voucherFor(address signer) internal view returns (uint256 voucher) {
        voucher = _verifierIndex[signer];
        if (voucher == 0) revert NotVerifier(signer);
        _checkVouchers(voucher);
        if (block.timestamp >= _verifiers[voucher].expiresAt) revert VerifierExpired(signer);
    }

    function _putVerifier(address key, uint256 image, uint256 expiresAt, uint256 voucher) internal {
        if (_banned[key]) revert KeyIsRevoked(key);
        if (block.timestamp >= expiresAt) revert DocumentExpired(expiresAt);
        if (key == address(0) || _isWorker(key)) revert KeyTaken(key);
        uint8 depth = voucher == 0 ? 0 : _verifiers[voucher].depth + 1;
        if (depth > MAX_VERIFIER_DEPTH) revert VerifierTooDeep();
        uint256 index = _verifierIndex[key];
        if (index == 0) {
            index = ++_verifierCount;
            _verifierIndex[key] = index;
        } else {
            // Prolonged only by who stands at least as near to the top: no two can come to vouch for each other.
            if (_verifiers[index].image != image || depth > _verifiers[index].depth) revert KeyTaken(key);
            // An older document of the same enclave does not shorten what a younger one showed.
            if (expiresAt < _verifiers[index].expiresAt) expiresAt = _verifiers[index].expiresAt;
        }
        _verifiers[index] = Verifier({
            key: key,
            expiresAt: SafeCast.toUint40(expiresAt),
            voucher: SafeCast.toUint24(voucher),
            image: SafeCast.toUint24(image),
            depth: depth
        });
        emit VerifierRegistered(key, _images[image].id, _verifiers[voucher].key, SafeCast.toUint40(expiresAt));
    }

    /// The image's index, if keys may be registered for it now.
    function _validImage(bytes32 imageId) internal view returns (uint256 index) {
        index = _imageIndex[imageId];
        if (index == 0) revert ImageUnknown(imageId);
        Image storage image = _images[index];
        if (image.revoked) revert ImageIsRevoked(imageId);
        if (block.timestamp < image.validFrom) revert ImageNotYetValid(imageId, image.validFrom);
    }

    function _checkVouchers(uint256 index) internal view {
        (bool alive, address verifier, bytes32 imageId) = _vouchers(index);
        if (alive) return;
        if (imageId != 0) revert ImageIsRevoked(imageId);
        revert VerifierIsRevoked(verifier);
    }

    /// Whether nobody from this verifier up to the top was revoked; otherwise who, or whose image. That one of them has
    /// expired since it vouched does not matter.
    function _vouchers(uint256 index) private view returns (bool alive, address verifier, bytes32 imageId) {
        while (index != 0) {
            Verifier memory link = _verifiers[index];
            if (link.expiresAt == 0) return (false, link.key, 0);
            Image storage image = _images[link.image];
            if (image.revoked) return (false, link.key, image.id);
            index = link.voucher;
        }
        return (true, address(0), 0);
    }

    /// Whether a worker has this key.
    function _isWorker(address key) internal view virtual returns (bool);
}
