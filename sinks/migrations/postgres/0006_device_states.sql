-- How each device fares (M1): the last state that was told of it.
create table device_states (
    device_id text not null,
    site_id text not null,
    event text not null,  -- what was told last
    condition text,
    connection text not null,
    since timestamptz not null,
    last_seen timestamptz,
    tamper boolean not null,
    power_failure boolean not null,
    battery_low boolean not null,
    faults text[] not null,
    clock_wrong boolean not null,
    clock_offset_ms bigint,
    flapping text[] not null,
    decided_at timestamptz not null,
    value jsonb not null,
    incarnation bigint not null,
    position bigint not null,
    primary key (device_id, site_id)
);
create index device_states_troubled on device_states (site_id) where connection <> 'online';

-- Every device on file or watched. A device that is online is heard more often than its state is told.
create view device_status as
select s.device_id, s.site_id, r.value ->> 'name' as name, r.value ->> 'model' as model, s.connection, s.since,
    case when s.connection = 'online' then greatest(s.last_seen, d.last_seen) else s.last_seen end as last_seen,
    array_remove(array[
        case when s.tamper then 'tamper' end,
        case when s.power_failure then 'power_failure' end,
        case when s.battery_low then 'battery_low' end,
        case when s.clock_wrong then 'clock_wrong' end
    ], null) || s.faults || array(select 'flapping ' || one from unnest(s.flapping) as one) as troubles,
    s.clock_offset_ms, s.event as last_event, s.decided_at as told_at
from device_states s
left join current_reference r on r.entity = 'device' and r.id = s.device_id
left join devices d on d.device_id = s.device_id and d.site_id = s.site_id
where s.event <> 'monitoring_ended'
union all
select r.id, r.value ->> 'site_id', r.value ->> 'name', r.value ->> 'model', 'unknown', null, null, '{}', null, null, null
from current_reference r
where r.entity = 'device' and r.value ->> 'status' = 'active' and not exists (
    select from device_states s
    where s.device_id = r.id and s.site_id = r.value ->> 'site_id' and s.event <> 'monitoring_ended'
);

create view device_trouble as
select device_id, site_id, name, model, connection, since, last_seen, troubles, clock_offset_ms, last_event, told_at
from device_status where connection = 'offline' or troubles <> '{}';

-- Doors that need somebody: forced or held open, or driven by a device that is in trouble.
create view door_trouble as
select door.id as door_id, door.value ->> 'site_id' as site_id, door.value ->> 'name' as name,
    door.value ->> 'device_id' as device_id,
    case when e.last_event in ('door_forced_open', 'door_held_open') then e.last_event end as door_event,
    e.received_at as door_event_at, t.connection as device_connection, t.troubles as device_troubles, t.since
from current_reference door
left join doors e on e.door_id = door.id and e.site_id = door.value ->> 'site_id'
left join device_trouble t on t.device_id = door.value ->> 'device_id' and t.site_id = door.value ->> 'site_id'
where door.entity = 'door'
    and (t.device_id is not null or e.last_event in ('door_forced_open', 'door_held_open'));
