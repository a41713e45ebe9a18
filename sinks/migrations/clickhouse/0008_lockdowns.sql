-- Every change of a door's desired mode, its confirmations among them, and every step of each lockdown (E2).
create table door_mode_changes_rows (
    incarnation UInt64,
    site_id LowCardinality(String),
    door_id LowCardinality(String),
    device_id LowCardinality(String),
    mode LowCardinality(String),
    mode_epoch UInt64,
    revision UInt64,
    cause LowCardinality(String),
    cause_id String,
    since DateTime64(3, 'UTC'),
    confirmed_at Nullable(DateTime64(3, 'UTC')),
    unconfirmed LowCardinality(String),
    reported LowCardinality(String),
    at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(at) order by (site_id, at, door_id, mode_epoch, revision, incarnation);

create view door_mode_changes as select * from door_mode_changes_rows final;

create table incident_steps_rows (
    incarnation UInt64,
    incident_id UUID,
    transition UInt64,
    type LowCardinality(String),
    site_id LowCardinality(String),
    zone_id LowCardinality(String),
    threat_level LowCardinality(String),
    plan_id LowCardinality(String),
    drill Bool,
    doors UInt32,
    confirmed UInt32,
    secured UInt32,
    inside UInt32,
    started_at DateTime64(3, 'UTC'),
    confirmed_at Nullable(DateTime64(3, 'UTC')),
    secured_at Nullable(DateTime64(3, 'UTC')),
    released_at Nullable(DateTime64(3, 'UTC')),
    at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(at) order by (site_id, at, incident_id, transition, incarnation);

create view incident_steps as select * from incident_steps_rows final;

-- How long each lockdown took until all doors had confirmed, and until all were shut as well.
create view lockdown_times as
select incident_id, incarnation, any(site_id) as site, any(zone_id) as zone, any(drill) as is_drill, max(doors) as door_count,
    dateDiff('millisecond', min(started_at), min(confirmed_at)) as confirmed_ms,
    dateDiff('millisecond', min(started_at), min(secured_at)) as secured_ms
from incident_steps group by incident_id, incarnation;
