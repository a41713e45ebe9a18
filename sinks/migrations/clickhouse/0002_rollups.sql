-- Roll-ups by hour and device, cardholder or zone. Each holds the distinct ids that it has counted, never a number: a
-- plain sum over-counts as soon as a batch is read again with other edges.

create table decisions_device_hours (
    hour DateTime('UTC'),
    site_id LowCardinality(String),
    device_id LowCardinality(String),
    door_id LowCardinality(String),
    outcome LowCardinality(String),
    reason LowCardinality(String),
    ids AggregateFunction(uniqExact, UInt64, UUID)
) engine = AggregatingMergeTree partition by toYYYYMM(hour)
order by (site_id, hour, device_id, door_id, outcome, reason);

create materialized view decisions_device_feed to decisions_device_hours as
select toStartOfHour(decided_at) as hour, site_id, device_id, door_id, outcome, reason,
    uniqExactState(incarnation, decision_id) as ids
from decisions_rows group by hour, site_id, device_id, door_id, outcome, reason;

create table decisions_cardholder_hours (
    hour DateTime('UTC'),
    site_id LowCardinality(String),
    cardholder_id String,
    outcome LowCardinality(String),
    reason LowCardinality(String),
    ids AggregateFunction(uniqExact, UInt64, UUID)
) engine = AggregatingMergeTree partition by toYYYYMM(hour)
order by (site_id, hour, cardholder_id, outcome, reason);

create materialized view decisions_cardholder_feed to decisions_cardholder_hours as
select toStartOfHour(decided_at) as hour, site_id, cardholder_id, outcome, reason,
    uniqExactState(incarnation, decision_id) as ids
from decisions_rows group by hour, site_id, cardholder_id, outcome, reason;

create table decisions_zone_hours (
    hour DateTime('UTC'),
    site_id LowCardinality(String),
    zone_to LowCardinality(String),
    outcome LowCardinality(String),
    reason LowCardinality(String),
    ids AggregateFunction(uniqExact, UInt64, UUID)
) engine = AggregatingMergeTree partition by toYYYYMM(hour)
order by (site_id, hour, zone_to, outcome, reason);

create materialized view decisions_zone_feed to decisions_zone_hours as
select toStartOfHour(decided_at) as hour, site_id, zone_to, outcome, reason,
    uniqExactState(incarnation, decision_id) as ids
from decisions_rows group by hour, site_id, zone_to, outcome, reason;

create table passages_hours (
    hour DateTime('UTC'),
    site_id LowCardinality(String),
    door_id LowCardinality(String),
    zone_to LowCardinality(String),
    outcome LowCardinality(String),
    ids AggregateFunction(uniqExact, UInt64, UUID)
) engine = AggregatingMergeTree partition by toYYYYMM(hour)
order by (site_id, hour, door_id, zone_to, outcome);

create materialized view passages_feed to passages_hours as
select toStartOfHour(decided_at) as hour, site_id, door_id, zone_to, outcome,
    uniqExactState(incarnation, decision_id) as ids
from passages_rows group by hour, site_id, door_id, zone_to, outcome;

create view decisions_by_hour as
select hour, site_id, outcome, reason, uniqExactMerge(ids) as decisions
from decisions_zone_hours group by hour, site_id, outcome, reason;

create view decisions_by_device as
select hour, site_id, device_id, door_id, outcome, reason, uniqExactMerge(ids) as decisions
from decisions_device_hours group by hour, site_id, device_id, door_id, outcome, reason;

create view decisions_by_cardholder as
select hour, site_id, cardholder_id, outcome, reason, uniqExactMerge(ids) as decisions
from decisions_cardholder_hours group by hour, site_id, cardholder_id, outcome, reason;

create view decisions_by_zone as
select hour, site_id, zone_to, outcome, reason, uniqExactMerge(ids) as decisions
from decisions_zone_hours group by hour, site_id, zone_to, outcome, reason;

create view passages_by_hour as
select hour, site_id, door_id, zone_to, outcome, uniqExactMerge(ids) as passages
from passages_hours group by hour, site_id, door_id, zone_to, outcome;

-- One row a command: when it was issued (the worker's clock), and when the broker got each answer.
create view commands as
select incarnation, command_id, device_id, any(e.site_id) as site_id,
    anyIf(e.type, e.state = 'sent') as type,
    anyIf(e.door_id, e.state = 'sent') as door_id,
    minIf(e.at, e.state = 'sent') as issued_at,
    minOrNullIf(e.at, e.state = 'delivered') as delivered_at,
    minOrNullIf(e.at, e.state = 'confirmed') as confirmed_at,
    maxIf(e.failure, e.failure != '') as failure,
    multiIf(
        countIf(e.state = 'confirmed') > 0, 'confirmed',
        countIf(e.state = 'failed') > 0, 'failed',
        countIf(e.state = 'superseded') > 0, 'superseded',
        countIf(e.state = 'expired') > 0, 'expired',
        countIf(e.state = 'delivered') > 0, 'delivered',
        'sent'
    ) as state
from command_events as e group by incarnation, command_id, device_id having countIf(e.state = 'sent') > 0;
