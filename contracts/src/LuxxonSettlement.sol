// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @title Prepaid pools from which finished Luxxon sessions are paid
/// @notice A consumer deposits USDC into its own pool once; each finished session is paid out of it by the
///         relayer, who can neither charge more than rate × seconds nor choose where the fee goes. What is
///         left can be withdrawn at any time, also while the contract is paused.
/// @dev Amounts are in the token's smallest unit (µUSDC). Invariant: the contract's balance of the token is at
///      least the sum of all pools. A deposit of which less arrives is refused, so a fee on transfers, which a
///      later version of the token might take, stops deposits and never makes pools share a loss. A transfer
///      out must cost this contract what was asked for and no more, as ERC-20 has it.
contract LuxxonSettlement is Ownable2Step, Pausable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice One session to be paid: the arguments of {settleFromPool}.
    struct BatchEntry {
        bytes32 sessionId;
        address from;
        address to;
        uint256 ratePerSecond;
        uint256 chargeableSeconds;
        uint256 toAmount;
        uint256 feeAmount;
    }

    /// @notice Most entries that one {settleBatch} takes.
    uint256 public constant MAX_BATCH = 100;

    /// @notice The token in which pools are held and sessions are paid.
    IERC20 public immutable usdc;

    /// @notice Pool balance of each consumer.
    mapping(address consumer => uint256 amount) public deposits;

    /// @notice Whether a session has been paid; a paid one can never be paid again.
    mapping(bytes32 sessionId => bool paid) public settled;

    /// @notice Who receives the fee of every session.
    address public platformWallet;

    /// @notice The only account that may settle.
    address public relayer;

    /// @notice `amount` was added to the pool of `consumer`.
    event Deposited(address indexed consumer, uint256 amount);

    /// @notice `consumer` took `amount` out of its pool.
    event Withdrawn(address indexed consumer, uint256 amount);

    /// @notice A session was paid out of the pool of `from`: `toAmount` to the operator `to`, `feeAmount` to the
    ///         platform wallet of that block, together at most `rate` × `chargeableSeconds`.
    event Settled(
        bytes32 indexed sessionId,
        address indexed from,
        address indexed to,
        uint256 toAmount,
        uint256 feeAmount,
        uint256 rate,
        uint256 chargeableSeconds
    );

    /// @notice Settlements come from `current` from now on.
    event RelayerChanged(address indexed previous, address indexed current);

    /// @notice Fees go to `current` from now on.
    event PlatformWalletChanged(address indexed previous, address indexed current);

    /// @notice The zero address, this contract where money would be stranded, or a token without code.
    error InvalidAddress(address account);

    /// @notice Nothing to move; a session that costs nothing needs no settlement.
    error ZeroAmount();

    /// @notice The token delivered less than was deposited.
    error ShortDeposit(uint256 amount, uint256 arrived);

    /// @notice Only the relayer settles.
    error NotRelayer(address caller);

    /// @notice The session has been paid.
    error AlreadySettled(bytes32 sessionId);

    /// @notice `amount` is above `limit`, which is rate × seconds.
    error ExceedsCharge(bytes32 sessionId, uint256 amount, uint256 limit);

    /// @notice The pool of `consumer` holds `balance`, and `required` was asked of it.
    error InsufficientPool(address consumer, uint256 balance, uint256 required);

    /// @notice A batch without entries.
    error EmptyBatch();

    /// @notice A batch of more than {MAX_BATCH} entries.
    error BatchTooLarge(uint256 size);

    /// @notice Without an owner nobody could unpause, or replace a relayer whose key is lost.
    error OwnerRequired();

    modifier onlyRelayer() {
        require(msg.sender == relayer, NotRelayer(msg.sender));
        _;
    }

    /// @dev Books `amount` into the pool of `consumer` and insists that the body brings it in.
    modifier credits(address consumer, uint256 amount) {
        require(amount > 0, ZeroAmount());
        uint256 held = usdc.balanceOf(address(this));
        deposits[consumer] += amount;
        emit Deposited(consumer, amount);
        _;
        uint256 arrived = usdc.balanceOf(address(this)) - held;
        require(arrived >= amount, ShortDeposit(amount, arrived));
    }

    /// @param usdc_ token of the pools
    /// @param platformWallet_ first recipient of the fees
    /// @param relayer_ first account that may settle
    /// @param owner_ who may pause and replace relayer and platform wallet
    constructor(IERC20 usdc_, address platformWallet_, address relayer_, address owner_) Ownable(owner_) {
        require(address(usdc_).code.length > 0, InvalidAddress(address(usdc_)));
        usdc = usdc_;
        _setPlatformWallet(platformWallet_);
        _setRelayer(relayer_);
    }

    // ---------------------------------------------------------------- consumers

    /// @notice Move `amount` of your USDC into your pool; approve this contract first.
    function deposit(uint256 amount) external whenNotPaused nonReentrant {
        _pull(msg.sender, msg.sender, amount);
    }

    /// @notice Move `amount` of your USDC into the pool of `consumer`, who alone can withdraw it.
    function depositFor(address consumer, uint256 amount) external whenNotPaused nonReentrant {
        _requireRecipient(consumer);
        _pull(msg.sender, consumer, amount);
    }

    /// @notice {deposit} without a separate approval: you sign an EIP-2612 permit for exactly `amount`.
    /// @dev A permit that somebody else has already submitted must not block the deposit, so its failure is
    ///      ignored and the allowance decides.
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        whenNotPaused
        nonReentrant
    {
        try IERC20Permit(address(usdc)).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _pull(msg.sender, msg.sender, amount);
    }

    /// @notice Deposit for a consumer who holds no ETH: `from` signs an ERC-3009 ReceiveWithAuthorization to this
    ///         contract and anybody submits it. The pool of `from` is credited, whoever calls.
    function depositWithAuthorization(
        address from,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external whenNotPaused nonReentrant credits(from, amount) {
        IERC3009(address(usdc))
            .receiveWithAuthorization(from, address(this), amount, validAfter, validBefore, nonce, v, r, s);
    }

    /// @notice Take `amount` out of your pool. Works at any time, paused or not.
    function withdraw(uint256 amount) external nonReentrant {
        _debit(msg.sender, amount);
        emit Withdrawn(msg.sender, amount);
        usdc.safeTransfer(msg.sender, amount);
    }

    // ---------------------------------------------------------------- relayer

    /// @notice Pay a finished session out of the consumer's pool, once.
    /// @param sessionId 16 bytes of the session's UUID, left-aligned
    /// @param from consumer whose pool is debited
    /// @param to operator who is paid
    /// @param ratePerSecond price the consumer agreed to
    /// @param chargeableSeconds seconds of clean video
    /// @param toAmount operator's share
    /// @param feeAmount platform's share; `toAmount + feeAmount` is at most `ratePerSecond × chargeableSeconds`
    function settleFromPool(
        bytes32 sessionId,
        address from,
        address to,
        uint256 ratePerSecond,
        uint256 chargeableSeconds,
        uint256 toAmount,
        uint256 feeAmount
    ) external onlyRelayer whenNotPaused nonReentrant {
        _settle(BatchEntry(sessionId, from, to, ratePerSecond, chargeableSeconds, toAmount, feeAmount));
        if (feeAmount > 0) usdc.safeTransfer(platformWallet, feeAmount);
    }

    /// @notice Pay up to {MAX_BATCH} sessions; one that cannot be paid reverts them all.
    function settleBatch(BatchEntry[] calldata entries) external onlyRelayer whenNotPaused nonReentrant {
        require(entries.length > 0, EmptyBatch());
        require(entries.length <= MAX_BATCH, BatchTooLarge(entries.length));
        uint256 fees = 0;
        for (uint256 i = 0; i < entries.length; ++i) {
            _settle(entries[i]);
            fees += entries[i].feeAmount;
        }
        if (fees > 0) usdc.safeTransfer(platformWallet, fees);
    }

    // ---------------------------------------------------------------- owner

    /// @notice Replace the account that may settle.
    function setRelayer(address relayer_) external onlyOwner {
        _setRelayer(relayer_);
    }

    /// @notice Replace the recipient of the fees.
    function setPlatformWallet(address platformWallet_) external onlyOwner {
        _setPlatformWallet(platformWallet_);
    }

    /// @notice Stop deposits and settlements; withdrawals go on.
    function pause() external onlyOwner {
        _pause();
    }

    /// @notice Resume deposits and settlements.
    function unpause() external onlyOwner {
        _unpause();
    }

    /// @notice Refused: the contract always has an owner. A new one takes over in two steps, {transferOwnership}
    ///         and {acceptOwnership}.
    function renounceOwnership() public pure override {
        revert OwnerRequired();
    }

    // ---------------------------------------------------------------- inside

    /// @dev Checks, books and pays the operator of one session; the caller pays the fee.
    function _settle(BatchEntry memory entry) private {
        require(!settled[entry.sessionId], AlreadySettled(entry.sessionId));
        _requireRecipient(entry.to);
        uint256 amount = entry.toAmount + entry.feeAmount;
        uint256 limit = entry.ratePerSecond * entry.chargeableSeconds;
        require(amount <= limit, ExceedsCharge(entry.sessionId, amount, limit));

        settled[entry.sessionId] = true;
        _debit(entry.from, amount);
        emit Settled(
            entry.sessionId,
            entry.from,
            entry.to,
            entry.toAmount,
            entry.feeAmount,
            entry.ratePerSecond,
            entry.chargeableSeconds
        );
        if (entry.toAmount > 0) usdc.safeTransfer(entry.to, entry.toAmount);
    }

    function _pull(address payer, address consumer, uint256 amount) private credits(consumer, amount) {
        usdc.safeTransferFrom(payer, address(this), amount);
    }

    function _debit(address consumer, uint256 amount) private {
        require(amount > 0, ZeroAmount());
        uint256 balance = deposits[consumer];
        require(amount <= balance, InsufficientPool(consumer, balance, amount));
        unchecked {
            deposits[consumer] = balance - amount;
        }
    }

    function _setRelayer(address relayer_) private {
        _requireRecipient(relayer_);
        emit RelayerChanged(relayer, relayer_);
        relayer = relayer_;
    }

    function _setPlatformWallet(address platformWallet_) private {
        _requireRecipient(platformWallet_);
        emit PlatformWalletChanged(platformWallet, platformWallet_);
        platformWallet = platformWallet_;
    }

    function _requireRecipient(address account) private view {
        require(account != address(0) && account != address(this), InvalidAddress(account));
    }
}
