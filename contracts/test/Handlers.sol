// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LuxxonSettlement} from "../src/LuxxonSettlement.sol";
import {IUSDC} from "./FiatToken.sol";
import {Market} from "./Market.sol";
import {vm} from "./Vm.sol";

/// @notice Uses a settlement contract as honest people would, at random, and keeps books of its own. Every call
///         that it makes must succeed.
contract Honest is Market {
    address[4] public people;
    address[3] public platforms = [PLATFORM, address(0x0C12), address(0x0C13)];
    uint256 private constant FIRST_KEY = 0xACE;

    address public relayer = RELAYER;
    address public owner = OWNER;
    address public platform = PLATFORM;
    bool public paused;

    // what should be, by this contract's own books
    mapping(address person => uint256 amount) public pools;
    mapping(address person => uint256 amount) public wallets;
    mapping(address wallet => uint256 amount) public fees;
    uint256 public donated;
    uint256 public deposited;
    uint256 public withdrawn;
    uint256 public paid;
    uint256 public metered;

    bytes32[] public sessions;
    string public theft; // what succeeded and must not
    uint256 internal drawn;

    constructor(IUSDC token) {
        open(token);
        for (uint256 i = 0; i < people.length; ++i) {
            people[i] = vm.addr(FIRST_KEY + i);
        }
    }

    function contract_() external view returns (LuxxonSettlement) {
        return settlement;
    }

    function count() external view returns (uint256) {
        return sessions.length;
    }

    function person(uint256 seed) internal view returns (address) {
        return people[seed % people.length];
    }

    function credit(address account, uint256 amount) private {
        pools[account] += amount;
        deposited += amount;
    }

    // ---------------------------------------------------------------- consumers

    function deposit(uint256 seed, uint256 amount) external {
        if (paused) return;
        amount = bound(amount, 1, 1e9);
        fund(person(seed), amount);
        credit(person(seed), amount);
    }

    function depositFor(uint256 seed, uint256 amount) external {
        if (paused) return;
        amount = bound(amount, 1, 1e9);
        give(STRANGER, amount);
        vm.prank(STRANGER);
        settlement.depositFor(person(seed), amount);
        credit(person(seed), amount);
    }

    function depositWithPermit(uint256 seed, uint256 amount) external {
        if (paused) return;
        amount = bound(amount, 1, 1e9);
        usdc.mint(person(seed), amount);
        Signature memory signed = signPermit(FIRST_KEY + seed % people.length, amount, block.timestamp);
        vm.prank(person(seed));
        settlement.depositWithPermit(amount, block.timestamp, signed.v, signed.r, signed.s);
        credit(person(seed), amount);
    }

    function depositWithAuthorization(uint256 seed, uint256 amount) external {
        if (paused) return;
        amount = bound(amount, 1, 1e9);
        usdc.mint(person(seed), amount);
        bytes32 nonce = bytes32(++drawn);
        uint256 until = block.timestamp + 60;
        Signature memory signed = signAuthorization(FIRST_KEY + seed % people.length, amount, until, nonce);
        vm.prank(STRANGER);
        settlement.depositWithAuthorization(person(seed), amount, 0, until, nonce, signed.v, signed.r, signed.s);
        credit(person(seed), amount);
    }

    /// @dev Also while the contract is paused.
    function withdraw(uint256 seed, uint256 amount) external {
        address account = person(seed);
        if (pools[account] == 0) return;
        amount = bound(amount, 1, pools[account]);
        vm.prank(account);
        settlement.withdraw(amount);
        pools[account] -= amount;
        wallets[account] += amount;
        withdrawn += amount;
    }

    function donate(uint256 amount) external {
        amount = bound(amount, 1, 1e9);
        usdc.mint(address(settlement), amount);
        donated += amount;
    }

    // ---------------------------------------------------------------- relayer

    /// @dev A session that the pool of its consumer covers; consumer and operator may be one.
    function draw(uint256 seed, uint256 budget) internal returns (LuxxonSettlement.BatchEntry memory entry) {
        entry.sessionId = keccak256(abi.encode("session", ++drawn));
        entry.from = person(seed);
        entry.to = person(seed >> 8);
        uint256 amount = bound(seed >> 16, 1, budget);
        entry.feeAmount = amount * (seed >> 240) / 65_535;
        entry.toAmount = amount - entry.feeAmount;
        entry.ratePerSecond = bound(seed >> 24, 1, 10_000);
        entry.chargeableSeconds = (amount + entry.ratePerSecond - 1) / entry.ratePerSecond + (seed >> 96) % 2;
    }

    function book(LuxxonSettlement.BatchEntry memory entry) private {
        sessions.push(entry.sessionId);
        pools[entry.from] -= entry.toAmount + entry.feeAmount;
        wallets[entry.to] += entry.toAmount;
        fees[platform] += entry.feeAmount;
        paid += entry.toAmount + entry.feeAmount;
        metered += entry.ratePerSecond * entry.chargeableSeconds;
    }

    function settleOne(uint256 seed) external {
        uint256 pool = pools[person(seed)];
        if (paused || pool == 0) return;
        LuxxonSettlement.BatchEntry memory entry = draw(seed, pool);
        vm.prank(relayer);
        settle(entry);
        book(entry);
    }

    function settleMany(uint256 seed, uint256 size) external {
        uint256 pool = pools[person(seed)];
        size = bound(size, 1, 10);
        if (paused || pool < size) return;
        LuxxonSettlement.BatchEntry[] memory entries = new LuxxonSettlement.BatchEntry[](size);
        for (uint256 i = 0; i < size; ++i) {
            entries[i] = draw(seed, pool / size);
            entries[i].to = person(seed >> i);
        }
        vm.prank(relayer);
        settlement.settleBatch(entries);
        for (uint256 i = 0; i < size; ++i) {
            book(entries[i]);
        }
    }

    // ---------------------------------------------------------------- owner

    /// @dev Seldom, or little else would happen.
    function pause(uint256 seed) external {
        if (paused || seed % 4 != 0) return;
        vm.prank(owner);
        settlement.pause();
        paused = true;
    }

    function unpause() external {
        if (!paused) return;
        vm.prank(owner);
        settlement.unpause();
        paused = false;
    }

    function changeRelayer(uint256 seed) external {
        relayer = address(uint160(bound(seed, 0x0B11, 0x0B19)));
        vm.prank(owner);
        settlement.setRelayer(relayer);
    }

    function changePlatform(uint256 seed) external {
        platform = platforms[seed % platforms.length];
        vm.prank(owner);
        settlement.setPlatformWallet(platform);
    }

    function changeOwner(uint256 seed) external {
        address next = address(uint160(bound(seed, 0x0A11, 0x0A19)));
        vm.prank(owner);
        settlement.transferOwnership(next);
        vm.prank(next);
        settlement.acceptOwnership();
        owner = next;
    }
}

