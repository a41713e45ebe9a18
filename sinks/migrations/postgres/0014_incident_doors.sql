-- Since when a lockdown has asked for a door, and when its controller first confirmed that.
alter table incident_doors add column asked_at timestamptz, add column first_confirmed_at timestamptz;
