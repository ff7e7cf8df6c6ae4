package hfhub

import (
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // git names its blobs by it
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/medprobe/medprobe/internal/atomicfile"
)

// errOffline says that HF_HUB_OFFLINE forbids the network.
var errOffline = errors.New("HF_HUB_OFFLINE is set")

// Options says what to fetch.
type Options struct {
	// Revision is a branch, tag or commit; default "main".
	Revision string
	// Want reports whether a file of the repository is to be fetched.
	Want func(name string) bool
	// Progress, if not nil, is told how much of a file has come.
	Progress func(name string, done, total int64)
}

// hub is the server and how it is spoken to.
type hub struct {
	endpoint, token string
	client          *http.Client
}

// Download fetches the wanted files of a repository into the cache and returns
// the folder of its files. What is there already is not fetched again, and what
// was begun is resumed; every file is compared with its size and digest before
// it gets its name. $HF_ENDPOINT names another server, $HF_TOKEN (or the token
// that huggingface-cli keeps) opens gated repositories.
func Download(ctx context.Context, repo string, o Options) (string, error) {
	folder, err := download(ctx, repo, o)
	if err != nil {
		return "", fmt.Errorf("hfhub: %s: %w", repo, err)
	}
	return folder, nil
}

func download(ctx context.Context, repo string, o Options) (string, error) {
	if !IsRepo(repo) {
		return "", errors.New("no name of a repository: want OWNER/NAME")
	}
	if offline := strings.ToLower(os.Getenv("HF_HUB_OFFLINE")); offline != "" && offline != "0" && offline != "false" && offline != "no" {
		return "", fmt.Errorf("%w: unset it, or import a folder", errOffline)
	}
	h, err := newHub()
	if err != nil {
		return "", err
	}
	defer h.client.CloseIdleConnections()
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	revision := cmp.Or(o.Revision, "main")
	commit, files, err := h.list(ctx, repo, revision)
	if err != nil {
		return "", err
	}
	folder := repoDir(cache, repo)
	for _, name := range files {
		if o.Want != nil && !o.Want(name) {
			continue
		}
		if err := h.file(ctx, folder, repo, commit, name, o.Progress); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	snapshot := filepath.Join(folder, "snapshots", commit)
	if _, err := os.Stat(snapshot); err != nil {
		return "", errors.New("holds none of the files of a checkpoint")
	}
	ref := filepath.Join(folder, "refs", filepath.FromSlash(revision))
	if err := os.MkdirAll(filepath.Dir(ref), 0o755); err != nil {
		return "", err
	}
	// Last: what the name leads to is whole.
	return snapshot, atomicfile.WriteBytes(ref, []byte(commit))
}

func newHub() (*hub, error) {
	endpoint := strings.TrimRight(cmp.Or(os.Getenv("HF_ENDPOINT"), "https://huggingface.co"), "/")
	if u, err := url.Parse(endpoint); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("HF_ENDPOINT %q: want an address such as https://huggingface.co", endpoint)
	}
	token := os.Getenv("HF_TOKEN")
	if token == "" {
		if home, err := homeDir(); err == nil {
			if kept, err := os.ReadFile(cmp.Or(os.Getenv("HF_TOKEN_PATH"), filepath.Join(home, "token"))); err == nil {
				token = strings.TrimSpace(string(kept))
			}
		}
	}
	return &hub{endpoint: endpoint, token: token, client: &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: time.Minute, TLSHandshakeTimeout: 30 * time.Second},
	}}, nil
}

