// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {INodeBook} from "./interfaces/INodeBook.sol";
import {IOperatorStaking} from "./interfaces/IOperatorStaking.sol";
import {Receipts} from "./uptime/Receipts.sol";
import {Timetable} from "./uptime/Timetable.sol";
import {WatcherBook} from "./uptime/WatcherBook.sol";
import {WatchersWords} from "./uptime/WatchersWords.sol";

/// @title From watchers' words to stake
/// @notice 1. Watchers {commit} to an epoch's scores when it is over, and then {reveal} the root of them.
/// 2. Whoever sees a node below the level in a window shows the rows that say so: {accuse}. A watcher whose row is not shown
///    counts as having seen the node up, so that rows left out never harm a node.
/// 3. A row is one watcher's word. The answer of the node's enclave to that watcher's own nonce, signed, overturns it for one
///    slot, and no other watcher's: {dispute}.
/// 4. When the time for disputes is over, whoever shows the same rows again has the node slashed if it still is below the
///    level: {settle}. Once a window.
///
/// A slot is down where more than half of the reporting stake saw it down: the stake of those who revealed, without those who
/// did not look. Nobody owns this contract, it holds no money and it cannot be changed.
contract UptimeOracle is WatcherBook {
    using SafeCast for uint256;
    using Receipts for Receipts.Request;
    using Receipts for Receipts.Receipt;

    /// @notice What is fixed at deployment.
    struct Setup {
        /// @notice Where operators and watchers stake; also keeps the history of stakes.
        IOperatorStaking staking;
        /// @notice What is known of nodes, in slots of the same length.
        INodeBook nodes;
        /// @notice The least stake of a watcher, base units.
        uint128 minWatcherStake;
        /// @notice The least stake that must have revealed for an epoch to count against anybody.
        uint128 quorumStake;
        /// @notice Millionths that a watcher loses for not revealing.
        uint32 silencePpm;
        /// @notice Millionths that a watcher loses for two commitments to one epoch.
        uint32 doublePpm;
    }

    /// @notice What one watcher saw of the node in one epoch, with the way to what it revealed.
    struct Row {
        address watcher;
        /// @notice What it revealed.
        bytes32 salt;
        bytes32 root;
        /// @notice Root over what it keeps of each slot.
        bytes32 evidenceRoot;
        /// @notice One byte a slot: 0 did not look, 1 up, 2 to 10 down and why.
        bytes outcomes;
        /// @notice The row's place in the watcher's tree, the tree's size, and the path between.
        uint32 index;
        uint32 size;
        bytes32[] path;
    }

    /// @notice Several watchers' rows of one epoch, by rising address.
    struct EpochRows {
        uint64 epoch;
        Row[] rows;
    }

    /// @notice Whose word on which slot of which node is disputed, and whose answer says otherwise.
    struct Claim {
        address watcher;
        /// @notice What the watcher revealed of the slot's epoch.
        bytes32 salt;
        bytes32 root;
        address operator;
        bytes16 node;
        uint64 slot;
        /// @notice Which try was answered: 0, 1 or 2.
        uint8 attempt;
        address receiptKey;
    }

    /// @dev Which node in which epoch.
    struct Subject {
        bytes32 key;
        bytes16 node;
        uint64 epoch;
    }

    /// @dev Who accused, and when.
    struct Accusation {
        address accuser;
        uint48 accusedAt;
    }

    /// @notice A node seems to have been below the level.
    event Accused(
        address indexed operator,
        bytes16 indexed node,
        uint64 indexed window,
        bytes32 id,
        uint256 missing,
        address accuser
    );
    /// @notice A watcher's word on a slot of a node counts as up.
    event Overturned(address indexed watcher, address indexed operator, bytes16 indexed node, uint64 slot);
    /// @notice A node paid for a window.
    event Settled(
        address indexed operator, bytes16 indexed node, uint64 indexed window, uint256 missing, uint256 amount
    );
    /// @notice Disputes left nothing of an accusation.
    event Cleared(address indexed operator, bytes16 indexed node, uint64 indexed window, bytes32 id, uint256 missing);

    /// @notice Stake could leave while it can still be slashed: the staking contract's delay must be above `slashableFor`.
    error UnbondsTooSoon(uint256 slashableFor);
    /// @notice Shares above the whole, no stake asked of anybody, or nodes of another staking contract or in other slots.
    error SetupUnsound();
    /// @notice The node paid for this window.
    error SettledAlready(uint64 window);
    /// @notice The time to accuse for this window is over.
    error TooLateToAccuse(uint64 window);
    /// @notice The same accusation stands.
    error AccusedAlready(bytes32 id);
    /// @notice No such accusation, or it lapsed.
    error NotAccused(bytes32 id);
    /// @notice The accusation can still be disputed.
    error StillDisputable(uint256 until);
    /// @notice `missing` slots are not below the level.
    error NotBelowLevel(uint256 missing);
    /// @notice Epochs must rise, lie in the window, and be closed.
    error EpochRefused(uint64 epoch);
    /// @notice Too little stake revealed for the epoch to count.
    error NoQuorum(uint64 epoch);
    /// @notice Watchers must rise, and the row must be one of what the watcher revealed.
    error RowRefused(uint64 epoch, address watcher);
    /// @notice What was claimed to be revealed is not what this watcher revealed.
    error NotRevealed(address watcher);
    /// @notice There is no such try.
    error NoSuchTry(uint8 attempt);
    /// @notice The enclave did not answer in the slot, or a slot to either side of it.
    error OutsideSlot(uint64 startedMs);
    /// @notice The enclave's answer was no success.
    error AnswerRefused(uint16 status);
    /// @notice The receipt key was not bound to this node when the slot ended.
    error OtherEnclave(address receiptKey);
    /// @notice The receipt key did not sign an answer to this watcher's nonce.
    error AnswerInvalid();

    /// @notice Below this part of a window, in millionths, a node is slashed (DESIGN §6).
    uint256 public constant LEVEL_PPM = 995_000;
    /// @notice The most that one window costs, in millionths of what stands behind the node.
    uint256 public constant CAP_PPM = 50_000;
    /// @notice How many times the missing part is taken.
    /// @dev Factor × (1 − level) is the cap: who is below the level pays the cap, so that more evidence than it takes to be
    /// below it changes nothing, and no accusation can stand in for a dearer one.
    uint256 public constant FACTOR = 10;
    /// @notice Tries that a node gets in a slot.
    uint8 public constant TRIES = 3;
    uint8 private constant UNSEEN = 0;
    uint8 private constant UP = 1;
    uint8 private constant LAST_REASON = 10;

    /// @notice What is known of nodes.
    INodeBook public immutable NODES;
    /// @notice The least stake that must have revealed for an epoch to count, beside more than half of what committed.
    uint128 public immutable QUORUM_STAKE;

    /// @notice Whether a node paid for a window.
    mapping(bytes32 key => mapping(uint64 window => bool)) public settled;
    /// @notice Standing accusations, by the hash of what was shown.
    mapping(bytes32 id => Accusation) public accusations;
    /// @dev One bit a slot.
    mapping(bytes32 key => mapping(address watcher => mapping(uint256 index => uint256))) private _overturned;

    /// @notice Deploys an oracle for one staking contract, which must hold stake for longer than {slashableFor}.
    constructor(Setup memory setup, Timetable.Lengths memory timetable)
        Timetable(timetable)
        WatcherBook(setup.staking, setup.minWatcherStake, setup.silencePpm, setup.doublePpm)
    {
        bool sound = setup.silencePpm <= PPM && setup.doublePpm <= PPM && setup.minWatcherStake != 0
            && setup.quorumStake != 0 && setup.nodes.SLOT_MS() == timetable.slotMs
            && address(setup.nodes.STAKING()) == address(setup.staking);
        if (!sound) revert SetupUnsound();
        if (setup.staking.unbondDelay() <= slashableFor()) revert UnbondsTooSoon(slashableFor());
        NODES = setup.nodes;
        QUORUM_STAKE = setup.quorumStake;
    }

    /// @notice Shows that a node was below the level in a window. The caller gets the bounty if that stands.
    /// @param evidence Rows that say so, of closed epochs, rising.
    /// @return id What to name when it is settled: the hash of these arguments.
    function accuse(address operator, bytes16 node, uint64 window, EpochRows[] calldata evidence)
        external
        returns (bytes32 id)
    {
        bytes32 key = NODES.nodeKey(operator, node);
        if (settled[key][window]) revert SettledAlready(window);
        if (_nowMs() >= accusableUntil(window)) revert TooLateToAccuse(window);
        id = keccak256(msg.data[4:]);
        if (accusations[id].accuser != address(0)) revert AccusedAlready(id);
        uint256 missing = _missing(key, node, window, evidence);
        if (!isBelow(missing)) revert NotBelowLevel(missing);
        accusations[id] = Accusation(msg.sender, uint48(block.timestamp));
        emit Accused(operator, node, window, id, missing, msg.sender);
    }

    /// @notice Overturns one watcher's word on one slot of one node, for good.
    /// @param claim Whose word on what.
    /// @param request What the watcher asked, without its nonce.
    /// @param receipt What the enclave signed of its answer.
    function dispute(Claim calldata claim, Receipts.Request calldata request, Receipts.Receipt calldata receipt)
        external
    {
        uint64 epoch = claim.slot / EPOCH_SLOTS;
        _requireRevealed(claim.watcher, epoch, claim.salt, claim.root);
        if (claim.attempt >= TRIES) revert NoSuchTry(claim.attempt);

        // The time is the enclave's, the slot the watcher's: they may be one slot apart.
        uint256 begin = uint256(claim.slot) * SLOT_MS;
        bool near = receipt.startedMs + uint256(SLOT_MS) >= begin && receipt.startedMs < begin + 2 * uint256(SLOT_MS);
        if (!near) revert OutsideSlot(receipt.startedMs);
        if (receipt.status != 200) revert AnswerRefused(receipt.status);
        bytes32 key = NODES.nodeKey(claim.operator, claim.node);
        if (!NODES.livedOn(claim.receiptKey, key, claim.slot)) revert OtherEnclave(claim.receiptKey);

        bytes32 watcherId = watcherIds[claim.watcher];
        bytes32 nonce = WatchersWords.nonce(claim.salt, watcherId, claim.node, claim.slot, claim.attempt);
        address signer = receipt.signer(request.requestHash(nonce));
        if (signer != claim.receiptKey) revert AnswerInvalid();

        _overturned[key][claim.watcher][claim.slot >> 8] |= 1 << (claim.slot & 255);
        emit Overturned(claim.watcher, claim.operator, claim.node, claim.slot);
    }

    /// @notice Settles an accusation whose time for disputes is over. Anybody may, with the very arguments of {accuse}.
    /// @return amount What the node paid; 0 where disputes cleared it.
    function settle(address operator, bytes16 node, uint64 window, EpochRows[] calldata evidence)
        external
        returns (uint256 amount)
    {
        bytes32 key = NODES.nodeKey(operator, node);
        if (settled[key][window]) revert SettledAlready(window);
        bytes32 id = keccak256(msg.data[4:]);
        Accusation memory accusation = accusations[id];
        uint256 disputable = uint256(accusation.accusedAt) + DISPUTE_SECONDS;
        bool lapsed = block.timestamp >= disputable + SETTLE_SECONDS;
        if (accusation.accuser == address(0) || lapsed) revert NotAccused(id);
        if (block.timestamp < disputable) revert StillDisputable(disputable);

        delete accusations[id];
        uint256 missing = _missing(key, node, window, evidence);
        if (!isBelow(missing)) {
            emit Cleared(operator, node, window, id, missing);
            return 0;
        }
        amount = _take(operator, key, window, missing, accusation.accuser);
        emit Settled(operator, node, window, missing, amount);
    }

    /// @notice Whether so many missing slots are below the level. Exactly at the level is not below it.
    function isBelow(uint256 missing) public view returns (bool) {
        return missing * PPM > (PPM - LEVEL_PPM) * WINDOW_SLOTS;
    }

    /// @notice What so many missing slots cost: stake × min(5 %, 10 × missing ÷ window), rounded down.
    function penalty(uint256 behind, uint256 missing) public view returns (uint256) {
        return Math.min(behind * CAP_PPM / PPM, behind * FACTOR * missing / WINDOW_SLOTS);
    }

    /// @notice Whether a dispute overturned a watcher's word on a slot of a node.
    function isOverturned(address watcher, address operator, bytes16 node, uint64 slot) external view returns (bool) {
        return _overturned[NODES.nodeKey(operator, node)][watcher][slot >> 8] >> (slot & 255) & 1 == 1;
    }

    function _take(address operator, bytes32 key, uint64 window, uint256 missing, address accuser)
        private
        returns (uint256)
    {
        settled[key][window] = true;
        uint256 time = Math.min(windowEnd(window) / 1000, block.timestamp);
        uint256 amount = penalty(NODES.behindAt(key, time.toUint48()), missing);
        bytes32 cause = keccak256(abi.encode("downtime", key, window));
        return STAKING.slash(operator, amount, cause, accuser, address(0));
    }

    /// @dev Slots that the rows show to be down and that nothing excuses.
    function _missing(bytes32 key, bytes16 node, uint64 window, EpochRows[] calldata evidence)
        private
        view
        returns (uint256 missing)
    {
        for (uint256 i = 0; i < evidence.length; ++i) {
            uint64 epoch = evidence[i].epoch;
            bool rises = i == 0 || evidence[i - 1].epoch < epoch;
            if (!rises || windowOf(epoch) != window || _nowMs() < closedFrom(epoch)) revert EpochRefused(epoch);
            missing += _missingIn(Subject(key, node, epoch), evidence[i].rows);
        }
    }

    function _missingIn(Subject memory subject, Row[] calldata rows) private view returns (uint256 missing) {
        Heard memory stakes = heard[subject.epoch];
        bool quorum = stakes.revealed >= QUORUM_STAKE && 2 * uint256(stakes.revealed) > stakes.committed;
        if (!quorum) revert NoQuorum(subject.epoch);
        // Twice the stake that saw it down, and once what did not look: above all that revealed, down outweighs up.
        uint256[] memory against = new uint256[](EPOCH_SLOTS);
        address last;
        for (uint256 i = 0; i < rows.length; ++i) {
            address watcher = rows[i].watcher;
            if (watcher <= last) revert RowRefused(subject.epoch, watcher);
            last = watcher;
            uint256 stake = _requireOwn(subject, rows[i]);
            _weigh(against, subject, rows[i], stake);
        }
        uint256[] memory answers = NODES.answersFor(subject.key, subject.epoch * EPOCH_SLOTS, EPOCH_SLOTS);
        for (uint256 i = 0; i < EPOCH_SLOTS; ++i) {
            if (against[i] > stakes.revealed && (answers[i >> 8] >> (i & 255)) & 1 == 1) ++missing;
        }
    }

    /// @dev Checks that a row is of what the watcher revealed, and says what it weighs.
    function _requireOwn(Subject memory subject, Row calldata row) private view returns (uint256 stake) {
        _requireRevealed(row.watcher, subject.epoch, row.salt, row.root);
        bytes32 leaf = WatchersWords.rowLeaf(subject.node, row.evidenceRoot, row.outcomes);
        bool own = WatchersWords.rootOf(leaf, row.index, row.size, row.path) == row.root;
        if (!own || row.outcomes.length != EPOCH_SLOTS) revert RowRefused(subject.epoch, row.watcher);
        return _words[subject.epoch][row.watcher].stake;
    }

    /// @dev Adds one watcher's word.
    function _weigh(uint256[] memory against, Subject memory subject, Row calldata row, uint256 stake) private view {
        mapping(uint256 index => uint256) storage overturned = _overturned[subject.key][row.watcher];
        bytes calldata outcomes = row.outcomes;
        uint256 slot = uint256(subject.epoch) * EPOCH_SLOTS;
        uint256 word = overturned[slot >> 8];
        for (uint256 i = 0; i < outcomes.length; (++i, ++slot)) {
            if (slot & 255 == 0) word = overturned[slot >> 8];
            uint8 outcome = uint8(outcomes[i]);
            if (outcome > LAST_REASON) revert RowRefused(subject.epoch, row.watcher);
            if (outcome == UP) continue;
            if (outcome == UNSEEN) against[i] += stake;
            else if ((word >> (slot & 255)) & 1 == 0) against[i] += 2 * stake;
        }
    }

    function _requireRevealed(address watcher, uint64 epoch, bytes32 salt, bytes32 root) private view {
        Word storage word = _words[epoch][watcher];
        if (!word.revealed || word.hash != commitmentOf(watcher, epoch, salt, root)) revert NotRevealed(watcher);
    }
}
