// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LuxxonSettlement} from "../src/LuxxonSettlement.sol";
import {TestUSDC} from "../src/TestUSDC.sol";
import {FiatToken, IUSDC} from "./FiatToken.sol";
import {Market} from "./Market.sol";
import {vm} from "./Vm.sol";

/// @notice What a settlement pays, when, and how often; by example and by 10,000 drawn ones.
abstract contract PayingTest is Market {
    uint256 private constant PANIC_OVERFLOW = 0x11;

    function makeToken() internal virtual returns (IUSDC);

    function setUp() public {
        open(makeToken());
        fund(consumer, 100e6);
    }

    function refuse(LuxxonSettlement.BatchEntry memory entry, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(RELAYER);
        settle(entry);
        LuxxonSettlement.BatchEntry[] memory entries = new LuxxonSettlement.BatchEntry[](2);
        (entries[0], entries[1]) = (session(1000), entry);
        vm.expectRevert(reason);
        vm.prank(RELAYER);
        settlement.settleBatch(entries);
        vm.assertTrue(!settlement.settled(session(1000).sessionId), "part of a batch was paid");
    }

    // ---------------------------------------------------------------- one session

    function test_a_settlement_pays_operator_and_platform_out_of_the_pool() public {
        vm.expectEmit(address(settlement));
        emit LuxxonSettlement.Settled(bytes32(uint256(1)), consumer, OPERATOR, 510_000, 90_000, 1000, 600);
        vm.prank(RELAYER);
        settle(session(1));
        vm.assertEq(usdc.balanceOf(OPERATOR), 510_000, "operator");
        vm.assertEq(usdc.balanceOf(PLATFORM), 90_000, "platform");
        vm.assertEq(settlement.deposits(consumer), 100e6 - 600_000, "pool");
        vm.assertEq(usdc.balanceOf(address(settlement)), 100e6 - 600_000, "contract");
        vm.assertTrue(settlement.settled(bytes32(uint256(1))), "settled");
    }

    function test_a_session_is_paid_once() public {
        vm.prank(RELAYER);
        settle(session(1));
        LuxxonSettlement.BatchEntry memory again = session(1);
        (again.to, again.toAmount, again.feeAmount) = (STRANGER, 1, 0);
        refuse(again, abi.encodeWithSelector(LuxxonSettlement.AlreadySettled.selector, again.sessionId));
    }

    function test_nothing_above_rate_times_seconds_is_paid() public {
        LuxxonSettlement.BatchEntry memory entry = session(1);
        entry.feeAmount += 1;
        bytes4 exceeds = LuxxonSettlement.ExceedsCharge.selector;
        refuse(entry, abi.encodeWithSelector(exceeds, entry.sessionId, 600_001, 600_000));
        entry = session(1);
        entry.chargeableSeconds = 0;
        refuse(entry, abi.encodeWithSelector(exceeds, entry.sessionId, 600_000, 0));
    }

    function test_amounts_do_not_wrap_around() public {
        bytes memory overflow = abi.encodeWithSignature("Panic(uint256)", PANIC_OVERFLOW);
        LuxxonSettlement.BatchEntry memory entry = session(1);
        (entry.toAmount, entry.feeAmount) = (type(uint256).max, 2);
        refuse(entry, overflow);
        entry = session(1);
        (entry.ratePerSecond, entry.chargeableSeconds) = (2 ** 255, 2);
        refuse(entry, overflow);
    }

    function test_a_pool_that_is_too_small_pays_nothing() public {
        vm.prank(consumer);
        settlement.withdraw(100e6 - 599_999);
        bytes4 insufficient = LuxxonSettlement.InsufficientPool.selector;
        vm.expectRevert(abi.encodeWithSelector(insufficient, consumer, 599_999, 600_000));
        vm.prank(RELAYER);
        settle(session(1));
        vm.assertTrue(!settlement.settled(bytes32(uint256(1))), "can be settled later");
        fund(consumer, 1);
        vm.prank(RELAYER);
        settle(session(1));
    }

    function test_a_settlement_of_nothing_is_refused() public {
        LuxxonSettlement.BatchEntry memory entry = session(1);
        (entry.toAmount, entry.feeAmount) = (0, 0);
        refuse(entry, abi.encodeWithSelector(LuxxonSettlement.ZeroAmount.selector));
    }

    function test_nobody_is_no_operator() public {
        for (uint256 i = 0; i < 2; ++i) {
            LuxxonSettlement.BatchEntry memory entry = session(1);
            entry.to = i == 0 ? address(0) : address(settlement);
            refuse(entry, abi.encodeWithSelector(LuxxonSettlement.InvalidAddress.selector, entry.to));
        }
    }

    function test_a_share_may_be_zero() public {
        LuxxonSettlement.BatchEntry memory entry = session(1);
        entry.feeAmount = 0;
        vm.prank(RELAYER);
        settle(entry);
        entry = session(2);
        entry.toAmount = 0;
        vm.prank(RELAYER);
        settle(entry);
        vm.assertEq(usdc.balanceOf(OPERATOR), 510_000, "operator");
        vm.assertEq(usdc.balanceOf(PLATFORM), 90_000, "platform");
    }

    // ---------------------------------------------------------------- batches

    function batch(uint256 size) private view returns (LuxxonSettlement.BatchEntry[] memory entries) {
        entries = new LuxxonSettlement.BatchEntry[](size);
        for (uint256 i = 0; i < size; ++i) {
            entries[i] = session(i + 1);
        }
    }

    function test_a_batch_pays_up_to_a_hundred_sessions() public {
        vm.prank(RELAYER);
        settlement.settleBatch(batch(100));
        vm.assertEq(usdc.balanceOf(OPERATOR), 100 * 510_000, "operator");
        vm.assertEq(usdc.balanceOf(PLATFORM), 100 * 90_000, "platform");
        vm.assertEq(settlement.deposits(consumer), 100e6 - 100 * 600_000, "pool");
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.BatchTooLarge.selector, 101));
        vm.prank(RELAYER);
        settlement.settleBatch(batch(101));
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.EmptyBatch.selector));
        vm.prank(RELAYER);
        settlement.settleBatch(batch(0));
    }

    function test_a_batch_pays_no_session_twice() public {
        LuxxonSettlement.BatchEntry[] memory entries = batch(3);
        entries[2].sessionId = entries[0].sessionId;
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.AlreadySettled.selector, entries[0].sessionId));
        vm.prank(RELAYER);
        settlement.settleBatch(entries);
        vm.assertEq(usdc.balanceOf(OPERATOR), 0, "operator");
    }

    // ---------------------------------------------------------------- drawn examples

    function testFuzz_only_the_relayer_settles(address caller) public {
        vm.assume(caller != RELAYER);
        bytes memory refused = abi.encodeWithSelector(LuxxonSettlement.NotRelayer.selector, caller);
        vm.expectRevert(refused);
        vm.prank(caller);
        settle(session(1));
        vm.expectRevert(refused);
        vm.prank(caller);
        settlement.settleBatch(batch(1));
    }

    /// @dev Half of the draws are near the limits, where a uniform draw never lands.
    function testFuzz_a_settlement_pays_within_meter_and_pool_or_not_at_all(
        bytes32 id,
        uint256 rate,
        uint256 chargeable,
        uint256 toAmount,
        uint256 feeAmount
    ) public {
        if (rate % 2 == 0) {
            (rate, chargeable) = (bound(rate, 0, 10_000), bound(chargeable, 0, 86_400));
            uint256 total = bound(toAmount, 0, rate * chargeable + 2);
            feeAmount = bound(feeAmount, 0, total);
            toAmount = total - feeAmount;
        }
        (bool fits, uint256 amount) = add(toAmount, feeAmount);
        (bool counts, uint256 limit) = multiply(rate, chargeable);
        bool legal = fits && counts && amount > 0 && amount <= limit && amount <= 100e6;

        vm.prank(RELAYER);
        try settlement.settleFromPool(id, consumer, OPERATOR, rate, chargeable, toAmount, feeAmount) {
            vm.assertTrue(legal, "paid what must not be paid");
            vm.assertEq(usdc.balanceOf(OPERATOR), toAmount, "operator");
            vm.assertEq(usdc.balanceOf(PLATFORM), feeAmount, "platform");
            vm.assertEq(settlement.deposits(consumer), 100e6 - amount, "pool");
        } catch {
            vm.assertTrue(!legal, "refused what must be paid");
            vm.assertEq(usdc.balanceOf(address(settlement)), 100e6, "contract");
        }
        vm.assertTrue(settlement.settled(id) == legal, "lock");
    }

    function testFuzz_a_batch_pays_what_its_entries_say(uint256 seed, uint256 size) public {
        LuxxonSettlement.BatchEntry[] memory entries = batch(bound(size, 1, 12));
        uint256 fees;
        uint256 charged;
        for (uint256 i = 0; i < entries.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed, i)));
            entries[i].feeAmount = seed % 90_001;
            entries[i].toAmount = (seed >> 128) % 510_000 + 1;
            entries[i].to = address(uint160(0x10000 + i));
            fees += entries[i].feeAmount;
            charged += entries[i].feeAmount + entries[i].toAmount;
        }
        vm.prank(RELAYER);
        settlement.settleBatch(entries);
        for (uint256 i = 0; i < entries.length; ++i) {
            vm.assertEq(usdc.balanceOf(entries[i].to), entries[i].toAmount, "operator");
            vm.assertTrue(settlement.settled(entries[i].sessionId), "settled");
        }
        vm.assertEq(usdc.balanceOf(PLATFORM), fees, "platform");
        vm.assertEq(settlement.deposits(consumer), 100e6 - charged, "pool");
    }

    function testFuzz_what_is_deposited_can_be_withdrawn(address wallet, uint128 amount, uint128 part, bool paused)
        public
    {
        vm.assume(uint160(wallet) > 0xFFFF && wallet != address(usdc) && wallet != address(settlement));
        vm.assume(amount > 0 && wallet != consumer && usdc.balanceOf(wallet) == 0);
        part = uint128(bound(part, 1, amount));
        fund(wallet, amount);
        if (paused) {
            vm.prank(OWNER);
            settlement.pause();
        }
        vm.prank(wallet);
        settlement.withdraw(part);
        vm.assertEq(usdc.balanceOf(wallet), part, "wallet");
        vm.assertEq(settlement.deposits(wallet), amount - part, "pool");
        vm.assertEq(usdc.balanceOf(address(settlement)), 100e6 + uint256(amount) - part, "contract");
    }

    function testFuzz_an_authorization_is_credited_to_its_signer(uint256 key, uint128 amount, address sender) public {
        key = bound(key, 1, 2 ** 255);
        address signer = vm.addr(key);
        vm.assume(amount > 0 && signer != consumer && sender != signer);
        usdc.mint(signer, amount);
        uint256 until = block.timestamp + 1;
        Signature memory signed = signAuthorization(key, amount, until, bytes32(key));
        uint256 before = settlement.deposits(sender);
        vm.prank(sender);
        settlement.depositWithAuthorization(signer, amount, 0, until, bytes32(key), signed.v, signed.r, signed.s);
        vm.assertEq(settlement.deposits(signer), amount, "signer");
        vm.assertEq(settlement.deposits(sender), before, "sender");
    }

    // ---------------------------------------------------------------- arithmetic that tells of overflow

    function add(uint256 left, uint256 right) private pure returns (bool fits, uint256 sum) {
        unchecked {
            sum = left + right;
            fits = sum >= left;
        }
    }

    function multiply(uint256 left, uint256 right) private pure returns (bool fits, uint256 product) {
        unchecked {
            product = left * right;
            fits = left == 0 || product / left == right;
        }
    }
}

contract PayingTestUSDC is PayingTest {
    function makeToken() internal override returns (IUSDC) {
        return IUSDC(address(new TestUSDC()));
    }
}

contract PayingUSDC is PayingTest {
    function makeToken() internal override returns (IUSDC) {
        return FiatToken.deploy();
    }
}
