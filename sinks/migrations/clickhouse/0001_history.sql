-- The history. The `..._rows` tables take every row that is written and drop repeats when they merge; the views without
-- the suffix are what to query: they never show a row twice. Roll-ups count distinct ids, so that they are exact
-- however often, and in whatever pieces, the topics are read again.
--
-- `incarnation` is the life of the broker (its start, Unix seconds) that a row was read in: ids and offsets mean
-- something within one life only. Text that is not known is ''. Times are UTC.

create table sink_offsets (
    incarnation UInt64,
    topic LowCardinality(String),
    partition UInt32,
    next_offset UInt64
) engine = ReplacingMergeTree(next_offset) order by (incarnation, topic, partition);

create table decisions_rows (
    incarnation UInt64,
    decision_id UUID,
    request_id UUID,
    site_id LowCardinality(String),
    device_id LowCardinality(String),
    access_point_id LowCardinality(String),
    door_id LowCardinality(String),
    zone_from LowCardinality(String),
    zone_to LowCardinality(String),
    cardholder_id String,
    credential_id String,
    permission_id String,
    outcome LowCardinality(String),
    reason LowCardinality(String),
    failed_checks Array(LowCardinality(String)),
    soft_breaches Array(LowCardinality(String)),
    method LowCardinality(String),
    fused_score Nullable(Float64),
    direction LowCardinality(String),
    timeliness LowCardinality(String),
    classification LowCardinality(String),
    actuated Bool,
    difference Bool,
    age_ms Int64,
    occurred_at DateTime64(3, 'UTC'),
    decided_at DateTime64(3, 'UTC'),
    policy_version LowCardinality(String)
) engine = ReplacingMergeTree partition by toYYYYMM(decided_at)
order by (site_id, decided_at, decision_id, incarnation);

create view decisions as select * from decisions_rows final;

create table passages_rows (
    incarnation UInt64,
    decision_id UUID,
    site_id LowCardinality(String),
    door_id LowCardinality(String),
    zone_from LowCardinality(String),
    zone_to LowCardinality(String),
    cardholder_id String,
    direction LowCardinality(String),
    outcome LowCardinality(String),
    evidence LowCardinality(String),
    granted_at DateTime64(3, 'UTC'),
    occurred_at DateTime64(3, 'UTC'),
    decided_at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(decided_at)
order by (site_id, decided_at, decision_id, outcome, incarnation);

create view passages as select * from passages_rows final;

create table refusals_rows (
    incarnation UInt64,
    refusal_id UUID,
    site_id String,
    device_id String,
    message_type LowCardinality(String),
    topic LowCardinality(String),
    partition UInt32,
    position UInt64,
    reason LowCardinality(String),
    decided_at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(decided_at) order by (decided_at, refusal_id, incarnation);

create view refusals as select * from refusals_rows final;

-- A controller may say the same again: of equal messages the one that the broker got first counts. What the site
-- refused (a wrong signature, a replayed message) is left out.
create table command_events_rows (
    incarnation UInt64,
    command_id UUID,
    type LowCardinality(String),
    state LowCardinality(String),
    site_id LowCardinality(String),
    device_id LowCardinality(String),
    door_id LowCardinality(String),
    decision_id Nullable(UUID),
    failure LowCardinality(String),
    at DateTime64(3, 'UTC'),
    topic LowCardinality(String),
    partition UInt32,
    position UInt64,
    earliness UInt64 materialized toUInt64(9223372036854775807 - position)
) engine = ReplacingMergeTree(earliness) partition by toYYYYMM(at)
order by (site_id, device_id, command_id, type, failure, incarnation);

create view command_events as
select * from command_events_rows final
where (incarnation, topic, partition, position) not in (
    select incarnation, topic, partition, position from refusals_rows
);

create table device_messages_rows (
    incarnation UInt64,
    device_id LowCardinality(String),
    boot UInt64,
    sequence UInt64,
    site_id LowCardinality(String),
    type LowCardinality(String),
    door_id LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    received_at DateTime64(3, 'UTC'),
    topic LowCardinality(String),
    partition UInt32,
    position UInt64,
    earliness UInt64 materialized toUInt64(9223372036854775807 - position)
) engine = ReplacingMergeTree(earliness) partition by toYYYYMM(received_at)
order by (site_id, device_id, boot, sequence, type, door_id, occurred_at, incarnation);

create view device_messages as
select * from device_messages_rows final
where (incarnation, topic, partition, position) not in (
    select incarnation, topic, partition, position from refusals_rows
);

create table alert_transitions_rows (
    incarnation UInt64,
    alert_id String,
    type LowCardinality(String),
    site_id LowCardinality(String),
    kind LowCardinality(String),
    severity LowCardinality(String),
    state LowCardinality(String),
    count Int64,
    door_id LowCardinality(String),
    access_point_id LowCardinality(String),
    device_id LowCardinality(String),
    cardholder_id String,
    raised_at DateTime64(3, 'UTC'),
    updated_at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(updated_at)
order by (site_id, updated_at, alert_id, type, count, incarnation);

create view alert_transitions as select * from alert_transitions_rows final;
