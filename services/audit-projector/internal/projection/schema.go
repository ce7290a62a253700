package projection

import (
	"hash/crc32"
	"strconv"
)

// meaning must be increased whenever the same events would be written differently into unchanged tables, for example
// because the fold of requests has changed.
const meaning = 6

// applicationID marks the file as ours ("LkBx").
const applicationID = 0x4c6b4278

// tables is the whole schema. Tenants, subscriptions and people are numbered in the order in which the stream first
// names them, so every replay yields the same numbers; only of people whose names were erased meanwhile, others.
//
// Times are nanoseconds since 1970.
const tables = `
CREATE TABLE tenants (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

CREATE TABLE subscriptions (id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE (name, tenant));

-- People as they were called when they acted, in lower case, for the filter by person. An erased name and address are
-- empty, as if they had never been known.
CREATE TABLE people (
	id INTEGER PRIMARY KEY, issuer TEXT NOT NULL, subject TEXT NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL,
	UNIQUE (subject, issuer, name, email)
);

-- Every event.
CREATE TABLE events (
	seq INTEGER PRIMARY KEY,
	tenant INTEGER NOT NULL,
	kind TEXT NOT NULL,
	type INTEGER NOT NULL,         -- the fact's field number, which never changes
	time INTEGER NOT NULL,
	person INTEGER NOT NULL,       -- who acted; 0: Lockbox itself
	about INTEGER NOT NULL,        -- the request or ticket that it belongs to, by its first event; 0: none
	subscription INTEGER NOT NULL  -- that subscription, or the request's or ticket's; 0: none
);
-- The events themselves, as stored in the stream; apart, because most questions look at many and show few. Also the
-- messages that cannot be events. The cursor is the last of them: it cannot differ from what was written.
CREATE TABLE stored (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL);

-- Which sequences an hour's events have, so that a filter by time becomes one by sequence.
CREATE TABLE hours (hour INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL);

CREATE TABLE requests (
	seq INTEGER PRIMARY KEY, -- of its first event
	tenant INTEGER NOT NULL,
	id TEXT NOT NULL,
	subscription INTEGER NOT NULL,
	ticket TEXT NOT NULL,    -- the id of the ticket that the intent names, whether there is one or not
	status INTEGER NOT NULL, -- as recorded
	due INTEGER NOT NULL,    -- when that status ends by the passing of time; 0: never
	last INTEGER NOT NULL,   -- of its last event
	waived INTEGER NOT NULL, -- when access began for which the customer was not asked; 0: none did
	tool TEXT NOT NULL,      -- the engineering tool that submitted it
	service TEXT NOT NULL,   -- the resource type that it asks for
	requester TEXT NOT NULL, -- a principal
	emergency INTEGER NOT NULL,
	asked INTEGER NOT NULL,   -- when the customer was asked; 0: never
	decided INTEGER NOT NULL, -- when their decision was complete; 0: it is not
	began INTEGER NOT NULL,   -- when access began; 0: it did not
	over INTEGER NOT NULL,    -- when that access ended, or will; 0: there was none
	UNIQUE (id, tenant)
);

-- What people find a request by, in lower case: who asks, by name, address and id; and everything that it names.
CREATE TABLE words (request INTEGER PRIMARY KEY, engineer TEXT NOT NULL, words TEXT NOT NULL);

-- The resources that a request asks for, as their ids are compared.
CREATE TABLE resources (resource TEXT NOT NULL, tenant INTEGER NOT NULL, request INTEGER NOT NULL);

-- Of the provider's people, who may see a request: its requester, and the groups that it has waited for.
CREATE TABLE audience (principal TEXT NOT NULL, request INTEGER NOT NULL);

-- Whose decision a request waits for: frozen approvers who have not decided, or the group of an internal stage.
CREATE TABLE waiting (
	principal TEXT NOT NULL, request INTEGER NOT NULL, tenant INTEGER NOT NULL, subscription INTEGER NOT NULL,
	PRIMARY KEY (principal, request)
) WITHOUT ROWID;
CREATE INDEX waiting_by_request ON waiting (request);

CREATE TABLE tickets (
	seq INTEGER PRIMARY KEY, -- of its opening
	tenant INTEGER NOT NULL,
	id TEXT NOT NULL,
	subscription INTEGER NOT NULL,
	opener TEXT NOT NULL, -- a principal
	folded TEXT NOT NULL, -- its reference, as it is compared
	UNIQUE (id, tenant)
);

-- What happened outside of any request. Until the customer is told they are shown nothing of it (R46).
CREATE TABLE disclosures (
	seq INTEGER PRIMARY KEY, -- of its first event
	tenant INTEGER NOT NULL,
	id TEXT NOT NULL,
	told INTEGER NOT NULL, -- the event by which the customer was told; 0: not yet
	UNIQUE (id, tenant)
);

-- What was proposed or decided to be erased.
CREATE TABLE erasures (
	seq INTEGER PRIMARY KEY, -- of its first event
	tenant INTEGER NOT NULL,
	id TEXT NOT NULL,
	UNIQUE (id, tenant)
);
`

