// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {LuxxonSettlement} from "../src/LuxxonSettlement.sol";
import {FiatToken, IFiatToken, IUSDC} from "./FiatToken.sol";
import {Market} from "./Market.sol";
import {FalseToken, FeeToken, HookToken, IReceiver, SilentToken} from "./Tokens.sol";
import {vm} from "./Vm.sol";

/// @notice Consumer, operator and relayer in one, who calls back whenever tokens move.
contract Attacker is IReceiver {
    LuxxonSettlement private immutable settlement;
    bytes private call;

    uint256 public calls;
    uint256 public poolSeen;
    bool public succeeded;
    bytes public answer;

    constructor(LuxxonSettlement settlement_) {
        settlement = settlement_;
    }

    function arm(bytes calldata call_) external {
        call = call_;
    }

    function act(address target, bytes calldata data) external {
        (bool ok, bytes memory result) = target.call(data);
        require(ok, string(result));
    }

    function received() external {
        calls += 1;
        poolSeen = settlement.deposits(address(this));
        if (call.length == 0) return;
        bool ok;
        (ok, answer) = address(settlement).call(call);
        succeeded = succeeded || ok;
    }
}

contract ReentranceTest is Market {
    HookToken private token = new HookToken();
    Attacker private attacker;

    function setUp() public {
        open(IUSDC(address(token)));
        attacker = new Attacker(settlement);
        vm.prank(OWNER);
        settlement.setRelayer(address(attacker));
        fund(consumer, 50e6);
        fund(address(attacker), 10e6);
        token.tell(address(attacker));
    }

    function entry(uint256 id) private view returns (LuxxonSettlement.BatchEntry memory) {
        return LuxxonSettlement.BatchEntry(bytes32(id), address(attacker), address(attacker), 1e6, 6, 5e6, 1e6);
    }

    function settling(uint256 id) private view returns (bytes memory) {
        LuxxonSettlement.BatchEntry memory e = entry(id);
        return abi.encodeCall(
            settlement.settleFromPool,
            (e.sessionId, e.from, e.to, e.ratePerSecond, e.chargeableSeconds, e.toAmount, e.feeAmount)
        );
    }

    function batch(uint256 id) private view returns (bytes memory) {
        LuxxonSettlement.BatchEntry[] memory entries = new LuxxonSettlement.BatchEntry[](1);
        entries[0] = entry(id);
        return abi.encodeCall(settlement.settleBatch, (entries));
    }

    /// @notice Everything that moves money, each as a call from outside and as one from within a transfer.
    function moves(uint256 id) private view returns (bytes[7] memory) {
        address payer = address(attacker);
        return [
            abi.encodeCall(settlement.deposit, (1e6)),
            abi.encodeCall(settlement.depositFor, (payer, 1e6)),
            abi.encodeCall(settlement.depositWithPermit, (1e6, 0, 0, 0, 0)),
            abi.encodeCall(settlement.depositWithAuthorization, (payer, 1e6, 0, 0, 0, 0, 0, 0)),
            abi.encodeCall(settlement.withdraw, (1e6)),
            settling(id),
            batch(id)
        ];
    }

    function test_nothing_that_moves_money_is_entered_twice() public {
        uint256 reentered;
        for (uint256 i = 0; i < 7; ++i) {
            if (i == 2 || i == 3) continue; // the token knows no signatures
            for (uint256 j = 0; j < 7; ++j) {
                fund(address(attacker), 10e6);
                give(address(attacker), 10e6);
                attacker.arm(moves(100)[j]);
                attacker.act(address(settlement), moves(10 * i + j)[i]);
                vm.assertTrue(!attacker.succeeded(), "a call from within a transfer succeeded");
                bytes4 guarded = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
                vm.assertTrue(bytes4(attacker.answer()) == guarded, "refused for another reason");
                reentered += 1;
            }
        }
        vm.assertEq(reentered, 35, "attempts");
        uint256 pools = settlement.deposits(consumer) + settlement.deposits(address(attacker));
        vm.assertEq(token.balanceOf(address(settlement)), pools, "contract");
    }

    function test_money_is_booked_before_it_leaves() public {
        attacker.act(address(settlement), abi.encodeCall(settlement.withdraw, (4e6)));
        vm.assertEq(attacker.poolSeen(), 6e6, "pool as seen from within the withdrawal");
        attacker.act(address(settlement), settling(1));
        vm.assertEq(attacker.poolSeen(), 0, "pool as seen from within the settlement");
    }
}

