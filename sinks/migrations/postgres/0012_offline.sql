-- Doors that their controllers decide for alone (A5), since when, and by which permission snapshot.
create view offline_doors as
select door.id as door_id, door.value ->> 'site_id' as site_id, door.value ->> 'name' as name, s.device_id,
    door.value ->> 'degraded_mode' as degraded_mode, s.connection, s.value ->> 'snapshot_version' as snapshot_version,
    s.last_seen, s.decided_at as told_at
from device_states s
join current_reference door on door.entity = 'door' and door.value ->> 'device_id' = s.device_id
    and door.value ->> 'site_id' = s.site_id
where s.value ->> 'network' = 'down' and s.event <> 'monitoring_ended';

-- What a controller decided alone otherwise than the rules do: `outcome` and `reason` are the rules'.
create view offline_differences as
select decision_id, site_id, device_id, access_point_id, cardholder_id, value -> 'recorded' ->> 'outcome' as recorded_outcome,
    outcome, reason, value -> 'recorded' ->> 'mode' as recorded_mode,
    value -> 'recorded' ->> 'snapshot_version' as snapshot_version, value -> 'recorded' ->> 'cause' as difference_cause,
    occurred_at, decided_at
from decisions
where (value ->> 'difference')::boolean;
