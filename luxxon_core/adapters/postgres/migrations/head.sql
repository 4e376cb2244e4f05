-- revision: 0014
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE challenge (
    nonce TEXT NOT NULL,
    wallet_address TEXT NOT NULL,
    purpose TEXT NOT NULL,
    message TEXT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT challenge_pkey PRIMARY KEY (nonce)
);

CREATE TABLE edge_alive (
    edge TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT edge_alive_pkey PRIMARY KEY (edge)
);

COMMENT ON COLUMN edge_alive.at IS 'when the edge was last being served';

CREATE TABLE workspace (
    id UUID NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    wallet_address TEXT NOT NULL,
    roles TEXT[] NOT NULL,
    availability TEXT DEFAULT 'OFFLINE' NOT NULL,
    wished_availability TEXT,
    coverage_lat DOUBLE PRECISION,
    coverage_lng DOUBLE PRECISION,
    coverage_radius_m DOUBLE PRECISION,
    device_kind TEXT,
    idle_since TIMESTAMP WITH TIME ZONE,
    last_seen_at TIMESTAMP WITH TIME ZONE,
    last_sequence BIGINT,
    last_lat DOUBLE PRECISION,
    last_lng DOUBLE PRECISION,
    last_accuracy_m REAL,
    last_speed_mps REAL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by_wallet TEXT NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT workspace_pkey PRIMARY KEY (id),
    CONSTRAINT workspace_availability_check CHECK (availability in ('OFFLINE', 'ONLINE', 'BUSY')),
    CONSTRAINT workspace_wished_check CHECK (wished_availability in ('OFFLINE', 'ONLINE')),
    CONSTRAINT workspace_coverage_whole_check CHECK (num_nulls(coverage_lat, coverage_lng, coverage_radius_m) in (0, 3)),
    CONSTRAINT workspace_slug_key UNIQUE (slug)
);

COMMENT ON COLUMN workspace.wished_availability IS 'what a BUSY supplier asked to return to';

CREATE INDEX workspace_wallet_address_idx ON workspace (wallet_address);

CREATE TABLE api_key (
    id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    hash BYTEA NOT NULL,
    prefix TEXT NOT NULL,
    label TEXT NOT NULL,
    environment TEXT NOT NULL,
    scopes TEXT[] NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    grace_period_end TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by_wallet TEXT NOT NULL,
    CONSTRAINT api_key_pkey PRIMARY KEY (id),
    CONSTRAINT api_key_workspace_id_fkey FOREIGN KEY(workspace_id) REFERENCES workspace (id),
    CONSTRAINT api_key_hash_key UNIQUE (hash)
);

COMMENT ON COLUMN api_key.hash IS 'sha256 of the plaintext';

CREATE INDEX api_key_workspace_id_idx ON api_key (workspace_id);

CREATE TABLE session (
    id UUID NOT NULL,
    consumer_workspace_id UUID NOT NULL,
    operator_workspace_id UUID,
    state TEXT NOT NULL,
    requested_lat DOUBLE PRECISION NOT NULL,
    requested_lng DOUBLE PRECISION NOT NULL,
    geofence_radius_m DOUBLE PRECISION NOT NULL,
    max_duration_s INTEGER NOT NULL,
    wait_timeout_s INTEGER NOT NULL,
    rate_uusdc BIGINT NOT NULL,
    hold_uusdc BIGINT NOT NULL,
    platform_fee_bps INTEGER NOT NULL,
    dispatched BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    assigned_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    clean_seconds INTEGER DEFAULT '0' NOT NULL,
    charged_uusdc BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT session_pkey PRIMARY KEY (id),
    CONSTRAINT session_ended_check CHECK ((state in ('ENDED', 'EXPIRED', 'CANCELLED')) = (ended_at is not null)),
    CONSTRAINT session_state_check CHECK (state in ('REQUESTED', 'ASSIGNED', 'LIVE', 'PAUSED', 'ENDED', 'EXPIRED', 'CANCELLED')),
    CONSTRAINT session_charge_check CHECK (charged_uusdc = clean_seconds * rate_uusdc),
    CONSTRAINT session_clean_check CHECK (clean_seconds between 0 and max_duration_s),
    CONSTRAINT session_consumer_workspace_id_fkey FOREIGN KEY(consumer_workspace_id) REFERENCES workspace (id),
    CONSTRAINT session_operator_workspace_id_fkey FOREIGN KEY(operator_workspace_id) REFERENCES workspace (id)
);

