package registry_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medprobe/medprobe/internal/needs"
	"github.com/medprobe/medprobe/registry"
	"github.com/medprobe/medprobe/trainer"
)

// keys makes a pair of keys in PEM.
func keys(t testing.TB, curve elliptic.Curve) (private, public []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub})
}

// folder is an exported folder, with a file in a folder of its own.
func folder(t testing.TB, r *registry.Registry) string {
	t.Helper()
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	dir := filepath.Join(t.TempDir(), "model")
	if err := r.Export(t.Context(), v, "hf", dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "notes"), 0o755); err != nil {
		t.Fatal(err)
	}
	// By bytes "notes-b" comes before "notes/a", by parts after it.
	put(t, filepath.Join(dir, "notes", "a.txt"), "a")
	put(t, filepath.Join(dir, "notes-b.txt"), "b")
	return dir
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sign(t testing.TB, dir string, private []byte) {
	t.Helper()
	if n, err := registry.SignFolder(dir, "", private); err != nil || n < 7 {
		t.Fatalf("signed %d files, %v", n, err)
	}
}

func TestSignatureFindsEveryKindOfTampering(t *testing.T) {
	t.Parallel()
	private, public := keys(t, elliptic.P256())
	dir := folder(t, open(t, t.TempDir()))
	sign(t, dir, private)
	sig := filepath.Join(dir, registry.SignatureFile)
	check := func(what, want string) {
		t.Helper()
		c, err := registry.VerifyFolder(dir, "", public)
		switch {
		case want == "":
			if err != nil || !c.OK || c.Files != 9 || len(c.Damage) > 0 {
				t.Errorf("%s: %+v, %v: want all well", what, c, err)
			}
		case err != nil:
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v: want %q", what, err, want)
			}
		case c.OK || !strings.Contains(strings.Join(c.Damage, "\n"), want):
			t.Errorf("%s: %q: want %q", what, c.Damage, want)
		}
	}
	check("untouched", "")
	config := filepath.Join(dir, "config.json")
	was := get(t, config)
	restore := func() {
		t.Helper()
		if err := os.RemoveAll(config); err != nil {
			t.Fatal(err)
		}
		put(t, config, string(was))
		check("restored", "")
	}
	put(t, config, string(was)+" ")
	check("changed", `"config.json" was changed`)
	restore()
	added := filepath.Join(dir, "notes", "more.txt")
	for _, path := range []string{added, filepath.Join(dir, ".hidden"), filepath.Join(dir, ".gitignore"), filepath.Join(dir, "model.sig2")} {
		put(t, path, "more")
		check("added", "was not signed")
		os.Remove(path)
	}
	os.Remove(config)
	check("removed", `"config.json" is missing`)
	restore()
	if err := os.Rename(config, filepath.Join(dir, "notes", "config.json")); err != nil {
		t.Fatal(err)
	}
	check("renamed", `"config.json" is missing`)
	check("renamed", `"notes/config.json" was not signed`)
	os.Remove(filepath.Join(dir, "notes", "config.json"))
	restore()
	a, b := filepath.Join(dir, "notes", "a.txt"), filepath.Join(dir, "notes-b.txt")
	put(t, a, "b")
	put(t, b, "a")
	check("swapped", `"notes-b.txt" was changed`)
	put(t, a, "a")
	put(t, b, "b")
	for what, to := range map[string]string{"a link out": filepath.Join(t.TempDir(), "config.json"), "a link within": "other.json"} {
		at := to
		if !filepath.IsAbs(to) {
			at = filepath.Join(dir, to)
		}
		put(t, at, string(was))
		os.Remove(config)
		if err := os.Symlink(to, config); err != nil {
			t.Fatal(err)
		}
		check(what, `"config.json" is a link`)
		os.Remove(at)
		restore()
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "more")); err != nil {
		t.Fatal(err)
	}
	check("a linked folder", `"more" is a link`)
	os.Remove(filepath.Join(dir, "more"))
	check("restored", "")

	// One bit at each of 200 places over all files.
	all := contents(t, dir)
	delete(all, registry.SignatureFile)
	total := 0
	for _, b := range all {
		total += len(b)
	}
	const flips = 200
	names := slices.Sorted(maps.Keys(all))
	for i := range flips {
		at := i * total / flips
		for _, name := range names {
			if b := all[name]; at < len(b) {
				changed := bytes.Clone(b)
				changed[at] ^= 1 << (i % 8)
				put(t, filepath.Join(dir, name), string(changed))
				check("a bit", fmt.Sprintf("%q was changed", name))
				put(t, filepath.Join(dir, name), string(b))
				break
			}
			at -= len(all[name])
		}
	}
	check("restored", "")

	whole := get(t, sig)
	for at := range whole {
		changed := bytes.Clone(whole)
		changed[at] ^= 1 << (at % 8)
		put(t, sig, string(changed))
		if c, err := registry.VerifyFolder(dir, "", public); err == nil {
			t.Fatalf("byte %d of the signature changed (%q): %+v", at, changed[max(0, at-10):at+1], c)
		}
	}
	put(t, sig, string(whole)+"{}")
	check("more after the signature", "more after the document")
	os.Remove(sig)
	check("no signature", "sign the folder with")
	elsewhere := filepath.Join(t.TempDir(), "sig")
	put(t, elsewhere, string(whole))
	if err := os.Symlink(elsewhere, sig); err != nil {
		t.Fatal(err)
	}
	check("a linked signature", "want a file")
	os.Remove(sig)
	put(t, sig, string(whole))
	_, other := keys(t, elliptic.P256())
	if _, err := registry.VerifyFolder(dir, "", other); err == nil || !strings.Contains(err.Error(), "signed by another key") {
		t.Errorf("another key: %v", err)
	}
}

