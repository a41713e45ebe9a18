-- Lockdowns (E2) and the modes of doors: the last that was told of each, and all steps of each lockdown.
create table door_modes (
    door_id text not null,
    site_id text not null,
    device_id text not null,
    mode text not null,  -- desired
    mode_epoch bigint not null,
    since timestamptz not null,
    confirmed_at timestamptz,  -- null: the controller has not confirmed it
    unconfirmed text,  -- why not, once that takes too long
    attempts bigint not null,
    decided_at timestamptz not null,
    value jsonb not null,
    incarnation bigint not null,
    position bigint not null,
    primary key (door_id, site_id)
);
create table incident_doors (
    incident_id text not null,
    door_id text not null,
    site_id text not null,
    device_id text not null,
    mode text not null,
    mode_epoch bigint not null,
    confirmed_at timestamptz,
    unconfirmed text,
    incarnation bigint not null,
    position bigint not null,
    primary key (incident_id, door_id)
);
create table incidents (
    incident_id text primary key,
    site_id text not null,
    zone_id text not null,
    threat_level text not null,
    plan_id text not null,
    drill boolean not null,
    state text not null,  -- in_force, releasing or released
    doors integer not null,
    confirmed integer not null,
    secured integer not null,
    started_at timestamptz not null,
    confirmed_at timestamptz,
    secured_at timestamptz,
    effective_at timestamptz,
    released_at timestamptz,
    value jsonb not null,
    incarnation bigint not null,
    position bigint not null
);
create table incident_history (
    incident_id text not null,
    transition bigint not null,
    type text not null,
    site_id text not null,
    decided_at timestamptz not null,
    value jsonb not null,
    incarnation bigint not null,
    primary key (incident_id, transition, incarnation)
);
