-- What operators ask for, over the tables of state. Reference data count as the broker's present life holds them.

create view current_reference as
select entity, id, value, card_number, cardholder_id
from reference
where value is not null and incarnation = (select max(incarnation) from reference);

create view cardholders as
select id as cardholder_id, value ->> 'name' as name, value ->> 'status' as status,
    value ->> 'department' as department, (value ->> 'valid_from')::timestamptz as valid_from,
    (value ->> 'valid_until')::timestamptz as valid_until
from current_reference where entity = 'cardholder';

create view credentials as
select id as credential_id, value ->> 'kind' as kind, cardholder_id, card_number, value ->> 'status' as status,
    (value ->> 'valid_from')::timestamptz as valid_from, (value ->> 'valid_until')::timestamptz as valid_until
from current_reference where entity = 'credential';

create view permissions as
select id as permission_id, value ->> 'site_id' as site_id, cardholder_id, value ->> 'kind' as kind,
    value ->> 'status' as status, value -> 'zone_ids' as zone_ids, value -> 'door_ids' as door_ids,
    value -> 'access_point_ids' as access_point_ids, value ->> 'schedule_id' as schedule_id,
    (value ->> 'valid_from')::timestamptz as valid_from, (value ->> 'valid_until')::timestamptz as valid_until
from current_reference where entity = 'permission';

create view present as
select p.site_id, p.zone_id, z.value ->> 'name' as zone, p.cardholder_id, c.name, p.since
from presence p
left join current_reference z on z.entity = 'zone' and z.id = p.zone_id
left join cardholders c on c.cardholder_id = p.cardholder_id
where z.value ->> 'kind' is distinct from 'outside';

create view open_commands as
select command_id, site_id, device_id, door_id, type, state, issued_at, decision_id, operator_request_id
from commands where type = 'access_door' and state in ('sent', 'delivered');

create view open_alerts as
select alert_id, site_id, kind, severity, state, count, door_id, access_point_id, device_id, cardholder_id, summary,
    raised_at, updated_at
from alerts where state <> 'closed';
