-- One space per encoder and preprocessing: vectors of one space can be compared.
CREATE TABLE space (
	id         INTEGER PRIMARY KEY,
	encoder    TEXT NOT NULL, -- fingerprint of weights, graph and precision
	preprocess TEXT NOT NULL, -- fingerprint of everything that moves a pixel
	dim        INTEGER NOT NULL CHECK (dim > 0),
	UNIQUE (encoder, preprocess)
);

-- One vector per content, region and frame in a space.
CREATE TABLE vector (
	id      INTEGER PRIMARY KEY,
	space   INTEGER NOT NULL REFERENCES space (id) ON DELETE CASCADE,
	content BLOB NOT NULL CHECK (length(content) = 32), -- SHA-256
	region  TEXT NOT NULL, -- x0,y0,x1,y1 in pixels; empty: the whole image
	frame   INTEGER NOT NULL,
	data    BLOB NOT NULL, -- float32, little-endian, as the tower gives it
	sum     BLOB NOT NULL CHECK (length(sum) = 16), -- SHA-256 of key and data, cut
	UNIQUE (space, content, region, frame)
);