CREATE INDEX session_consumer_workspace_id_idx ON session (consumer_workspace_id);

CREATE INDEX session_open_idx ON session (state) WHERE state in ('REQUESTED', 'ASSIGNED', 'LIVE');

CREATE INDEX session_operator_workspace_id_idx ON session (operator_workspace_id);

CREATE TABLE workspace_member (
    workspace_id UUID NOT NULL,
    wallet_address TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT workspace_member_pkey PRIMARY KEY (workspace_id, wallet_address),
    CONSTRAINT workspace_member_role_check CHECK (role in ('OWNER', 'ADMIN', 'VIEWER')),
    CONSTRAINT workspace_member_workspace_id_fkey FOREIGN KEY(workspace_id) REFERENCES workspace (id)
);

CREATE INDEX workspace_member_wallet_address_idx ON workspace_member (wallet_address);

CREATE TABLE disconnect_window (
    id UUID NOT NULL,
    session_id UUID NOT NULL,
    reason TEXT NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT disconnect_window_pkey PRIMARY KEY (id),
    CONSTRAINT disconnect_window_reason_check CHECK (reason in ('NETWORK_ERROR', 'STALE_TELEMETRY', 'OUTSIDE_GEOFENCE')),
    CONSTRAINT disconnect_window_order_check CHECK (closed_at >= opened_at),
    CONSTRAINT disconnect_window_session_id_fkey FOREIGN KEY(session_id) REFERENCES session (id)
);

CREATE UNIQUE INDEX disconnect_window_one_open_key ON disconnect_window (session_id, reason) WHERE closed_at is null;

CREATE INDEX disconnect_window_session_id_idx ON disconnect_window (session_id);

CREATE TABLE live_input (
    uid TEXT NOT NULL,
    session_id UUID NOT NULL,
    edge TEXT NOT NULL,
    whip_url TEXT NOT NULL,
    whep_url TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT live_input_pkey PRIMARY KEY (uid),
    CONSTRAINT live_input_session_id_fkey FOREIGN KEY(session_id) REFERENCES session (id),
    CONSTRAINT live_input_session_id_key UNIQUE (session_id)
);

CREATE TABLE settlement (
    session_id UUID NOT NULL,
    state TEXT DEFAULT 'PENDING' NOT NULL,
    consumer_wallet TEXT NOT NULL,
    operator_wallet TEXT NOT NULL,
    rate_uusdc BIGINT NOT NULL,
    chargeable_seconds INTEGER NOT NULL,
    to_amount_uusdc BIGINT NOT NULL,
    fee_amount_uusdc BIGINT NOT NULL,
    signer TEXT,
    nonce BIGINT,
    raw_tx BYTEA,
    tx_hash TEXT,
    attempts INTEGER DEFAULT '0' NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_error TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    submitted_at TIMESTAMP WITH TIME ZONE,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    block_number BIGINT,
    CONSTRAINT settlement_pkey PRIMARY KEY (session_id),
    CONSTRAINT settlement_submitted_check CHECK (state <> 'SUBMITTED' or tx_hash is not null),
    CONSTRAINT settlement_state_check CHECK (state in ('PENDING', 'SUBMITTED', 'CONFIRMED')),
    CONSTRAINT settlement_amount_check CHECK (to_amount_uusdc + fee_amount_uusdc = rate_uusdc * chargeable_seconds),
    CONSTRAINT settlement_session_id_fkey FOREIGN KEY(session_id) REFERENCES session (id)
);

COMMENT ON COLUMN settlement.signer IS 'address whose nonce the transaction uses';

COMMENT ON COLUMN settlement.raw_tx IS 'signed transaction, stored before it is broadcast';

CREATE INDEX settlement_due_idx ON settlement (next_attempt_at) WHERE state <> 'CONFIRMED';

CREATE UNIQUE INDEX settlement_signer_nonce_key ON settlement (signer, nonce) WHERE state = 'SUBMITTED';

-- geography: 0001;

INSERT INTO alembic_version (version_num) VALUES ('0001') RETURNING alembic_version.version_num;

-- Running upgrade 0001 -> 0002

CREATE TABLE chain_block (
    contract TEXT NOT NULL,
    number BIGINT NOT NULL,
    hash TEXT NOT NULL,
    CONSTRAINT chain_block_pkey PRIMARY KEY (contract, number)
);

