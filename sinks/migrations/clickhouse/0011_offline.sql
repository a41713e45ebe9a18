-- What controllers decided alone (A5), beside what the rules say, and whether the network to them was well.
alter table decisions_rows
    add column if not exists recorded_outcome LowCardinality(String),
    add column if not exists recorded_reason LowCardinality(String),
    add column if not exists recorded_mode LowCardinality(String),
    add column if not exists snapshot_version String,
    add column if not exists difference_cause LowCardinality(String);
alter table device_state_events_rows
    add column if not exists network LowCardinality(String),
    add column if not exists snapshot_version String;

-- In one statement each: another who applies this file at the same time finds the views there at any moment.
create or replace view decisions as select * from decisions_rows final;
create or replace view device_state_events as select * from device_state_events_rows final;

-- What a controller decided alone otherwise than the rules do: `outcome` and `reason` are the rules'.
create or replace view offline_differences as
select incarnation, site_id, device_id, door_id, access_point_id, cardholder_id, recorded_outcome, outcome, reason,
    recorded_reason, recorded_mode, snapshot_version, difference_cause, occurred_at, decided_at, decision_id
from decisions
where difference;
