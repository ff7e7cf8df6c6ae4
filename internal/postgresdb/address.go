package postgresdb

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// IsAddress reports whether a name is that of a database on a server.
func IsAddress(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// Name returns how messages call the database at address: by user, host, port and
// name, without the password and the settings of the connection.
func Name(address string) (string, error) {
	config, err := parse(address)
	if err != nil {
		return "", err
	}
	return name(config), nil
}

func name(config *pgx.ConnConfig) string {
	u := url.URL{Scheme: "postgres", User: url.User(config.User), Path: "/" + cmp.Or(config.Database, config.User)}
	port := strconv.Itoa(int(config.Port))
	if strings.HasPrefix(config.Host, "/") { // the folder of a socket
		u.RawQuery = url.Values{"host": {config.Host}, "port": {port}}.Encode()
	} else {
		u.Host = net.JoinHostPort(config.Host, port)
	}
	return u.String()
}

// reachTime is how long a connection may take, unless the address says so.
const reachTime = 15 * time.Second

// parse reads an address as libpq does: what it leaves out comes from PGHOST,
// PGUSER, PGPASSWORD and so on, from a service file, and from ~/.pgpass.
func parse(address string) (*pgx.ConnConfig, error) {
	unclear := errors.New("the address of the PostgreSQL server cannot be read: want postgres://USER@HOST:PORT/DATABASE; give the password by PGPASSWORD or ~/.pgpass, or write %40, %2F, %3F, %23 and %25 for the @, /, ?, # and % in it")
	// An @ behind the first slash or question mark says that a password has one
	// of them, and is cut there: what follows would be shown.
	_, rest, _ := strings.Cut(address, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 && strings.Contains(rest[end:], "@") {
		return nil, unclear
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		// The error quotes the address. It is shown only where it comes of what
		// can hold no password.
		if err := settingsError(rest); err != nil {
			return nil, err
		}
		return nil, unclear
	}
	config.ConnectTimeout = cmp.Or(config.ConnectTimeout, reachTime)
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "medprobe"
	}
	return config, nil
}

// settingsError returns the error in the settings behind the question mark, or in
// the environment, if there is one.
func settingsError(rest string) error {
	_, query, _ := strings.Cut(rest, "?")
	given, err := url.ParseQuery(query)
	if err != nil {
		return nil
	}
	harmless := url.Values{}
	for _, key := range []string{"sslmode", "sslrootcert", "sslcert", "sslkey", "service", "connect_timeout", "target_session_attrs"} {
		if given.Has(key) {
			harmless.Set(key, given.Get(key))
		}
	}
	_, err = pgx.ParseConfig("postgres://localhost/?" + harmless.Encode())
	return err
}
