-- The current state and the case files. Every table can be dropped and filled again from the topics.

create table sink_offsets (
    incarnation bigint not null,  -- which life of the broker (Unix, seconds)
    topic text not null,
    partition integer not null,
    next_offset bigint not null,
    primary key (incarnation, topic, partition)
);

create table decisions (
    decision_id uuid primary key,
    request_id uuid not null,
    site_id text not null,
    device_id text not null,
    access_point_id text not null,
    door_id text,
    zone_to text,
    cardholder_id text,
    credential_id text,
    permission_id text,
    outcome text not null,  -- granted, denied
    reason text,
    timeliness text not null,
    age_ms bigint not null,
    actuated boolean not null,
    occurred_at timestamptz not null,
    decided_at timestamptz not null,
    value jsonb not null  -- the whole message, with every check and its inputs
);
create index decisions_by_cardholder on decisions (cardholder_id, decided_at);
create index decisions_by_door on decisions (door_id, decided_at);
create index decisions_by_time on decisions (site_id, decided_at);

create table passages (
    decision_id uuid primary key,
    site_id text not null,
    door_id text not null,
    zone_from text not null,
    zone_to text not null,
    cardholder_id text,
    outcome text not null,  -- taken, not_taken
    evidence text,
    granted_at timestamptz not null,
    occurred_at timestamptz not null,
    decided_at timestamptz not null
);

create table commands (
    command_id uuid primary key,
    type text,
    site_id text not null,
    device_id text not null,
    door_id text,
    decision_id uuid,
    sequence bigint,
    issued_at timestamptz,
    state text not null,  -- sent, delivered, confirmed, failed: only ever further
    state_rank smallint not null,
    settled_at timestamptz,
    failure text
);
create index commands_by_device on commands (device_id, issued_at);

create table presence (
    site_id text not null,
    cardholder_id text not null,
    zone_id text not null,
    since timestamptz not null,
    incarnation bigint not null,
    position bigint not null,
    primary key (site_id, cardholder_id)
);

create table doors (
    door_id text primary key,
    site_id text not null,
    device_id text not null,
    last_event text not null,
    occurred_at timestamptz not null,
    incarnation bigint not null,
    position bigint not null
);

create table devices (
    device_id text primary key,
    site_id text not null,
    boot bigint not null,
    last_event text not null,
    last_seen timestamptz not null  -- by the broker's clock
);

create table alerts (
    alert_id text primary key,
    site_id text not null,
    kind text not null,
    severity text not null,
    state text not null,
    count bigint not null,
    raised_at timestamptz not null,
    updated_at timestamptz not null,
    value jsonb not null,
    incarnation bigint not null,
    position bigint not null
);

create table alert_history (
    alert_id text not null,
    type text not null,
    updated_at timestamptz not null,
    count bigint not null,
    value jsonb not null,
    primary key (alert_id, type, updated_at, count)
);

create table refusals (
    refusal_id uuid primary key,
    site_id text not null,
    device_id text,
    message_type text not null,
    reason text not null,
    detail text not null,
    decided_at timestamptz not null
);

create table operator_requests (
    site_id text not null,
    request_id text not null,
    operator_id text not null,
    request_type text not null,
    answer text not null,  -- accepted, refused
    code text,
    detail text,
    decided_at timestamptz not null,
    primary key (site_id, request_id, answer)
);

create table reference (
    entity text not null,
    id text not null,
    value jsonb,  -- null = removed; the row stays, so that an older version can't rise again
    card_number text,
    cardholder_id text,
    incarnation bigint not null,
    position bigint not null,  -- the record's offset in reference.<entity>
    primary key (entity, id)
);
create index reference_by_card on reference (card_number) where card_number is not null;
create index reference_by_cardholder on reference (entity, cardholder_id) where cardholder_id is not null;
