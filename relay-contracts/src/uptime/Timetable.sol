// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title How the uptime oracle cuts time
/// @notice Slots, epochs of slots and windows of epochs are counted from 1970 on, as watchers count them off chain: slot n
/// begins n × slotMs milliseconds after it. Windows do not overlap, so a slot counts towards one slash at most.
abstract contract Timetable {
    /// @notice All lengths; fixed at deployment.
    struct Lengths {
        /// @notice Of a slot, milliseconds: 100 to 600,000.
        uint32 slotMs;
        /// @notice Slots of an epoch, to which a watcher commits at once: 1 to 1,024.
        uint16 epochSlots;
        /// @notice Slots of a window, for which a node is slashed once: whole epochs.
        uint32 windowSlots;
        /// @notice Slots after an epoch before its reveals begin.
        uint16 commitSlots;
        /// @notice Slots for which reveals are taken.
        uint16 revealSlots;
        /// @notice Commitments end this long before reveals begin, milliseconds: longer than from a block's timestamp until
        /// nothing can enter it any more, or else who reads a reveal off chain could still commit to the same.
        uint32 guardMs;
        /// @notice For how long after a window's last reveals a node can be accused, seconds.
        uint32 accuseSeconds;
        /// @notice For how long an accusation can be disputed, seconds.
        uint32 disputeSeconds;
        /// @notice For how long after that an accusation can be settled before it lapses, seconds.
        uint32 settleSeconds;
    }

    /// @notice Lengths that make no timetable.
    error TimetableUnsound();

    uint32 internal immutable SLOT_MS;
    uint16 internal immutable EPOCH_SLOTS;
    uint32 internal immutable WINDOW_SLOTS;
    uint16 internal immutable COMMIT_SLOTS;
    uint16 internal immutable REVEAL_SLOTS;
    uint32 internal immutable GUARD_MS;
    uint32 internal immutable ACCUSE_SECONDS;
    uint32 internal immutable DISPUTE_SECONDS;
    uint32 internal immutable SETTLE_SECONDS;

    constructor(Lengths memory of_) {
        bool sound = of_.slotMs >= 100 && of_.slotMs <= 600_000 && of_.epochSlots != 0 && of_.epochSlots <= 1024
            && of_.windowSlots != 0 && of_.windowSlots % of_.epochSlots == 0 && of_.commitSlots != 0
            && of_.revealSlots != 0 && of_.guardMs < uint256(of_.commitSlots) * of_.slotMs && of_.accuseSeconds != 0
            && of_.disputeSeconds != 0 && of_.settleSeconds != 0;
        if (!sound) revert TimetableUnsound();
        SLOT_MS = of_.slotMs;
        EPOCH_SLOTS = of_.epochSlots;
        WINDOW_SLOTS = of_.windowSlots;
        COMMIT_SLOTS = of_.commitSlots;
        REVEAL_SLOTS = of_.revealSlots;
        GUARD_MS = of_.guardMs;
        ACCUSE_SECONDS = of_.accuseSeconds;
        DISPUTE_SECONDS = of_.disputeSeconds;
        SETTLE_SECONDS = of_.settleSeconds;
    }

    /// @notice How time is cut here.
    function lengths() external view returns (Lengths memory) {
        return Lengths({
            slotMs: SLOT_MS,
            epochSlots: EPOCH_SLOTS,
            windowSlots: WINDOW_SLOTS,
            commitSlots: COMMIT_SLOTS,
            revealSlots: REVEAL_SLOTS,
            guardMs: GUARD_MS,
            accuseSeconds: ACCUSE_SECONDS,
            disputeSeconds: DISPUTE_SECONDS,
            settleSeconds: SETTLE_SECONDS
        });
    }

    /// @notice When an epoch is over and its commitments begin to be taken, Unix milliseconds.
    function commitsFrom(uint64 epoch) public view returns (uint256) {
        return (uint256(epoch) + 1) * EPOCH_SLOTS * SLOT_MS;
    }

    /// @notice When an epoch's commitments are no longer taken, Unix milliseconds.
    function commitsUntil(uint64 epoch) public view returns (uint256) {
        return revealsFrom(epoch) - GUARD_MS;
    }

    /// @notice When an epoch's reveals begin to be taken, Unix milliseconds.
    function revealsFrom(uint64 epoch) public view returns (uint256) {
        return commitsFrom(epoch) + uint256(COMMIT_SLOTS) * SLOT_MS;
    }

    /// @notice When an epoch's reveals are no longer taken, Unix milliseconds: from then on it says what it says.
    function closedFrom(uint64 epoch) public view returns (uint256) {
        return revealsFrom(epoch) + uint256(REVEAL_SLOTS) * SLOT_MS;
    }

    /// @notice The window of an epoch.
    function windowOf(uint64 epoch) public view returns (uint64) {
        return uint64(uint256(epoch) * EPOCH_SLOTS / WINDOW_SLOTS);
    }

    /// @notice When a window ends, Unix milliseconds.
    function windowEnd(uint64 window) public view returns (uint256) {
        return (uint256(window) + 1) * WINDOW_SLOTS * SLOT_MS;
    }

    /// @notice Until when accusations for a window are taken, Unix milliseconds.
    function accusableUntil(uint64 window) public view returns (uint256) {
        uint256 words = (uint256(COMMIT_SLOTS) + REVEAL_SLOTS) * SLOT_MS;
        return windowEnd(window) + words + uint256(ACCUSE_SECONDS) * 1000;
    }

    /// @notice The longest time, in seconds, from the begin of a window to the last moment at which it can cost stake.
    function slashableFor() public view returns (uint256) {
        uint256 slots = uint256(WINDOW_SLOTS) + COMMIT_SLOTS + REVEAL_SLOTS;
        return (slots * SLOT_MS + 999) / 1000 + ACCUSE_SECONDS + DISPUTE_SECONDS + SETTLE_SECONDS;
    }

    /// @dev Now, Unix milliseconds.
    function _nowMs() internal view returns (uint256) {
        return block.timestamp * 1000;
    }
}