COMMENT ON TABLE chain_block IS 'the newest blocks that the watcher has consumed; another hash is a reorganisation';

COMMENT ON COLUMN chain_block.contract IS 'chain id and address of the settlement contract';

CREATE TABLE chain_cursor (
    contract TEXT NOT NULL,
    block_number BIGINT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT chain_cursor_pkey PRIMARY KEY (contract)
);

COMMENT ON COLUMN chain_cursor.contract IS 'chain id and address of the settlement contract';

COMMENT ON COLUMN chain_cursor.block_number IS 'the highest block consumed';

CREATE TABLE chain_pool (
    contract TEXT NOT NULL,
    wallet_address TEXT NOT NULL,
    balance_uusdc NUMERIC(78, 0) NOT NULL,
    block_number BIGINT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT chain_pool_pkey PRIMARY KEY (contract, wallet_address)
);

COMMENT ON COLUMN chain_pool.contract IS 'chain id and address of the settlement contract';

CREATE TABLE idempotency (
    caller TEXT NOT NULL,
    key_hash BYTEA NOT NULL,
    fingerprint BYTEA NOT NULL,
    answer BYTEA,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT idempotency_pkey PRIMARY KEY (caller, key_hash)
);

COMMENT ON COLUMN idempotency.caller IS 'key, wallet or address that sent the request';

COMMENT ON COLUMN idempotency.key_hash IS 'sha256 of the Idempotency-Key';

COMMENT ON COLUMN idempotency.fingerprint IS 'sha256 of method, path, query and body';

COMMENT ON COLUMN idempotency.answer IS 'encrypted with a key made from the Idempotency-Key';

COMMENT ON COLUMN idempotency.lease_until IS 'while the first request runs';

CREATE INDEX idempotency_expires_at_idx ON idempotency (expires_at);

CREATE TABLE chain_event (
    id UUID NOT NULL,
    contract TEXT NOT NULL,
    wallet_address TEXT NOT NULL,
    kind TEXT NOT NULL,
    tx_hash TEXT NOT NULL,
    log_index INTEGER NOT NULL,
    block_number BIGINT NOT NULL,
    confirmed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    amount_uusdc NUMERIC(78, 0) NOT NULL,
    pool_change_uusdc NUMERIC(78, 0) NOT NULL,
    related_session UUID,
    CONSTRAINT chain_event_pkey PRIMARY KEY (id),
    CONSTRAINT chain_event_kind_check CHECK (kind in ('DEPOSIT', 'WITHDRAWAL', 'SETTLE', 'APPROVAL')),
    CONSTRAINT chain_event_contract_tx_hash_log_index_wallet_address_key UNIQUE (contract, tx_hash, log_index, wallet_address)
);

COMMENT ON COLUMN chain_event.id IS 'made of contract, transaction, log and wallet';

COMMENT ON COLUMN chain_event.contract IS 'chain id and address of the settlement contract';

COMMENT ON COLUMN chain_event.wallet_address IS 'seen by every workspace of the wallet';

COMMENT ON COLUMN chain_event.confirmed_at IS 'the block''s timestamp';

COMMENT ON COLUMN chain_event.pool_change_uusdc IS 'their sum is the wallet''s pool';

CREATE INDEX chain_event_block_idx ON chain_event (contract, block_number);

CREATE INDEX chain_event_page_idx ON chain_event (wallet_address, contract, block_number, log_index);

CREATE TABLE relationship_outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    workspace_id UUID NOT NULL,
    wallet_address TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT relationship_outbox_pkey PRIMARY KEY (id),
    CONSTRAINT relationship_outbox_workspace_id_fkey FOREIGN KEY(workspace_id) REFERENCES workspace (id)
);

CREATE INDEX relationship_outbox_workspace_idx ON relationship_outbox (workspace_id, id);

CREATE TABLE event (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    position BIGINT,
    kind TEXT NOT NULL,
    session_id UUID NOT NULL,
    consumer_workspace_id UUID NOT NULL,
    operator_workspace_id UUID,
    data JSONB NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT event_pkey PRIMARY KEY (id)
);

COMMENT ON COLUMN event.position IS 'its place in the log; null until it is published';

COMMENT ON COLUMN event.session_id IS 'no foreign key: its check would cost every writer';

