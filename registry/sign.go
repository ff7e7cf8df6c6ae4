package registry

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/medprobe/medprobe/internal/atomicfile"
	"github.com/medprobe/medprobe/internal/dsse"
)

// SignatureFile is where the signature of a folder lies by default, within it.
const SignatureFile = "model.sig"

// signedProvenance is provenance.json as a signed bundle.
const signedProvenance = "provenance.sigstore.json"

// modelSignature is the predicate's type of OpenSSF model signing, version 1.0.
const modelSignature = "https://model_signing/signature/v1.0"

// modelPredicate lists the files of a folder with their digests.
type modelPredicate struct {
	Serialization serialization    `json:"serialization"`
	Resources     []signedResource `json:"resources"`
}

type serialization struct {
	Method        string   `json:"method"`
	HashType      string   `json:"hash_type"`
	AllowSymlinks bool     `json:"allow_symlinks"`
	IgnorePaths   []string `json:"ignore_paths"`
}

type signedResource struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Digest    string `json:"digest"`
}

// SignFolder signs every file of a folder with an ECDSA key in PEM and puts the
// signature at a path; "" is model.sig in the folder. It is a bundle as OpenSSF's
// model signing makes and verifies it (model_signing 1.0: method "files", SHA-256,
// no links). A provenance.json is signed first, by itself, as
// provenance.sigstore.json beside it. It returns how many files were signed.
func SignFolder(dir, signature string, key []byte) (files int, err error) {
	private, err := dsse.PrivateKey(key)
	if err != nil {
		return 0, fmt.Errorf("registry: sign: key: %w", err)
	}
	if files, err = signFolder(dir, signature, private); err != nil {
		return 0, fmt.Errorf("registry: sign %s: %w", dir, err)
	}
	return files, nil
}

func signFolder(dir, signature string, key *ecdsa.PrivateKey) (int, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	signature, own, err := signaturePath(dir, signature)
	if err != nil {
		return 0, err
	}
	if err := signProvenance(root, dir, key); err != nil {
		return 0, err
	}
	resources, problems, err := digests(root, own)
	if err != nil {
		return 0, err
	}
	switch {
	case len(problems) > 0:
		return 0, errors.New(strings.Join(problems, "; "))
	case len(resources) == 0:
		return 0, errors.New("there is no file to sign")
	}
	name, err := filepath.Abs(dir)
	if err != nil {
		return 0, err
	}
	text, err := json.Marshal(statement{
		Type: statementType, PredicateType: modelSignature,
		Subject: []resource{{Name: filepath.Base(name), Digest: map[string]string{"sha256": rootDigest(resources)}}},
		Predicate: modelPredicate{
			Serialization: serialization{Method: "files", HashType: "sha256", IgnorePaths: own},
			Resources:     resources,
		},
	})
	if err != nil {
		return 0, err
	}
	bundle, err := dsse.Sign(key, statementMediaType, text)
	if err != nil {
		return 0, err
	}
	return len(resources), atomicfile.WriteBytes(signature, bundle)
}

// signaturePath returns where the signature lies and, if that is in the folder, its
// path there, which is the one that is not signed.
func signaturePath(dir, signature string) (path string, own []string, err error) {
	if signature == "" {
		signature = filepath.Join(dir, SignatureFile)
	}
	inside, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, err
	}
	at, err := filepath.Abs(signature)
	if err != nil {
		return "", nil, err
	}
	own = []string{}
	if rel, err := filepath.Rel(inside, at); err == nil && filepath.IsLocal(rel) {
		own = append(own, filepath.ToSlash(rel))
	}
	return signature, own, nil
}

func signProvenance(root *os.Root, dir string, key *ecdsa.PrivateKey) error {
	text, err := readAll(root, provenanceFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	bundle, err := dsse.Sign(key, statementMediaType, text)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, signedProvenance), bundle)
}

// digests lists the files of a folder in the order of model signing, which is that
// of their paths part by part, and what is there that is no file.
func digests(root *os.Root, ignored []string) (resources []signedResource, problems []string, err error) {
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case isIgnored(name, ignored) && entry.Type()&fs.ModeSymlink == 0:
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return nil
		case entry.Type()&fs.ModeSymlink != 0:
			problems = append(problems, fmt.Sprintf("%q is a link; a folder that is signed holds files", name))
			return nil
		case !entry.Type().IsRegular():
			problems = append(problems, fmt.Sprintf("%q is no file", name))
			return nil
		}
		sum, err := fileDigest(root, name)
		resources = append(resources, signedResource{Name: name, Algorithm: "sha256", Digest: sum})
		return err
	})
	slices.SortFunc(resources, func(a, b signedResource) int {
		return slices.Compare(strings.Split(a.Name, "/"), strings.Split(b.Name, "/"))
	})
	return resources, problems, err
}

func isIgnored(name string, ignored []string) bool {
	return slices.ContainsFunc(ignored, func(p string) bool { return name == p || strings.HasPrefix(name, p+"/") })
}

