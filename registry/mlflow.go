package registry

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"go.yaml.in/yaml/v4"
)

// mlmodel is the file MLmodel, as mlflow.models.Model reads it.
type mlmodel struct {
	ArtifactPath string                    `yaml:"artifact_path"`
	Flavors      map[string]map[string]any `yaml:"flavors"`
	Metadata     map[string]any            `yaml:"metadata"`
	Version      string                    `yaml:"mlflow_version"`
	Size         int                       `yaml:"model_size_bytes"`
	UUID         string                    `yaml:"model_uuid"`
	Example      map[string]string         `yaml:"saved_input_example_info"`
	Signature    signature                 `yaml:"signature"`
	Created      string                    `yaml:"utc_time_created"`
}

// signature holds JSON in strings, which is how MLflow wants it.
type signature struct {
	Inputs  string  `yaml:"inputs"`
	Outputs string  `yaml:"outputs"`
	Params  *string `yaml:"params"`
}

// The versions that the files ask for; mlflow warns of others.
const (
	mlflowVersion = "2.22.0"
	pythonVersion = "3.11.9"
	requirements  = "mlflow==" + mlflowVersion + "\nonnx==1.16.0\nonnxruntime==1.22.0\nnumpy==1.26.4\npandas==2.2.3\n"
)

// mlflowFiles returns an MLflow model with the flavours onnx and python_function.
// Its input is one tensor without a name, so that predict takes an array.
func (r *Registry) mlflowFiles(v *Version) (map[string][]byte, error) {
	model, err := r.onnx(v)
	if err != nil {
		return nil, err
	}
	readme, err := r.card(v)
	if err != nil {
		return nil, err
	}
	d := &v.Document
	m := mlmodel{
		ArtifactPath: "model",
		Flavors: map[string]map[string]any{
			"onnx": {"code": nil, "data": "model.onnx", "onnx_session_options": nil, "onnx_version": "1.16.0", "providers": []string{"CPUExecutionProvider"}},
			"python_function": {
				"data": "model.onnx", "env": map[string]string{"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
				"loader_module": "mlflow.onnx", "python_version": pythonVersion,
			},
		},
		Metadata: map[string]any{
			"classes": d.Head.Classes, "exclusive": d.Head.Exclusive, "head": d.Head.Kind, "medprobe_version": v.Reference().String(), "medprobe_digest": v.Digest,
			"encoder": d.Lineage.Encoder.Fingerprint, "preprocess": d.Lineage.Encoder.PreprocessFingerprint, "dataset": d.Lineage.Dataset.Digest,
		},
		Version: mlflowVersion, Size: len(model), UUID: v.Digest[:32],
		Example: map[string]string{"artifact_path": "input_example.json", "type": "ndarray", "format": "tf-serving"},
		Signature: signature{
			Inputs: fmt.Sprintf(`[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, %d]}}]`, d.Head.Dim),
			Outputs: fmt.Sprintf(`[{"name": "label", "type": "tensor", "tensor-spec": {"dtype": "str", "shape": [-1]}}, `+
				`{"name": "probabilities", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, %d]}}]`, len(d.Head.Classes)),
		},
		Created: v.Added.UTC().Format("2006-01-02 15:04:05.000000"),
	}
	text, err := yaml.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("MLmodel: %w", err)
	}
	example, err := inputExample(d.Head.Dim)
	if err != nil {
		return nil, err
	}
	environment := "python: " + pythonVersion + "\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n"
	conda := "channels:\n- conda-forge\ndependencies:\n- python=" + pythonVersion + "\n- pip\n- pip:\n  - " +
		strings.Join(strings.Fields(requirements), "\n  - ") + "\nname: mlflow-env\n"
	return r.withReference(v, map[string][]byte{
		"MLmodel": text, "model.onnx": model, "input_example.json": example, cardFile: readme,
		"requirements.txt": []byte(requirements), "python_env.yaml": []byte(environment), "conda.yaml": []byte(conda),
	})
}

// inputExample is one vector of length one, of nobody's image.
func inputExample(dim int) ([]byte, error) {
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(1 / math.Sqrt(float64(dim)))
	}
	return json.Marshal(map[string][][]float32{"inputs": {v}})
}