CREATE INDEX event_unpublished_idx ON event (id) WHERE position is null;

CREATE UNIQUE INDEX event_position_key ON event (position) WHERE position is not null;

CREATE INDEX event_session_idx ON event (session_id, position) WHERE position is not null;

CREATE INDEX event_consumer_idx ON event (consumer_workspace_id, position) WHERE position is not null;

CREATE INDEX event_operator_idx ON event (operator_workspace_id, position) WHERE position is not null;

CREATE UNIQUE INDEX event_one_sample_a_second_key ON event (session_id, date_trunc('second'::text, (at AT TIME ZONE 'UTC'::text))) WHERE kind = 'telemetry.sample';

CREATE TABLE event_tip (
    lone BOOLEAN DEFAULT true NOT NULL,
    position BIGINT NOT NULL,
    CONSTRAINT event_tip_pkey PRIMARY KEY (lone),
    CONSTRAINT event_tip_lone_check CHECK (lone)
);

COMMENT ON COLUMN event_tip.position IS 'the last that was given to an event';

CREATE TABLE quote (
    id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    lat DOUBLE PRECISION NOT NULL,
    lng DOUBLE PRECISION NOT NULL,
    duration_s INTEGER NOT NULL,
    base_rate_uusdc BIGINT NOT NULL,
    supply_bps INTEGER NOT NULL,
    demand_bps INTEGER NOT NULL,
    corridor_bps INTEGER NOT NULL,
    rate_uusdc BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_by_session UUID,
    CONSTRAINT quote_pkey PRIMARY KEY (id),
    CONSTRAINT quote_used_by_session_fkey FOREIGN KEY(used_by_session) REFERENCES session (id),
    CONSTRAINT quote_workspace_id_fkey FOREIGN KEY(workspace_id) REFERENCES workspace (id),
    CONSTRAINT quote_used_by_session_key UNIQUE (used_by_session)
);

CREATE INDEX quote_expires_at_idx ON quote (expires_at);

CREATE TABLE telemetry_sample (
    session_id UUID NOT NULL,
    captured_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lat DOUBLE PRECISION NOT NULL,
    lng DOUBLE PRECISION NOT NULL,
    accuracy_m REAL NOT NULL,
    source TEXT NOT NULL,
    signature TEXT NOT NULL,
    signed BOOLEAN NOT NULL,
    sensors JSONB,
    CONSTRAINT telemetry_sample_pkey PRIMARY KEY (session_id, captured_at),
    CONSTRAINT telemetry_sample_session_id_fkey FOREIGN KEY(session_id) REFERENCES session (id)
);

COMMENT ON COLUMN telemetry_sample.signed IS 'the signature is the operator''s wallet''s';

ALTER TABLE live_input ADD COLUMN last_event_at TIMESTAMP WITH TIME ZONE;

COMMENT ON COLUMN live_input.last_event_at IS 'when the newest notification of an outside edge happened; older ones are ignored';

ALTER TABLE live_input DROP CONSTRAINT live_input_session_id_key;

CREATE UNIQUE INDEX live_input_one_per_session_key ON live_input (session_id) WHERE deleted_at is null;

ALTER TABLE workspace DROP CONSTRAINT workspace_coverage_whole_check;

ALTER TABLE workspace ADD CONSTRAINT workspace_coverage_whole_check CHECK (availability <> 'ONLINE' or num_nulls(coverage_lat, coverage_lng, coverage_radius_m) = 0);

UPDATE alembic_version SET version_num='0002' WHERE alembic_version.version_num = '0001';

-- Running upgrade 0002 -> 0003

alter table workspace set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);

-- geography: 0003;

UPDATE alembic_version SET version_num='0003' WHERE alembic_version.version_num = '0002';

-- Running upgrade 0003 -> 0004

CREATE INDEX workspace_busy_idx ON workspace (coverage_lat) WHERE availability = 'BUSY';

DROP INDEX session_consumer_workspace_id_idx;

DROP INDEX session_operator_workspace_id_idx;

CREATE INDEX session_consumer_idx ON session (consumer_workspace_id, created_at, id);

CREATE INDEX session_operator_idx ON session (operator_workspace_id, created_at, id);

CREATE INDEX session_consumer_open_idx ON session (consumer_workspace_id) WHERE state in ('REQUESTED', 'ASSIGNED', 'LIVE');

