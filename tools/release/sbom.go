package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// runtimeVersion is that of the ONNX Runtime in the npm package that tools/setup
// takes it from.
const runtimeVersion = "1.30.0"

// component is one of a bill of materials in CycloneDX 1.6.
type component struct {
	Type     string        `json:"type"`
	Name     string        `json:"name"`
	Version  string        `json:"version"`
	Hashes   []hash        `json:"hashes,omitempty"`
	Licences []licenceItem `json:"licenses,omitempty"`
	PURL     string        `json:"purl,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type licenceItem struct {
	Licence struct {
		ID string `json:"id"`
	} `json:"license"`
}

func licensed(id string) []licenceItem {
	item := licenceItem{}
	item.Licence.ID = id
	return []licenceItem{item}
}

func sha(data []byte) []hash {
	sum := sha256.Sum256(data)
	return []hash{{"SHA-256", hex.EncodeToString(sum[:])}}
}

// billOfMaterials says in CycloneDX 1.6 what the archive is made of: the program
// and the library with their digests, and every module that is linked.
func billOfMaterials(s source, files map[string]file, library string, parts []part) ([]byte, error) {
	var bill struct {
		Format   string `json:"bomFormat"`
		Spec     string `json:"specVersion"`
		Version  int    `json:"version"`
		Metadata struct {
			Timestamp string    `json:"timestamp"`
			Component component `json:"component"`
		} `json:"metadata"`
		Components []component `json:"components"`
	}
	bill.Format, bill.Spec, bill.Version = "CycloneDX", "1.6", 1
	bill.Metadata.Timestamp = s.when.Format(time.RFC3339)
	bill.Metadata.Component = component{
		Type: "application", Name: "medprobe", Version: s.version, Hashes: sha(files["medprobe"].data), Licences: licensed("Apache-2.0"),
	}
	for _, p := range parts {
		c := component{Type: "library", Name: p.name, Version: p.version, Licences: licensed(p.licence)}
		switch {
		case p.name == "onnxruntime":
			c.PURL, c.Hashes = "pkg:npm/onnxruntime-node@"+p.version, sha(files[library].data)
		default:
			c.PURL = "pkg:golang/" + p.name + "@" + p.version
		}
		bill.Components = append(bill.Components, c)
	}
	text, err := json.MarshalIndent(bill, "", "  ")
	return append(text, '\n'), err
}
