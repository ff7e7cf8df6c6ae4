package postgresdb

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// refusal is why a database is not used; it has its remedy with it.
type refusal string

func (r refusal) Error() string { return string(r) }

// line is an error on one line; pgx takes one for every host that it tried.
type line struct{ error }

func (l line) Error() string { return strings.Join(strings.Fields(l.error.Error()), " ") }
func (l line) Unwrap() error { return l.error }

// Explain says in words what an error of the driver or the server means for the
// database of that name.
func Explain(name string, err error) error {
	if r, ok := errors.AsType[refusal](err); ok {
		return fmt.Errorf("%s: %w", name, r)
	}
	connecting, server := connectError(err), code(err)
	switch what := meaning(server); {
	case what != "":
		return fmt.Errorf("%s: %s (%w)", name, what, line{err})
	case server != "":
		return fmt.Errorf("%s: %w", name, line{err})
	case connecting:
		return fmt.Errorf("%s: the server cannot be reached; see that it runs, and that host, port and sslmode are right (%w)", name, line{err})
	case isLost(err):
		return fmt.Errorf("%s: the connection to the server is lost; see that it runs and can be reached, and run again: nothing stored is lost (%w)", name, line{err})
	}
	return err
}

func connectError(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// isLost reports whether a connection that was there is not there any more.
func isLost(err error) bool {
	var network net.Error
	return errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, net.ErrClosed) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// meaning says what a code of the server means, where it can be said better than
// the server does. The codes are those of the PostgreSQL manual's appendix A.
func meaning(code string) string {
	switch code {
	case "28P01", "28000":
		return "the server does not let this user in; see the user's name, and the password in PGPASSWORD or ~/.pgpass"
	case "3D000":
		return "there is no such database; the server's administrator makes one with createdb"
	case "42501":
		return "this user may not do that; whoever owns the schema can GRANT it"
	case "25006":
		return "it can only be read; name the primary server, or ask for the right to write"
	case "53100":
		return "no space left on the server; have some freed and run again, nothing stored is lost"
	case "53300":
		return "the server takes no more connections; wait, or have its max_connections raised"
	case "55P03", "57014":
		return "the server gave up waiting, as its timeouts say; run again, nothing stored is lost"
	case "40001", "40P01":
		return "other writers stood in the way again and again; run again, nothing stored is lost"
	case "XX001", "XX002":
		return "the server says that its data is damaged; tell its administrator"
	}
	if strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P") { // lost, or shutting down
		return "the server ended the connection; run again when it is back, nothing stored is lost"
	}
	return ""
}