CREATE INDEX session_operator_open_idx ON session (operator_workspace_id) WHERE state in ('ASSIGNED', 'LIVE');

CREATE INDEX session_created_at_idx ON session (created_at);

CREATE INDEX settlement_unpaid_idx ON settlement (consumer_wallet) WHERE state <> 'CONFIRMED';

CREATE INDEX settlement_paid_idx ON settlement (consumer_wallet, block_number) WHERE state = 'CONFIRMED';

UPDATE alembic_version SET version_num='0004' WHERE alembic_version.version_num = '0003';

-- Running upgrade 0004 -> 0005

CREATE TABLE picture_fault (
    id UUID NOT NULL,
    session_id UUID NOT NULL,
    fault TEXT NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT picture_fault_pkey PRIMARY KEY (id),
    CONSTRAINT picture_fault_fault_check CHECK (fault in ('BLACK', 'FROZEN', 'UNDECODED')),
    CONSTRAINT picture_fault_order_check CHECK (closed_at >= opened_at),
    CONSTRAINT picture_fault_session_id_fkey FOREIGN KEY(session_id) REFERENCES session (id)
);

CREATE UNIQUE INDEX picture_fault_one_open_key ON picture_fault (session_id, fault) WHERE closed_at is null;

CREATE INDEX picture_fault_session_id_idx ON picture_fault (session_id);

UPDATE alembic_version SET version_num='0005' WHERE alembic_version.version_num = '0004';

-- Running upgrade 0005 -> 0006

DROP INDEX workspace_busy_idx;

UPDATE alembic_version SET version_num='0006' WHERE alembic_version.version_num = '0005';

-- Running upgrade 0006 -> 0007

CREATE TABLE settlement_tx (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    chain_id BIGINT NOT NULL,
    signer TEXT NOT NULL,
    nonce BIGINT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    signed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    waiting_since TIMESTAMP WITH TIME ZONE,
    next_look_at TIMESTAMP WITH TIME ZONE NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT settlement_tx_pkey PRIMARY KEY (id),
    CONSTRAINT settlement_tx_chain_id_signer_nonce_key UNIQUE (chain_id, signer, nonce)
);

COMMENT ON COLUMN settlement_tx.signer IS 'address whose nonce it uses';

COMMENT ON COLUMN settlement_tx.nonce IS 'null: somebody else''s';

COMMENT ON COLUMN settlement_tx.signed_at IS 'the newest version';

COMMENT ON COLUMN settlement_tx.waiting_since IS 'null: a block has it';

COMMENT ON COLUMN settlement_tx.closed_at IS 'final';

CREATE INDEX settlement_tx_due_idx ON settlement_tx (next_look_at) WHERE closed_at is null;

CREATE TABLE settlement_tx_version (
    tx_id BIGINT NOT NULL,
    number INTEGER NOT NULL,
    tx_hash TEXT NOT NULL,
    raw BYTEA,
    max_fee BIGINT,
    priority_fee BIGINT,
    cancels BOOLEAN NOT NULL,
    CONSTRAINT settlement_tx_version_pkey PRIMARY KEY (tx_id, number),
    CONSTRAINT settlement_tx_version_tx_id_fkey FOREIGN KEY(tx_id) REFERENCES settlement_tx (id)
);

COMMENT ON COLUMN settlement_tx_version.raw IS 'signed transaction, stored before it is broadcast';

COMMENT ON COLUMN settlement_tx_version.max_fee IS 'wei for a gas';

COMMENT ON COLUMN settlement_tx_version.priority_fee IS 'wei for a gas';

COMMENT ON COLUMN settlement_tx_version.cancels IS 'pays nobody';

ALTER TABLE settlement ADD COLUMN waits_for TEXT;

ALTER TABLE settlement ADD COLUMN short_at_block BIGINT;

ALTER TABLE settlement ADD COLUMN tx_id BIGINT;

ALTER TABLE settlement ADD COLUMN final_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE settlement ADD CONSTRAINT settlement_tx_id_fkey FOREIGN KEY(tx_id) REFERENCES settlement_tx (id);

ALTER TABLE settlement ADD CONSTRAINT settlement_waits_check CHECK (waits_for in ('DEPOSIT', 'FEES', 'OPERATOR'));

CREATE INDEX settlement_tx_id_idx ON settlement (tx_id);

CREATE INDEX settlement_waits_idx ON settlement (waits_for, consumer_wallet) WHERE waits_for is not null;

