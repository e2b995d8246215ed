// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IJobRelay} from "./interfaces/IJobRelay.sol";
import {Vault} from "./relay/Vault.sol";

/// @title Inference at regular times, paid in advance
/// @notice A subscription is a plan and a balance. Its time is a grid of slots of one period each, laid down when it begins:
/// slot k is start + k × period and the period after it. In each slot anybody may {run} the plan once, and earns the plan's
/// reward. A slot that nobody ran is not paid for and not made up for.
///
/// Every run is a job of its own at the relay. Its fee leaves the balance when the job is asked for, and comes back to the
/// same subscription if that very job is cancelled, whenever that is and whatever ran since: accounts go by the job's id and
/// never by the time at which something is done.
///
/// Inputs go by reference. What comes of a job is told to the plan's callback, which finds its subscription by
/// {subscriptionOf}. Nobody owns this contract, and nobody but a subscription's owner has a right over its balance.
contract JobSubscriptions is Vault {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    /// @notice What is run, when, and for how much. Fixed for a subscription's life.
    struct Plan {
        /// @notice Which function: SHA-256 of its manifest.
        bytes32 functionDigest;
        /// @notice Which image must answer; zero: any that is approved.
        bytes32 imageId;
        /// @notice SHA-256 of the input.
        bytes32 inputHash;
        /// @notice Who is told; zero: nobody.
        address callback;
        /// @notice With how much gas.
        uint32 callbackGas;
        /// @notice How long a job may take, seconds.
        uint32 answerWithin;
        /// @notice What is paid in; zero: ETH.
        address token;
        /// @notice The relay's fee of one run.
        uint96 fee;
        /// @notice What whoever runs it earns.
        uint96 reward;
        /// @notice When slot 0 begins, Unix seconds.
        uint40 start;
        /// @notice Length of a slot, seconds.
        uint32 period;
        /// @notice Slots in all; 0: until it is terminated.
        uint32 slots;
    }

    /// @notice Where a subscription stands.
    struct Account {
        address owner;
        /// @notice The first slot that was not run and can be; all before it are over.
        uint32 nextSlot;
        /// @notice Runs that were asked for.
        uint32 runs;
        bool paused;
        bool terminated;
        /// @notice What is left for runs, base units of the plan's token.
        uint128 balance;
        /// @notice Runs that were refunded.
        uint32 refunded;
    }

    /// @notice One run.
    struct Run {
        /// @notice Whose; 0: no such run.
        uint64 subscription;
        uint32 slot;
        uint96 fee;
        bool refunded;
    }

    /// @notice A subscription began.
    event Subscribed(uint64 indexed subscription, address indexed owner, Plan plan);
    /// @notice `payer` added to a balance.
    event ToppedUp(uint64 indexed subscription, address indexed payer, uint256 amount);
    /// @notice A slot was run as this job.
    event Ran(uint64 indexed subscription, uint32 indexed slot, uint256 indexed jobId, address keeper);
    /// @notice The fee of a run whose job was cancelled came back.
    event Refunded(uint64 indexed subscription, uint32 indexed slot, uint256 indexed jobId, uint256 fee);
    /// @notice The owner stopped or resumed.
    event Paused(uint64 indexed subscription, bool paused);
    /// @notice The owner took from the balance.
    event Withdrawn(uint64 indexed subscription, uint256 amount);
    /// @notice Nothing will run any more.
    event Terminated(uint64 indexed subscription);

    /// @notice A plan has a period, a time to answer, an input and a fee.
    error PlanUnsound();
    /// @notice The ETH sent is not what was to be paid.
    error BadValue(uint256 wanted, uint256 sent);
    /// @notice The token gave less, or more, than was sent.
    error TransferTookFee(uint256 sent, uint256 arrived);
    /// @notice Only the owner may.
    error NotOwner(uint64 subscription);
    /// @notice It was terminated, or never was.
    error NotActive(uint64 subscription);
    /// @notice The owner stopped it.
    error IsPaused(uint64 subscription);
    /// @notice No slot can be run before `time`, Unix seconds; the largest number: none ever.
    error NotDue(uint256 time);
    /// @notice The balance does not cover a run.
    error TooLittleLeft(uint256 wanted, uint256 balance);
    /// @notice The job is none of ours, or was refunded.
    error NothingToRefund(uint256 jobId);
    /// @notice The relay did not cancel the job, or did not give the fee back.
    error NotCancelled(uint256 jobId);
    /// @notice There is nothing to move.
    error ZeroAmount();
    /// @notice ETH comes with a top-up, or from the relay.
    error NotTheRelay();

    /// @notice Where jobs are asked for.
    IJobRelay public immutable RELAY;

    /// @notice How many subscriptions there are; their numbers begin at 1.
    uint64 public count;
    /// @notice Refunds that the relay paid out and that no run was credited with yet.
    mapping(address token => uint256) public unassigned;

    mapping(uint64 subscription => Plan) private _plans;
    mapping(uint64 subscription => Account) private _accounts;
    mapping(uint256 jobId => Run) private _runs;

    /// @notice Subscriptions to one relay.
    constructor(IJobRelay relay) {
        RELAY = relay;
    }

    /// @notice Takes back what the relay owes us.
    receive() external payable {
        if (msg.sender != address(RELAY)) revert NotTheRelay();
    }

    /// @notice Begins a subscription of the caller's, with a first deposit.
    /// @param plan What is run. A start that is past means now.
    /// @param deposit In the plan's token; with ETH it must come along.
    /// @return subscription Its number.
    function subscribe(Plan calldata plan, uint128 deposit)
        external
        payable
        nonReentrant
        returns (uint64 subscription)
    {
        bool sound = plan.period != 0 && plan.answerWithin != 0 && plan.inputHash != 0 && plan.fee != 0;
        if (!sound) revert PlanUnsound();
        subscription = ++count;
        Plan storage kept = _plans[subscription];
        _plans[subscription] = plan;
        if (plan.start < block.timestamp) kept.start = uint40(block.timestamp);
        _accounts[subscription].owner = msg.sender;
        emit Subscribed(subscription, msg.sender, kept);
        _add(subscription, plan.token, deposit);
    }

    /// @notice Adds to a balance. Anybody may; it is the owner's from then on.
    function topUp(uint64 subscription, uint128 amount) external payable nonReentrant {
        _active(subscription);
        if (amount == 0) revert ZeroAmount();
        _add(subscription, _plans[subscription].token, amount);
    }

    /// @notice Runs the slot that it is now. Anybody may, once a slot; the caller is credited the plan's reward.
    /// @return jobId The job at the relay.
    function run(uint64 subscription) external nonReentrant returns (uint256 jobId) {
        Account storage account = _active(subscription);
        if (account.paused) revert IsPaused(subscription);
        Plan memory plan = _plans[subscription];
        uint32 slot = _slotNow(plan, account.nextSlot);
        uint256 cost = uint256(plan.fee) + plan.reward;
        if (account.balance < cost) revert TooLittleLeft(cost, account.balance);

        account.balance -= cost.toUint128();
        account.nextSlot = slot + 1;
        ++account.runs;
        _credit(plan.token, msg.sender, plan.reward);
        jobId = _request(plan);
        _runs[jobId] = Run(subscription, slot, plan.fee, false);
        emit Ran(subscription, slot, jobId, msg.sender);
    }

    /// @notice Brings back the fee of a run whose job the relay cancelled. Anybody may; to cancel an overdue job at the relay
    /// is anybody's too.
    function refund(uint256 jobId) external nonReentrant {
        Run storage ran = _runs[jobId];
        (uint64 subscription, uint96 fee) = (ran.subscription, ran.fee);
        if (subscription == 0 || ran.refunded) revert NothingToRefund(jobId);
        (IJobRelay.State state,,,) = RELAY.resultOf(jobId);
        if (state != IJobRelay.State.Cancelled) revert NotCancelled(jobId);
        ran.refunded = true;
        address token = _plans[subscription].token;
        _collect(token);
        if (unassigned[token] < fee) revert NotCancelled(jobId);
        unassigned[token] -= fee;

        Account storage account = _accounts[subscription];
        ++account.refunded;
        if (account.terminated) _credit(token, account.owner, fee);
        else account.balance += fee;
        emit Refunded(subscription, ran.slot, jobId, fee);
    }

    /// @notice Stops or resumes a subscription of the caller's. Slots that pass meanwhile are not made up for.
    function setPaused(uint64 subscription, bool paused) external {
        Account storage account = _own(subscription);
        account.paused = paused;
        emit Paused(subscription, paused);
    }

    /// @notice Takes from the balance of a subscription of the caller's: what is left runs on. The caller is credited.
    function withdraw(uint64 subscription, uint128 amount) external {
        Account storage account = _own(subscription);
        if (amount == 0) revert ZeroAmount();
        if (amount > account.balance) revert TooLittleLeft(amount, account.balance);
        account.balance -= amount;
        _credit(_plans[subscription].token, msg.sender, amount);
        emit Withdrawn(subscription, amount);
    }

    /// @notice Ends a subscription of the caller's for good. The caller is credited the balance, and the fees of jobs under way
    /// if they are cancelled.
    function terminate(uint64 subscription) external {
        Account storage account = _own(subscription);
        uint256 left = account.balance;
        account.balance = 0;
        account.terminated = true;
        _credit(_plans[subscription].token, msg.sender, left);
        emit Terminated(subscription);
    }

    /// @notice Pays the caller what it is owed.
    /// @param token In what; zero: ETH.
    /// @param to Where to.
    /// @return amount Base units.
    function claim(address token, address to) external returns (uint256 amount) {
        return _claim(token, to);
    }

    /// @notice Of which subscription and slot a job is a run. For callbacks: check that the caller is the relay, and this.
    /// @return subscription 0: of none.
    function subscriptionOf(uint256 jobId) external view returns (uint64 subscription, uint32 slot) {
        return (_runs[jobId].subscription, _runs[jobId].slot);
    }

    /// @notice One run.
    function runOf(uint256 jobId) external view returns (Run memory) {
        return _runs[jobId];
    }

    /// @notice A subscription's plan.
    function planOf(uint64 subscription) external view returns (Plan memory) {
        return _plans[subscription];
    }

    /// @notice Where a subscription stands.
    function accountOf(uint64 subscription) external view returns (Account memory) {
        return _accounts[subscription];
    }

    /// @notice From when on a keeper can run a subscription next, Unix seconds, as far as time alone decides.
    /// @return time The largest number where no slot is left.
    function dueAt(uint64 subscription) external view returns (uint256 time) {
        Plan memory plan = _plans[subscription];
        uint256 slot = _accounts[subscription].nextSlot;
        if (block.timestamp >= plan.start && plan.period != 0) {
            uint256 now_ = (block.timestamp - plan.start) / plan.period;
            if (now_ > slot) slot = now_;
        }
        return _startOf(plan, slot);
    }

    /// @dev The slot that it is now, where it was not run.
    function _slotNow(Plan memory plan, uint32 nextSlot) private view returns (uint32) {
        uint256 due = _startOf(plan, nextSlot);
        if (block.timestamp < due) revert NotDue(due);
        uint256 slot = (block.timestamp - plan.start) / plan.period;
        if (plan.slots != 0 && slot >= plan.slots) revert NotDue(type(uint256).max);
        return slot.toUint32();
    }

    function _startOf(Plan memory plan, uint256 slot) private pure returns (uint256) {
        if (plan.slots != 0 && slot >= plan.slots) return type(uint256).max;
        return uint256(plan.start) + slot * plan.period;
    }

    function _request(Plan memory plan) private returns (uint256 jobId) {
        bool eth = plan.token == address(0);
        if (!eth && IERC20(plan.token).allowance(address(this), address(RELAY)) < plan.fee) {
            // The relay takes from its caller alone, what that caller asked for.
            IERC20(plan.token).forceApprove(address(RELAY), type(uint256).max);
        }
        IJobRelay.Request memory asked = IJobRelay.Request({
            functionDigest: plan.functionDigest,
            imageId: plan.imageId,
            inputHash: plan.inputHash,
            callback: plan.callback,
            callbackGas: plan.callbackGas,
            deadline: (block.timestamp + plan.answerWithin).toUint40(),
            token: plan.token,
            fee: plan.fee
        });
        return RELAY.request{value: eth ? plan.fee : 0}(asked, "");
    }

    /// @dev Has the relay pay out whatever it owes us: refunds of jobs that anybody cancelled.
    function _collect(address token) private {
        uint256 before = _held(token);
        // Where it owes nothing, an earlier refund brought this one along; the caller checks that enough is there.
        try RELAY.claim(token, address(this)) {} catch {}
        unassigned[token] += _held(token) - before;
    }

    function _add(uint64 subscription, address token, uint128 amount) private {
        uint256 wanted = token == address(0) ? amount : 0;
        if (msg.value != wanted) revert BadValue(wanted, msg.value);
        if (amount == 0) return;
        _accounts[subscription].balance += amount;
        emit ToppedUp(subscription, msg.sender, amount);
        if (token == address(0)) return;
        uint256 before = _held(token);
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 arrived = _held(token) - before;
        if (arrived != amount) revert TransferTookFee(amount, arrived);
    }

    function _held(address token) private view returns (uint256) {
        return token == address(0) ? address(this).balance : IERC20(token).balanceOf(address(this));
    }

    function _active(uint64 subscription) private view returns (Account storage account) {
        account = _accounts[subscription];
        if (account.owner == address(0) || account.terminated) revert NotActive(subscription);
    }

    function _own(uint64 subscription) private view returns (Account storage account) {
        account = _active(subscription);
        if (account.owner != msg.sender) revert NotOwner(subscription);
    }
}
