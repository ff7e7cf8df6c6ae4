-- How the vectors of a space are written, and how many belong to one image.
ALTER TABLE space ADD COLUMN tokens INTEGER NOT NULL DEFAULT 1 CHECK (tokens > 0);
ALTER TABLE space ADD COLUMN store TEXT NOT NULL DEFAULT 'f32' CHECK (store IN ('f32', 'f16'));
-- A random mark that is a new one after every change of the space's vectors.
ALTER TABLE space ADD COLUMN mark BLOB NOT NULL DEFAULT x'';

-- A second copy of what a space is, on another page: checks compare the two.
CREATE UNIQUE INDEX space_twin ON space (encoder, preprocess, dim, tokens, store);

ALTER TABLE vector ADD COLUMN stored INTEGER NOT NULL DEFAULT 0; -- Unix seconds

-- The content of files, as long as they are what they were.
CREATE TABLE file (
	name     TEXT PRIMARY KEY, -- device and inode, with the member or the window
	size     BIGINT NOT NULL,
	modified BIGINT NOT NULL, -- nanoseconds since 1970
	changed  BIGINT NOT NULL, -- the same, of the inode
	content  BLOB NOT NULL CHECK (length(content) = 32)
) WITHOUT ROWID;

-- What recent fills found.
CREATE TABLE run (
	id       INTEGER PRIMARY KEY,
	space    INTEGER NOT NULL REFERENCES space (id) ON DELETE CASCADE,
	started  BIGINT NOT NULL, -- Unix seconds
	samples  INTEGER NOT NULL,
	embedded INTEGER NOT NULL,
	cached   INTEGER NOT NULL,
	failed   INTEGER NOT NULL
);
