// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IOperatorStaking} from "../interfaces/IOperatorStaking.sol";
import {Roll} from "./Roll.sol";

// Seats on a committee.
uint256 constant SEATS = 3;

/// @title Who must answer: a draw by stake that nobody can steer
/// @notice Time is cut into terms. A term has a roll of operators, weighted by stake and frozen when it starts, and a
/// committee of up to three, each with a hash chain that it committed before. The jobs of one block are a batch. Once the
/// block is final, each committee member reveals the next link of its chain; the seed of the batch is made of all of them,
/// and seed and job id draw an operator from the roll. So at the time of a request nobody knows the seed but the whole
/// committee together; and nobody chooses it at all, since links were fixed before the term. A member can only withhold
/// its link: then the batch is not drawn, its jobs are anybody's, and the member loses stake and its seat.
/// @dev README.md says what each party can and cannot bias.
abstract contract OperatorDraw {
    /// @notice What is fixed at deployment.
    struct DrawConfig {
        IOperatorStaking staking;
        /// The least active stake on the roll.
        uint128 minStake;
        /// What a member loses that withholds a link, at most once a term.
        uint128 withholdPenalty;
        /// How long a term lasts at least, in seconds.
        uint40 term;
        /// How long after its block a batch waits for links, in seconds.
        uint40 revealWindow;
    }

    struct Term {
        address roll;
        uint40 startedAt;
        // The seed of the term's first drawn batch: draws the next term's committee.
        bytes32 seed;
        address[SEATS] seats;
        // The last revealed link of each seat's chain, and the first batch whose link is still to come.
        bytes32[SEATS] tips;
        uint40[SEATS] nextBatch;
        uint8 expelled;
    }

    struct Batch {
        // The links so far, mixed.
        uint168 mixed;
        uint40 openedAt;
        uint32 term;
        // The seats whose links are missing.
        uint8 missing;
        BatchState state;
    }

    enum BatchState {
        // No committee at the time: its jobs are anybody's.
        Undrawable,
        Waiting,
        Drawn
    }

    struct DrawState {
        uint64 nonce;
        uint40 batch;
        uint48 batchBlock;
        uint32 term;
        // The seats of the current term that are filled and not expelled.
        uint8 seated;
        uint40 startedAt;
    }

    /// @notice `operator` is on the next roll, while its stake lasts, with a new chain.
    event Enlisted(address indexed operator, bytes32 tip);

    /// @notice `operator` is not on the next roll.
    event Delisted(address indexed operator);

    /// @notice A term began.
    event TermStarted(uint32 indexed term, address roll, uint256 operators, address[SEATS] seats);

    /// @notice All links of a batch are there.
    event BatchDrawn(uint40 indexed batch, bytes32 seed);

    /// @notice `operator` kept back a link of `batch`: it lost `amount` and its seat.
    event Withheld(uint40 indexed batch, address indexed operator, uint256 amount);

    /// @notice The caller's active stake is below `minStake`.
    error StakeTooSmall(uint256 stake, uint256 minStake);

    /// @notice A chain has a tip.
    error NoChain();

    /// @notice The list is full, and the named operator has not less stake than the caller.
    error ListFull(address displaced);

    /// @notice The caller is not listed.
    error NotListed(address operator);

    /// @notice The term still runs.
    error TermRuns(uint256 until);

    /// @notice This seat has no such link to reveal.
    error NothingToReveal(uint32 term, uint8 seat, uint40 upTo);

    /// @notice The batch's block is not over: nobody may show a link to those who still can ask.
    error BatchStillOpen(uint40 batch);

    /// @notice The link does not hash to the chain's tip.
    error WrongLink();

    /// @notice One reveal covers at most `MAX_LINKS` batches.
    error TooManyLinks();

    /// @notice Nobody withheld a link of this batch, or its time is not over, or they were reported.
    error NothingWithheld(uint40 batch);

    /// @notice A setting is zero or out of range.
    error BadDrawConfig();

    /// @notice The most operators on a roll.
    uint256 public constant MAX_OPERATORS = 256;

    /// @notice The most batches that one reveal covers.
    uint256 public constant MAX_LINKS = 256;

    /// @notice Where the stake is.
    IOperatorStaking public immutable STAKING;

    /// @notice The least active stake on the roll.
    uint128 public immutable MIN_STAKE;

    /// @notice What a member loses that withholds a link, at most once a term.
    uint128 public immutable WITHHOLD_PENALTY;

    /// @notice How long a term lasts at least, in seconds. Nothing is drawn from a roll that is older than two.
    uint40 public immutable TERM;

    /// @notice How long after its block a batch waits for links, in seconds.
    uint40 public immutable REVEAL_WINDOW;

    DrawState internal _state;
    mapping(uint40 batch => Batch) internal _batches;
    mapping(uint32 term => Term) internal _terms;
    address[] private _listed;
    mapping(address operator => uint256 indexPlusOne) private _listIndex;
    mapping(address operator => bytes32 tip) private _tips;

    constructor(DrawConfig memory config) {
        if (address(config.staking) == address(0) || config.minStake == 0) revert BadDrawConfig();
        if (config.revealWindow == 0 || config.term < config.revealWindow || config.term > 30 days) {
            revert BadDrawConfig();
        }
        STAKING = config.staking;
        MIN_STAKE = config.minStake;
        WITHHOLD_PENALTY = config.withholdPenalty;
        TERM = config.term;
        REVEAL_WINDOW = config.revealWindow;
    }

    /// @notice Puts the caller on the next roll, with a new hash chain. A chain serves one seat in one term: whoever was
    /// seated commits another one, or is not on the roll after that.
    /// @param tip The end of the chain: link number n hashes to link number n - 1, link 1 to the tip; a link is 32 bytes,
    /// the hash is keccak256. Links must be unpredictable and more than the term has blocks.
    /// @param displaced Where the list is full: who leaves it, having less active stake than the caller.
    function enlist(bytes32 tip, address displaced) external {
        if (tip == 0) revert NoChain();
        uint256 stake = STAKING.activeStake(msg.sender);
        if (stake < MIN_STAKE) revert StakeTooSmall(stake, MIN_STAKE);
        if (_listIndex[msg.sender] == 0) {
            if (_listed.length >= MAX_OPERATORS) {
                if (_listIndex[displaced] == 0 || STAKING.activeStake(displaced) >= stake) revert ListFull(displaced);
                _delist(displaced);
            }
            _listed.push(msg.sender);
            _listIndex[msg.sender] = _listed.length;
        }
        _tips[msg.sender] = tip;
        emit Enlisted(msg.sender, tip);
    }

    /// @notice Takes the caller off the next roll. It can be drawn until the present term is over.
    function delist() external {
        if (_listIndex[msg.sender] == 0) revert NotListed(msg.sender);
        _delist(msg.sender);
    }

    /// @notice Starts the next term: a new roll from the stakes of now, and a new committee. Anybody may, when the present
    /// one is over, or has nobody left to reveal.
    /// @dev The committee is drawn from the old roll by the old term's first seed: both were fixed before anybody could
    /// know the other. Where nothing was drawn in the old term, the three heaviest of the new roll sit.
    /// @return number Its number.
    function startTerm() external returns (uint32 number) {
        DrawState memory state = _state;
        if (state.term != 0) {
            uint256 until = uint256(state.startedAt) + (state.seated == 0 ? REVEAL_WINDOW : TERM);
            if (block.timestamp < until) revert TermRuns(until);
        }
        number = state.term + 1;
        Term storage next = _terms[number];
        Term storage last = _terms[state.term];
        uint256 count = 0;
        bytes32 seed = last.seed;
        if (seed != 0) {
            for (uint256 i = 0; i < SEATS; ++i) {
                count = _seat(next, count, Roll.draw(last.roll, keccak256(abi.encode(seed, i))));
            }
        }
        (address roll, uint256 operators) = _writeRoll(next, count);
        next.roll = roll;
        next.startedAt = uint40(block.timestamp);
        uint8 seated = 0;
        for (uint256 i = 0; i < SEATS; ++i) {
            if (next.seats[i] == address(0)) continue;
            next.nextBatch[i] = state.batch + 1;
            // i < SEATS = 3.
            // forge-lint: disable-next-line(unsafe-typecast)
            seated |= uint8(1 << i);
        }
        (_state.term, _state.seated, _state.startedAt) = (number, seated, uint40(block.timestamp));
        emit TermStarted(number, roll, operators, next.seats);
    }

    /// @notice Reveals a seat's links for every batch from its next one up to `upTo`. Anybody may send it.
    /// @dev Links of batches whose time is over advance the chain and count for nothing.
    /// @param term The batches' term.
    /// @param seat Which of the term's seats.
    /// @param upTo The last batch.
    /// @param link Its link; those before it follow by hashing.
    function reveal(uint32 term, uint8 seat, uint40 upTo, bytes32 link) external {
        Term storage terms = _terms[term];
        if (seat >= SEATS || terms.seats[seat] == address(0)) revert NothingToReveal(term, seat, upTo);
        uint40 first = terms.nextBatch[seat];
        if (upTo < first || _batches[upTo].term != term) revert NothingToReveal(term, seat, upTo);
        if (upTo - first >= MAX_LINKS) revert TooManyLinks();
        if (upTo == _state.batch && block.number <= _state.batchBlock) revert BatchStillOpen(upTo);
        bytes32 next = link;
        for (uint40 batch = upTo;; --batch) {
            _mix(batch, seat, next);
            next = keccak256(abi.encode(next));
            if (batch == first) break;
        }
        if (next != terms.tips[seat]) revert WrongLink();
        terms.tips[seat] = link;
        terms.nextBatch[seat] = upTo + 1;
    }

    /// @notice Slashes and unseats every member who kept back its link of `batch` beyond its time. The caller gets the
    /// bounty. A member loses stake once a term, for the first batch that is reported.
    function reportWithheld(uint40 batch) external {
        Batch memory late = _batches[batch];
        if (late.state != BatchState.Waiting || block.timestamp <= uint256(late.openedAt) + REVEAL_WINDOW) {
            revert NothingWithheld(batch);
        }
        Term storage term = _terms[late.term];
        uint8 guilty = late.missing & ~term.expelled;
        if (guilty == 0) revert NothingWithheld(batch);
        term.expelled |= guilty;
        if (late.term == _state.term) _state.seated &= ~guilty;
        for (uint256 i = 0; i < SEATS; ++i) {
            if (guilty & (1 << i) == 0) continue;
            address operator = term.seats[i];
            bytes32 cause = keccak256(abi.encode("withheld", late.term, i));
            uint256 amount = STAKING.slash(operator, WITHHOLD_PENALTY, cause, msg.sender, address(0));
            emit Withheld(batch, operator, amount);
        }
    }

    /// @notice What is known of a term.
    /// @return roll Its frozen roll: `Roll` has the layout.
    /// @return startedAt When it began, Unix seconds.
    /// @return seats Its committee; zero: an empty seat.
    /// @return tips The last revealed link of each seat.
    /// @return nextBatch The first batch whose link each seat still owes.
    /// @return expelled Which seats were expelled, a bit each.
    function termOf(uint32 term)
        external
        view
        returns (
            address roll,
            uint40 startedAt,
            address[SEATS] memory seats,
            bytes32[SEATS] memory tips,
            uint40[SEATS] memory nextBatch,
            uint8 expelled
        )
    {
        Term storage t = _terms[term];
        return (t.roll, t.startedAt, t.seats, t.tips, t.nextBatch, t.expelled);
    }

    /// @notice What is known of a batch.
    function batchOf(uint40 batch) external view returns (Batch memory) {
        return _batches[batch];
    }

    /// @notice The present term and batch, and the next request's nonce.
    function drawState() external view returns (DrawState memory) {
        return _state;
    }

    /// @notice Who is on the list from which the next roll is made, and with which unused chain; zero: none.
    function listed() external view returns (address[] memory operators, bytes32[] memory tips) {
        operators = _listed;
        tips = new bytes32[](operators.length);
        for (uint256 i = 0; i < operators.length; ++i) {
            tips[i] = _tips[operators[i]];
        }
    }

    /// The batch of jobs that are asked for in this block.
    function _openBatch(DrawState memory state) internal returns (uint40 batch) {
        if (state.batchBlock == block.number && state.batch != 0) return state.batch;
        batch = state.batch + 1;
        (state.batch, state.batchBlock) = (batch, uint48(block.number));
        bool fresh = block.timestamp <= uint256(state.startedAt) + 2 * uint256(TERM);
        BatchState kind = state.seated != 0 && fresh ? BatchState.Waiting : BatchState.Undrawable;
        _batches[batch] =
            Batch({mixed: 0, openedAt: uint40(block.timestamp), term: state.term, missing: state.seated, state: kind});
    }

    /// Whom a drawn batch's seed assigns to a job.
    function _assigned(Batch memory batch, uint256 jobId) internal view returns (address) {
        return Roll.draw(_terms[batch.term].roll, keccak256(abi.encode(batch.mixed, jobId)));
    }

    function _mix(uint40 number, uint8 seat, bytes32 link) private {
        Batch memory batch = _batches[number];
        if (batch.state != BatchState.Waiting || batch.missing & (1 << seat) == 0) return;
        if (block.timestamp > uint256(batch.openedAt) + REVEAL_WINDOW) return;
        batch.mixed ^= uint168(uint256(keccak256(abi.encode(number, seat, link))));
        batch.missing &= ~uint8(1 << seat);
        if (batch.missing == 0) {
            batch.state = BatchState.Drawn;
            bytes32 seed = keccak256(abi.encode(batch.mixed, number));
            if (_terms[batch.term].seed == 0) _terms[batch.term].seed = seed;
            emit BatchDrawn(number, seed);
        }
        _batches[number] = batch;
    }

    function _delist(address operator) private {
        uint256 index = _listIndex[operator];
        address moved = _listed[_listed.length - 1];
        _listed[index - 1] = moved;
        _listIndex[moved] = index;
        _listed.pop();
        delete _listIndex[operator];
        delete _tips[operator];
        emit Delisted(operator);
    }

    /// Gives `operator` the next seat, if it has a chain and stake, and no seat yet. The chain is used up by that.
    function _seat(Term storage term, uint256 count, address operator) private returns (uint256) {
        bytes32 tip = _tips[operator];
        if (tip == 0 || STAKING.activeStake(operator) < MIN_STAKE) return count;
        delete _tips[operator];
        term.seats[count] = operator;
        term.tips[count] = tip;
        return count + 1;
    }

    /// Freezes who is listed, has the stake, and a chain or a seat; and seats the heaviest where nobody was drawn.
    function _writeRoll(Term storage term, uint256 seated) private returns (address roll, uint256 count) {
        uint256 length = _listed.length;
        address[] memory operators = new address[](length);
        uint64[] memory weights = new uint64[](length);
        address[SEATS] memory seats = term.seats;
        for (uint256 i = 0; i < length; ++i) {
            address operator = _listed[i];
            uint256 stake = STAKING.activeStake(operator);
            bool sits = operator == seats[0] || operator == seats[1] || operator == seats[2];
            if (stake < MIN_STAKE || (_tips[operator] == 0 && !sits)) continue;
            operators[count] = operator;
            weights[count] = SafeCast.toUint64(Math.min(stake * 1000 / MIN_STAKE, type(uint64).max));
            ++count;
        }
        if (count == 0) return (address(0), 0);
        roll = Roll.write(operators, weights, count);
        if (seated != 0) return (roll, count);
        for (uint256 k = 0; k < SEATS && k < count; ++k) {
            uint256 heaviest = 0;
            for (uint256 i = 1; i < count; ++i) {
                if (weights[i] > weights[heaviest]) heaviest = i;
            }
            seated = _seat(term, seated, operators[heaviest]);
            weights[heaviest] = 0;
        }
    }
}
