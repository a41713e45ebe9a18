-- The history. The `..._rows` tables take every row that is written and drop repeats by id when they merge; the views
-- without the suffix are what to query: they never show a row twice. Roll-ups count distinct ids, so that they are exact
-- however often, and in whatever pieces, the topics are read again.

create table sink_offsets (
    incarnation UInt64,
    topic LowCardinality(String),
    partition UInt32,
    next_offset UInt64
) engine = ReplacingMergeTree(next_offset) order by (incarnation, topic, partition);

create table decisions_rows (
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
    age_ms UInt64,
    occurred_at DateTime64(3, 'UTC'),
    decided_at DateTime64(3, 'UTC'),
    policy_version String
) engine = ReplacingMergeTree partition by toYYYYMM(decided_at) order by (site_id, decided_at, decision_id);

create view decisions as select * from decisions_rows final;

create table passages_rows (
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
) engine = ReplacingMergeTree partition by toYYYYMM(decided_at) order by (site_id, decided_at, decision_id, outcome);

create view passages as select * from passages_rows final;

create table command_events_rows (
    command_id UUID,
    type LowCardinality(String),
    site_id LowCardinality(String),
    device_id LowCardinality(String),
    door_id LowCardinality(String),
    decision_id Nullable(UUID),
    failure LowCardinality(String),
    at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(at) order by (site_id, device_id, command_id, type);

create view command_events as select * from command_events_rows final;

create table device_messages_rows (
    device_id LowCardinality(String),
    boot UInt64,
    sequence UInt64,
    site_id LowCardinality(String),
    type LowCardinality(String),
    door_id LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    received_at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(received_at) order by (site_id, device_id, boot, sequence, type);

create view device_messages as select * from device_messages_rows final;

create table alert_transitions_rows (
    alert_id String,
    type LowCardinality(String),
    site_id LowCardinality(String),
    kind LowCardinality(String),
    severity LowCardinality(String),
    state LowCardinality(String),
    count UInt64,
    raised_at DateTime64(3, 'UTC'),
    updated_at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(updated_at) order by (site_id, alert_id, type, updated_at, count);

create view alert_transitions as select * from alert_transitions_rows final;

create table refusals_rows (
    refusal_id UUID,
    site_id String,
    device_id String,
    message_type LowCardinality(String),
    reason LowCardinality(String),
    decided_at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(decided_at) order by (decided_at, refusal_id);

create view refusals as select * from refusals_rows final;

create table decisions_hourly_rows (
    hour DateTime('UTC'),
    site_id LowCardinality(String),
    device_id LowCardinality(String),
    door_id LowCardinality(String),
    zone_to LowCardinality(String),
    cardholder_id String,
    outcome LowCardinality(String),
    reason LowCardinality(String),
    ids AggregateFunction(uniqExact, UUID)
) engine = AggregatingMergeTree partition by toYYYYMM(hour)
order by (hour, site_id, door_id, device_id, zone_to, cardholder_id, outcome, reason);

create materialized view decisions_hourly_feed to decisions_hourly_rows as
select toStartOfHour(decided_at) as hour, site_id, device_id, door_id, zone_to, cardholder_id, outcome, reason,
    uniqExactState(decision_id) as ids
from decisions_rows
group by hour, site_id, device_id, door_id, zone_to, cardholder_id, outcome, reason;

create view decisions_by_hour as
select hour, site_id, outcome, reason, uniqExactMerge(ids) as decisions
from decisions_hourly_rows group by hour, site_id, outcome, reason;

create view decisions_by_device as
select hour, site_id, device_id, door_id, outcome, reason, uniqExactMerge(ids) as decisions
from decisions_hourly_rows group by hour, site_id, device_id, door_id, outcome, reason;

create view decisions_by_cardholder as
select hour, site_id, cardholder_id, outcome, reason, uniqExactMerge(ids) as decisions
from decisions_hourly_rows group by hour, site_id, cardholder_id, outcome, reason;

create view decisions_by_zone as
select hour, site_id, zone_to, outcome, reason, uniqExactMerge(ids) as decisions
from decisions_hourly_rows group by hour, site_id, zone_to, outcome, reason;

create table passages_hourly_rows (
    hour DateTime('UTC'),
    site_id LowCardinality(String),
    door_id LowCardinality(String),
    zone_to LowCardinality(String),
    cardholder_id String,
    outcome LowCardinality(String),
    ids AggregateFunction(uniqExact, UUID)
) engine = AggregatingMergeTree partition by toYYYYMM(hour)
order by (hour, site_id, door_id, zone_to, cardholder_id, outcome);

create materialized view passages_hourly_feed to passages_hourly_rows as
select toStartOfHour(decided_at) as hour, site_id, door_id, zone_to, cardholder_id, outcome,
    uniqExactState(decision_id) as ids
from passages_rows group by hour, site_id, door_id, zone_to, cardholder_id, outcome;

create view passages_by_hour as
select hour, site_id, door_id, zone_to, outcome, uniqExactMerge(ids) as passages
from passages_hourly_rows group by hour, site_id, door_id, zone_to, outcome;
