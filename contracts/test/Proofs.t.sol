// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LuxxonSettlement} from "../src/LuxxonSettlement.sol";
import {IUSDC} from "./FiatToken.sol";
import {Market} from "./Market.sol";
import {TrustingToken} from "./Tokens.sol";
import {vm} from "./Vm.sol";

/// @notice The cheatcode of halmos that these proofs use: a call of any function, with any arguments.
interface Svm {
    function createCalldata(string calldata contractName) external view returns (bytes memory);
}

Svm constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));

/// @notice Proofs by halmos, for all arguments and all states of two pools; forge runs none of them.
contract Proofs is Market {
    address private constant OTHER = address(0x0F11);

    function setUp() public {
        open(IUSDC(address(new TrustingToken())));
    }

    function pools(uint128 first, uint128 second) private {
        vm.assume(first > 0 && second > 0);
        fund(OTHER, first);
        fund(STRANGER, second);
    }

    function settling(LuxxonSettlement.BatchEntry memory entry) private view returns (bytes memory) {
        return abi.encodeCall(
            settlement.settleFromPool,
            (
                entry.sessionId,
                entry.from,
                entry.to,
                entry.ratePerSecond,
                entry.chargeableSeconds,
                entry.toAmount,
                entry.feeAmount
            )
        );
    }

    // ---------------------------------------------------------------- the meter

    /// @notice A settlement takes at most rate × seconds out of the pool, as integers that do not wrap around, and
    ///         pays exactly what it takes, the fee to the platform wallet.
    function check_a_settlement_is_bound_by_the_meter(
        LuxxonSettlement.BatchEntry memory entry,
        uint128 first,
        uint128 second
    ) public {
        pools(first, second);
        vm.assume(entry.from == OTHER && entry.to != PLATFORM);
        uint256 had = usdc.balanceOf(entry.to);
        vm.prank(RELAYER);
        (bool succeeded,) = address(settlement).call(settling(entry));
        vm.assume(succeeded);

        uint256 taken = first - settlement.deposits(OTHER);
        unchecked {
            uint256 limit = entry.ratePerSecond * entry.chargeableSeconds;
            assert(entry.ratePerSecond == 0 || limit / entry.ratePerSecond == entry.chargeableSeconds);
            assert(taken <= limit);
        }
        assert(taken == entry.toAmount + entry.feeAmount);
        assert(usdc.balanceOf(PLATFORM) == entry.feeAmount);
        assert(usdc.balanceOf(entry.to) == had + entry.toAmount);
        assert(settlement.deposits(STRANGER) == second);
    }

    /// @notice So does each entry of a batch.
    function check_a_batch_is_bound_by_the_meter(
        LuxxonSettlement.BatchEntry memory one,
        LuxxonSettlement.BatchEntry memory two,
        uint128 first,
        uint128 second
    ) public {
        pools(first, second);
        vm.assume(one.from == OTHER && two.from == STRANGER);
        LuxxonSettlement.BatchEntry[] memory entries = new LuxxonSettlement.BatchEntry[](2);
        (entries[0], entries[1]) = (one, two);
        vm.prank(RELAYER);
        (bool succeeded,) = address(settlement).call(abi.encodeCall(settlement.settleBatch, (entries)));
        vm.assume(succeeded);

        unchecked {
            assert(first - settlement.deposits(OTHER) <= one.ratePerSecond * one.chargeableSeconds);
            assert(second - settlement.deposits(STRANGER) <= two.ratePerSecond * two.chargeableSeconds);
        }
    }

    // ---------------------------------------------------------------- the replay lock

    /// @notice A session that was paid cannot be paid again, whatever the second settlement says.
    function check_a_session_is_paid_once(
        LuxxonSettlement.BatchEntry memory one,
        LuxxonSettlement.BatchEntry memory two,
        uint128 first,
        uint128 second
    ) public {
        pools(first, second);
        vm.prank(RELAYER);
        (bool succeeded,) = address(settlement).call(settling(one));
        vm.assume(succeeded);
        assert(settlement.settled(one.sessionId));
        two.sessionId = one.sessionId;
        vm.prank(RELAYER);
        (succeeded,) = address(settlement).call(settling(two));
        assert(!succeeded);
    }

    /// @notice Nor twice in one batch.
    function check_a_batch_pays_no_session_twice(
        LuxxonSettlement.BatchEntry memory one,
        LuxxonSettlement.BatchEntry memory two,
        uint128 first,
        uint128 second
    ) public {
        pools(first, second);
        vm.assume(one.sessionId == two.sessionId);
        LuxxonSettlement.BatchEntry[] memory entries = new LuxxonSettlement.BatchEntry[](2);
        (entries[0], entries[1]) = (one, two);
        vm.prank(RELAYER);
        (bool succeeded,) = address(settlement).call(abi.encodeCall(settlement.settleBatch, (entries)));
        assert(!succeeded);
    }

    /// @notice No call of any function by anybody opens a session that was paid.
    function check_no_call_opens_a_settled_session(bytes32 id, address caller) public {
        fund(OTHER, 1e6);
        usdc.mint(caller, 1e6);
        vm.prank(RELAYER);
        settle(LuxxonSettlement.BatchEntry(id, OTHER, OPERATOR, 10, 10, 85, 15));
        bytes memory call = svm.createCalldata("LuxxonSettlement");
        vm.prank(caller);
        (bool succeeded,) = address(settlement).call(call);
        succeeded; // nothing has changed where it has not
        assert(settlement.settled(id));
    }

    // ---------------------------------------------------------------- pools

    /// @notice No call takes anything out of a pool but its owner's and the relayer's.
    function check_no_stranger_lowers_a_pool(address caller, uint128 first, uint128 second) public {
        pools(first, second);
        vm.assume(caller != OTHER && caller != RELAYER);
        usdc.mint(caller, 1e6);
        bytes memory call = svm.createCalldata("LuxxonSettlement");
        vm.prank(caller);
        (bool succeeded,) = address(settlement).call(call);
        succeeded; // nothing has changed where it has not
        assert(settlement.deposits(OTHER) >= first);
    }

    /// @notice A pool can be withdrawn, to the last unit and in any part, paused or not.
    function check_a_pool_can_be_withdrawn(uint128 first, uint128 second, uint256 part, bool paused) public {
        pools(first, second);
        vm.assume(part > 0 && part <= first);
        if (paused) {
            vm.prank(OWNER);
            settlement.pause();
        }
        vm.prank(OTHER);
        (bool succeeded,) = address(settlement).call(abi.encodeCall(settlement.withdraw, (part)));
        assert(succeeded);
        assert(settlement.deposits(OTHER) == first - part);
        assert(usdc.balanceOf(OTHER) == part);
    }
}
