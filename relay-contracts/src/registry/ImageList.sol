// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Images that may run
/// @notice One role names an image, and it counts only after a delay in which everybody can look at it; another role
/// takes it back, at once and for good. Neither can do the other's work, and both are fixed at deployment: a role that
/// has to change hands belongs to a contract with its own rules for that.
abstract contract ImageList {
    /// @notice What an image may be used for. An image has one kind for ever.
    enum ImageKind {
        None,
        Worker,
        Verifier
    }

    /// @notice An image's measurements, 48 bytes each, as `nacre image build` prints them.
    struct Measurements {
        bytes pcr0;
        bytes pcr1;
        bytes pcr2;
    }

    /// @notice An image and what it is for.
    struct InitialImage {
        Measurements measurements;
        ImageKind kind;
    }

    struct Image {
        bytes32 id;
        uint40 validFrom;
        ImageKind kind;
        bool revoked;
    }

    /// @notice An image was named; keys of its enclaves can be registered from `validFrom` on, Unix seconds.
    event ImageProposed(bytes32 indexed imageId, ImageKind kind, uint40 validFrom, bytes pcr0, bytes pcr1, bytes pcr2);

    /// @notice An image was taken back: its keys are worth nothing from now on.
    event ImageRevoked(bytes32 indexed imageId);

    /// @notice The caller may not name images or verifiers.
    error NotApprover(address caller);

    /// @notice The caller may not revoke this.
    error NotRevoker(address caller);

    /// @notice A measurement is not 48 bytes long.
    error MeasurementLength(uint8 pcr, uint256 length);

    /// @notice A measurement is all zeros: that enclave runs in debug mode, and its host reads its memory.
    error ZeroMeasurement(uint8 pcr);

    /// @notice An image is for workers or for verifiers.
    error NoImageKind();

    /// @notice The image was named before; a revoked one never comes back.
    error ImageKnown(bytes32 imageId);

    /// @notice The image was never named.
    error ImageUnknown(bytes32 imageId);

    /// @notice The image counts only from `validFrom` on, Unix seconds.
    error ImageNotYetValid(bytes32 imageId, uint40 validFrom);

    /// @notice The approver, the revoker or the delay makes no sense.
    error BadRoles();

    /// @notice The longest delay, in seconds: 90 days.
    uint40 public constant MAX_APPROVAL_DELAY = 90 days;

    /// @notice Who names images and verifiers.
    address public immutable APPROVER;

    /// @notice Who takes them back.
    address public immutable REVOKER;

    /// @notice How long after it was named an image or a verifier counts, in seconds.
    uint40 public immutable APPROVAL_DELAY;

    /// From 1 on: index 0 means none. No array, whose length every reader would have to load.
    mapping(uint256 index => Image) internal _images;
    uint256 private _imageCount;
    mapping(bytes32 imageId => uint256 index) internal _imageIndex;

    constructor(address approver, address revoker, uint40 approvalDelay) {
        if (approver == address(0) || revoker == address(0) || approver == revoker) revert BadRoles();
        if (approvalDelay > MAX_APPROVAL_DELAY) revert BadRoles();
        APPROVER = approver;
        REVOKER = revoker;
        APPROVAL_DELAY = approvalDelay;
    }

    modifier onlyApprover() {
        if (msg.sender != APPROVER) revert NotApprover(msg.sender);
        _;
    }

    /// @notice Names an image; it counts after `APPROVAL_DELAY`.
    /// @param measurements Its PCR0, PCR1 and PCR2, none of them zero.
    /// @param kind Whether its enclaves answer jobs or vouch for others.
    /// @return imageId SHA-256(PCR0 ‖ PCR1 ‖ PCR2).
    function proposeImage(Measurements calldata measurements, ImageKind kind)
        external
        onlyApprover
        returns (bytes32 imageId)
    {
        return _addImage(measurements, kind, uint40(block.timestamp) + APPROVAL_DELAY);
    }

    /// @notice Takes an image back, before or after it counts: no key of its enclaves is valid from this transaction on.
    function revokeImage(bytes32 imageId) external {
        if (msg.sender != REVOKER) revert NotRevoker(msg.sender);
        Image storage image = _images[_imageIndex[imageId]];
        if (image.kind == ImageKind.None) revert ImageUnknown(imageId);
        image.revoked = true;
        emit ImageRevoked(imageId);
    }

    /// @notice What is known of an image.
    /// @return kind What it is for; none where it was never named.
    /// @return validFrom From when it counts, Unix seconds.
    /// @return revoked Whether it was taken back.
    function imageOf(bytes32 imageId) external view returns (ImageKind kind, uint40 validFrom, bool revoked) {
        Image storage image = _images[_imageIndex[imageId]];
        return (image.kind, image.validFrom, image.revoked);
    }

    function _addImage(Measurements memory measurements, ImageKind kind, uint40 validFrom)
        internal
        returns (bytes32 imageId)
    {
        if (kind == ImageKind.None) revert NoImageKind();
        _checkMeasurement(0, measurements.pcr0);
        _checkMeasurement(1, measurements.pcr1);
        _checkMeasurement(2, measurements.pcr2);
        imageId = sha256(bytes.concat(measurements.pcr0, measurements.pcr1, measurements.pcr2));
        if (_imageIndex[imageId] != 0) revert ImageKnown(imageId);
        _imageIndex[imageId] = ++_imageCount;
        _images[_imageCount] = Image({id: imageId, kind: kind, validFrom: validFrom, revoked: false});
        emit ImageProposed(imageId, kind, validFrom, measurements.pcr0, measurements.pcr1, measurements.pcr2);
    }

    function _checkMeasurement(uint8 pcr, bytes memory measurement) private pure {
        if (measurement.length != 48) revert MeasurementLength(pcr, measurement.length);
        bytes32 start;
        bytes32 end;
        assembly ("memory-safe") {
            start := mload(add(measurement, 32))
            end := mload(add(measurement, 48))
        }
        if (start | end == 0) revert ZeroMeasurement(pcr);
    }
}
