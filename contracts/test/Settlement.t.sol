// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {LuxxonSettlement} from "../src/LuxxonSettlement.sol";
import {TestUSDC} from "../src/TestUSDC.sol";
import {FiatToken, IUSDC} from "./FiatToken.sol";
import {Market} from "./Market.sol";
import {vm} from "./Vm.sol";

/// @notice What consumers, relayer and owner can and cannot do, whatever the token is.
abstract contract SettlementTest is Market {
    function makeToken() internal virtual returns (IUSDC);

    function setUp() public {
        vm.warp(1_900_000_000);
        open(makeToken());
    }

    function pool() private view returns (uint256) {
        return settlement.deposits(consumer);
    }

    function stranger(bytes memory call) private {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, STRANGER));
        vm.prank(STRANGER);
        (bool reverted,) = address(settlement).call(call); // expectRevert turns the answer round
        vm.assertTrue(reverted, "a stranger ruled");
    }

    // ---------------------------------------------------------------- deposits

    function test_a_deposit_fills_the_callers_pool() public {
        give(consumer, 50e6);
        vm.expectEmit(address(settlement));
        emit LuxxonSettlement.Deposited(consumer, 20e6);
        vm.prank(consumer);
        settlement.deposit(20e6);
        vm.assertEq(pool(), 20e6, "pool");
        vm.assertEq(usdc.balanceOf(consumer), 30e6, "wallet");
        vm.assertEq(usdc.balanceOf(address(settlement)), 20e6, "contract");
    }

    function test_a_deposit_for_somebody_else_is_theirs() public {
        give(STRANGER, 5e6);
        vm.expectEmit(address(settlement));
        emit LuxxonSettlement.Deposited(consumer, 5e6);
        vm.prank(STRANGER);
        settlement.depositFor(consumer, 5e6);
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.InsufficientPool.selector, STRANGER, 0, 1));
        vm.prank(STRANGER);
        settlement.withdraw(1);
        vm.prank(consumer);
        settlement.withdraw(5e6);
        vm.assertEq(usdc.balanceOf(consumer), 5e6, "wallet");
    }

    function test_a_deposit_for_nobody_is_refused() public {
        give(STRANGER, 5e6);
        for (uint256 i = 0; i < 2; ++i) {
            address nobody = i == 0 ? address(0) : address(settlement);
            vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.InvalidAddress.selector, nobody));
            vm.prank(STRANGER);
            settlement.depositFor(nobody, 5e6);
        }
    }

    function test_a_permit_deposits_without_an_approval() public {
        usdc.mint(consumer, 7e6);
        Signature memory signed = signPermit(CONSUMER_KEY, 7e6, block.timestamp);
        vm.prank(consumer);
        settlement.depositWithPermit(7e6, block.timestamp, signed.v, signed.r, signed.s);
        vm.assertEq(pool(), 7e6, "pool");
    }

    function test_a_permit_that_somebody_submitted_first_deposits_too() public {
        usdc.mint(consumer, 7e6);
        Signature memory signed = signPermit(CONSUMER_KEY, 7e6, block.timestamp);
        usdc.permit(consumer, address(settlement), 7e6, block.timestamp, signed.v, signed.r, signed.s);
        vm.prank(consumer);
        settlement.depositWithPermit(7e6, block.timestamp, signed.v, signed.r, signed.s);
        vm.assertEq(pool(), 7e6, "pool");
    }

    function test_a_permit_of_somebody_else_deposits_nothing() public {
        usdc.mint(consumer, 7e6);
        Signature memory signed = signPermit(CONSUMER_KEY, 7e6, block.timestamp);
        vm.expectRevert("ERC20: transfer amount exceeds allowance");
        vm.prank(STRANGER);
        settlement.depositWithPermit(7e6, block.timestamp, signed.v, signed.r, signed.s);
    }

    function test_an_authorization_is_credited_to_its_signer_once() public {
        usdc.mint(consumer, 9e6);
        uint256 until = block.timestamp + 60;
        Signature memory signed = signAuthorization(CONSUMER_KEY, 9e6, until, "n");
        vm.expectEmit(address(settlement));
        emit LuxxonSettlement.Deposited(consumer, 9e6);
        vm.prank(STRANGER);
        settlement.depositWithAuthorization(consumer, 9e6, 0, until, "n", signed.v, signed.r, signed.s);
        vm.assertEq(pool(), 9e6, "pool of the signer");
        vm.assertEq(settlement.deposits(STRANGER), 0, "pool of the sender");

        vm.expectRevert("FiatTokenV2: authorization is used or canceled");
        settlement.depositWithAuthorization(consumer, 9e6, 0, until, "n", signed.v, signed.r, signed.s);
    }

    function test_an_authorization_that_was_altered_deposits_nothing() public {
        usdc.mint(consumer, 9e6);
        usdc.mint(STRANGER, 9e6);
        uint256 until = block.timestamp + 60;
        Signature memory signed = signAuthorization(CONSUMER_KEY, 8e6, until, "n");
        vm.expectRevert("FiatTokenV2: invalid signature");
        settlement.depositWithAuthorization(consumer, 9e6, 0, until, "n", signed.v, signed.r, signed.s);
        vm.expectRevert("FiatTokenV2: invalid signature");
        settlement.depositWithAuthorization(STRANGER, 8e6, 0, until, "n", signed.v, signed.r, signed.s);
        vm.warp(until);
        vm.expectRevert("FiatTokenV2: authorization is expired");
        settlement.depositWithAuthorization(consumer, 8e6, 0, until, "n", signed.v, signed.r, signed.s);
        vm.assertEq(pool() + settlement.deposits(STRANGER), 0, "pools");
    }

    function test_nothing_is_neither_deposited_nor_withdrawn() public {
        bytes memory nothing = abi.encodeWithSelector(LuxxonSettlement.ZeroAmount.selector);
        vm.expectRevert(nothing);
        settlement.deposit(0);
        vm.expectRevert(nothing);
        settlement.withdraw(0);
        Signature memory signed = signAuthorization(CONSUMER_KEY, 0, block.timestamp + 60, "n");
        vm.expectRevert(nothing);
        settlement.depositWithAuthorization(consumer, 0, 0, block.timestamp + 60, "n", signed.v, signed.r, signed.s);
    }

    // ---------------------------------------------------------------- withdrawals and the pause

    function test_withdrawals_go_on_while_everything_else_is_paused() public {
        fund(consumer, 10e6);
        give(consumer, 1e6);
        vm.prank(OWNER);
        settlement.pause();
        bytes memory paused = abi.encodeWithSelector(Pausable.EnforcedPause.selector);
        vm.expectRevert(paused);
        vm.prank(consumer);
        settlement.deposit(1e6);
        vm.expectRevert(paused);
        vm.prank(consumer);
        settlement.depositFor(STRANGER, 1e6);
        Signature memory signed = signPermit(CONSUMER_KEY, 1e6, block.timestamp);
        vm.expectRevert(paused);
        vm.prank(consumer);
        settlement.depositWithPermit(1e6, block.timestamp, signed.v, signed.r, signed.s);
        signed = signAuthorization(CONSUMER_KEY, 1e6, block.timestamp + 60, "n");
        vm.expectRevert(paused);
        settlement.depositWithAuthorization(consumer, 1e6, 0, block.timestamp + 60, "n", signed.v, signed.r, signed.s);
        vm.expectRevert(paused);
        vm.prank(RELAYER);
        settle(session(1));
        vm.expectRevert(paused);
        vm.prank(RELAYER);
        settlement.settleBatch(new LuxxonSettlement.BatchEntry[](1));

        vm.expectEmit(address(settlement));
        emit LuxxonSettlement.Withdrawn(consumer, 10e6);
        vm.prank(consumer);
        settlement.withdraw(10e6);
        vm.assertEq(usdc.balanceOf(consumer), 11e6, "wallet");

        vm.prank(OWNER);
        settlement.unpause();
        vm.prank(consumer);
        settlement.deposit(1e6);
        vm.assertEq(pool(), 1e6, "pool");
    }

    function test_nobody_withdraws_more_than_its_pool() public {
        fund(consumer, 10e6);
        fund(STRANGER, 3e6);
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.InsufficientPool.selector, STRANGER, 3e6, 3e6 + 1));
        vm.prank(STRANGER);
        settlement.withdraw(3e6 + 1);
    }

    // ---------------------------------------------------------------- roles

    function test_only_the_owner_pauses_and_changes_roles() public {
        stranger(abi.encodeCall(settlement.pause, ()));
        stranger(abi.encodeCall(settlement.unpause, ()));
        stranger(abi.encodeCall(settlement.setRelayer, (STRANGER)));
        stranger(abi.encodeCall(settlement.setPlatformWallet, (STRANGER)));
        stranger(abi.encodeCall(settlement.transferOwnership, (STRANGER)));
        stranger(abi.encodeCall(settlement.acceptOwnership, ()));
    }

    function test_a_new_relayer_replaces_the_old_one() public {
        fund(consumer, 10e6);
        vm.expectEmit(address(settlement));
        emit LuxxonSettlement.RelayerChanged(RELAYER, STRANGER);
        vm.prank(OWNER);
        settlement.setRelayer(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.NotRelayer.selector, RELAYER));
        vm.prank(RELAYER);
        settle(session(1));
        vm.prank(STRANGER);
        settle(session(1));
    }

    function test_a_new_platform_wallet_gets_the_fees() public {
        fund(consumer, 10e6);
        vm.expectEmit(address(settlement));
        emit LuxxonSettlement.PlatformWalletChanged(PLATFORM, STRANGER);
        vm.prank(OWNER);
        settlement.setPlatformWallet(STRANGER);
        vm.prank(RELAYER);
        settle(session(1));
        vm.assertEq(usdc.balanceOf(STRANGER), 90_000, "new");
        vm.assertEq(usdc.balanceOf(PLATFORM), 0, "old");
    }

    function test_roles_are_never_empty() public {
        for (uint256 i = 0; i < 2; ++i) {
            address nobody = i == 0 ? address(0) : address(settlement);
            bytes memory invalid = abi.encodeWithSelector(LuxxonSettlement.InvalidAddress.selector, nobody);
            vm.expectRevert(invalid);
            vm.prank(OWNER);
            settlement.setRelayer(nobody);
            vm.expectRevert(invalid);
            vm.prank(OWNER);
            settlement.setPlatformWallet(nobody);
        }
        IERC20 token = IERC20(address(usdc));
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.InvalidAddress.selector, STRANGER));
        new LuxxonSettlement(IERC20(STRANGER), PLATFORM, RELAYER, OWNER);
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.InvalidAddress.selector, address(0)));
        new LuxxonSettlement(token, address(0), RELAYER, OWNER);
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.InvalidAddress.selector, address(0)));
        new LuxxonSettlement(token, PLATFORM, address(0), OWNER);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableInvalidOwner.selector, address(0)));
        new LuxxonSettlement(token, PLATFORM, RELAYER, address(0));
    }

    function test_the_contract_changes_hands_in_two_steps_and_always_has_an_owner() public {
        vm.prank(OWNER);
        settlement.transferOwnership(STRANGER);
        vm.assertEq(settlement.owner(), OWNER, "owner until the other accepts");
        vm.prank(STRANGER);
        settlement.acceptOwnership();
        vm.assertEq(settlement.owner(), STRANGER, "owner");
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.OwnerRequired.selector));
        vm.prank(STRANGER);
        settlement.renounceOwnership();
    }
}

contract SettlementOfTestUSDC is SettlementTest {
    function makeToken() internal override returns (IUSDC) {
        return IUSDC(address(new TestUSDC()));
    }
}

contract SettlementOfUSDC is SettlementTest {
    function makeToken() internal override returns (IUSDC) {
        return FiatToken.deploy();
    }
}
