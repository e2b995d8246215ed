// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {IOperatorStaking} from "./interfaces/IOperatorStaking.sol";
import {IStakeHistory} from "./interfaces/IStakeHistory.sol";

/// @title Stake of operators and watchers
/// @notice One ERC-20. Stake counts while it is active. To leave, it must unbond for longer than any dispute lasts, and until
/// it is withdrawn a slash can take it like the rest: at most what is there, and once for each cause.
///
/// Who may slash is wired once by whoever deployed this contract, before the first stake, and fixed from then on. Nobody
/// else has any right over stake: there is no owner, no pause and no upgrade.
///
/// A token that takes a fee of a transfer is refused when it does. Tokens whose balances change by themselves (rebasing)
/// must not be used.
contract OperatorStaking is IOperatorStaking, IStakeHistory, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;
    using Checkpoints for Checkpoints.Trace208;

    /// @notice What is fixed at deployment.
    struct Terms {
        /// @notice The token that is staked.
        IERC20 token;
        /// @notice Who is credited what of a slash goes to nobody else.
        address treasury;
        /// @notice Seconds from {unbond} until stake may be withdrawn.
        uint64 unbondDelay;
        /// @notice Millionths of a slash for whoever reported its cause.
        uint32 bountyPpm;
        /// @notice Millionths of a slash that always go to the treasury.
        uint32 treasuryPpm;
    }

    /// @dev Stake on its way out.
    struct Unbonding {
        uint128 amount;
        uint64 matures;
    }

    /// @dev An account's stake on its way out, the oldest first.
    struct Queue {
        uint128 total;
        uint64 first;
        uint64 end;
        mapping(uint64 index => Unbonding) entries;
    }

    /// @notice `payer` staked for `account`.
    event Staked(address indexed account, address indexed payer, uint256 amount);
    /// @notice The account asked stake back.
    /// @param matures From when it may be withdrawn, Unix seconds.
    event Unbonded(address indexed account, uint256 amount, uint64 matures);
    /// @notice Stake left.
    event Withdrawn(address indexed account, uint256 amount);
    /// @notice A share of a slash waits to be collected.
    event Credited(address indexed account, uint256 amount);
    /// @notice What was credited left.
    event Collected(address indexed account, uint256 amount);
    /// @notice This contract may slash, for as long as stake is held here.
    event SlasherFixed(address indexed slasher);

    /// @notice Terms that promise nothing: no delay, a treasury's part below {MIN_TREASURY_PPM}, or shares above the whole.
    error TermsUnsound();
    /// @notice An address must not be zero.
    error ZeroAddress();
    /// @notice There is nothing to move.
    error ZeroAmount();
    /// @notice Only the deployer wires, and only once.
    error NotWirer();
    /// @notice Nobody may slash yet, so nobody may stake.
    error NotWired();
    /// @notice The token gave less than was sent.
    error TransferTookFee(uint256 sent, uint256 arrived);
    /// @notice Only `active` is active.
    error NotEnoughStake(uint256 active);
    /// @notice {MAX_UNBONDINGS} are open: withdraw first.
    error TooManyUnbondings();
    /// @notice No unbonding is over.
    error NothingMatured();

    /// @notice Unbondings that an account may have open: a slash may have to go through all of them.
    uint256 public constant MAX_UNBONDINGS = 16;
    /// @notice The least that the treasury gets of every slash, millionths.
    /// @dev An operator can be its own reporter and its own harmed party. What never comes back makes that dearer than
    /// what it could run from (a day's downtime costs 5 %), so that a slash is no way around the delay.
    uint32 public constant MIN_TREASURY_PPM = 100_000;
    uint256 private constant PPM = 1_000_000;

    /// @notice The token that is staked.
    IERC20 public immutable TOKEN;
    /// @notice Who is credited what of a slash goes to nobody else.
    address public immutable TREASURY;
    /// @inheritdoc IOperatorStaking
    uint64 public immutable unbondDelay;
    /// @notice Millionths of a slash for whoever reported its cause.
    uint32 public immutable BOUNTY_PPM;
    /// @notice Millionths of a slash that always go to the treasury.
    uint32 public immutable TREASURY_PPM;
    /// @notice Who wires.
    address public immutable DEPLOYER;

    /// @notice Whether it is fixed who may slash.
    bool public wired;
    /// @notice Whether a contract may slash.
    mapping(address account => bool) public isSlasher;
    /// @inheritdoc IOperatorStaking
    uint256 public totalActiveStake;
    /// @notice All stake that is held: active, and asked back.
    uint256 public totalStake;
    /// @notice What slashes credited and nobody collected yet.
    uint256 public totalOwed;
    /// @notice What an account may collect.
    mapping(address account => uint256) public owed;

    mapping(address account => Checkpoints.Trace208) private _active;
    mapping(address account => Queue) private _unbonding;
    mapping(bytes32 key => bool) private _slashed;

    /// @notice Deploys a contract that takes no stake until {wire} was called.
    constructor(Terms memory terms) {
        if (address(terms.token) == address(0) || terms.treasury == address(0)) revert ZeroAddress();
        bool shares = terms.treasuryPpm >= MIN_TREASURY_PPM && uint256(terms.bountyPpm) + terms.treasuryPpm <= PPM;
        if (terms.unbondDelay == 0 || !shares) revert TermsUnsound();
        TOKEN = terms.token;
        TREASURY = terms.treasury;
        unbondDelay = terms.unbondDelay;
        BOUNTY_PPM = terms.bountyPpm;
        TREASURY_PPM = terms.treasuryPpm;
        DEPLOYER = msg.sender;
    }

    /// @notice Fixes who may slash, for good. The deployer's, once.
    /// @dev Slashers know this contract's address, so it must exist before them. Each checks in its own constructor that
    /// its causes end before stake can leave.
    /// @param slashers The contracts that may.
    function wire(address[] calldata slashers) external {
        if (msg.sender != DEPLOYER || wired) revert NotWirer();
        wired = true;
        for (uint256 i = 0; i < slashers.length; ++i) {
            if (slashers[i] == address(0)) revert ZeroAddress();
            isSlasher[slashers[i]] = true;
            emit SlasherFixed(slashers[i]);
        }
    }

    /// @notice Stakes `amount` of the caller's for `account`. It is the account's from then on.
    function stake(address account, uint256 amount) external nonReentrant {
        if (!wired) revert NotWired();
        if (account == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        totalStake += amount;
        _setActive(account, activeStake(account) + amount);
        emit Staked(account, msg.sender, amount);

        uint256 before = TOKEN.balanceOf(address(this));
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        uint256 arrived = TOKEN.balanceOf(address(this)) - before;
        if (arrived != amount) revert TransferTookFee(amount, arrived);
    }

    /// @notice Asks `amount` of the caller's active stake back. It counts no more from now on, and can be slashed until it is
    /// withdrawn.
    /// @return matures From when it may be withdrawn, Unix seconds.
    function unbond(uint256 amount) external returns (uint64 matures) {
        if (amount == 0) revert ZeroAmount();
        uint256 active = activeStake(msg.sender);
        if (amount > active) revert NotEnoughStake(active);
        Queue storage queue = _unbonding[msg.sender];
        if (queue.end - queue.first >= MAX_UNBONDINGS) revert TooManyUnbondings();

        matures = uint64(block.timestamp) + unbondDelay;
        _setActive(msg.sender, active - amount);
        queue.total += amount.toUint128();
        queue.entries[queue.end++] = Unbonding(amount.toUint128(), matures);
        emit Unbonded(msg.sender, amount, matures);
    }

    /// @notice Pays the caller whatever of its stake has matured.
    /// @return amount What that was; 0 where slashes took all of it.
    function withdraw() external nonReentrant returns (uint256 amount) {
        Queue storage queue = _unbonding[msg.sender];
        (uint64 i, uint64 end) = (queue.first, queue.end);
        for (; i != end && queue.entries[i].matures <= block.timestamp; ++i) {
            amount += queue.entries[i].amount;
            delete queue.entries[i];
        }
        if (i == queue.first) revert NothingMatured();
        queue.first = i;
        queue.total -= amount.toUint128();
        totalStake -= amount;
        emit Withdrawn(msg.sender, amount);
        TOKEN.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IOperatorStaking
    function slash(address operator, uint256 amount, bytes32 cause, address reporter, address harmed)
        external
        returns (uint256 slashed)
    {
        if (!isSlasher[msg.sender]) revert NotSlasher(msg.sender);
        bytes32 key = _key(msg.sender, operator, cause);
        if (_slashed[key]) revert AlreadySlashed(operator, cause);
        _slashed[key] = true;

        // What leaves soonest goes first, so that what stays can be slashed for longest.
        slashed = _takeUnbonding(operator, amount);
        uint256 active = activeStake(operator);
        uint256 fromActive = Math.min(active, amount - slashed);
        if (fromActive != 0) _setActive(operator, active - fromActive);
        slashed += fromActive;
        totalStake -= slashed;
        emit Slashed(operator, msg.sender, cause, slashed, reporter, harmed);
        _share(slashed, reporter, harmed);
    }

    /// @notice Pays `account` what it was credited. Anybody may call; it goes to the account alone.
    /// @return amount What that was.
    function collect(address account) external nonReentrant returns (uint256 amount) {
        amount = owed[account];
        if (amount == 0) revert ZeroAmount();
        owed[account] = 0;
        totalOwed -= amount;
        emit Collected(account, amount);
        TOKEN.safeTransfer(account, amount);
    }

    /// @inheritdoc IOperatorStaking
    function activeStake(address operator) public view returns (uint256) {
        return _active[operator].latest();
    }

    /// @inheritdoc IStakeHistory
    function activeStakeAt(address account, uint48 time) external view returns (uint256) {
        if (time >= block.timestamp) revert NotPast(time);
        return _active[account].upperLookupRecent(time);
    }

    /// @inheritdoc IOperatorStaking
    function stakeOf(address operator) external view returns (uint256) {
        return activeStake(operator) + _unbonding[operator].total;
    }

    /// @notice Whether `slasher` slashed `operator` for `cause`, be it that nothing was left to take.
    function isSlashed(address slasher, address operator, bytes32 cause) external view returns (bool) {
        return _slashed[_key(slasher, operator, cause)];
    }

    /// @notice What of an account's stake was asked back and is held, the oldest first. What was slashed away shows as 0.
    /// @return amounts In base units of the token.
    /// @return matures From when each may be withdrawn, Unix seconds.
    function unbondings(address account) external view returns (uint256[] memory amounts, uint64[] memory matures) {
        Queue storage queue = _unbonding[account];
        uint256 length = queue.end - queue.first;
        (amounts, matures) = (new uint256[](length), new uint64[](length));
        for (uint64 i = 0; i < length; ++i) {
            Unbonding storage entry = queue.entries[queue.first + i];
            (amounts[i], matures[i]) = (entry.amount, entry.matures);
        }
    }

    /// @dev Takes up to `amount` of what is unbonding, the oldest first.
    function _takeUnbonding(address account, uint256 amount) private returns (uint256 taken) {
        Queue storage queue = _unbonding[account];
        taken = Math.min(amount, queue.total);
        if (taken == 0) return 0;
        uint256 left = taken;
        for (uint64 i = queue.first; left != 0; ++i) {
            Unbonding storage entry = queue.entries[i];
            uint256 part = Math.min(left, entry.amount);
            entry.amount -= part.toUint128();
            left -= part;
        }
        queue.total -= taken.toUint128();
    }

    /// @dev Credits all of `amount`. Rounding favours the treasury.
    function _share(uint256 amount, address reporter, address harmed) private {
        uint256 bounty = reporter == address(0) ? 0 : amount * BOUNTY_PPM / PPM;
        uint256 damages = harmed == address(0) ? 0 : amount * (PPM - BOUNTY_PPM - TREASURY_PPM) / PPM;
        totalOwed += amount;
        _credit(reporter, bounty);
        _credit(harmed, damages);
        _credit(TREASURY, amount - bounty - damages);
    }

    function _credit(address account, uint256 amount) private {
        if (amount == 0) return;
        owed[account] += amount;
        emit Credited(account, amount);
    }

    function _setActive(address account, uint256 amount) private {
        // 128 bits, so that sums of one account's parts fit wherever they are kept.
        (uint208 before, uint208 now_) = _active[account].push(uint48(block.timestamp), amount.toUint128());
        totalActiveStake = totalActiveStake - before + now_;
    }

    function _key(address slasher, address operator, bytes32 cause) private pure returns (bytes32) {
        return keccak256(abi.encode(slasher, operator, cause));
    }
}
