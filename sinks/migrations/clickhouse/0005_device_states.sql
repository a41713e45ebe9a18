-- Everything that was told of devices (M1), each with the whole state after it.
create table device_state_events_rows (
    incarnation UInt64,
    event_id UUID,
    event LowCardinality(String),
    condition LowCardinality(String),
    code LowCardinality(String),
    detail String,
    site_id LowCardinality(String),
    device_id LowCardinality(String),
    connection LowCardinality(String),
    since DateTime64(3, 'UTC'),
    last_seen Nullable(DateTime64(3, 'UTC')),
    tamper Bool,
    power_failure Bool,
    battery_low Bool,
    faults Array(LowCardinality(String)),
    clock_wrong Bool,
    clock_offset_ms Nullable(Int64),
    flapping Array(LowCardinality(String)),
    site_offline UInt32,
    site_devices UInt32,
    decided_at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(decided_at)
order by (site_id, device_id, decided_at, event_id, incarnation);

create view device_state_events as select * from device_state_events_rows final;

-- From each loss of a device to its return; no end while it is still away.
create view device_outages as
select site_id, device_id, began_at, if(next_event = 'controller_online', next_at, null) as ended_at
from (
    select site_id, device_id, event, since as began_at,
        leadInFrame(event) over device as next_event, leadInFrame(toNullable(since)) over device as next_at
    from device_state_events
    where event in ('controller_offline', 'controller_online')
    window device as (
        partition by incarnation, site_id, device_id order by decided_at, since
        rows between unbounded preceding and unbounded following
    )
)
where event = 'controller_offline';