// byAbout is created when a request has to be folded again for the first time, or else with the other indexes.
const byAbout = "CREATE INDEX IF NOT EXISTS events_by_about ON events (about) WHERE about > 0;"

// indexes are those that only queries and restarts need. They are created once the projection is built, which is
// several times faster than maintaining them during the build.
const indexes = byAbout + `
CREATE INDEX subscriptions_by_name ON subscriptions (name COLLATE NOCASE, tenant);
CREATE INDEX people_by_name ON people (name);
CREATE INDEX people_by_email ON people (email);
CREATE INDEX events_remembered ON events (seq) WHERE kind IN ('tenant', 'subscription', 'policy', 'keys');
CREATE INDEX events_by_tenant ON events (tenant);
CREATE INDEX events_by_type ON events (type, tenant);
CREATE INDEX events_by_person ON events (person, tenant, seq, type, subscription) WHERE person > 0;
CREATE INDEX events_by_subscription ON events (subscription, seq, type) WHERE subscription > 0;
CREATE INDEX requests_by_tenant ON requests (tenant);
CREATE INDEX requests_by_subscription ON requests (subscription) WHERE subscription > 0;
CREATE INDEX requests_by_ticket ON requests (ticket, tenant) WHERE ticket <> '';
CREATE INDEX requests_by_status ON requests (status, tenant);
CREATE INDEX requests_by_subscription_status ON requests (subscription, status) WHERE subscription > 0;
CREATE INDEX requests_waived ON requests (tenant) WHERE waived > 0;
CREATE INDEX requests_waived_since ON requests (tenant, waived) WHERE waived > 0;
CREATE INDEX requests_by_subscription_waived ON requests (subscription) WHERE waived > 0 AND subscription > 0;
CREATE INDEX requests_by_subscription_waived_since ON requests (subscription, waived) WHERE waived > 0 AND subscription > 0;
CREATE INDEX requests_due ON requests (due) WHERE due > 0;
CREATE INDEX requests_emergency ON requests (tenant) WHERE emergency = 1;
CREATE INDEX resources_by_name ON resources (resource, tenant, request);
CREATE INDEX audience_by_principal ON audience (principal, request);
CREATE INDEX tickets_by_tenant ON tickets (tenant);
CREATE INDEX tickets_by_reference ON tickets (folded, tenant);
CREATE INDEX disclosures_untold ON disclosures (told) WHERE told = 0;
`

// schemaVersion identifies schema and meaning in the file; a file with another version is discarded.
func schemaVersion() int64 {
	sum := crc32.ChecksumIEEE([]byte(tables + indexes + strconv.Itoa(meaning)))
	return int64(sum & 0x7fffffff) // user_version is a signed number of 32 bits
}
