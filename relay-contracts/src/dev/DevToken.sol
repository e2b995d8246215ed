// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token for development networks: anybody mints, so it is worth nothing
/// @notice What `nacre dev` and tests stake. It has no place on a network where stake has to mean something.
contract DevToken is ERC20("Nacre development stake", "DEVNCR") {
    /// @notice Makes `amount` base units for `account`.
    function mint(address account, uint256 amount) external {
        _mint(account, amount);
    }
}
