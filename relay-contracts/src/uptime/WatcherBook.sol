// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IOperatorStaking} from "../interfaces/IOperatorStaking.sol";
import {IStakeHistory} from "../interfaces/IStakeHistory.sol";
import {Timetable} from "./Timetable.sol";
import {WatchersWords} from "./WatchersWords.sol";

/// @title Watchers and their words
/// @notice A watcher commits to what it saw in an epoch before anybody reveals, and reveals before anybody can still commit.
/// Its word weighs what it had staked when the epoch began, before there was anything to see.
///
/// The *seal* that goes on chain names the watcher, the chain and this contract, and cannot be made without the salt. Whoever
/// copies it, or the commitment that the same watcher posts elsewhere, has nothing that it could ever reveal.
abstract contract WatcherBook is Timetable, EIP712 {
    using SafeCast for uint256;

    /// @dev What a watcher said of an epoch.
    struct Word {
        /// The seal; after the reveal the commitment, which names salt and root.
        bytes32 hash;
        uint128 stake;
        bool revealed;
    }

    /// @notice Stake behind an epoch's words.
    struct Heard {
        /// @notice Of all who committed.
        uint128 committed;
        /// @notice Of those who revealed what they committed to.
        uint128 revealed;
    }

    /// @notice A watcher is known by the key with which it signs elsewhere.
    event Enrolled(address indexed watcher, bytes32 watcherId);
    /// @notice A watcher committed, with what it had staked when the epoch began.
    event Committed(uint64 indexed epoch, address indexed watcher, bytes32 seal, uint256 stake);
    /// @notice A watcher's word counts from now on. Its nonces of the epoch follow from the salt.
    event Revealed(uint64 indexed epoch, address indexed watcher, bytes32 salt, bytes32 root);
    /// @notice A watcher lost stake for its own conduct.
    event Charged(uint64 indexed epoch, address indexed watcher, bytes32 indexed why, uint256 amount);

    /// @notice A watcher is enrolled once, under an id that is not zero.
    error EnrolledAlready();
    /// @notice Nobody by this address is enrolled.
    error NotEnrolled(address watcher);
    /// @notice Commitments to this epoch are taken at other times.
    error NotCommitTime(uint64 epoch);
    /// @notice Reveals of this epoch are taken at other times.
    error NotRevealTime(uint64 epoch);
    /// @notice The first word on an epoch stays.
    error CommittedAlready(uint64 epoch);
    /// @notice A seal of zero commits to nothing.
    error SealEmpty();
    /// @notice This watcher had only `stake` when the epoch began.
    error TooLittleStake(uint256 stake);
    /// @notice Not what the watcher committed to.
    error RevealedOtherwise();
    /// @notice The signature is not this watcher's.
    error SignatureInvalid();
    /// @notice The watcher did nothing of the kind, or the time to charge it for that is over.
    error NotChargeable();

    bytes32 private constant COMMIT_TYPEHASH = keccak256("UptimeCommit(address watcher,uint64 epoch,bytes32 seal)");
    bytes32 private constant SEAL_TAG = keccak256("nacre/uptime-seal/v1");
    uint256 internal constant PPM = 1_000_000;

    /// @notice Where operators and watchers stake.
    IOperatorStaking public immutable STAKING;
    /// @notice The least that a watcher must have staked, base units.
    uint128 public immutable MIN_WATCHER_STAKE;
    /// @notice Millionths of its stake that a watcher loses for not revealing what it committed to.
    uint32 public immutable SILENCE_PPM;
    /// @notice Millionths of its stake that a watcher loses for signing two commitments to one epoch.
    uint32 public immutable DOUBLE_PPM;

    /// @notice The id under which a watcher signs elsewhere, which its nonces and commitments name. Not checked: who names
    /// another's id reveals nothing by it.
    mapping(address watcher => bytes32) public watcherIds;
    /// @notice Stake behind the words on an epoch.
    mapping(uint64 epoch => Heard) public heard;
    mapping(uint64 epoch => mapping(address watcher => Word)) internal _words;

    constructor(IOperatorStaking staking, uint128 minWatcherStake, uint32 silencePpm, uint32 doublePpm)
        EIP712("Nacre", "1")
    {
        STAKING = staking;
        MIN_WATCHER_STAKE = minWatcherStake;
        SILENCE_PPM = silencePpm;
        DOUBLE_PPM = doublePpm;
    }

    /// @notice Enrols the caller as a watcher, for good.
    /// @param watcherId The Ed25519 public key with which it signs elsewhere.
    function enroll(bytes32 watcherId) external {
        if (watcherId == 0 || watcherIds[msg.sender] != 0) revert EnrolledAlready();
        watcherIds[msg.sender] = watcherId;
        emit Enrolled(msg.sender, watcherId);
    }

    /// @notice Commits the caller to what it saw in an epoch that is over.
    /// @param seal See {sealOf}.
    function commit(uint64 epoch, bytes32 seal) external {
        _commit(msg.sender, epoch, seal);
    }

    /// @notice The same for a watcher who signed `UptimeCommit(address watcher,uint64 epoch,bytes32 seal)`, so that one
    /// transaction can carry many watchers' words.
    function commitFor(address watcher, uint64 epoch, bytes32 seal, bytes calldata signature) external {
        _requireSigned(watcher, epoch, seal, signature);
        _commit(watcher, epoch, seal);
    }

    /// @notice Opens a seal. Anybody may send it.
    /// @param salt The epoch's salt.
    /// @param root The RFC 6962 root of the watcher's rows.
    function reveal(address watcher, uint64 epoch, bytes32 salt, bytes32 root) external {
        if (_nowMs() < revealsFrom(epoch) || _nowMs() >= closedFrom(epoch)) revert NotRevealTime(epoch);
        Word storage word = _words[epoch][watcher];
        bytes32 commitment = commitmentOf(watcher, epoch, salt, root);
        if (word.revealed || word.hash != _seal(watcher, salt, commitment)) revert RevealedOtherwise();
        word.hash = commitment;
        word.revealed = true;
        heard[epoch].revealed += word.stake;
        emit Revealed(epoch, watcher, salt, root);
    }

    /// @notice Takes stake from a watcher who committed to an epoch and let the time to reveal pass. The caller gets the bounty.
    function chargeSilent(address watcher, uint64 epoch) external {
        Word storage word = _words[epoch][watcher];
        if (word.hash == 0 || word.revealed || _nowMs() < closedFrom(epoch)) revert NotChargeable();
        _charge(watcher, epoch, "silent", uint256(word.stake) * SILENCE_PPM / PPM);
    }

    /// @notice Takes stake from a watcher who signed two commitments to one epoch. The caller gets the bounty.
    function chargeDouble(
        address watcher,
        uint64 epoch,
        bytes32 firstSeal,
        bytes calldata firstSignature,
        bytes32 secondSeal,
        bytes calldata secondSignature
    ) external {
        if (firstSeal == secondSeal || _nowMs() < commitsFrom(epoch)) {
            revert NotChargeable();
        }
        _requireSigned(watcher, epoch, firstSeal, firstSignature);
        _requireSigned(watcher, epoch, secondSeal, secondSignature);
        _charge(watcher, epoch, "double", _stakeIn(watcher, epoch) * DOUBLE_PPM / PPM);
    }

    /// @notice The seal that a watcher commits to: keccak256 of six words, keccak256("nacre/uptime-seal/v1"), chain id,
    /// this contract, watcher, salt and {commitmentOf}.
    /// @dev Ask a node that you trust with the salt, or compute it yourself.
    function sealOf(address watcher, uint64 epoch, bytes32 salt, bytes32 root) external view returns (bytes32) {
        return _seal(watcher, salt, commitmentOf(watcher, epoch, salt, root));
    }

    /// @notice The commitment as the watcher posts it elsewhere: SHA-256("nacre/uptime-commit/v1" ‖ 0x00 ‖ salt ‖ watcher id
    /// ‖ epoch ‖ slot length ‖ epoch length ‖ root), numbers big-endian in 8, 4 and 2 bytes.
    function commitmentOf(address watcher, uint64 epoch, bytes32 salt, bytes32 root) public view returns (bytes32) {
        return WatchersWords.commitment(salt, watcherIds[watcher], epoch, SLOT_MS, EPOCH_SLOTS, root);
    }

    /// @notice What a watcher said of an epoch.
    /// @return hash The seal, or the commitment once it is revealed; zero where it committed to nothing.
    /// @return stake What its word weighs.
    /// @return revealed Whether it counts.
    function words(uint64 epoch, address watcher) external view returns (bytes32 hash, uint128 stake, bool revealed) {
        Word storage word = _words[epoch][watcher];
        return (word.hash, word.stake, word.revealed);
    }

    function _commit(address watcher, uint64 epoch, bytes32 seal) private {
        if (watcherIds[watcher] == 0) revert NotEnrolled(watcher);
        if (_nowMs() < commitsFrom(epoch) || _nowMs() >= commitsUntil(epoch)) revert NotCommitTime(epoch);
        if (seal == 0) revert SealEmpty();
        Word storage word = _words[epoch][watcher];
        if (word.hash != 0) revert CommittedAlready(epoch);
        uint256 stake = _stakeIn(watcher, epoch);
        if (stake < MIN_WATCHER_STAKE) revert TooLittleStake(stake);
        word.hash = seal;
        word.stake = stake.toUint128();
        heard[epoch].committed += stake.toUint128();
        emit Committed(epoch, watcher, seal, stake);
    }

    function _charge(address watcher, uint64 epoch, bytes32 why, uint256 amount) private {
        if (_nowMs() >= accusableUntil(windowOf(epoch))) revert NotChargeable();
        bytes32 cause = keccak256(abi.encode(why, epoch));
        uint256 taken = STAKING.slash(watcher, amount, cause, msg.sender, address(0));
        emit Charged(epoch, watcher, why, taken);
    }

    /// @dev What a watcher had staked in the second in which the epoch began.
    function _stakeIn(address watcher, uint64 epoch) private view returns (uint256) {
        uint256 begin = uint256(epoch) * EPOCH_SLOTS * SLOT_MS / 1000;
        return IStakeHistory(address(STAKING)).activeStakeAt(watcher, begin.toUint48());
    }

    function _requireSigned(address watcher, uint64 epoch, bytes32 seal, bytes calldata signature) private view {
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(COMMIT_TYPEHASH, watcher, epoch, seal)));
        (address who, ECDSA.RecoverError wrong,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (wrong != ECDSA.RecoverError.NoError || who != watcher) revert SignatureInvalid();
    }

    function _seal(address watcher, bytes32 salt, bytes32 commitment) private view returns (bytes32) {
        return keccak256(abi.encode(SEAL_TAG, block.chainid, address(this), watcher, salt, commitment));
    }
}