insert into settlement_tx (chain_id, signer, nonce, created_at, signed_at, waiting_since, next_look_at)
    select coalesce((
               select split_part(contract, ':', 1)::bigint from chain_cursor order by updated_at desc limit 1
           ), 0), signer, nonce, submitted_at, submitted_at, submitted_at, submitted_at
    from settlement where state = 'SUBMITTED';

insert into settlement_tx_version (tx_id, number, tx_hash, raw, cancels)
    select t.id, 0, s.tx_hash, s.raw_tx, false
    from settlement s join settlement_tx t on t.signer = s.signer and t.nonce = s.nonce
    where s.state = 'SUBMITTED';

update settlement s set tx_id = t.id
    from settlement_tx t
    where s.state = 'SUBMITTED' and t.signer = s.signer and t.nonce = s.nonce;

update settlement set final_at = confirmed_at where state = 'CONFIRMED';

DROP INDEX settlement_signer_nonce_key;

DROP INDEX settlement_due_idx;

CREATE INDEX settlement_due_idx ON settlement (next_attempt_at) WHERE state = 'PENDING';

ALTER TABLE settlement DROP COLUMN signer;

ALTER TABLE settlement DROP COLUMN nonce;

ALTER TABLE settlement DROP COLUMN raw_tx;

UPDATE alembic_version SET version_num='0007' WHERE alembic_version.version_num = '0006';

-- Running upgrade 0007 -> 0008

ALTER TABLE session ADD COLUMN controls TEXT[];

COMMENT ON COLUMN session.controls IS 'what the operator''s device lets others do with its camera';

ALTER TABLE session ADD COLUMN policy JSONB;

COMMENT ON COLUMN session.policy IS 'what the device does for people''s privacy';

UPDATE alembic_version SET version_num='0008' WHERE alembic_version.version_num = '0007';

-- Running upgrade 0008 -> 0009

CREATE TABLE webhook (
    id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    kinds TEXT[] NOT NULL,
    secret BYTEA NOT NULL,
    former_secret BYTEA,
    former_until TIMESTAMP WITH TIME ZONE,
    after_position BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    failing_since TIMESTAMP WITH TIME ZONE,
    succeeded_at TIMESTAMP WITH TIME ZONE,
    held_until TIMESTAMP WITH TIME ZONE,
    disabled_at TIMESTAMP WITH TIME ZONE,
    disabled_reason TEXT,
    CONSTRAINT webhook_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_disabled_check CHECK ((disabled_at is null) = (disabled_reason is null)),
    CONSTRAINT webhook_former_check CHECK ((former_secret is null) = (former_until is null)),
    CONSTRAINT webhook_workspace_id_fkey FOREIGN KEY(workspace_id) REFERENCES workspace (id)
);

COMMENT ON COLUMN webhook.secret IS 'encrypted';

COMMENT ON COLUMN webhook.former_secret IS 'encrypted; signs beside the other';

COMMENT ON COLUMN webhook.after_position IS 'of the log, what was before is not told';

COMMENT ON COLUMN webhook.failing_since IS 'null: the newest answer was good';

COMMENT ON COLUMN webhook.held_until IS 'the receiver''s Retry-After';

CREATE INDEX webhook_workspace_id_idx ON webhook (workspace_id);

CREATE TABLE webhook_delivery (
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    id UUID NOT NULL,
    webhook_id UUID NOT NULL,
    lane UUID NOT NULL,
    cause TEXT NOT NULL,
    kind TEXT NOT NULL,
    event_id BIGINT,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    next_attempt_at TIMESTAMP WITH TIME ZONE,
    attempts JSONB DEFAULT '[]'::jsonb NOT NULL,
    CONSTRAINT webhook_delivery_pkey PRIMARY KEY (number),
    CONSTRAINT webhook_delivery_state_check CHECK (state in ('PENDING', 'SUCCEEDED', 'FAILED')),
    CONSTRAINT webhook_delivery_cause_check CHECK (cause in ('EVENT', 'REPLAY', 'TEST')),
    CONSTRAINT webhook_delivery_finished_check CHECK ((state = 'PENDING') = (finished_at is null)),
    CONSTRAINT webhook_delivery_webhook_id_fkey FOREIGN KEY(webhook_id) REFERENCES webhook (id) ON DELETE CASCADE,
    CONSTRAINT webhook_delivery_id_key UNIQUE (id)
);