func fileDigest(root *os.Root, name string) (string, error) {
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// rootDigest is the SHA-256 of all digests one after the other.
func rootDigest(resources []signedResource) string {
	h := sha256.New()
	for _, r := range resources {
		b, err := hex.DecodeString(r.Digest)
		if err != nil {
			return "" // no digest is this
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// SignatureCheck says what came of checking a folder against its signature.
type SignatureCheck struct {
	OK bool `json:"ok"`
	// Files is how many are signed, and Key names who did it: the SHA-256 of the
	// public key in PEM.
	Files int    `json:"files"`
	Key   string `json:"key"`
	// Ignored are paths that the signer left out, beside the signature itself.
	Ignored []string `json:"ignored"`
	// Damage lists what differs, by path.
	Damage []string `json:"damage"`
}

// VerifyFolder checks every file of a folder against its signature, which the public
// key in PEM must have made. Signature "" is model.sig in the folder. A file changed,
// added, removed or renamed and a link in a file's place are damage; a signature that
// is not this key's is an error.
func VerifyFolder(dir, signature string, key []byte) (*SignatureCheck, error) {
	public, err := dsse.PublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("registry: verify signature: key: %w", err)
	}
	c, err := verifyFolder(dir, signature, public)
	if err != nil {
		return nil, fmt.Errorf("registry: verify signature of %s: %w", dir, err)
	}
	return c, nil
}

func verifyFolder(dir, signature string, key *ecdsa.PublicKey) (*SignatureCheck, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	signature, own, err := signaturePath(dir, signature)
	if err != nil {
		return nil, err
	}
	bundle, err := readSignature(signature)
	if err != nil {
		return nil, err
	}
	signed, err := signedFiles(key, bundle)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", signature, err)
	}
	c := &SignatureCheck{Files: len(signed.Resources), Ignored: []string{}, Damage: []string{}}
	if c.Key, err = dsse.Hint(key); err != nil {
		return nil, err
	}
	for _, p := range signed.Serialization.IgnorePaths {
		if !slices.Contains(own, p) {
			c.Ignored = append(c.Ignored, p)
		}
	}
	there, problems, err := digests(root, append(own, signed.Serialization.IgnorePaths...))
	if err != nil {
		return nil, err
	}
	c.Damage = append(problems, compareResources(signed.Resources, there)...)
	if text, err := readAll(root, signedProvenance); err == nil {
		if err := verifyProvenance(root, key, text, there); err != nil {
			c.Damage = append(c.Damage, fmt.Sprintf("%q: %v", signedProvenance, err))
		}
	}
	slices.Sort(c.Damage)
	c.OK = len(c.Damage) == 0
	if c.Damage == nil {
		c.Damage = []string{}
	}
	return c, nil
}

// readSignature reads a signature, which is a file and no link.
func readSignature(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w; sign the folder with 'medprobe registry sign', or name the signature with --signature", err)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		return nil, fmt.Errorf("%s: want a file of up to %d bytes", path, maxFile)
	}
	return os.ReadFile(path)
}

// signedFiles returns what a signature lists, if the key made it.
func signedFiles(key *ecdsa.PublicKey, bundle []byte) (*modelPredicate, error) {
	text, err := dsse.Verify(key, statementMediaType, bundle)
	if err != nil {
		return nil, err
	}
	var p modelPredicate
	s := statement{Predicate: &p}
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	how := p.Serialization
	switch {
	case s.Type != statementType || s.PredicateType != modelSignature:
		return nil, fmt.Errorf("signed is a statement of %q: want %q", s.PredicateType, modelSignature)
	case len(s.Subject) != 1 || s.Subject[0].Digest["sha256"] == "" || s.Subject[0].Digest["sha256"] != rootDigest(p.Resources):
		return nil, errors.New("the statement contradicts itself: its subject is not what its files amount to")
	case how.Method != "files" || how.HashType != "sha256" || how.AllowSymlinks:
		return nil, fmt.Errorf("signed by method %q, hash %q, links %t: medprobe verifies files by SHA-256 without links", how.Method, how.HashType, how.AllowSymlinks)
	}
	for i, r := range p.Resources {
		twice := slices.ContainsFunc(p.Resources[:i], func(b signedResource) bool { return b.Name == r.Name })
		if r.Algorithm != "sha256" || len(r.Digest) != 2*sha256.Size || !fs.ValidPath(r.Name) || twice {
			return nil, fmt.Errorf("the statement lists %q by %q: want each file once, by its path and SHA-256", r.Name, r.Algorithm)
		}
	}
	return &p, nil
}

// compareResources says what differs between what is signed and what is there.
func compareResources(signed, there []signedResource) (damage []string) {
	digest := map[string]string{}
	for _, r := range there {
		digest[r.Name] = r.Digest
	}
	for _, r := range signed {
		switch got, ok := digest[r.Name]; {
		case !ok:
			damage = append(damage, fmt.Sprintf("%q is missing", r.Name))
		case got != r.Digest:
			damage = append(damage, fmt.Sprintf("%q was changed", r.Name))
		}
		delete(digest, r.Name)
	}
	for name := range digest {
		damage = append(damage, fmt.Sprintf("%q was not signed", name))
	}
	return damage
}

// verifyProvenance checks that the key signed provenance.json as it is, and that it
// speaks of the files that are there.
func verifyProvenance(root *os.Root, key *ecdsa.PublicKey, bundle []byte, there []signedResource) error {
	signed, err := dsse.Verify(key, statementMediaType, bundle)
	if err != nil {
		return err
	}
	plain, err := readAll(root, provenanceFile)
	if err != nil {
		return err
	}
	var s statement
	switch err := json.Unmarshal(signed, &s); {
	case err != nil:
		return err
	case !bytes.Equal(signed, plain):
		return fmt.Errorf("%s is not what was signed", provenanceFile)
	case s.PredicateType != provenanceType:
		return fmt.Errorf("signed is a statement of %q: want %q", s.PredicateType, provenanceType)
	}
	for _, subject := range s.Subject {
		if !slices.Contains(there, signedResource{Name: subject.Name, Algorithm: "sha256", Digest: subject.Digest["sha256"]}) {
			return fmt.Errorf("it speaks of another %q than is here", subject.Name)
		}
	}
	return nil
}
