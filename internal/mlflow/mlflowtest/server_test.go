package mlflowtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The server refuses what MLflow refuses, with its codes: a push that passes here has
// kept to the contract.
func TestServerEnforcesTheContract(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Behave(func(b *Behaviour) { b.Authorization = "Bearer x" })
	call := func(method, path, body string) (int, map[string]any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		var answer map[string]any
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return response.StatusCode, answer
	}
	must := func(path, body string) map[string]any {
		t.Helper()
		status, answer := call(http.MethodPost, "/api/2.0/mlflow/"+path, body)
		if status != http.StatusOK {
			t.Fatalf("%s: %v", path, answer)
		}
		return answer
	}
	must("experiments/create", `{"name":"e"}`)
	must("registered-models/create", `{"name":"m"}`)
	info := must("runs/create", `{"experiment_id":"1","run_name":"r"}`)["run"].(map[string]any)["info"].(map[string]any)
	id, root := info["run_id"].(string), info["artifact_uri"].(string)
	must("model-versions/create", fmt.Sprintf(`{"name":"m","run_id":%q,"source":%q}`, id, root+"/model"))
	batch := func(what string, n int, entry string) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(entry, i))
		}
		return fmt.Sprintf(`{"run_id":%q,%q:[%s]}`, id, what, strings.Join(list, ","))
	}
	must("runs/log-batch", batch("params", 100, `{"key":"p%d","value":"1"}`))
	must("runs/log-batch", batch("metrics", 1000, `{"key":"m%d","value":1,"timestamp":1,"step":0}`))
	long := strings.Repeat("x", 251)
	version := func(source string) string {
		return fmt.Sprintf(`{"name":"m","run_id":%q,"source":%q}`, id, source)
	}
	const bad, missing, there = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
	for _, c := range []struct{ code, path, body string }{
		{there, "experiments/create", `{"name":"e"}`},
		{bad, "experiments/create", `{"name":""}`},
		{bad, "experiments/create", `{"nome":"e"}`},
		{missing, "runs/create", `{"experiment_id":"9"}`},
		{bad, "runs/create", fmt.Sprintf(`{"experiment_id":"1","tags":[{"key":"t","value":%q}]}`, strings.Repeat("x", 5001))},
		{bad, "runs/search", `{"experiment_ids":["1"],"filter":"tags.a.b = 'x'","run_view_type":"ACTIVE_ONLY","max_results":1}`},
		{bad, "runs/log-batch", batch("params", 101, `{"key":"q%d","value":"1"}`)},
		{bad, "runs/log-batch", batch("tags", 101, `{"key":"q%d","value":"1"}`)},
		{bad, "runs/log-batch", batch("metrics", 1001, `{"key":"q%d","value":1,"timestamp":1,"step":0}`)},
		{bad, "runs/log-batch", batch("params", 1, `{"key":"p%d","value":"2"}`)},
		{bad, "runs/log-batch", batch("params", 1, `{"key":"a(%d)","value":"2"}`)},
		{bad, "runs/log-batch", batch("params", 1, `{"key":"../a%d","value":"2"}`)},
		{bad, "runs/log-batch", batch("params", 1, `{"key":"a//%d","value":"2"}`)},
		{bad, "runs/log-batch", batch("params", 1, `{"key":"`+long+`%d","value":"2"}`)},
		{bad, "runs/log-batch", batch("params", 1, `{"key":"v%d","value":"`+long+long+`"}`)},
		{bad, "runs/log-batch", batch("metrics", 1, `{"key":"n%d","value":"NaN","timestamp":1,"step":0}`)},
		{bad, "runs/log-batch", batch("metrics", 1, `{"key":"n%d","value":1,"timestamp":-1,"step":0}`)},
		{bad, "runs/log-batch", batch("tags", 100, `{"key":"t%d","value":"`+strings.Repeat("x", 10000)+`"}`)},
		{missing, "runs/log-batch", `{"run_id":"none"}`},
		{bad, "runs/update", fmt.Sprintf(`{"run_id":%q,"status":"DONE"}`, id)},
		{there, "registered-models/create", `{"name":"m"}`},
		{bad, "registered-models/create", `{"name":"a/b"}`},
		{missing, "model-versions/create", `{"name":"none","run_id":"x","source":"s3://b/a"}`},
		{bad, "model-versions/create", version("/etc/passwd")},
		{bad, "model-versions/create", version("file:///etc/passwd")},
		{bad, "model-versions/create", version(root + "/../../model")},
		{bad, "model-versions/create", version(root + "/%252e%252e/model")},
		{bad, "registered-models/alias", `{"name":"m","alias":"latest","version":"1"}`},
		{bad, "registered-models/alias", `{"name":"m","alias":"v1","version":"1"}`},
		{bad, "registered-models/alias", `{"name":"m","alias":"a b","version":"1"}`},
		{missing, "registered-models/alias", `{"name":"m","alias":"a","version":"2"}`},
		{"", "experiments/delete", `{}`},
	} {
		status, answer := call(http.MethodPost, "/api/2.0/mlflow/"+c.path, c.body)
		if status < 400 || answer["error_code"] != c.code {
			t.Errorf("%s %.200s: %d %v: want %q", c.path, c.body, status, answer, c.code)
		}
	}
	if status, answer := call(http.MethodGet, "/api/2.0/mlflow/experiments/get-by-name?experiment_name=none", ""); status != 404 || answer["error_code"] != missing {
		t.Errorf("an experiment that is not there: %d %v", status, answer)
	}
	for path, want := range map[string]int{"a/b": 200, "a/%2e%2e/b": 400, "a/%252e%252e/b": 400} {
		if status, _ := call(http.MethodPut, "/api/2.0/mlflow-artifacts/artifacts/"+path, "x"); status != want {
			t.Errorf("an artefact at %s: %d, want %d", path, status, want)
		}
	}
	if response, err := http.Get(s.URL + "/api/2.0/mlflow/experiments/get-by-name?experiment_name=e"); err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without credentials: %v, %v", response, err)
	} else {
		response.Body.Close()
	}
}