COMMENT ON COLUMN webhook_delivery.number IS 'their order';

COMMENT ON COLUMN webhook_delivery.id IS 'webhook-id';

COMMENT ON COLUMN webhook_delivery.lane IS 'the session; what is of one lane is sent one by one';

COMMENT ON COLUMN webhook_delivery.event_id IS 'no foreign key: the log is purged';

COMMENT ON COLUMN webhook_delivery.body IS 'what is signed and sent, to the byte';

CREATE INDEX webhook_delivery_page_idx ON webhook_delivery (webhook_id, number);

CREATE INDEX webhook_delivery_lane_idx ON webhook_delivery (webhook_id, lane, number) WHERE state = 'PENDING';

CREATE INDEX webhook_delivery_event_idx ON webhook_delivery (webhook_id, event_id);

CREATE INDEX webhook_delivery_finished_idx ON webhook_delivery (finished_at) WHERE state <> 'PENDING';

CREATE TABLE webhook_lane (
    webhook_id UUID NOT NULL,
    lane UUID NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lease UUID,
    CONSTRAINT webhook_lane_pkey PRIMARY KEY (webhook_id, lane),
    CONSTRAINT webhook_lane_webhook_id_fkey FOREIGN KEY(webhook_id) REFERENCES webhook (id) ON DELETE CASCADE
);

COMMENT ON COLUMN webhook_lane.due_at IS 'of its first delivery, or of a lease';

COMMENT ON COLUMN webhook_lane.lease IS 'of the server that is sending';

CREATE INDEX webhook_lane_due_idx ON webhook_lane (webhook_id, due_at);

CREATE TABLE webhook_tip (
    lone BOOLEAN DEFAULT true NOT NULL,
    position BIGINT NOT NULL,
    CONSTRAINT webhook_tip_pkey PRIMARY KEY (lone),
    CONSTRAINT webhook_tip_lone_check CHECK (lone)
);

COMMENT ON COLUMN webhook_tip.position IS 'of the log, made into deliveries';

UPDATE alembic_version SET version_num='0009' WHERE alembic_version.version_num = '0008';

-- Running upgrade 0009 -> 0010

ALTER TABLE api_key ADD COLUMN daily_cap_uusdc BIGINT;

COMMENT ON COLUMN api_key.daily_cap_uusdc IS 'what sessions created on one UTC day may cost; null: no cap';

ALTER TABLE api_key ADD COLUMN session_cap_uusdc BIGINT;

COMMENT ON COLUMN api_key.session_cap_uusdc IS 'what one session may cost; null: no cap';

ALTER TABLE api_key ADD COLUMN areas JSONB;

COMMENT ON COLUMN api_key.areas IS 'circles that its requests must lie in; null: anywhere';

ALTER TABLE api_key ADD CONSTRAINT api_key_caps_check CHECK (daily_cap_uusdc >= 0 and session_cap_uusdc >= 0);

ALTER TABLE session ADD COLUMN budget_key_id UUID;

ALTER TABLE session ADD CONSTRAINT session_budget_key_id_fkey FOREIGN KEY(budget_key_id) REFERENCES api_key (id);

COMMENT ON COLUMN session.budget_key_id IS 'the API key whose budget it counts against; null: none';

CREATE INDEX session_budget_idx ON session (budget_key_id, created_at) WHERE budget_key_id is not null;

UPDATE alembic_version SET version_num='0010' WHERE alembic_version.version_num = '0009';

-- Running upgrade 0010 -> 0011

ALTER TABLE session ADD COLUMN unit BOOLEAN DEFAULT false NOT NULL;

COMMENT ON COLUMN session.unit IS 'sold as a whole: all of it is charged when something is delivered, else nothing';