contract FeeOnTransferTest is Market {
    FeeToken private token = new FeeToken();

    function setUp() public {
        open(IUSDC(address(token)));
        fund(consumer, 10e6);
        fund(STRANGER, 10e6);
        token.setFee(100);
    }

    function test_a_deposit_of_which_less_arrives_is_refused() public {
        give(consumer, 10e6);
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.ShortDeposit.selector, 10e6, 9.9e6));
        vm.prank(consumer);
        settlement.deposit(10e6);
        vm.expectRevert(abi.encodeWithSelector(LuxxonSettlement.ShortDeposit.selector, 10e6, 9.9e6));
        vm.prank(consumer);
        settlement.depositFor(STRANGER, 10e6);
    }

    function test_every_pool_can_be_emptied_nevertheless() public {
        vm.prank(RELAYER);
        settle(session(1));
        vm.prank(consumer);
        settlement.withdraw(9.4e6);
        vm.prank(STRANGER);
        settlement.withdraw(10e6);
        vm.assertEq(token.balanceOf(address(settlement)), 0, "contract");
    }
}

contract ReturningFalseTest is Market {
    FalseToken private token = new FalseToken();

    function setUp() public {
        open(IUSDC(address(token)));
        fund(consumer, 10e6);
    }

    function test_a_transfer_that_fails_without_a_revert_books_nothing() public {
        give(consumer, 1e6);
        token.refuse(true);
        bytes memory failed = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token));
        vm.expectRevert(failed);
        vm.prank(consumer);
        settlement.deposit(1e6);
        vm.expectRevert(failed);
        vm.prank(consumer);
        settlement.withdraw(1e6);
        vm.expectRevert(failed);
        vm.prank(RELAYER);
        settle(session(1));
        vm.assertEq(settlement.deposits(consumer), 10e6, "pool");
        vm.assertTrue(!settlement.settled(bytes32(uint256(1))), "settled");
    }

    function test_a_token_that_answers_nothing_is_used_as_any_other() public {
        open(IUSDC(address(new SilentToken())));
        fund(consumer, 10e6);
        vm.prank(RELAYER);
        settle(session(1));
        vm.prank(consumer);
        settlement.withdraw(9.4e6);
        vm.assertEq(usdc.balanceOf(OPERATOR), 510_000, "operator");
        vm.assertEq(usdc.balanceOf(consumer), 9.4e6, "wallet");
    }
}

/// @notice Circle can block an account, and stop the token; both end some day.
contract BlocklistTest is Market {
    IFiatToken private token;

    function setUp() public {
        token = FiatToken.deploy();
        open(token);
        fund(consumer, 10e6);
    }

    function pair() private view returns (LuxxonSettlement.BatchEntry[] memory entries) {
        entries = new LuxxonSettlement.BatchEntry[](2);
        (entries[0], entries[1]) = (session(1), session(2));
        entries[1].to = STRANGER;
    }

    function test_a_blocked_operator_is_paid_when_it_is_free_again() public {
        token.blacklist(OPERATOR);
        vm.expectRevert("Blacklistable: account is blacklisted");
        vm.prank(RELAYER);
        settlement.settleBatch(pair());
        vm.expectRevert("Blacklistable: account is blacklisted");
        vm.prank(RELAYER);
        settle(session(1));
        vm.prank(RELAYER);
        settle(pair()[1]);
        token.unBlacklist(OPERATOR);
        vm.prank(RELAYER);
        settle(session(1));
        vm.assertEq(usdc.balanceOf(OPERATOR), 510_000, "blocked");
        vm.assertEq(usdc.balanceOf(STRANGER), 510_000, "beside it in the batch");
    }

    function test_a_blocked_consumer_keeps_its_pool_and_pays_what_it_owes() public {
        token.blacklist(consumer);
        vm.expectRevert("Blacklistable: account is blacklisted");
        vm.prank(consumer);
        settlement.withdraw(1e6);
        vm.prank(RELAYER);
        settle(session(1));
        vm.assertEq(settlement.deposits(consumer), 9.4e6, "pool");
        token.unBlacklist(consumer);
        vm.prank(consumer);
        settlement.withdraw(9.4e6);
        vm.assertEq(usdc.balanceOf(consumer), 9.4e6, "wallet");
    }

    function test_a_blocked_platform_wallet_is_replaced() public {
        token.blacklist(PLATFORM);
        vm.expectRevert("Blacklistable: account is blacklisted");
        vm.prank(RELAYER);
        settlement.settleBatch(pair());
        vm.prank(OWNER);
        settlement.setPlatformWallet(OWNER);
        vm.prank(RELAYER);
        settlement.settleBatch(pair());
        vm.assertEq(usdc.balanceOf(OWNER), 180_000, "fees");
    }

    function test_a_token_that_is_stopped_loses_nothing() public {
        token.pause();
        vm.expectRevert("Pausable: paused");
        vm.prank(RELAYER);
        settle(session(1));
        vm.expectRevert("Pausable: paused");
        vm.prank(consumer);
        settlement.withdraw(10e6);
        token.unpause();
        vm.prank(RELAYER);
        settle(session(1));
        vm.prank(consumer);
        settlement.withdraw(9.4e6);
    }
}