func TestSignaturesAreTheSameTwice(t *testing.T) {
	t.Parallel()
	private, public := keys(t, elliptic.P384())
	dir := folder(t, open(t, t.TempDir()))
	sign(t, dir, private)
	first := get(t, filepath.Join(dir, registry.SignatureFile))
	sign(t, dir, private)
	if !bytes.Equal(first, get(t, filepath.Join(dir, registry.SignatureFile))) {
		t.Error("two signatures differ")
	}
	// A signature beside the folder covers one within, like any file.
	beside := filepath.Join(t.TempDir(), "beside.sig")
	if n, err := registry.SignFolder(dir, beside, private); err != nil || n != 10 {
		t.Errorf("signed %d files, %v: want 10", n, err)
	}
	if c, err := registry.VerifyFolder(dir, beside, public); err != nil || !c.OK {
		t.Errorf("%+v, %v", c, err)
	}
	os.Remove(filepath.Join(dir, registry.SignatureFile))
	if c, err := registry.VerifyFolder(dir, beside, public); err != nil || c.OK {
		t.Errorf("%+v, %v: want a file missing", c, err)
	}
}

func TestSignRefusals(t *testing.T) {
	t.Parallel()
	private, public := keys(t, elliptic.P256())
	weak, _ := keys(t, elliptic.P224())
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	dir := folder(t, open(t, t.TempDir()))
	linked := t.TempDir()
	if err := os.Symlink(dir, filepath.Join(linked, "link")); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		dir     string
		key     []byte
		message string
	}{
		"no folder":        {filepath.Join(dir, "no"), private, "no such file"},
		"an empty folder":  {t.TempDir(), private, "no file to sign"},
		"a link":           {linked, private, `"link" is a link`},
		"the public key":   {dir, public, "signing takes the private one"},
		"no key":           {dir, []byte("x"), "openssl ecparam"},
		"an encrypted key": {dir, encrypted, "is encrypted"},
		"a weak curve":     {dir, weak, "want P-256"},
	} {
		if _, err := registry.SignFolder(c.dir, "", c.key); err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v: want %q", what, err, c.message)
		}
	}
	sign(t, dir, private)
	if _, err := registry.VerifyFolder(dir, "", private); err == nil || !strings.Contains(err.Error(), "-pubout") {
		t.Errorf("verified by the private key: %v", err)
	}
}

