-- What one would write by hand: the state of each request, and an append-only record of all that happened to it.
create table requests (
	id         uuid primary key,
	tenant     text not null,
	version    integer not null,
	status     text not null,
	changed_at timestamptz not null default now(),
	body       bytea not null
);
create table audit (
	seq     bigint generated always as identity primary key,
	request uuid not null references requests (id),
	version integer not null,
	type    text not null,
	actor   text not null,
	at      timestamptz not null default now(),
	body    bytea not null,
	-- Of whoever wrote it, over all of the row but seq and at; null where nothing is signed.
	signature bytea,
	unique (request, version)
);
create table timers (
	request uuid primary key,
	due_at  timestamptz not null
);
create index on timers (due_at);

-- The application can neither change nor remove what the audit table holds.
create role application login;
grant select, insert, update on requests, timers to application;
grant select, insert on audit to application;
