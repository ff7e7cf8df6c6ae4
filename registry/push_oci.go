package registry

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/medprobe/medprobe/internal/retry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// OCIOptions says how to speak to a container registry.
type OCIOptions struct {
	// PlainHTTP speaks HTTP without TLS.
	PlainHTTP bool
	// Username and Password are what the registry knows us by; without them, what
	// "docker login" left.
	Username, Password string
	// Backoff is the wait before a first repetition; default 500 ms.
	Backoff time.Duration
	// Note, if not nil, is told of each repetition.
	Note func(what string)
}

// OCIArtefact is where a pushed version is.
type OCIArtefact struct {
	// Reference is HOST/REPOSITORY:TAG.
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
}

// PushOCI puts a version into a container registry, as the ModelPack artefact that
// the format "oci" writes, with the same digest. The reference is
// HOST/REPOSITORY[:TAG]; without a tag it is the version's number, which is then not
// moved from another artefact. The tag is set last: whoever interrupts a push leaves
// none, and whoever repeats it sends what is missing.
func (r *Registry) PushOCI(ctx context.Context, v *Version, reference string, o OCIOptions) (*OCIArtefact, error) {
	pushed, err := r.pushOCI(ctx, v, reference, o)
	if err != nil {
		return nil, fmt.Errorf("registry: push %s to oci: %w", v.Reference(), err)
	}
	return pushed, nil
}

func (r *Registry) pushOCI(ctx context.Context, v *Version, reference string, o OCIOptions) (*OCIArtefact, error) {
	to, own, err := parseOCI(v, reference)
	if err != nil {
		return nil, err
	}
	files, err := r.folder(v, (*Registry).huggingFaceFiles)
	if err != nil {
		return nil, err
	}
	from := memory.New()
	root, err := packModel(ctx, from, v, files)
	if err != nil {
		return nil, err
	}
	if err := from.Tag(ctx, root, to.Reference); err != nil {
		return nil, err
	}
	repo, secrets, closing, err := openOCI(to, o)
	if err != nil {
		return nil, err
	}
	defer closing()
	policy := retry.Policy{Backoff: o.Backoff}
	if o.Note != nil {
		policy.Note = func(what string) { o.Note(secrets.clean(what)) }
	}
	err = policy.Do(ctx, passingOCI, func() error { return copyModel(ctx, from, repo, root, to.Reference, own) })
	if err != nil {
		return nil, secrets.cleanError(adviceOCI(err, to))
	}
	return &OCIArtefact{Reference: to.String(), Digest: root.Digest.String()}, nil
}

// adviceOCI says what to do about an error.
func adviceOCI(err error, to registry.Reference) error {
	var said *errcode.ErrorResponse
	locked := errors.As(err, &said) && (said.StatusCode == http.StatusUnauthorized || said.StatusCode == http.StatusForbidden)
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%w; a registry without TLS needs --plain-http", err)
	case locked, errors.Is(err, auth.ErrBasicCredentialNotFound):
		return fmt.Errorf("%w; use 'docker login %s', or set MEDPROBE_OCI_USERNAME and MEDPROBE_OCI_PASSWORD", err, to.Registry)
	}
	return err
}

// parseOCI reads a reference; own says that the tag is ours, not the caller's.
func parseOCI(v *Version, reference string) (to registry.Reference, own bool, err error) {
	if strings.Contains(reference, "@") { // a digest, or a name and a password
		return to, false, errors.New("reference with @: want HOST/REPOSITORY[:TAG], without digest, name and password")
	}
	if to, err = registry.ParseReference(reference); err != nil {
		return to, false, fmt.Errorf("reference %q: want HOST/REPOSITORY[:TAG], such as registry.example.org/hospital/cxr:1: %w", reference, err)
	}
	if own = to.Reference == ""; own {
		to.Reference = fmt.Sprint(v.Number)
	}
	return to, own, nil
}

// openOCI returns a repository. oras-go keeps credentials to the host they are for;
// the secrets are those that were used.
func openOCI(to registry.Reference, o OCIOptions) (*remote.Repository, *secrets, func(), error) {
	var stored auth.CredentialFunc
	switch {
	case (o.Username == "") != (o.Password == ""):
		return nil, nil, nil, errors.New("only one of MEDPROBE_OCI_USERNAME and MEDPROBE_OCI_PASSWORD is set: set both or none")
	case o.Username != "":
		stored = auth.StaticCredential(to.Host(), auth.Credential{Username: o.Username, Password: o.Password})
	default:
		store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
		if err != nil {
			return nil, nil, nil, fmt.Errorf("credentials of docker login: %w", err)
		}
		stored = credentials.Credential(store)
	}
	used := &secrets{}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 30 * time.Second, ResponseHeaderTimeout: time.Minute,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	client := &auth.Client{
		Client: &http.Client{Transport: transport},
		Cache:  auth.NewCache(),
		Header: http.Header{"User-Agent": {"medprobe"}},
		Credential: func(ctx context.Context, host string) (auth.Credential, error) {
			c, err := stored(ctx, host)
			used.add(c.Password, c.AccessToken, c.RefreshToken, base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password)))
			return c, err
		},
	}
	return &remote.Repository{Client: client, Reference: to, PlainHTTP: o.PlainHTTP}, used, transport.CloseIdleConnections, nil
}

// copyModel sends what is missing and then the tag.
func copyModel(ctx context.Context, from oras.ReadOnlyTarget, repo *remote.Repository, root ocispec.Descriptor, tag string, own bool) error {
	there, err := repo.Resolve(ctx, tag)
	switch {
	case err == nil && there.Digest == root.Digest:
		return nil
	case err == nil && own:
		return fmt.Errorf("tag %s is there already and names another artefact, %s; give a tag of your own to move it", tag, there.Digest)
	case err != nil && !errors.Is(err, errdef.ErrNotFound):
		return err
	}
	_, err = oras.Copy(ctx, from, tag, repo, tag, oras.DefaultCopyOptions)
	return err
}

// passingOCI reports whether an error may be gone at the next attempt.
func passingOCI(err error) (again bool, after time.Duration) {
	var said *errcode.ErrorResponse
	if errors.As(err, &said) {
		return retry.Status(said.StatusCode), 0
	}
	var broken *url.Error
	return (errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF)) && retry.Connection(err), 0
}

// secrets are those that were sent, so that no error repeats one.
type secrets struct {
	mu  sync.Mutex
	all []string
}

func (s *secrets) add(some ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range some {
		if secret != "" {
			s.all = append(s.all, secret)
		}
	}
}

func (s *secrets) clean(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range s.all {
		text = strings.ReplaceAll(text, secret, "[secret]")
	}
	return text
}

// cleanError returns the error, or, if a secret is in it, its text without.
func (s *secrets) cleanError(err error) error {
	if text := err.Error(); s.clean(text) != text {
		return errors.New(s.clean(text))
	}
	return err
}
