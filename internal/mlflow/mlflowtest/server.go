// Package mlflowtest is a tracking server for tests that keeps to MLflow's contract
// and enforces it: the rules of mlflow/utils/validation.py and of the handlers in
// mlflow/server/handlers.py, with their error codes. It keeps everything in memory,
// gives ids by number, so that two servers that were told the same are the same, and
// can fail at any request, before or after it took effect.
package mlflowtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Fault is what becomes of a request.
type Fault struct {
	// Status answers with it instead; 0 answers as ever.
	Status int
	// Drop closes the connection instead of an answer.
	Drop bool
	// After lets the request take effect first.
	After bool
	// Header is sent along.
	Header http.Header
}

// Behaviour is what a test may choose of a server, at any time.
type Behaviour struct {
	// Authorization, if not empty, is what every request must carry.
	Authorization string
	// Artifacts is the scheme under which runs keep artefacts: "mlflow-artifacts"
	// (default), "http" (this server by its address) or "s3".
	Artifacts string
	// MaxParam is the longest value of a parameter; default 500, as up to MLflow 2.7.
	MaxParam int
	// Pending lets a new version be ready only when it was asked for twice.
	Pending bool
	// Fault, if not nil, says what becomes of the n-th request, from 0.
	Fault func(n int, r *http.Request) Fault
}

// Server is a tracking server.
type Server struct {
	URL string

	mu        sync.Mutex
	behaviour Behaviour
	requests  int
	seen      []string
	state     state
	// blobs are artefacts by their path in the store.
	blobs map[string][]byte
}

// Start starts a server and ends it with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{behaviour: Behaviour{Artifacts: "mlflow-artifacts", MaxParam: 500}, blobs: map[string][]byte{}}
	s.state.init()
	h := httptest.NewUnstartedServer(s)
	s.URL = "http://" + h.Listener.Addr().String()
	h.Start()
	t.Cleanup(h.Close)
	return s
}

// Behave changes the server's behaviour between two requests.
func (s *Server) Behave(change func(*Behaviour)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.behaviour)
}

// Requests is how many requests came.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Seen lists method and path of all requests.
func (s *Server) Seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.seen...)
}

// apiError is an MlflowException.
type apiError struct {
	status        int
	code, message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func invalid(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, "INVALID_PARAMETER_VALUE", fmt.Sprintf(format, args...)}
}

func unknown(format string, args ...any) error {
	return &apiError{http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", fmt.Sprintf(format, args...)}
}

func exists(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, "RESOURCE_ALREADY_EXISTS", fmt.Sprintf(format, args...)}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.requests
	s.requests++
	s.seen = append(s.seen, r.Method+" "+r.URL.Path)
	var f Fault
	if s.behaviour.Fault != nil {
		f = s.behaviour.Fault(n, r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	answer := any(map[string]any{})
	if f.After || !f.Drop && f.Status == 0 {
		answer, err = s.handle(r, body)
	}
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		for k, v := range f.Header {
			w.Header()[k] = v
		}
		// A careless server repeats what it was sent.
		err = &apiError{f.Status, "TEMPORARILY_UNAVAILABLE", "request had Authorization " + r.Header.Get("Authorization")}
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		e, ok := err.(*apiError)
		if !ok {
			e = &apiError{http.StatusInternalServerError, "INTERNAL_ERROR", err.Error()}
		}
		w.WriteHeader(e.status)
		answer = map[string]string{"error_code": e.code, "message": e.message}
	}
	json.NewEncoder(w).Encode(answer)
}

// handle is the server without its faults.
func (s *Server) handle(r *http.Request, body []byte) (any, error) {
	if s.behaviour.Authorization != "" && r.Header.Get("Authorization") != s.behaviour.Authorization {
		return nil, &apiError{http.StatusUnauthorized, "", "You are not authenticated."}
	}
	if at, ok := strings.CutPrefix(r.URL.Path, "/api/2.0/mlflow-artifacts/artifacts/"); ok {
		return s.put(r, at, body)
	}
	if r.URL.Path == "/ajax-api/2.0/mlflow/upload-artifact" {
		return s.forward(r, body)
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/api/2.0/mlflow/")
	route, known := routes[r.Method+" "+name]
	if !ok || !known {
		return nil, &apiError{http.StatusNotFound, "", "no such endpoint: " + r.Method + " " + r.URL.Path}
	}
	if r.Method == http.MethodPost {
		if r.Header.Get("Content-Type") != "application/json" {
			return nil, &apiError{http.StatusBadRequest, "BAD_REQUEST", "want application/json"}
		}
		if name == "runs/log-batch" && len(body) > 1e6 {
			return nil, invalid("Batched logging API requests must be at most 1000000 bytes, got a request of size %d.", len(body))
		}
	} else {
		body = queryDocument(r.URL.Query())
	}
	return route(s, body)
}

func queryDocument(q url.Values) []byte {
	document := map[string]string{}
	for k, v := range q {
		document[k] = v[0]
	}
	text, err := json.Marshal(document)
	if err != nil {
		panic(err) // strings always have a form
	}
	return text
}

// put takes an artefact where the server serves them itself.
func (s *Server) put(r *http.Request, at string, body []byte) (any, error) {
	if s.behaviour.Artifacts == "s3" {
		return nil, &apiError{http.StatusServiceUnavailable, "", "The server is not serving artifacts."}
	}
	if r.Method != http.MethodPut {
		return nil, &apiError{http.StatusMethodNotAllowed, "", r.Method}
	}
	if err := safePath(at); err != nil {
		return nil, err
	}
	s.blobs[at] = body
	return map[string]any{}, nil
}

// forward takes an artefact for a store of the server's own.
func (s *Server) forward(r *http.Request, body []byte) (any, error) {
	q := r.URL.Query()
	run, ok := s.state.Runs[q.Get("run_uuid")]
	switch {
	case r.Method != http.MethodPost:
		return nil, &apiError{http.StatusMethodNotAllowed, "", r.Method}
	case q.Get("run_uuid") == "":
		return nil, invalid("Request must specify run_uuid.")
	case q.Get("path") == "":
		return nil, invalid("Request must specify path.")
	case len(body) > 10<<20:
		return nil, invalid("Artifact size is too large. Max size is 10MB.")
	case len(body) == 0:
		return nil, invalid("Request must specify data.")
	case !ok:
		return nil, unknown("Run with id=%s not found", q.Get("run_uuid"))
	}
	if err := safePath(q.Get("path")); err != nil {
		return nil, err
	}
	s.blobs[run.place()+"/"+q.Get("path")] = body
	return map[string]any{}, nil
}

// safePath is mlflow.utils.uri.validate_path_is_safe.
func safePath(p string) error {
	for range 3 {
		if u, err := url.PathUnescape(p); err == nil {
			p = u
		}
	}
	if p == "" || strings.HasPrefix(p, "/") || strings.ContainsAny(p, "#\\") || strings.Contains("/"+p+"/", "/../") {
		return invalid("Invalid path")
	}
	return nil
}
