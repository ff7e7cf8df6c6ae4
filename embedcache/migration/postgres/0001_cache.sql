-- What the SQLite migrations make, for a server that several people share.

-- One space per encoder and preprocessing: vectors of one space can be compared.
CREATE TABLE space (
	id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	encoder    TEXT COLLATE "C" NOT NULL, -- fingerprint of weights, graph and precision
	preprocess TEXT COLLATE "C" NOT NULL, -- fingerprint of everything that moves a pixel
	dim        BIGINT NOT NULL CHECK (dim > 0),
	tokens     BIGINT NOT NULL DEFAULT 1 CHECK (tokens > 0), -- how many vectors belong to one image
	store      TEXT NOT NULL DEFAULT 'f32' CHECK (store IN ('f32', 'f16')),
	mark       BYTEA NOT NULL DEFAULT '', -- a new random one after every change of the space's vectors
	UNIQUE (encoder, preprocess)
);

-- One vector per content, region and frame in a space.
CREATE TABLE vector (
	id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	space   BIGINT NOT NULL REFERENCES space (id) ON DELETE CASCADE,
	content BYTEA NOT NULL CHECK (length(content) = 32), -- SHA-256
	region  TEXT COLLATE "C" NOT NULL, -- x0,y0,x1,y1 in pixels; empty: the whole image
	frame   BIGINT NOT NULL,
	data    BYTEA NOT NULL, -- little-endian, as the tower gives it
	sum     BYTEA NOT NULL CHECK (length(sum) = 16), -- SHA-256 of key and data, cut
	stored  BIGINT NOT NULL DEFAULT 0, -- Unix seconds
	UNIQUE (space, content, region, frame)
);
-- Vectors do not get smaller by compression: the server need not try.
ALTER TABLE vector ALTER COLUMN data SET STORAGE EXTERNAL;

-- The content of files, as long as they are what they were.
CREATE TABLE file (
	name     TEXT COLLATE "C" PRIMARY KEY, -- digest of machine, device and inode, with the member or the window
	size     BIGINT NOT NULL,
	modified BIGINT NOT NULL, -- nanoseconds since 1970
	changed  BIGINT NOT NULL, -- the same, of the inode
	content  BYTEA NOT NULL CHECK (length(content) = 32)
);

-- What recent fills found.
CREATE TABLE run (
	id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	space    BIGINT NOT NULL REFERENCES space (id) ON DELETE CASCADE,
	started  BIGINT NOT NULL, -- Unix seconds
	samples  BIGINT NOT NULL,
	embedded BIGINT NOT NULL,
	cached   BIGINT NOT NULL,
	failed   BIGINT NOT NULL
);
