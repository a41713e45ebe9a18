-- The current state and the case files. Every table can be dropped and filled again from the topics.
-- `incarnation` is the life of the broker (its start, Unix seconds) that a row was read in: ids and offsets mean
-- something within one life only. `position` is the offset of the record that a row was read from.

create table sink_offsets (
    incarnation bigint not null,
    topic text not null,
    partition integer not null,
    next_offset bigint not null,
    primary key (incarnation, topic, partition)
);

create table decisions (
    decision_id uuid not null,
    incarnation bigint not null,
    request_id uuid not null,
    site_id text not null,
    device_id text not null,
    access_point_id text not null,
    door_id text,
    zone_from text,
    zone_to text,
    cardholder_id text,
    credential_id text,
    permission_id text,
    outcome text not null check (outcome in ('granted', 'denied')),
    reason text,
    direction text,
    timeliness text not null,
    classification text not null,
    age_ms bigint not null,
    actuated boolean not null,
    occurred_at timestamptz not null,  -- the device's clock
    decided_at timestamptz not null,
    value jsonb not null,  -- the whole message, with every check and its inputs
    primary key (decision_id, incarnation)
);
create index decisions_by_cardholder on decisions (cardholder_id, decided_at);
create index decisions_by_door on decisions (door_id, decided_at);
create index decisions_by_time on decisions (site_id, decided_at);

create table passages (
    decision_id uuid not null,
    incarnation bigint not null,
    site_id text not null,
    door_id text not null,
    zone_from text not null,
    zone_to text not null,
    cardholder_id text,
    direction text not null,
    outcome text not null check (outcome in ('taken', 'not_taken')),
    evidence text,
    granted_at timestamptz not null,
    occurred_at timestamptz not null,  -- the device's clock
    decided_at timestamptz not null,
    primary key (decision_id, incarnation)
);
create index passages_by_cardholder on passages (cardholder_id, decided_at);

create table commands (
    command_id uuid not null,
    device_id text not null,
    incarnation bigint not null,
    site_id text not null,
    type text,  -- null while only a result was read
    door_id text,
    decision_id uuid,
    operator_request_id text,
    sequence bigint,  -- rises per door
    issued_at timestamptz,
    state text not null check (state in ('sent', 'delivered', 'confirmed', 'failed', 'expired', 'superseded')),
    state_rank smallint not null,  -- states only move to a higher one
    state_at timestamptz not null,  -- the broker's clock, for `sent` the worker's
    failure text,
    primary key (command_id, device_id, incarnation)
) with (fillfactor = 80);
create index commands_by_device on commands (device_id, issued_at);

create table presence (
    site_id text not null,
    cardholder_id text not null,
    zone_id text not null,
    since timestamptz not null,
    decision_id uuid not null,
    incarnation bigint not null,
    position bigint not null,
    primary key (site_id, cardholder_id)
);
create index presence_by_zone on presence (zone_id);

create table doors (
    door_id text not null,
    site_id text not null,
    device_id text not null,
    last_event text not null,
    received_at timestamptz not null,  -- the broker's clock
    incarnation bigint not null,
    position bigint not null,
    primary key (door_id, site_id)
);

create table devices (
    device_id text not null,
    site_id text not null,
    boot bigint not null,
    sequence bigint not null,
    last_event text not null,
    last_seen timestamptz not null,  -- the broker's clock
    incarnation bigint not null,
    primary key (device_id, site_id)
);

create table alerts (
    alert_id text primary key,
    site_id text not null,
    kind text not null,
    severity text not null,
    state text not null,
    count bigint not null,
    door_id text,
    access_point_id text,
    device_id text,
    cardholder_id text,
    summary text not null,
    raised_at timestamptz not null,
    updated_at timestamptz not null,
    value jsonb not null,
    incarnation bigint not null,
    position bigint not null
);
create index alerts_open on alerts (site_id, severity) where state <> 'closed';

create table alert_history (
    alert_id text not null,
    type text not null,
    updated_at timestamptz not null,
    count bigint not null,
    severity text not null,
    state text not null,
    incarnation bigint not null,
    primary key (alert_id, type, updated_at, count, incarnation)
);

create table refusals (
    refusal_id uuid not null,
    incarnation bigint not null,
    site_id text not null,
    device_id text,
    message_type text not null,
    topic text not null,  -- where the refused message lies
    partition integer not null,
    position bigint not null,
    reason text not null,
    detail text not null,
    decided_at timestamptz not null,
    primary key (refusal_id, incarnation)
);

create table operator_requests (
    site_id text not null,
    request_id text not null,
    operator_id text not null,
    request_type text not null,
    answer text not null check (answer in ('accepted', 'refused')),
    code text,
    detail text,
    decided_at timestamptz not null,
    incarnation bigint not null,
    primary key (site_id, request_id, answer, incarnation)
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
