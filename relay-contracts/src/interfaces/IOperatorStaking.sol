// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Operators' stake, as the contracts that draw and slash see it
/// @notice Amounts are base units of the one ERC-20 that is staked. Who may slash is fixed when it is deployed.
interface IOperatorStaking {
    /// @notice `operator` lost `amount` for `cause`.
    /// @param operator Whose stake it was.
    /// @param slasher The contract that demanded it.
    /// @param cause What for, as that contract numbers its causes.
    /// @param amount What was taken, at most what was asked and at most the stake.
    /// @param reporter Who gets the bounty.
    /// @param harmed Who gets the rest; zero: the treasury.
    event Slashed(
        address indexed operator,
        address indexed slasher,
        bytes32 indexed cause,
        uint256 amount,
        address reporter,
        address harmed
    );

    /// @notice The caller may not slash.
    error NotSlasher(address caller);

    /// @notice This slasher has slashed this operator for this cause before.
    error AlreadySlashed(address operator, bytes32 cause);

    /// @notice What a slash can take from `operator`: active stake, and what was asked back but is still held.
    function stakeOf(address operator) external view returns (uint256 amount);

    /// @notice The part of `operator`'s stake that was not asked back: its weight in draws and votes.
    function activeStake(address operator) external view returns (uint256 amount);

    /// @notice The sum of all active stakes.
    function totalActiveStake() external view returns (uint256 amount);

    /// @notice For how long stake that was asked back is still held, and can be slashed, in seconds.
    function unbondDelay() external view returns (uint64 delay);

    /// @notice Takes `amount`, or the whole stake if that is less, from `operator`; a bounty goes to `reporter`, the rest
    /// to `harmed`, or to the treasury if that is zero. Both are credited, to be claimed: no call leaves to either.
    /// @dev Callable by the slashers alone; each can slash an operator once per `cause`, also where nothing was left to
    /// take. Calls no contract but the stake token, and none at all if it can help it: a slash never fails for want of
    /// stake or because of who is paid.
    /// @return slashed What was taken.
    function slash(address operator, uint256 amount, bytes32 cause, address reporter, address harmed)
        external
        returns (uint256 slashed);
}
