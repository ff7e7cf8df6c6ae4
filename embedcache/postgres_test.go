package embedcache

import (
	"database/sql"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/medprobe/medprobe/datasets"
	"github.com/medprobe/medprobe/internal/needs"
)

// as returns the address for another user.
func as(t testing.TB, address string, user *url.Userinfo) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = user
	return u.String()
}

// role makes a role for the time of the test; roles are those of the whole server.
func role(t testing.TB, address, name, as string) {
	t.Helper()
	needs.PostgreSQLExec(t, address, "CREATE ROLE "+name+" LOGIN "+as)
	t.Cleanup(func() { needs.PostgreSQLExec(t, address, "DROP OWNED BY "+name+"; DROP ROLE "+name) })
}

// refused opens a cache that must not open, and checks what is said.
func refused(t testing.TB, address string, want ...string) {
	t.Helper()
	c, err := Open(t.Context(), address)
	if err == nil {
		c.Close()
		t.Errorf("Open = nil: want it to say %q", want)
		return
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("Open = %v: want it to say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("Open = %q: want one line", err)
	}
}

func TestForeignServerSchemasAreRefusedUntouched(t *testing.T) {
	t.Parallel()
	const mark = "1836082531" // applicationID
	for _, tt := range []struct{ name, make, want string }{
		{"tables of another program", `CREATE SCHEMA medprobe; CREATE TABLE medprobe.patients (name TEXT)`, "another program"},
		{"another program's version", `CREATE SCHEMA medprobe; CREATE TABLE medprobe.version (major INTEGER)`, "another program"},
		{"no version at all", `CREATE SCHEMA medprobe; CREATE TABLE medprobe.version (application INTEGER, number INTEGER)`, "another program"},
		{"another kind", `CREATE SCHEMA medprobe; CREATE TABLE medprobe.version AS SELECT 77 AS application, 1 AS number`, "another program"},
		{"newer schema", `CREATE SCHEMA medprobe; CREATE TABLE medprobe.version AS SELECT ` + mark + ` AS application, 99 AS number`, "schema 99, this medprobe knows up to 1: upgrade medprobe"},
	} {
		address := needs.PostgreSQL(t)
		needs.PostgreSQLExec(t, address, tt.make)
		refused(t, address, tt.want, Shown(address))
		if err := Reach(t.Context(), address); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Reach = %v", tt.name, err)
		}
		needs.PostgreSQLExec(t, address, `DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_tables WHERE schemaname = 'medprobe') = 1; END $$`)
	}
}

// A database holds what else it holds, and may have our schema made for us.
func TestServerTablesAreInTheirOwnSchema(t *testing.T) {
	t.Parallel()
	address := needs.PostgreSQL(t)
	if err := Reach(t.Context(), address); err != nil {
		t.Errorf("Reach of an empty database = %v", err)
	}
	needs.PostgreSQLExec(t, address, `CREATE TABLE vector (theirs TEXT); CREATE SCHEMA medprobe`)
	c := openCache(t, address)
	mustFill(t, c, dataset(t, 3, nil), &brightness{name: "e"}, FillOptions{})
	needs.PostgreSQLExec(t, address, `DO $$ BEGIN
		ASSERT (SELECT count(*) FROM public.vector) = 0;
		ASSERT (SELECT count(*) FROM medprobe.vector) = 3;
		ASSERT (SELECT count(*) FROM pg_tables WHERE schemaname = 'public') = 1;
	END $$`)
}

