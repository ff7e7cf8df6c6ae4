package dsse

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
)

// The example of the DSSE specification, protocol.md.
func TestPAE(t *testing.T) {
	t.Parallel()
	const want = "DSSEv1 29 http://example.com/HelloWorld 11 hello world"
	if got := string(PAE("http://example.com/HelloWorld", []byte("hello world"))); got != want {
		t.Errorf("PAE is %q: want %q", got, want)
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Keys as openssl writes them are read, and openssl verifies what they sign.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		needs.Opinion(t, "no openssl (Debian: openssl)")
	}
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, make := range [][]string{
		{"ecparam", "-name", "prime256v1", "-genkey", "-out", "key.pem"}, // with its parameters before it
		{"ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"},
		{"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key.pem"},
	} {
		run(make...)
		run("ec", "-in", "key.pem", "-pubout", "-out", "public.pem")
		text, err := os.ReadFile(filepath.Join(dir, "key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		key, err := PrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		text, err = os.ReadFile(filepath.Join(dir, "public.pem"))
		if err != nil {
			t.Fatal(err)
		}
		public, err := PublicKey(text)
		if err != nil || !public.Equal(&key.PublicKey) {
			t.Fatalf("%v, %v: want the public half", public, err)
		}
		payload := []byte(`{"of":"somebody"}`)
		bundle, err := Sign(key, "text/x", payload)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Verify(public, "text/x", bundle)
		if err != nil || string(got) != string(payload) {
			t.Errorf("%q, %v: want the payload", got, err)
		}
		sig := between(t, string(bundle), `"sig": "`, `"`)
		write := func(name string, b []byte) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("sig.b64", []byte(sig+"\n"))
		write("pae", PAE("text/x", payload))
		run("base64", "-d", "-A", "-in", "sig.b64", "-out", "sig")
		if out := run("dgst", "-sha256", "-verify", "public.pem", "-signature", "sig", "pae"); !strings.Contains(out, "Verified OK") {
			t.Errorf("openssl says %q", out)
		}
	}
}

func between(t *testing.T, s, before, after string) string {
	t.Helper()
	_, s, ok := strings.Cut(s, before)
	s, _, ok2 := strings.Cut(s, after)
	if !ok || !ok2 {
		t.Fatalf("nothing between %q and %q", before, after)
	}
	return s
}

func TestVerifyRefusals(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	bundle, err := Sign(key, "text/x", []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(bundle)
	sig := between(t, text, `"signatures": [`, `]`)
	for what, c := range map[string]struct{ text, message string }{
		"other letters":   {strings.Replace(text, `"payload"`, `"Payload"`, 1), `"Payload" is none of a bundle's`},
		"a field twice":   {strings.Replace(text, `"payload":`, `"payload": "eA==", "payload":`, 1), "stands twice"},
		"another type":    {strings.Replace(text, "text/x", "text/y", 1), `"text/y": want "text/x"`},
		"another payload": {strings.Replace(text, "cGF5bG9hZA==", "cGF5bG9hZB==", 1), "not strict"},
		"no signature":    {strings.Replace(text, sig, "", 1), "0 signatures"},
		"two signatures":  {strings.Replace(text, sig, sig+","+sig, 1), "2 signatures"},
		"another version": {strings.Replace(text, "v0.3", "v0.2", 1), "media type"},
		"nothing":         {"", "not a Sigstore bundle"},
		"no hint":         {strings.Replace(text, between(t, text, `"hint": "`, `"`), strings.Repeat("0", 64), 1), "another key"},
	} {
		if _, err := Verify(&key.PublicKey, "text/x", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v: want %q", what, err, c.message)
		}
	}
}

// Whatever is accepted is what was signed.
func FuzzVerify(f *testing.F) {
	key := newKey(f)
	bundle, err := Sign(key, "text/x", []byte("payload"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bundle)
	f.Add([]byte(`{"mediaType":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := Verify(&key.PublicKey, "text/x", b); err == nil && string(got) != "payload" {
			t.Errorf("%q is accepted", got)
		}
	})
}

func FuzzKeys(f *testing.F) {
	key := newKey(f)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		// No panic, and no key in an error.
		if _, err := PrivateKey(b); err != nil && len(b) > 64 && strings.Contains(err.Error(), string(b[32:64])) {
			t.Errorf("%v repeats the key", err)
		}
		PublicKey(b)
	})
}
