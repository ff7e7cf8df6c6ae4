package embedcache

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// A server that is reached over the network: nothing but TLS, its certificate is
// verified whole, and a password is asked for.
func TestServerOverTLS(t *testing.T) {
	t.Parallel()
	const password = "hunter2/über@all"
	address, certificate := needs.PostgreSQLOverTLS(t, `CREATE ROLE remote LOGIN PASSWORD '`+password+`' IN ROLE locked; CREATE SCHEMA medprobe AUTHORIZATION remote`)
	with := func(address, secret string, options ...string) string {
		t.Helper()
		query := url.Values{}
		for i := 0; i < len(options); i += 2 {
			query.Set(options[i], options[i+1])
		}
		return as(t, address, url.UserPassword("remote", secret)) + "?" + query.Encode()
	}
	verified := with(address, password, "sslmode", "verify-full", "sslrootcert", certificate)
	c := openCache(t, verified)
	d := dataset(t, 5, nil)
	mustFill(t, c, d, &brightness{name: "e"}, FillOptions{})
	again := openCache(t, verified)
	if f := mustFill(t, again, d, &brightness{name: "e"}, FillOptions{}); f.Cached != 5 {
		t.Errorf("%+v: want all of them in the cache", f)
	}
	if name := Shown(verified); strings.Contains(name, "hunter2") || !strings.HasPrefix(name, "postgres://remote@127.0.0.1:") {
		t.Errorf("Shown = %s", name)
	}

	other, _, err := needs.SelfSigned("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(t.TempDir(), "stranger.crt")
	if err := os.WriteFile(stranger, other, 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := strings.Replace(address, "127.0.0.1", "localhost", 1)
	tries := map[string][]string{
		"without TLS":          {with(address, password, "sslmode", "disable"), "127.0.0.1"},
		"another's root":       {with(address, password, "sslmode", "verify-full", "sslrootcert", stranger), "certificate"},
		"no root":              {with(address, password, "sslmode", "verify-full"), "certificate"},
		"another name":         {with(elsewhere, password, "sslmode", "verify-full", "sslrootcert", certificate), "certificate"},
		"another password":     {with(address, "x"+password, "sslmode", "verify-full", "sslrootcert", certificate), "does not let this user in"},
		"a root that is no ca": {with(address, password, "sslmode", "verify-full", "sslrootcert", filepath.Join(needs.Root(t), "go.mod")), ""},
	}
	for name, c := range tries {
		cache, err := Open(t.Context(), c[0])
		if err == nil {
			cache.Close()
			t.Errorf("%s: let in", name)
			continue
		}
		if text := err.Error(); !strings.Contains(text, c[1]) || strings.Contains(text, "hunter2") || strings.Contains(text, "\n") {
			t.Errorf("%s: %q: want one line with %q, and no password", name, text, c[1])
		}
	}
	x, y := raw(t, c, SpaceOf(&brightness{name: "e"}), mustFill(t, c, d, &brightness{name: "e"}, FillOptions{}).Keys), raw(t, again, SpaceOf(&brightness{name: "e"}), mustFill(t, again, d, &brightness{name: "e"}, FillOptions{}).Keys)
	if !slices.Equal(x, y) {
		t.Error("two connections read different vectors")
	}
	t.Logf("measured: TCP with TLS, verify-full: in with the right certificate, name and password; %d of %d wrong ways refused", len(tries), len(tries))
}