CREATE TABLE observation (
    id UUID NOT NULL,
    consumer_workspace_id UUID NOT NULL,
    lat DOUBLE PRECISION NOT NULL,
    lng DOUBLE PRECISION NOT NULL,
    max_price_uusdc BIGINT NOT NULL,
    max_width INTEGER,
    rate_uusdc BIGINT NOT NULL,
    unit_s INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deadline TIMESTAMP WITH TIME ZONE NOT NULL,
    look_at TIMESTAMP WITH TIME ZONE NOT NULL,
    session_id UUID,
    status TEXT NOT NULL,
    reason TEXT,
    finished_at TIMESTAMP WITH TIME ZONE,
    captured_at TIMESTAMP WITH TIME ZONE,
    position_lat DOUBLE PRECISION,
    position_lng DOUBLE PRECISION,
    position_accuracy_m DOUBLE PRECISION,
    position_source TEXT,
    position_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT observation_pkey PRIMARY KEY (id),
    CONSTRAINT observation_status_check CHECK (status in ('PENDING', 'READY', 'FAILED')),
    CONSTRAINT observation_finished_check CHECK ((status = 'PENDING') = (finished_at is null)),
    CONSTRAINT observation_reason_check CHECK ((status = 'FAILED') = (reason is not null)),
    CONSTRAINT observation_captured_check CHECK ((status = 'READY') = (captured_at is not null)),
    CONSTRAINT observation_price_check CHECK (status = 'FAILED' or rate_uusdc * unit_s <= max_price_uusdc),
    CONSTRAINT observation_consumer_workspace_id_fkey FOREIGN KEY(consumer_workspace_id) REFERENCES workspace (id),
    CONSTRAINT observation_session_id_fkey FOREIGN KEY(session_id) REFERENCES session (id)
);

COMMENT ON COLUMN observation.id IS 'that of its session, too';

COMMENT ON COLUMN observation.max_width IS 'of the frame, in pixels; null: as it comes';

COMMENT ON COLUMN observation.unit_s IS 'the price is the rate for so many seconds';

COMMENT ON COLUMN observation.session_id IS 'null: it was never asked for';

COMMENT ON COLUMN observation.reason IS 'of a FAILED one';

CREATE INDEX observation_due_idx ON observation (look_at) WHERE status = 'PENDING';

CREATE TABLE observation_frame (
    observation_id UUID NOT NULL,
    jpeg BYTEA NOT NULL,
    bytes INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    digest TEXT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT observation_frame_pkey PRIMARY KEY (observation_id),
    CONSTRAINT observation_frame_observation_id_fkey FOREIGN KEY(observation_id) REFERENCES observation (id)
);

CREATE INDEX observation_frame_expires_at_idx ON observation_frame (expires_at, observation_id);

UPDATE alembic_version SET version_num='0011' WHERE alembic_version.version_num = '0010';

-- Running upgrade 0011 -> 0012

ALTER TABLE webhook ADD COLUMN failed_at TIMESTAMP WITH TIME ZONE;

COMMENT ON COLUMN webhook.failed_at IS 'the newest attempt that failed, to about 10 s';

ALTER TABLE webhook ADD COLUMN untried INTERVAL DEFAULT '0'::interval NOT NULL;

COMMENT ON COLUMN webhook.untried IS 'of the time since failing_since, that in which nothing was attempted';

update webhook set failed_at = now() where failing_since is not null;

ALTER TABLE webhook_lane ADD COLUMN head BIGINT;

COMMENT ON COLUMN webhook_lane.head IS 'no delivery before this number is pending';

update webhook_lane l set head = coalesce((select min(d.number) from webhook_delivery d where d.webhook_id = l.webhook_id and d.lane = l.lane and d.state = 'PENDING'), 0);

ALTER TABLE webhook_lane ALTER COLUMN head SET NOT NULL;

insert into webhook_lane (webhook_id, lane, due_at, head) select webhook_id, lane, now(), min(number) from webhook_delivery where state = 'PENDING' group by webhook_id, lane on conflict (webhook_id, lane) do nothing;

DROP INDEX webhook_delivery_finished_idx;

DROP INDEX webhook_delivery_lane_idx;

CREATE INDEX webhook_delivery_lane_idx ON webhook_delivery (webhook_id, lane, number);

alter table webhook_delivery set (fillfactor = 50);

UPDATE alembic_version SET version_num='0012' WHERE alembic_version.version_num = '0011';

-- Running upgrade 0012 -> 0013

CREATE INDEX observation_asked_idx ON observation (finished_at) WHERE session_id is not null;

CREATE INDEX observation_refused_idx ON observation (finished_at) WHERE session_id is null;

UPDATE alembic_version SET version_num='0013' WHERE alembic_version.version_num = '0012';

-- Running upgrade 0013 -> 0014

-- geography: 0014;

alter table settlement_tx_version alter column raw set storage external;

UPDATE alembic_version SET version_num='0014' WHERE alembic_version.version_num = '0013';