// Another reader of the format verifies what we sign, and we verify what it signs.
func TestPythonVerifiesSignatures(t *testing.T) {
	t.Parallel()
	if err := exec.Command("/usr/bin/python3", "-c", "import cryptography").Run(); err != nil {
		needs.Opinion(t, "no Python with cryptography (Debian: python3-cryptography)")
	}
	python := func(args ...string) (string, error) {
		out, err := exec.Command("/usr/bin/python3", append([]string{"../tools/reference/model_signing.py"}, args...)...).Output()
		return string(out), err
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P521()} {
		private, public := keys(t, curve)
		at := t.TempDir()
		pub, key := filepath.Join(at, "public.pem"), filepath.Join(at, "key.pem")
		put(t, pub, string(public))
		put(t, key, string(private))
		dir := folder(t, open(t, t.TempDir()))
		sign(t, dir, private)
		sig := filepath.Join(dir, registry.SignatureFile)
		if out, err := python("verify", dir, sig, pub); err != nil || strings.TrimSpace(out) != `{"name": "model", "resources": 9}` {
			t.Errorf("%s: it finds %q, %v", curve.Params().Name, out, err)
		}
		provenance, err := python("envelope", filepath.Join(dir, "provenance.sigstore.json"), pub)
		if err != nil || provenance != string(get(t, filepath.Join(dir, "provenance.json"))) {
			t.Errorf("%s: the signed provenance is %q, %v", curve.Params().Name, provenance, err)
		}
		put(t, filepath.Join(dir, "notes-b.txt"), "c")
		if out, err := python("verify", dir, sig, pub); err == nil {
			t.Errorf("%s: it verifies what was changed: %q", curve.Params().Name, out)
		}
		// The other way round.
		if out, err := python("sign", dir, sig, key); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if c, err := registry.VerifyFolder(dir, "", public); err != nil || !c.OK || len(c.Ignored) != 4 {
			t.Errorf("%s: of its signature we find %+v, %v", curve.Params().Name, c, err)
		}
		put(t, filepath.Join(dir, "notes-b.txt"), "d")
		if c, err := registry.VerifyFolder(dir, "", public); err != nil || c.OK {
			t.Errorf("%s: of a change we find %+v, %v", curve.Params().Name, c, err)
		}
	}
}

// The statement is in-toto's and SLSA's, and names nothing but digests.
func TestProvenance(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir())
	v := add(t, r, "cxr", fit(t, 1, trainer.Options{Head: trainer.Logistic, C: 1}))
	for _, format := range []string{"safetensors", "mlflow", "hf"} {
		files := contents(t, exported(t, r, v, format))
		type descriptor struct {
			Name, URI string
			Digest    map[string]string
		}
		var s struct {
			Type          string `json:"_type"`
			Subject       []descriptor
			PredicateType string
			Predicate     struct {
				BuildDefinition struct {
					BuildType          string
					ExternalParameters struct {
						Experiment descriptor
						Seed, Head string
					}
					InternalParameters   map[string]string
					ResolvedDependencies []descriptor
				}
				RunDetails struct {
					Builder struct {
						ID      string
						Version map[string]string
					}
				}
			}
		}
		d := json.NewDecoder(bytes.NewReader(files["provenance.json"]))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		if s.Type != "https://in-toto.io/Statement/v1" || s.PredicateType != "https://slsa.dev/provenance/v1" {
			t.Errorf("%s: a statement %q of %q", format, s.Type, s.PredicateType)
		}
		if len(s.Subject) != len(files)-1 {
			t.Errorf("%s: %d subjects: want the %d other files", format, len(s.Subject), len(files)-1)
		}
		for _, subject := range s.Subject {
			if subject.Digest["sha256"] != digest(files[subject.Name]) {
				t.Errorf("%s: %s has another digest", format, subject.Name)
			}
		}
		b := s.Predicate.BuildDefinition
		if b.ExternalParameters.Seed != "7" || b.ExternalParameters.Head != "logistic" || b.ExternalParameters.Experiment.Digest["medprobe"] != "eeee" || b.InternalParameters["version"] != v.Digest {
			t.Errorf("%s: parameters %+v %v", format, b.ExternalParameters, b.InternalParameters)
		}
		var names []string
		for _, from := range b.ResolvedDependencies {
			names = append(names, from.Name+" "+from.URI+from.Digest["medprobe"])
		}
		want := "dataset dddd, split ffff, encoder aaaa, preprocessing bbbb, medprobe pkg:golang/github.com/medprobe/medprobe@1.0"
		if got := strings.Join(names, ", "); got != want {
			t.Errorf("%s: made from %s: want %s", format, got, want)
		}
		if !strings.HasPrefix(b.BuildType, "https://") || !strings.HasPrefix(s.Predicate.RunDetails.Builder.ID, "https://") {
			t.Errorf("%s: %q by %q: want addresses", format, b.BuildType, s.Predicate.RunDetails.Builder.ID)
		}
	}
}

func TestSignedProvenanceSpeaksOfWhatIsThere(t *testing.T) {
	t.Parallel()
	private, public := keys(t, elliptic.P256())
	dir := folder(t, open(t, t.TempDir()))
	sign(t, dir, private)
	// Signed again by who has the key, after a file was changed: the folder is as it
	// was signed, but it is not what the provenance speaks of.
	put(t, filepath.Join(dir, "config.json"), "{}")
	sign(t, dir, private)
	c, err := registry.VerifyFolder(dir, "", public)
	if err != nil || c.OK || !strings.Contains(strings.Join(c.Damage, ""), `it speaks of another "config.json"`) {
		t.Errorf("%+v, %v: want the provenance to be found out", c, err)
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