// get sends a request; the answer's status is 200 or 206. The token is not sent
// on to another host. What breaks on the way wraps errBroken.
func (h *hub) get(ctx context.Context, method, repo, address string, from int64, follow bool) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "medprobe")
	request.Header.Set("Accept-Encoding", "identity")
	if h.token != "" {
		request.Header.Set("Authorization", "Bearer "+h.token)
	}
	if from > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	client := *h.client
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if !follow {
			return http.ErrUseLastResponse
		}
		if len(via) > 10 {
			return errors.New("too many redirects")
		}
		if next.URL.Host != via[0].URL.Host { // Go minds the name, not the port
			next.Header.Del("Authorization")
		}
		return nil
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	switch code := response.StatusCode; {
	case code == http.StatusOK, code == http.StatusPartialContent, !follow && code >= 300 && code < 400:
		return response, nil
	default:
		response.Body.Close()
		return nil, h.refusal(response, repo)
	}
}

// refusal explains a status.
func (h *hub) refusal(r *http.Response, repo string) error {
	switch {
	case r.StatusCode == http.StatusUnauthorized && h.token == "", r.StatusCode == http.StatusForbidden && h.token == "":
		return fmt.Errorf("%s: the repository is gated or private: accept its terms at %s/%s, make a token at %s/settings/tokens and set HF_TOKEN", r.Status, h.endpoint, repo, h.endpoint)
	case r.StatusCode == http.StatusUnauthorized, r.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s: the token does not open it: accept the terms at %s/%s with the account of the token, and give the token leave to read gated repositories", r.Status, h.endpoint, repo)
	case r.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: no such repository, revision or file at %s", r.Status, h.endpoint)
	}
	return fmt.Errorf("%s from %s; try again", r.Status, h.endpoint)
}

// maxListing bounds what the server says of a repository.
const maxListing = 16 << 20

// list returns the commit of a revision and the names of its files.
func (h *hub) list(ctx context.Context, repo, revision string) (commit string, files []string, err error) {
	response, err := h.get(ctx, http.MethodGet, repo, h.endpoint+"/api/models/"+repo+"/revision/"+url.PathEscape(revision), 0, true)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	var info struct {
		Commit   string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxListing)).Decode(&info); err != nil {
		return "", nil, fmt.Errorf("listing: %w", err)
	}
	if !commitHash.MatchString(info.Commit) {
		return "", nil, fmt.Errorf("listing: %q is no commit", info.Commit)
	}
	for _, s := range info.Siblings {
		if !fs.ValidPath(s.Name) || strings.ContainsAny(s.Name, `\:`) {
			return "", nil, fmt.Errorf("listing: file %q: want a path within the repository", s.Name)
		}
		files = append(files, s.Name)
	}
	return info.Commit, files, nil
}

// remote is one file on the server.
type remote struct {
	etag string
	size int64
}

var validETag = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

func (h *hub) head(ctx context.Context, repo, address string) (remote, error) {
	response, err := h.get(ctx, http.MethodHead, repo, address, 0, false)
	if err != nil {
		return remote{}, err
	}
	response.Body.Close()
	first := func(names ...string) string {
		for _, name := range names {
			if v := response.Header.Get(name); v != "" {
				return v
			}
		}
		return ""
	}
	r := remote{etag: strings.Trim(strings.TrimPrefix(first("X-Linked-Etag", "Etag"), "W/"), `"`)}
	if !validETag.MatchString(r.etag) || strings.Trim(r.etag, ".") == "" {
		return r, fmt.Errorf("the server names no etag (%q)", r.etag)
	}
	if r.size, err = strconv.ParseInt(first("X-Linked-Size", "Content-Length"), 10, 64); err != nil || r.size < 0 {
		return r, errors.New("the server names no size")
	}
	return r, nil
}

// file fetches one file and links it into the snapshot.
func (h *hub) file(ctx context.Context, folder, repo, commit, name string, progress func(string, int64, int64)) error {
	address := h.endpoint + "/" + repo + "/resolve/" + commit + "/" + escapePath(name)
	r, err := h.head(ctx, repo, address)
	if err != nil {
		return err
	}
	blob := filepath.Join(folder, "blobs", r.etag)
	if info, err := os.Stat(blob); err != nil || info.Size() != r.size {
		if err := h.blob(ctx, repo, address, blob, r, func(done int64) {
			if progress != nil {
				progress(name, done, r.size)
			}
		}); err != nil {
			return err
		}
	}
	return link(blob, filepath.Join(folder, "snapshots", commit, filepath.FromSlash(name)), strings.Count(name, "/"))
}

