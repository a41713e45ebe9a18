-- What a controller last said goes by its own numbers, not by when a record was appended: a message that somebody sends
-- again counts for nothing. Rows of before give way to the next message.

alter table devices add column key_version integer not null default 0;
alter table doors
    add column key_version integer not null default 0,
    add column boot bigint not null default -1,
    add column sequence bigint not null default -1,
    drop constraint doors_pkey,
    add primary key (door_id, site_id, device_id);

-- Of a door counts what its own controller said.
create or replace view door_trouble as
select door.id as door_id, door.value ->> 'site_id' as site_id, door.value ->> 'name' as name,
    door.value ->> 'device_id' as device_id,
    case when e.last_event in ('door_forced_open', 'door_held_open') then e.last_event end as door_event,
    e.received_at as door_event_at, t.connection as device_connection, t.troubles as device_troubles, t.since
from current_reference door
left join doors e on e.door_id = door.id and e.site_id = door.value ->> 'site_id'
    and e.device_id = door.value ->> 'device_id'
left join device_trouble t on t.device_id = door.value ->> 'device_id' and t.site_id = door.value ->> 'site_id'
where door.entity = 'door'
    and (t.device_id is not null or e.last_event in ('door_forced_open', 'door_held_open'));
