-- revision: 0001
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

create extension if not exists cube;

create extension if not exists earthdistance;

create function lx_covers(lat float8, lng float8, radius_m float8, at_lat float8, at_lng float8)
    returns boolean language sql immutable parallel safe as $$
      select earth_box(ll_to_earth(lat, lng), radius_m * 1.0012) @> ll_to_earth(at_lat, at_lng)
         and earth_distance(ll_to_earth(lat, lng), ll_to_earth(at_lat, at_lng)) <= radius_m * (earth() / 6371008.7714)
    $$;

create index workspace_coverage_idx on workspace
    using gist (earth_box(ll_to_earth(coverage_lat, coverage_lng), coverage_radius_m * 1.0012))
    where availability = 'ONLINE' and 'SUPPLIER' = any (roles) and deleted_at is null;

INSERT INTO alembic_version (version_num) VALUES ('0001') RETURNING alembic_version.version_num;
