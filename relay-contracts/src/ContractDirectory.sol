// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Where the present version of each contract is
/// @notice No contract of ours is ever changed: a new version is a new deployment, named here. A replacement is public for
/// a fixed delay before it counts, and can be dropped until then. Nothing follows by itself: an old version works on, its
/// money and its jobs stay where they are, and whoever reads this directory decides what to make of it.
contract ContractDirectory {
    struct Entry {
        address current;
        address next;
        uint40 from;
    }

    /// @notice `name` will be at `next` from `from` on, Unix seconds.
    event Proposed(bytes32 indexed name, address indexed next, uint40 from);

    /// @notice What was proposed for `name` was dropped.
    event Dropped(bytes32 indexed name, address indexed next);

    /// @notice The caller may not do this.
    error NotAllowed(address caller);

    /// @notice There is no contract at this address.
    error NoContract(address at_);

    /// @notice Nothing waits under this name.
    error NothingProposed(bytes32 name);

    /// @notice A role is nobody's, both are the same one's, or the delay is zero.
    error BadConfig();

    /// @notice Who proposes.
    address public immutable PROPOSER;

    /// @notice Who else can drop what was proposed.
    address public immutable GUARDIAN;

    /// @notice Seconds from a proposal until it counts.
    uint40 public immutable DELAY;

    mapping(bytes32 name => Entry) private _entries;

    constructor(address proposer, address guardian, uint40 delay) {
        if (proposer == address(0) || guardian == address(0) || proposer == guardian || delay == 0) revert BadConfig();
        PROPOSER = proposer;
        GUARDIAN = guardian;
        DELAY = delay;
    }

    /// @notice Names the next version; after `DELAY` it is the present one. A second proposal takes the place of one that
    /// does not count yet, and waits as long.
    /// @param name Which contract: its name as bytes32, as in "JobRelay".
    function propose(bytes32 name, address next) external {
        if (msg.sender != PROPOSER) revert NotAllowed(msg.sender);
        if (next.code.length == 0) revert NoContract(next);
        uint40 from = uint40(block.timestamp) + DELAY;
        _entries[name] = Entry({current: addressOf(name), next: next, from: from});
        emit Proposed(name, next, from);
    }

    /// @notice Drops a proposal that does not count yet.
    function drop(bytes32 name) external {
        if (msg.sender != PROPOSER && msg.sender != GUARDIAN) revert NotAllowed(msg.sender);
        Entry memory entry = _entries[name];
        if (block.timestamp >= entry.from) revert NothingProposed(name);
        _entries[name] = Entry({current: entry.current, next: address(0), from: 0});
        emit Dropped(name, entry.next);
    }

    /// @notice The present version; zero where there is none.
    function addressOf(bytes32 name) public view returns (address) {
        Entry memory entry = _entries[name];
        return entry.from != 0 && block.timestamp >= entry.from ? entry.next : entry.current;
    }

    /// @notice What waits, and from when it counts, Unix seconds; zero: nothing.
    function nextOf(bytes32 name) external view returns (address next, uint40 from) {
        Entry memory entry = _entries[name];
        return block.timestamp < entry.from ? (entry.next, entry.from) : (address(0), 0);
    }
}
