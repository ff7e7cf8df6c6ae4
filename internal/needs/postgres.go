package needs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// PostgreSQL returns the address of a new and empty database on a real server,
// which the first call starts for all the tests of the package. It takes Debian's
// programs, or those in the folder $MEDPROBE_POSTGRESQL; the word none there says
// that the machine has none, and that this is well.
func PostgreSQL(t testing.TB) (address string) {
	t.Helper()
	address, err := postgresServer(t).database()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// PostgreSQLExec runs statements as the server's administrator in a database that
// PostgreSQL returned. Roles are those of all tests of the package. Who is made a
// member of the role locked needs a password to log in.
func PostgreSQLExec(t testing.TB, address, statements string) {
	t.Helper()
	u, err := url.Parse(address)
	if err == nil {
		err = postgresServer(t).exec(strings.TrimPrefix(u.Path, "/"), statements)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var theServer struct {
	sync.Once
	*postgres
	err error
}

// postgresServer returns the one server of this process.
func postgresServer(t testing.TB) *postgres {
	t.Helper()
	programs := postgresPrograms(t)
	theServer.Do(func() { theServer.postgres, theServer.err = startPostgres(programs, 5432, "-c listen_addresses=", nil) })
	if theServer.err != nil {
		t.Fatal(theServer.err)
	}
	return theServer.postgres
}

// postgresPrograms returns the folder of the server's programs, or skips the test.
func postgresPrograms(t testing.TB) string {
	t.Helper()
	programs := os.Getenv("MEDPROBE_POSTGRESQL")
	if programs == "none" {
		t.Skip("MEDPROBE_POSTGRESQL=none: no PostgreSQL on this machine; the same tests run over SQLite")
	}
	if programs == "" {
		found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			Skip(t, "no PostgreSQL server to test with (Debian: apt-get install postgresql); or name the folder of its programs in MEDPROBE_POSTGRESQL")
		}
		programs = found[len(found)-1]
	}
	return programs
}

// postgres is a server with a Unix socket in its folder, for its users there.
type postgres struct {
	programs, dir, port string
	// alive keeps the server running: it stops when this is closed, by us or by
	// the end of our process, whatever kind of end that is.
	alive io.WriteCloser

	mu        sync.Mutex
	databases int
}

// keeper makes a server with the options $3, says "ready", waits for the end of its input, and takes
// everything away. No signal to the group of our processes keeps it from that.
const keeper = `
trap : INT TERM HUP PIPE
exec 2>&1
cd "$2" && "$1/initdb" -D data -U postgres --auth=trust --no-locale --encoding=UTF8 --no-sync >log || { cat log; rm -rf "$2"; exit 1; }
{ echo "local all +locked scram-sha-256"; cat hba.more data/pg_hba.conf; } >hba && mv hba data/pg_hba.conf
"$1/pg_ctl" -s -w -D data -l log -o "-F $3 -c unix_socket_directories=$2 -c full_page_writes=off -c shared_buffers=32MB" start || { cat log; rm -rf "$2"; exit 1; }
"$1/psql" -X -q -h "$2" -U postgres -c "CREATE ROLE locked" || echo "no role can be made"
echo ready
cat >/dev/null
"$1/pg_ctl" -s -w -D data -m immediate stop
rm -rf "$2"
`

// startPostgres starts a server, whose socket is named by the port, with some more files
// in its folder; of these, hba.more has rules of who may log in, and how.
func startPostgres(programs string, port int, options string, files map[string][]byte) (*postgres, error) {
	dir, err := os.MkdirTemp("", "medprobe-postgres-")
	if err != nil {
		return nil, err
	}
	s := &postgres{programs: programs, dir: dir, port: fmt.Sprintf("PGPORT=%d", port)}
	args := []string{"/bin/sh", "-c", keeper, "keeper", programs, dir, strings.ReplaceAll(options, "DIR", dir)}
	all := map[string][]byte{"hba.more": nil}
	maps.Copy(all, files)
	for name, content := range all {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	if os.Geteuid() == 0 {
		// The server refuses to be root.
		owner, err := unprivileged()
		if err != nil {
			return nil, err
		}
		if err := os.Chown(dir, owner, owner); err != nil {
			return nil, err
		}
		for name := range all {
			if err := os.Chown(filepath.Join(dir, name), owner, owner); err != nil {
				return nil, err
			}
		}
		id := strconv.Itoa(owner)
		args = append([]string{"setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C", s.port)
	if s.alive, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	said := bufio.NewScanner(out)
	var log strings.Builder
	for said.Scan() {
		if said.Text() == "ready" {
			return s, nil
		}
		fmt.Fprintln(&log, said.Text())
	}
	return nil, errors.Join(fmt.Errorf("start PostgreSQL of %s: %s", programs, log.String()), cmd.Wait())
}

// unprivileged is a user who is not root.
func unprivileged() (id int, err error) {
	var found *user.User
	for _, name := range []string{"postgres", "nobody"} {
		if found, err = user.Lookup(name); err == nil {
			return strconv.Atoi(found.Uid)
		}
	}
	return 0, err
}

// database makes a new one and returns its address.
func (s *postgres) database() (address string, err error) {
	s.mu.Lock()
	s.databases++
	name := fmt.Sprintf("test%d", s.databases)
	s.mu.Unlock()
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + name, RawQuery: url.Values{"host": {s.dir}}.Encode()}
	return u.String(), s.exec("postgres", "CREATE DATABASE "+name)
}

func (s *postgres) exec(database, statements string) error {
	cmd := exec.Command(filepath.Join(s.programs, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", s.dir, "-U", "postgres", "-d", database, "-f", "-")
	cmd.Env = append(os.Environ(), s.port)
	cmd.Stdin = strings.NewReader(statements)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w: %s", err, out)
	}
	return nil
}