func TestServerThatDoesNotLetIn(t *testing.T) {
	t.Parallel()
	const password = "hunter2/über@all"
	address := needs.PostgreSQL(t)
	role(t, address, "outsider", `PASSWORD '`+password+`' IN ROLE locked`)
	wrong := as(t, address, url.UserPassword("outsider", password+"x"))
	refused(t, wrong, "does not let this user in", "PGPASSWORD", "postgres://outsider@")
	right := as(t, address, url.UserPassword("outsider", password))
	refused(t, right, "this user may not do that", "GRANT")
	refused(t, strings.Replace(address, "/test", "/toast", 1), "no such database", "createdb")
	refused(t, "postgres://anna:"+url.QueryEscape(password)+"@127.0.0.1:1/vectors?sslmode=disable", "cannot be reached", "postgres://anna@127.0.0.1:1/vectors")
	for _, bad := range []string{
		"postgres://anna:" + password + "@host/vectors", "postgres://anna:hunter2?x@host/vectors", "postgres://anna:hunter2#@host/vectors",
		"postgres://anna:hunter2%zz@host/vectors", "postgres://anna:hunter2@host:x/vectors", "postgres://anna:hunter2@[host/vectors",
		"postgres://host/vectors?password=hunter2&sslmode=sometimes", "postgres://anna:hunter2@host/vectors?sslmode=verify-full&sslrootcert=/nowhere.pem",
		"postgres://anna@host/vectors?password=hunter2%zz",
	} {
		refused(t, bad)
		if got := Shown(bad); got != "postgres://…" {
			t.Errorf("Shown(%s) = %s", bad, got)
		}
	}
	for _, secret := range []string{wrong, right, "postgres://anna:hunter2@127.0.0.1:1/vectors?password=hunter2",
		"postgres://anna:" + password + "@host/vectors", "postgres://anna:hunter2%zz@host/vectors", "postgres://host/vectors?password=hunter2&sslmode=sometimes"} {
		_, err := Open(t.Context(), secret)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open = %v", err)
		}
	}
	refused(t, "postgres://host/vectors?sslmode=sometimes", "sslmode is invalid")
	refused(t, "postgres://host/vectors?sslmode=verify-full&sslrootcert=/nowhere.pem", "/nowhere.pem")
}

// A password is found where libpq looks for it, and shown nowhere.
func TestPasswordFromTheEnvironment(t *testing.T) {
	address := needs.PostgreSQL(t)
	role(t, address, "insider", `PASSWORD 'hunter3' IN ROLE locked; CREATE SCHEMA medprobe AUTHORIZATION insider`)
	address = as(t, address, url.User("insider"))
	passfile := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(passfile, []byte("localhost:5432:*:insider:hunter3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, address, "PGPASSWORD or ~/.pgpass")
	for name, value := range map[string]string{"PGPASSWORD": "hunter3", "PGPASSFILE": passfile} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			c := openCache(t, address)
			st, err := c.Stat(t.Context())
			if err != nil || strings.Contains(st.Path, "hunter3") || !strings.HasPrefix(st.Path, "postgres://insider@/test") {
				t.Errorf("%+v, %v", st, err)
			}
		})
	}
}

func TestShownNames(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"/home/anna/cache.db": "/home/anna/cache.db",
		"postgres://anna:secret@db.example:5433/vectors?sslmode=disable":               "postgres://anna@db.example:5433/vectors",
		"postgresql://anna@db.example/vectors?sslmode=disable&password=secret":         "postgres://anna@db.example:5432/vectors",
		"postgres://anna@/vectors?host=/var/run/postgresql":                            "postgres://anna@/vectors?host=%2Fvar%2Frun%2Fpostgresql&port=5432",
		"postgres://anna:secret@[::1]:5432/vectors?sslmode=disable":                    "postgres://anna@[::1]:5432/vectors",
		"postgres://anna:secret@one:1,two:2/vectors?target_session_attrs=read-write":   "postgres://anna@one:1/vectors",
		"postgres://anna:secret@db.example?sslmode=disable&application_name=medprobe1": "postgres://anna@db.example:5432/anna",
	} {
		if got := Shown(address); got != want {
			t.Errorf("Shown(%s) = %s: want %s", address, got, want)
		}
	}
}