func escapePath(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return path.Join(parts...)
}

// link puts a blob into a snapshot, depth folders down: as a relative link, or,
// where there are none, under the file's own name.
func link(blob, at string, depth int) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	up := strings.Repeat("../", depth+2)
	if err := os.Symlink(filepath.FromSlash(up+"blobs/"+filepath.Base(blob)), at); err == nil {
		return nil
	}
	return os.Link(blob, at)
}

// attempts is how often a file is asked for when the connection breaks.
const attempts = 5

// blob fetches a file to its place, resuming what an earlier call began.
func (h *hub) blob(ctx context.Context, repo, address, blob string, r remote, progress func(int64)) error {
	if err := os.MkdirAll(filepath.Dir(blob), 0o755); err != nil {
		return err
	}
	part, err := os.OpenFile(blob+".incomplete", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer part.Close()
	for attempt := 1; ; attempt++ {
		err = h.resume(ctx, repo, address, part, r, progress)
		if err == nil {
			break
		}
		if ctx.Err() != nil || attempt == attempts || !errors.Is(err, errBroken) {
			return err
		}
	}
	if err := verify(part, r); err != nil {
		// Resuming would keep the fault.
		return errors.Join(err, part.Truncate(0))
	}
	if err := errors.Join(part.Sync(), part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), blob)
}

// errBroken says that a connection ended early; what came is kept.
var errBroken = errors.New("the connection broke")

func (h *hub) resume(ctx context.Context, repo, address string, part *os.File, r remote, progress func(int64)) error {
	have, err := part.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if have > r.size {
		have = 0
	}
	if have == r.size && r.size > 0 {
		return nil
	}
	response, err := h.get(ctx, http.MethodGet, repo, address, have, true)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusPartialContent {
		have = 0 // the server sends the whole
	} else if begins := "bytes " + strconv.FormatInt(have, 10) + "-"; !strings.HasPrefix(response.Header.Get("Content-Range"), begins) {
		return fmt.Errorf("the server sends %q: want from byte %d", response.Header.Get("Content-Range"), have)
	}
	if err := part.Truncate(have); err != nil {
		return err
	}
	if _, err := part.Seek(have, io.SeekStart); err != nil {
		return err
	}
	out := &counter{to: part, done: have, tell: progress}
	// One byte more than promised is noticed, and no more is stored.
	n, err := io.Copy(out, io.LimitReader(response.Body, r.size-have+1))
	switch {
	case errors.Is(err, errWrite):
		return err
	case have+n > r.size:
		return fmt.Errorf("more than the %d bytes promised", r.size)
	case err != nil, have+n < r.size:
		return fmt.Errorf("%w after %d of %d bytes: %w", errBroken, have+n, r.size, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	return nil
}

var errWrite = errors.New("cannot be written")

// counter tells how much was written.
type counter struct {
	to   io.Writer
	done int64
	tell func(int64)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	if err != nil {
		return n, fmt.Errorf("%w: %w", errWrite, err)
	}
	c.done += int64(n)
	c.tell(c.done)
	return n, nil
}

// verify compares a whole file with its size and, where the etag is a digest,
// with that: SHA-256 of large files, git's blob hash of small ones.
func verify(f *os.File, r remote) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != r.size {
		return fmt.Errorf("%d bytes: want %d", info.Size(), r.size)
	}
	var digest hash.Hash
	switch len(r.etag) {
	case 2 * sha256.Size:
		digest = sha256.New()
	case 2 * sha1.Size:
		digest = sha1.New() //nolint:gosec // as above
		fmt.Fprintf(digest, "blob %d\x00", r.size)
	default:
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(digest, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != strings.ToLower(r.etag) {
		return fmt.Errorf("digest %s: want %s; fetched wrongly, run again", got, r.etag)
	}
	return nil
}
