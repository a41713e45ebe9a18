-- Heartbeats, of which twenty thousand controllers send more than a hundred million a day: of each controller's hour the
-- last one is kept, and how many there were. Both are the same however often a heartbeat is read.

create table device_heartbeats_rows (
    incarnation UInt64,
    device_id LowCardinality(String),
    boot UInt64,
    sequence UInt64,
    site_id LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    received_at DateTime64(3, 'UTC'),
    topic LowCardinality(String),
    partition UInt32,
    position UInt64,
    hour DateTime('UTC') materialized toStartOfHour(received_at)
) engine = ReplacingMergeTree(sequence) partition by toYYYYMM(received_at)
order by (site_id, device_id, hour, boot, incarnation);

create table device_heartbeat_hours (
    hour DateTime('UTC'),
    site_id LowCardinality(String),
    device_id LowCardinality(String),
    boot UInt64,
    incarnation UInt64,
    numbers AggregateFunction(groupBitmap, UInt64)
) engine = AggregatingMergeTree partition by toYYYYMM(hour)
order by (site_id, hour, device_id, boot, incarnation);

create materialized view device_heartbeats_feed to device_heartbeat_hours as
select toStartOfHour(received_at) as hour, site_id, device_id, boot, incarnation, groupBitmapState(sequence) as numbers
from device_heartbeats_rows group by hour, site_id, device_id, boot, incarnation;

create view device_heartbeats_by_hour as
select hour, site_id, device_id, sum(number) as heartbeats from (
    select hour, site_id, device_id, boot, incarnation, groupBitmapMerge(numbers) as number
    from device_heartbeat_hours group by hour, site_id, device_id, boot, incarnation
) group by hour, site_id, device_id;

insert into device_heartbeats_rows (
    incarnation, device_id, boot, sequence, site_id, occurred_at, received_at, topic, partition, position
)
select incarnation, device_id, boot, sequence, site_id, occurred_at, received_at, topic, partition, position
from device_messages_rows where type = 'heartbeat';

alter table device_messages_rows delete where type = 'heartbeat';

create or replace view device_messages as
select * from device_messages_rows final
where (incarnation, topic, partition, position) not in (
    select incarnation, topic, partition, position from refusals_rows
)
union all
select incarnation, device_id, boot, sequence, site_id, 'heartbeat', '', occurred_at, received_at, topic, partition,
    position
from device_heartbeats_rows final
where (incarnation, topic, partition, position) not in (
    select incarnation, topic, partition, position from refusals_rows
);
