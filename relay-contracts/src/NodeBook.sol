// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IEnclaveRegistry} from "./interfaces/IEnclaveRegistry.sol";
import {INodeBook} from "./interfaces/INodeBook.sol";
import {IOperatorStaking} from "./interfaces/IOperatorStaking.sol";

/// @title Nodes: what stands behind each, which enclaves run on it, and when it is away with notice
/// @notice A node belongs to the operator who registered it: two operators who name the same id have two nodes. Nobody owns
/// this contract, it holds no money and it cannot be changed.
contract NodeBook is INodeBook {
    using Checkpoints for Checkpoints.Trace208;
    using SafeCast for uint256;

    /// @notice What is fixed at deployment.
    struct Terms {
        /// @notice Which keys live in attested enclaves.
        IEnclaveRegistry registry;
        /// @notice Where operators stake.
        IOperatorStaking staking;
        /// @notice The least that stands behind a node, base units of the stake.
        uint128 minNodeStake;
        /// @notice Length of a slot, milliseconds. Slots are counted from 1970 on.
        uint32 slotMs;
        /// @notice How many slots before its first a drain is announced, at least; also the notice to retire a node.
        uint32 noticeSlots;
        /// @notice Slots that a node may be drained in one month.
        uint32 budgetSlots;
        /// @notice Slots of a month. Months are counted from slot 0 and do not follow the calendar.
        uint32 monthSlots;
    }

    /// @dev Times are Unix seconds.
    struct Node {
        uint48 registeredAt;
        uint48 retiresAt;
        Checkpoints.Trace208 behind;
    }

    /// @dev Where a receipt key lives.
    struct Binding {
        bytes32 key;
        uint48 boundAt;
    }

    /// @notice An operator answers for a node from now on.
    event NodeRegistered(address indexed operator, bytes16 indexed node, uint256 behind);
    /// @notice More stands behind a node.
    event NodeRaised(address indexed operator, bytes16 indexed node, uint256 behind);
    /// @notice An operator answers for a node until then.
    event NodeRetired(address indexed operator, bytes16 indexed node, uint48 retiresAt);
    /// @notice This receipt key's enclave runs on that node.
    event KeyBound(address indexed operator, bytes16 indexed node, address indexed receiptKey);
    /// @notice Slots that cost nothing.
    event DrainAnnounced(address indexed operator, bytes16 indexed node, uint64 fromSlot, uint64 toSlot);

    /// @notice Terms without slots, months or stake.
    error TermsUnsound();
    /// @notice The operator has this node already, or had it.
    error NodeKnown(bytes16 node);
    /// @notice The operator has no such node, or it retires.
    error NodeUnknown(bytes16 node);
    /// @notice At least `least` stands behind a node.
    error TooLittleBehind(uint256 least);
    /// @notice The operator's active stake does not cover what it puts behind its nodes.
    error NotCovered(uint256 behind, uint256 active);
    /// @notice The key is another operator's.
    error KeyOfAnother(address operator);
    /// @notice The key was bound before; a key lives in one run on one node.
    error KeyBoundAlready(address receiptKey);
    /// @notice A drain begins before it ends, and not before `earliest`.
    error DrainTimes(uint256 earliest);
    /// @notice The month has only `left` slots to drain.
    error DrainBudget(uint256 month, uint256 left);

    /// @notice Which keys live in attested enclaves.
    IEnclaveRegistry public immutable REGISTRY;
    /// @inheritdoc INodeBook
    IOperatorStaking public immutable STAKING;
    /// @notice The least that stands behind a node, base units of the stake.
    uint128 public immutable MIN_NODE_STAKE;
    /// @inheritdoc INodeBook
    uint32 public immutable SLOT_MS;
    /// @notice How many slots before its first a drain is announced, at least; also the notice to retire a node.
    uint32 public immutable NOTICE_SLOTS;
    /// @notice Slots that a node may be drained in one month.
    uint32 public immutable BUDGET_SLOTS;
    /// @notice Slots of a month, counted from slot 0.
    uint32 public immutable MONTH_SLOTS;

    /// @notice What an operator put behind all its nodes that do not retire.
    mapping(address operator => uint256) public committedBehind;
    /// @notice Slots of a month that a node's drains spent.
    mapping(bytes32 key => mapping(uint256 month => uint256)) public drained;
    mapping(bytes32 key => Node) private _nodes;
    mapping(address receiptKey => Binding) private _bindings;
    /// @dev One bit a slot.
    mapping(bytes32 key => mapping(uint256 index => uint256)) private _excused;

    /// @notice Deploys an empty book.
    constructor(Terms memory terms) {
        bool sound = terms.minNodeStake != 0 && terms.slotMs != 0 && terms.monthSlots != 0
            && terms.budgetSlots <= terms.monthSlots;
        if (!sound) revert TermsUnsound();
        REGISTRY = terms.registry;
        STAKING = terms.staking;
        MIN_NODE_STAKE = terms.minNodeStake;
        SLOT_MS = terms.slotMs;
        NOTICE_SLOTS = terms.noticeSlots;
        BUDGET_SLOTS = terms.budgetSlots;
        MONTH_SLOTS = terms.monthSlots;
    }

    /// @notice Registers a node of the caller's with `behind` of its stake.
    /// @param node The node's id, as watchers name it.
    function registerNode(bytes16 node, uint128 behind) external {
        Node storage entry = _nodes[nodeKey(msg.sender, node)];
        if (entry.registeredAt != 0) revert NodeKnown(node);
        if (behind < MIN_NODE_STAKE) revert TooLittleBehind(MIN_NODE_STAKE);
        entry.registeredAt = uint48(block.timestamp);
        _put(entry, behind, behind);
        emit NodeRegistered(msg.sender, node, behind);
    }

    /// @notice Puts `more` of the caller's stake behind one of its nodes.
    function raiseNode(bytes16 node, uint128 more) external {
        Node storage entry = _own(node);
        uint256 behind = uint256(entry.behind.latest()) + more;
        _put(entry, behind, more);
        emit NodeRaised(msg.sender, node, behind);
    }

    /// @notice Takes one of the caller's nodes out of watch after the notice that a drain needs.
    function retireNode(bytes16 node) external {
        Node storage entry = _own(node);
        uint48 retiresAt = uint48(block.timestamp + (uint256(NOTICE_SLOTS) * SLOT_MS + 999) / 1000);
        entry.retiresAt = retiresAt;
        committedBehind[msg.sender] -= entry.behind.latest();
        emit NodeRetired(msg.sender, node, retiresAt);
    }

    /// @notice Says on which of the caller's nodes an attested enclave runs. Once for each key, when its run begins: what it
    /// signed in slots before helps in no dispute.
    function bindKey(bytes16 node, address receiptKey) external {
        _own(node);
        if (_bindings[receiptKey].key != 0) revert KeyBoundAlready(receiptKey);
        address operator = REGISTRY.workerOperator(receiptKey, bytes32(0));
        if (operator != msg.sender) revert KeyOfAnother(operator);
        _bindings[receiptKey] = Binding(nodeKey(msg.sender, node), uint48(block.timestamp));
        emit KeyBound(msg.sender, node, receiptKey);
    }

    /// @notice Announces that one of the caller's nodes is away in the slots from `fromSlot` to before `toSlot`. They spend the
    /// month's budget, each once, whether the node answers in them or not; a drain beyond the budget is refused.
    function announceDrain(bytes16 node, uint64 fromSlot, uint64 toSlot) external {
        _own(node);
        // The slot that has begun is no notice.
        uint256 earliest = (block.timestamp * 1000 + SLOT_MS - 1) / SLOT_MS + NOTICE_SLOTS;
        if (fromSlot >= toSlot || fromSlot < earliest) revert DrainTimes(earliest);
        bytes32 key = nodeKey(msg.sender, node);
        for (uint256 from = fromSlot; from < toSlot;) {
            uint256 month = from / MONTH_SLOTS;
            uint256 end = (month + 1) * MONTH_SLOTS;
            if (end > toSlot) end = toSlot;
            uint256 left = BUDGET_SLOTS - drained[key][month];
            uint256 spent = _excuse(key, from, end, left);
            if (spent > left) revert DrainBudget(month, left);
            drained[key][month] += spent;
            from = end;
        }
        emit DrainAnnounced(msg.sender, node, fromSlot, toSlot);
    }

    /// @inheritdoc INodeBook
    function nodeKey(address operator, bytes16 node) public pure returns (bytes32) {
        return keccak256(abi.encode(operator, node));
    }

    /// @notice A node's times and stake.
    /// @return registeredAt Unix seconds; 0: unknown.
    /// @return retiresAt Unix seconds; 0: it does not retire.
    /// @return behind What stands behind it, base units.
    function nodeOf(address operator, bytes16 node)
        external
        view
        returns (uint48 registeredAt, uint48 retiresAt, uint256 behind)
    {
        Node storage entry = _nodes[nodeKey(operator, node)];
        return (entry.registeredAt, entry.retiresAt, entry.behind.latest());
    }

    /// @notice Whether an operator's active stake covers what it put behind its nodes. Stake that unbonds still answers for
    /// what was, but stands behind nothing that comes.
    function isCovered(address operator) external view returns (bool) {
        return committedBehind[operator] <= STAKING.activeStake(operator);
    }

    /// @notice Whether a drain excuses a node's slot.
    function isExcused(address operator, bytes16 node, uint64 slot) external view returns (bool) {
        return (_excused[nodeKey(operator, node)][slot >> 8] >> (slot & 255)) & 1 == 1;
    }

    /// @inheritdoc INodeBook
    function answersFor(bytes32 key, uint64 firstSlot, uint16 slots) external view returns (uint256[] memory bits) {
        Node storage entry = _nodes[key];
        (uint256 registeredAt, uint256 retiresAt) = (entry.registeredAt, entry.retiresAt);
        bits = new uint256[]((uint256(slots) + 255) >> 8);
        if (registeredAt == 0) return bits;
        // The first slot that begins after it was registered, and the one in which it retires.
        uint256 from = (registeredAt * 1000 + SLOT_MS - 1) / SLOT_MS;
        uint256 end = retiresAt == 0 ? type(uint256).max : retiresAt * 1000 / SLOT_MS;
        uint256 excused = _excused[key][firstSlot >> 8];
        for (uint256 i = 0; i < slots; ++i) {
            uint256 slot = firstSlot + i;
            if (slot & 255 == 0) excused = _excused[key][slot >> 8];
            bool answers = slot >= from && slot < end && (excused >> (slot & 255)) & 1 == 0;
            if (answers) bits[i >> 8] |= 1 << (i & 255);
        }
    }

    /// @inheritdoc INodeBook
    function behindAt(bytes32 key, uint48 time) external view returns (uint256) {
        return _nodes[key].behind.upperLookupRecent(time);
    }

    /// @inheritdoc INodeBook
    function livedOn(address receiptKey, bytes32 key, uint64 slot) external view returns (bool) {
        Binding storage binding = _bindings[receiptKey];
        return binding.key == key && uint256(binding.boundAt) * 1000 < (uint256(slot) + 1) * SLOT_MS;
    }

    function _own(bytes16 node) private view returns (Node storage entry) {
        entry = _nodes[nodeKey(msg.sender, node)];
        if (entry.registeredAt == 0 || entry.retiresAt != 0) revert NodeUnknown(node);
    }

    function _put(Node storage entry, uint256 behind, uint256 more) private {
        uint256 all = committedBehind[msg.sender] + more;
        uint256 active = STAKING.activeStake(msg.sender);
        if (all > active) revert NotCovered(all, active);
        committedBehind[msg.sender] = all;
        entry.behind.push(uint48(block.timestamp), behind.toUint208());
    }

    /// @dev Marks slots and counts those that were not marked before; stops where there are more than `most`.
    function _excuse(bytes32 key, uint256 from, uint256 end, uint256 most) private returns (uint256 fresh) {
        while (from < end && fresh <= most) {
            uint256 index = from >> 8;
            uint256 until = (index + 1) << 8;
            if (until > end) until = end;
            uint256 length = until - from;
            uint256 mask = (length == 256 ? type(uint256).max : (1 << length) - 1) << (from & 255);
            uint256 marked = _excused[key][index];
            fresh += _ones(mask & ~marked);
            _excused[key][index] = marked | mask;
            from = until;
        }
    }

    /// @dev How many bits of a word are set.
    function _ones(uint256 word) private pure returns (uint256 count) {
        if (word == type(uint256).max) return 256;
        // Sums of two, four and eight bits, side by side; the product gathers the bytes in the highest.
        uint256 pairs = type(uint256).max / 3;
        uint256 fours = type(uint256).max / 5;
        uint256 bytes_ = type(uint256).max / 17;
        word = word - ((word >> 1) & pairs);
        word = (word & fours) + ((word >> 2) & fours);
        word = (word + (word >> 4)) & bytes_;
        unchecked {
            count = (word * (type(uint256).max / 255)) >> 248;
        }
    }
}