// What the page says about setting a server up is enough: each member reads and
// writes what another one has made, a guest reads it, and nobody else gets in.
func TestServerAsThePageSetsItUp(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(needs.Root(t), "docs", "shared-cache.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of SQL on the page: want those for a team and for a guest", len(blocks))
	}
	team, guest := string(blocks[0][1]), string(blocks[1][1])
	u, err := url.Parse(needs.PostgreSQL(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/postgres"
	server := u.String()
	t.Cleanup(func() {
		needs.PostgreSQLExec(t, server, "DROP DATABASE vectors WITH (FORCE); DROP ROLE anna, bert, guest, stranger; DROP ROLE medprobe")
	})
	needs.PostgreSQLExec(t, server, team+strings.NewReplacer("CREATE ROLE medprobe NOLOGIN;", "", "CREATE DATABASE", "-- CREATE DATABASE", "anna", "bert").Replace(team)+"CREATE ROLE stranger LOGIN")
	u.Path = "/vectors"
	d, enc := dataset(t, 5, nil), &brightness{name: "e"}
	for i, member := range []string{"anna", "bert"} {
		c := openCache(t, as(t, u.String(), url.User(member)))
		if f := mustFill(t, c, d, enc, FillOptions{}); f.Cached != 5*i {
			t.Errorf("%s: %d cached: want %d", member, f.Cached, 5*i)
		}
		tamper(t, c, `UPDATE vector SET data = $1`, []byte{1}) // and is mended by the next one
		mustFill(t, c, d, enc, FillOptions{})
	}
	needs.PostgreSQLExec(t, u.String(), guest)
	if st, err := openCache(t, as(t, u.String(), url.User("guest"))).Stat(t.Context()); err != nil || st.Vectors != 5 {
		t.Errorf("guest: %+v, %v", st, err)
	}
	refused(t, as(t, u.String(), url.User("stranger")), "may not do that")
}

// Who may only read can read all there is, and is told what he may not do.
func TestReaderOfAServer(t *testing.T) {
	t.Parallel()
	address := needs.PostgreSQL(t)
	c, d, enc := openCache(t, address), dataset(t, 5, nil), &brightness{name: "e"}
	f := mustFill(t, c, d, enc, FillOptions{})
	role(t, address, "reader", `; GRANT USAGE ON SCHEMA medprobe TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA medprobe TO reader`)
	reader := openCache(t, as(t, address, url.User("reader")))
	reader.sidecars = t.TempDir()
	if st, err := reader.Stat(t.Context()); err != nil || st.Vectors != 5 {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := reader.Matrix(t.Context(), SpaceOf(enc), f.Keys); err != nil {
		t.Error(err)
	}
	sidecarOf(t, reader, SpaceOf(enc))
	if _, err := reader.Fill(t.Context(), d, enc, FillOptions{}); err == nil || !strings.Contains(err.Error(), "this user may not do that") {
		t.Errorf("Fill of a reader = %v", err)
	}
}

// relay passes on connections to a server, until they are cut.
type relay struct {
	address  string
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
}

func newRelay(t testing.TB, address string) *relay {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	const socket = ".s.PGSQL.5432"
	query := u.Query()
	behind := filepath.Join(query.Get("host"), socket)
	dir := t.TempDir()
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	r := &relay{address: u.String()}
	if r.listener, err = net.Listen("unix", filepath.Join(dir, socket)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.cut)
	go func() {
		for {
			front, err := r.listener.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("unix", behind)
			if err != nil {
				front.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, front, back)
			r.mu.Unlock()
			for _, pair := range [][2]net.Conn{{front, back}, {back, front}} {
				go func() {
					io.Copy(pair[0], pair[1])
					pair[0].Close()
				}()
			}
		}
	}()
	return r
}

func (r *relay) cut() {
	r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		conn.Close()
	}
}

// The server goes away in the middle of a run: what was stored is there, and the
// error says what happened.
func TestServerThatGoesAway(t *testing.T) {
	t.Parallel()
	address := needs.PostgreSQL(t)
	r := newRelay(t, address)
	c, d, enc := openCache(t, r.address), dataset(t, 32, nil), &brightness{name: "e"}
	batches := 0
	enc.onBatch = func() {
		if batches++; batches == 3 {
			r.cut()
		}
	}
	_, err := c.Fill(t.Context(), d, enc, FillOptions{Batch: 8})
	// Which of the two depends on whether the driver looks first.
	said := regexp.MustCompile("^embedcache: " + regexp.QuoteMeta(c.path) + ": (the server cannot be reached|the connection to the server is lost); .*$")
	if err == nil || !said.MatchString(err.Error()) {
		t.Fatalf("Fill without a server = %v", err)
	}
	if f := mustFill(t, openCache(t, address), d, &brightness{name: "e"}, FillOptions{Batch: 8}); f.Cached != 16 || f.Embedded != 16 {
		t.Errorf("%d cached, %d embedded: want the 16 of two full batches, and 16", f.Cached, f.Embedded)
	}
}

// A transaction is lost with its connection. Between two of them, a new connection
// is made unseen.
func TestConnectionsThatAreCut(t *testing.T) {
	t.Parallel()
	address := needs.PostgreSQL(t)
	r := newRelay(t, address)
	end := func() {
		needs.PostgreSQLExec(t, address, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	for _, tt := range []struct {
		cut   func()
		after bool // whether the server is still there
	}{{end, true}, {r.cut, false}} {
		c := openCache(t, r.address)
		tx, err := c.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		tt.cut()
		_, err = tx.ExecContext(t.Context(), `DELETE FROM run`)
		said := regexp.MustCompile("^embedcache: " + regexp.QuoteMeta(c.path) + ": (the server ended the connection|the connection to the server is lost); .*run again")
		if err = c.explain(err); err == nil || !said.MatchString(err.Error()) {
			t.Errorf("a transaction with its connection cut: %v", err)
		}
		tx.Rollback()
		if _, err = c.Stat(t.Context()); (err == nil) != tt.after {
			t.Errorf("after the cut: %v", err)
		}
	}
}

// Two transactions lock the same two rows in opposite orders: the server ends one
// of them, and it is done again.
func TestDeadlockIsResolved(t *testing.T) {
	t.Parallel()
	address := needs.PostgreSQL(t)
	c := openCache(t, address)
	for _, name := range []string{"a", "b"} {
		randomVectors(t, c, Space{Encoder: name, Dim: 2}, "", 1)
	}
	first, locked := c, openCache(t, address)
	mine, theirs := make(chan struct{}), make(chan struct{})
	errs := make(chan error, 2)
	attempts := make(chan int, 2)
	lock := func(c *Cache, one, two string, done chan struct{}, wait chan struct{}) {
		n := 0
		errs <- c.transact(t.Context(), func(tx *sql.Tx) error {
			n++
			if _, err := tx.ExecContext(t.Context(), `UPDATE space SET mark = mark WHERE encoder = $1`, one); err != nil {
				return c.explain(err)
			}
			if n == 1 {
				close(done)
				<-wait
			}
			_, err := tx.ExecContext(t.Context(), `UPDATE space SET mark = mark WHERE encoder = $1`, two)
			return c.explain(err)
		})
		attempts <- n
	}
	go lock(first, "a", "b", mine, theirs)
	go lock(locked, "b", "a", theirs, mine)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	// The one that is done again may be back before the other has woken up, and the two
	// lock one another out once more.
	if n := <-attempts + <-attempts; n < 3 {
		t.Errorf("%d attempts: want 3 or more, since the server ended one of two transactions", n)
	}
}

// Nothing in the database tells a name, a path or a machine: what is not a digest
// is a number.
func TestServerHoldsNoNames(t *testing.T) {
	t.Parallel()
	address := needs.PostgreSQL(t)
	dir := filepath.Join(t.TempDir(), "Mustermann-Erika")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := datasetIn(t, dir, 3, nil)
	c := openCache(t, address)
	mustFill(t, c, d, &brightness{name: "e"}, FillOptions{})
	stamp := datasets.Stamp{File: "8:1:42/Mustermann-Erika.png", Size: 1, Modified: 1, Changed: 1}
	shelf, err := c.find(t.Context(), c.db, Space{Encoder: "e", Preprocess: "grey", Dim: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.write(t.Context(), shelf, nil, []seen{{stamp: stamp}}); err != nil {
		t.Fatal(err)
	}
	var rows, digests int
	if err := c.db.QueryRowContext(t.Context(), `SELECT count(*), count(*) FILTER (WHERE name ~ '^[0-9a-f]{64}$') FROM file`).Scan(&rows, &digests); err != nil || rows == 0 || rows != digests {
		t.Errorf("%d of %d names of files are digests, %v", digests, rows, err)
	}
}

func TestCheckOfAServer(t *testing.T) {
	t.Parallel()
	address := needs.PostgreSQL(t)
	c, err := Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := Space{Encoder: "e", Dim: 4}
	keys := randomVectors(t, c, s, Float32, 20)
	tamper(t, c, `UPDATE vector SET data = decode(repeat('00', 16), 'hex') WHERE id = 7`)
	if found := mustCheck(t, address, CheckOptions{}); found.OK || len(found.Bad) != 1 || found.Bad[0].Kind != BadChecksum || found.Rows != 20 {
		t.Errorf("%+v", found)
	}
	if found := mustCheck(t, address, CheckOptions{Repair: true}); !found.OK || found.Dropped != 1 || found.Kept != 19 {
		t.Errorf("repaired %+v", found)
	}
	n := 0
	for _, k := range keys {
		if _, err := c.Raw(t.Context(), s, []Key{k}); err == nil {
			n++
		}
	}
	if n != 19 {
		t.Errorf("%d vectors are left: want 19", n)
	}
}
