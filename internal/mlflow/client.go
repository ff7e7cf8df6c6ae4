// Package mlflow writes to a tracking server of MLflow, 2 or 3, over its REST
// interface: experiments, runs, artefacts and registered models.
//
// Each call looks first whether the server has what it would make, so that a call
// whose answer was lost can be made again and nothing is there twice. What may pass
// (a broken connection, 408, 429, 5xx) is tried again, a bounded number of times and
// with growing waits. Credentials go to the given server only: no redirect is
// followed, and they are taken out of whatever a server says before it becomes part
// of an error.
package mlflow

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/medprobe/medprobe/internal/retry"
)

// Options says how to speak to a server.
type Options struct {
	// Username and Password, or else Token, are sent with every request.
	Username, Password, Token string
	// Backoff and Note are those of [retry.Policy].
	Backoff time.Duration
	Note    func(what string)
}

// Client speaks to one server.
type Client struct {
	base    *url.URL
	auth    string
	secrets []string
	http    *http.Client
	policy  retry.Policy
}

// New returns a client of the server at an address such as
// https://mlflow.example.org or http://localhost:5000/prefix.
func New(address string, o Options) (*Client, error) {
	base, err := url.Parse(address)
	switch {
	case err != nil, base.Scheme != "http" && base.Scheme != "https", base.Hostname() == "", base.RawQuery != "", base.Fragment != "", base.User != nil:
		if strings.Contains(address, "@") { // which may be a secret: it is not repeated
			return nil, errors.New("address with a name or password in it: give it without, and them in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
		}
		return nil, fmt.Errorf("address %q: want that of a tracking server, such as https://mlflow.example.org", address)
	case (o.Username == "") != (o.Password == ""):
		return nil, errors.New("only one of MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD is set: set both or none")
	}
	base.Path = strings.TrimRight(base.Path, "/")
	c := &Client{base: base, policy: retry.Policy{Backoff: o.Backoff, Note: o.Note}, http: &http.Client{
		// A redirect would carry the credentials elsewhere or turn a POST into a GET.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 30 * time.Second},
	}}
	switch {
	case o.Username != "":
		pair := base64.StdEncoding.EncodeToString([]byte(o.Username + ":" + o.Password))
		c.auth, c.secrets = "Basic "+pair, []string{pair, o.Password}
	case o.Token != "":
		c.auth, c.secrets = "Bearer "+o.Token, []string{o.Token}
	}
	if strings.ContainsFunc(c.auth, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, errors.New("the credentials hold a control character, such as the end of a line: set them without")
	}
	return c, nil
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Error is what a server answers instead of what was asked for.
type Error struct {
	Request string
	Status  int
	// Code is MLflow's, such as RESOURCE_ALREADY_EXISTS; empty where another program
	// answers.
	Code    string
	Message string

	after time.Duration
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %d %s", e.Request, e.Status, cmp.Or(e.Code, http.StatusText(e.Status)))
	if e.Message != "" {
		s += fmt.Sprintf(": %q", e.Message)
	}
	switch e.Status {
	case http.StatusUnauthorized:
		s += "; set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, to what the server knows"
	case http.StatusForbidden:
		s += "; the account may not do this on the server"
	}
	return s
}

// is reports whether err is a server's answer with a code.
func is(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

const (
	api = "/api/2.0/mlflow/"
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 16 << 20
	// timeout is that of one request.
	timeout = time.Minute
)

// get asks once for what lies under a name of the interface.
func (c *Client) get(ctx context.Context, name string, query url.Values, into any) error {
	return c.send(ctx, http.MethodGet, api+name+"?"+query.Encode(), "", nil, into)
}

// post sends one document once.
func (c *Client) post(ctx context.Context, name string, document, into any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return c.send(ctx, http.MethodPost, api+name, "application/json", body, into)
}

// send sends one request once; what breaks on the way is a *broken.
func (c *Client) send(ctx context.Context, method, path, kind string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "medprobe")
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if c.auth != "" {
		request.Header.Set("Authorization", c.auth)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return &broken{err}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return &broken{fmt.Errorf("%s %s: %w", method, request.URL.Path, err)}
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return c.refusal(method+" "+request.URL.Path, response, text)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s %s: the answer is no JSON (%w): is this the address of a tracking server?", method, request.URL.Path, err)
	}
	return nil
}

// refusal explains an answer that is none.
func (c *Client) refusal(request string, response *http.Response, text []byte) error {
	if to := response.Header.Get("Location"); response.StatusCode < 400 && to != "" {
		where := "elsewhere"
		if u, err := response.Request.URL.Parse(to); err == nil {
			where = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
		}
		return fmt.Errorf("%s: %d: the server sends on to %q, and credentials do not follow; give the address that it has in the end", request, response.StatusCode, c.clean(where))
	}
	e := &Error{Request: request, Status: response.StatusCode, after: retry.After(response.Header)}
	var said struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &said) == nil {
		e.Code, e.Message = c.clean(said.Code), c.clean(said.Message)
	}
	const enough = 500
	if len(e.Message) > enough {
		e.Message = strings.ToValidUTF8(e.Message[:enough], "") + "…"
	}
	return e
}

// clean takes the credentials out of a text.
func (c *Client) clean(s string) string {
	for _, secret := range c.secrets {
		s = strings.ReplaceAll(s, secret, "[secret]")
	}
	return s
}

// broken is what happened to a request that got no whole answer.
type broken struct{ err error }

func (b *broken) Error() string { return b.err.Error() }
func (b *broken) Unwrap() error { return b.err }

// retry calls try until it succeeds or fails for good.
func (c *Client) retry(ctx context.Context, try func() error) error {
	return c.policy.Do(ctx, passing, try)
}

// passing reports whether an error may be gone at the next attempt.
func passing(err error) (again bool, after time.Duration) {
	var b *broken
	var e *Error
	switch {
	case errors.As(err, &b):
		return retry.Connection(err), 0
	case errors.As(err, &e):
		return retry.Status(e.Status), e.after
	}
	return false, 0
}
