// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LuxxonSettlement} from "../src/LuxxonSettlement.sol";
import {FiatToken, IFiatToken} from "./FiatToken.sol";
import {Honest, Thieves} from "./Handlers.sol";
import {vm} from "./Vm.sol";

/// @notice What holds after any sequence of calls.
abstract contract InvariantTest {
    IFiatToken internal usdc;
    Honest internal handler;
    LuxxonSettlement internal settlement;

    function makeHandler() internal virtual returns (Honest);

    function setUp() public {
        usdc = FiatToken.deploy();
        handler = makeHandler();
        usdc.configureMinter(address(handler), type(uint256).max);
        settlement = handler.contract_();
    }

    /// @dev forge calls these contracts and no others.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev One function, because forge would draw the same sequences anew for each.
    function invariant_the_books_agree() public view {
        uint256 pools;
        for (uint256 i = 0; i < 4; ++i) {
            address account = handler.people(i);
            pools += settlement.deposits(account);
            vm.assertEq(settlement.deposits(account), handler.pools(account), "a pool is not what its owner did");
            vm.assertEq(usdc.balanceOf(account), handler.wallets(account), "somebody was paid something else");
        }
        for (uint256 i = 0; i < 3; ++i) {
            address wallet = handler.platforms(i);
            vm.assertEq(usdc.balanceOf(wallet), handler.fees(wallet), "fees are not where they belong");
        }
        vm.assertEq(usdc.balanceOf(address(settlement)), pools + handler.donated(), "the contract holds not its pools");
        uint256 gone = handler.paid() + handler.withdrawn();
        vm.assertEq(handler.deposited(), pools + gone, "deposits are not pools, payments and withdrawals");
        vm.assertTrue(handler.paid() <= handler.metered(), "more was paid than metered");
        vm.assertTrue(bytes(handler.theft()).length == 0, handler.theft());
    }

    /// @dev At the end of a sequence, paused or not; what this changes is gone with the sequence.
    function afterInvariant() public {
        for (uint256 i = 0; i < handler.count(); ++i) {
            vm.assertTrue(settlement.settled(handler.sessions(i)), "a session that was paid is open again");
        }
        for (uint256 i = 0; i < 4; ++i) {
            address account = handler.people(i);
            uint256 pool = settlement.deposits(account);
            if (pool == 0) continue;
            vm.prank(account);
            settlement.withdraw(pool);
            vm.assertEq(usdc.balanceOf(account), handler.wallets(account) + pool, "a pool was not paid out");
        }
        vm.assertEq(usdc.balanceOf(address(settlement)), handler.donated(), "pools are empty and money is left");
    }
}

contract HonestInvariants is InvariantTest {
    function makeHandler() internal override returns (Honest) {
        return new Honest(usdc);
    }
}

contract ThievesInvariants is InvariantTest {
    function makeHandler() internal override returns (Honest) {
        return new Thieves(usdc);
    }
}
