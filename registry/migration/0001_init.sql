-- Models by name. last is the highest number ever given: numbers are not given twice.
CREATE TABLE model (
	name TEXT PRIMARY KEY,
	last INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Versions. document says all of one in JSON, digest is its SHA-256.
CREATE TABLE version (
	model    TEXT    NOT NULL REFERENCES model (name),
	number   INTEGER NOT NULL,
	digest   TEXT    NOT NULL,
	document BLOB    NOT NULL,
	added    TEXT    NOT NULL,
	added_by TEXT    NOT NULL,
	PRIMARY KEY (model, number),
	UNIQUE (model, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE alias (
	model  TEXT    NOT NULL,
	name   TEXT    NOT NULL,
	number INTEGER NOT NULL,
	PRIMARY KEY (model, name),
	FOREIGN KEY (model, number) REFERENCES version (model, number)
) STRICT, WITHOUT ROWID;

-- Every move of an alias. number is NULL where it was removed.
CREATE TABLE move (
	id     INTEGER PRIMARY KEY,
	model  TEXT NOT NULL,
	alias  TEXT NOT NULL,
	number INTEGER,
	at     TEXT NOT NULL,
	by     TEXT NOT NULL,
	reason TEXT NOT NULL
) STRICT;