/// @notice The same people, and among them thieves: what these try must fail, and is remembered where it does not.
contract Thieves is Honest {
    constructor(IUSDC token) Honest(token) {}

    /// @dev `what` is wrong if the call succeeds.
    function tryAs(address caller, bytes memory call, string memory what) private {
        vm.prank(caller);
        (bool succeeded,) = address(settlement).call(call);
        if (succeeded) theft = what;
    }

    /// @dev Too much by one unit as often as by many.
    function more(uint256 seed) private pure returns (uint256) {
        return seed % 2 == 0 ? 1 : bound(seed, 1, 1e6);
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

    /// @dev Alone, and as the last of a batch whose other entry is legal when its pool is not empty.
    function trySettle(LuxxonSettlement.BatchEntry memory entry, uint256 seed, string memory what) private {
        tryAs(relayer, settling(entry), what);
        LuxxonSettlement.BatchEntry[] memory entries = new LuxxonSettlement.BatchEntry[](2);
        entries[0] = draw(seed, pools[person(seed)] / 2 + 1);
        entries[1] = entry;
        tryAs(relayer, abi.encodeCall(settlement.settleBatch, (entries)), what);
    }

    function settleAboveTheMeter(uint256 seed, uint256 extra) external {
        LuxxonSettlement.BatchEntry memory entry = draw(seed, pools[person(seed)] + 1);
        uint256 limit = entry.ratePerSecond * entry.chargeableSeconds;
        entry.feeAmount = limit - entry.toAmount + more(extra);
        trySettle(entry, seed, "settled above the meter");
    }

    function settleAgain(uint256 seed, uint256 which) external {
        if (sessions.length == 0) return;
        LuxxonSettlement.BatchEntry memory entry = draw(seed, pools[person(seed)] / 2 + 1);
        entry.sessionId = sessions[which % sessions.length];
        trySettle(entry, seed, "settled a session again");
    }

    function settleTwiceAtOnce(uint256 seed) external {
        LuxxonSettlement.BatchEntry[] memory entries = new LuxxonSettlement.BatchEntry[](2);
        entries[0] = entries[1] = draw(seed, pools[person(seed)] / 2 + 1);
        tryAs(relayer, abi.encodeCall(settlement.settleBatch, (entries)), "settled a session twice in a batch");
    }

    function settleWithoutMoney(uint256 seed, uint256 extra) external {
        LuxxonSettlement.BatchEntry memory entry = draw(seed, 1);
        entry.toAmount = pools[entry.from] + more(extra);
        entry.feeAmount = 0;
        entry.ratePerSecond = entry.toAmount;
        trySettle(entry, seed, "settled more than the pool");
    }

    function settleToNobody(uint256 seed, bool zero) external {
        LuxxonSettlement.BatchEntry memory entry = draw(seed, pools[person(seed)] / 2 + 1);
        entry.to = zero ? address(0) : address(settlement);
        trySettle(entry, seed, "settled to nobody");
    }

    function settleAsStranger(uint256 seed, address caller) external {
        if (caller == relayer) return;
        LuxxonSettlement.BatchEntry[] memory entries = new LuxxonSettlement.BatchEntry[](1);
        entries[0] = draw(seed, pools[person(seed)] + 1);
        tryAs(caller, settling(entries[0]), "settled by a stranger");
        tryAs(caller, abi.encodeCall(settlement.settleBatch, (entries)), "settled by a stranger");
    }

    function settleWhilePaused(uint256 seed) external {
        if (!paused) return;
        trySettle(draw(seed, pools[person(seed)] / 2 + 1), seed, "settled while paused");
    }

    function settleTooMany(uint256 seed) external {
        LuxxonSettlement.BatchEntry[] memory entries = new LuxxonSettlement.BatchEntry[](101);
        for (uint256 i = 0; i < entries.length; ++i) {
            entries[i] = draw(seed, pools[person(seed)] / 101 + 1);
        }
        tryAs(relayer, abi.encodeCall(settlement.settleBatch, (entries)), "settled 101 sessions at once");
    }

    function withdrawTooMuch(uint256 seed, uint256 extra) external {
        uint256 amount = pools[person(seed)] + more(extra);
        tryAs(person(seed), abi.encodeCall(settlement.withdraw, (amount)), "withdrew more than the pool");
    }

    function withdrawAsStranger(address caller, uint256 amount) external {
        for (uint256 i = 0; i < people.length; ++i) {
            if (caller == people[i]) return;
        }
        tryAs(caller, abi.encodeCall(settlement.withdraw, (bound(amount, 0, 1e9))), "withdrew without a pool");
    }

    function depositWithoutMoney(uint256 seed, uint256 amount) external {
        address broke = address(0xB0B);
        bytes memory call = abi.encodeCall(settlement.depositFor, (person(seed), bound(amount, 0, 1e9)));
        tryAs(broke, call, "deposited without money");
        call = abi.encodeCall(settlement.depositWithPermit, (bound(amount, 0, 1e9), 0, 0, 0, 0));
        tryAs(broke, call, "deposited without money");
    }

    function depositFromSomebodyElse(uint256 seed, uint256 amount) external {
        bytes memory call = abi.encodeCall(
            settlement.depositWithAuthorization,
            (person(seed), bound(amount, 1, 1e9), 0, block.timestamp + 60, bytes32(seed), 27, bytes32(seed), "s")
        );
        tryAs(STRANGER, call, "deposited by a forged signature");
    }

    function rule(uint256 seed, address caller) external {
        if (caller == owner || caller == address(0)) return; // as the zero address nobody can sign
        string memory what = "a stranger ruled";
        tryAs(caller, abi.encodeCall(settlement.setRelayer, (caller)), what);
        tryAs(caller, abi.encodeCall(settlement.setPlatformWallet, (person(seed))), what);
        tryAs(caller, paused ? abi.encodeCall(settlement.unpause, ()) : abi.encodeCall(settlement.pause, ()), what);
        tryAs(caller, abi.encodeCall(settlement.transferOwnership, (caller)), what);
        tryAs(caller, abi.encodeCall(settlement.acceptOwnership, ()), what);
    }

    function renounce() external {
        tryAs(owner, abi.encodeCall(settlement.renounceOwnership, ()), "the owner left");
    }
}
