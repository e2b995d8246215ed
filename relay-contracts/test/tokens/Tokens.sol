// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// An ordinary token that anybody mints.
contract PlainToken is ERC20("Plain", "PLN") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// Takes one per cent of every transfer.
contract FeeToken is ERC20("Fee", "FEE") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(0), value / 100);
    }
}

/// Calls whoever asked for it at every transfer, as ERC-777 does: from the sender's side before, at the receiver's after.
contract HookToken is ERC20("Hook", "HOK") {
    address public hooked;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function hook(address account) external {
        hooked = account;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (from != address(0) && from == hooked) IHooked(from).onTokens();
        super._update(from, to, value);
        if (to != address(0) && to == hooked) IHooked(to).onTokens();
    }
}

interface IHooked {
    function onTokens() external;
}
