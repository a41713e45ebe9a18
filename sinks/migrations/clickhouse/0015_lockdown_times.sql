-- How long each lockdown took until all doors of its last scope had confirmed, and until all were shut as well: one that
-- was escalated counts its doors anew, so that its last step tells.
drop view lockdown_times;
create view lockdown_times as
select incident_id, incarnation, any(site_id) as site, argMax(zone_id, transition) as zone, any(drill) as is_drill,
    argMax(doors, transition) as door_count,
    dateDiff('millisecond', min(started_at), argMax(tuple(confirmed_at), transition).1) as confirmed_ms,
    dateDiff('millisecond', min(started_at), argMax(tuple(secured_at), transition).1) as secured_ms
from incident_steps group by incident_id, incarnation;
