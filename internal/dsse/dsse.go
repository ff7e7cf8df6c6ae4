// Package dsse signs documents with an ECDSA key and verifies them: as Sigstore
// bundles, version 0.3, that hold a DSSE envelope and name the key by the digest of
// its public half, which is what OpenSSF's model signing writes for keys.
package dsse

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// MediaType is that of a bundle.
const MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

type bundle struct {
	MediaType string   `json:"mediaType"`
	Material  material `json:"verificationMaterial"`
	Envelope  envelope `json:"dsseEnvelope"`
}

type material struct {
	PublicKey publicKey `json:"publicKey"`
	// Log is of the public transparency log, which a key is not entered into.
	Log []json.RawMessage `json:"tlogEntries"`
}

type publicKey struct {
	Hint string `json:"hint"`
}

type envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	Sig   []byte `json:"sig"`
	KeyID string `json:"keyid"`
}

// PAE is DSSE's pre-authentication encoding, version 1: what is signed.
func PAE(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// Sign returns a bundle with the payload and its signature. The same key and payload
// give the same bytes (RFC 6979).
func Sign(key *ecdsa.PrivateKey, payloadType string, payload []byte) ([]byte, error) {
	digest, hash, err := digestFor(&key.PublicKey, PAE(payloadType, payload))
	if err != nil {
		return nil, err
	}
	// Without a source of chance the signature is deterministic.
	sig, err := key.Sign(nil, digest, hash)
	if err != nil {
		return nil, err
	}
	hint, err := Hint(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(bundle{
		MediaType: MediaType,
		Material:  material{PublicKey: publicKey{hint}, Log: []json.RawMessage{}},
		Envelope:  envelope{Payload: payload, PayloadType: payloadType, Signatures: []signature{{Sig: sig}}},
	}, "", "  ")
	return append(text, '\n'), err
}

// Verify returns the payload of a bundle if it has the type and the key signed it.
func Verify(key *ecdsa.PublicKey, payloadType string, text []byte) ([]byte, error) {
	if err := checkNames(text); err != nil {
		return nil, fmt.Errorf("not a Sigstore bundle: %w", err)
	}
	var b bundle
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("not a Sigstore bundle: %w", err)
	}
	switch {
	case b.MediaType != MediaType:
		return nil, fmt.Errorf("bundle of media type %q: want %q", b.MediaType, MediaType)
	case len(b.Envelope.Signatures) != 1:
		return nil, fmt.Errorf("bundle with %d signatures: want one", len(b.Envelope.Signatures))
	case b.Envelope.PayloadType != payloadType:
		return nil, fmt.Errorf("signed is a %q: want %q", b.Envelope.PayloadType, payloadType)
	}
	hint, err := Hint(key)
	if err != nil {
		return nil, err
	}
	if b.Material.PublicKey.Hint != "" && b.Material.PublicKey.Hint != hint {
		return nil, fmt.Errorf("signed by another key: the bundle names %.16q…, this one is %.16q…", b.Material.PublicKey.Hint, hint)
	}
	digest, _, err := digestFor(key, PAE(payloadType, b.Envelope.Payload))
	if err != nil {
		return nil, err
	}
	if !ecdsa.VerifyASN1(key, digest, b.Envelope.Signatures[0].Sig) {
		return nil, errors.New("the signature is not this key's, or what it signs was changed")
	}
	return b.Envelope.Payload, nil
}

// Hint names a public key: the SHA-256 of its PEM form, in hexadecimal.
func Hint(key *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return hex.EncodeToString(sum[:]), nil
}

// digestFor returns the digest that goes with the key's curve.
func digestFor(key *ecdsa.PublicKey, text []byte) ([]byte, crypto.Hash, error) {
	hash, ok := map[elliptic.Curve]crypto.Hash{
		elliptic.P256(): crypto.SHA256, elliptic.P384(): crypto.SHA384, elliptic.P521(): crypto.SHA512,
	}[key.Curve]
	if !ok {
		return nil, 0, fmt.Errorf("key on the curve %s: want P-256, P-384 or P-521", key.Params().Name)
	}
	h := hash.New()
	h.Write(text)
	return h.Sum(nil), hash, nil
}

// PrivateKey reads an ECDSA key from PEM, as openssl writes it.
func PrivateKey(text []byte) (*ecdsa.PrivateKey, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, errors.New("the key is encrypted: want one that is not, in a file that only you can read")
		case block.Type == "EC PRIVATE KEY":
			key, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("EC PRIVATE KEY that cannot be read: want a key on P-256, P-384 or P-521")
			}
			return key, nil
		case block.Type == "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("PRIVATE KEY that cannot be read: want an ECDSA key")
			}
			if key, ok := key.(*ecdsa.PrivateKey); ok {
				return key, nil
			}
			return nil, fmt.Errorf("a key of another kind (%T): want an ECDSA key", key)
		case block.Type == "PUBLIC KEY":
			return nil, errors.New("this is the public key: signing takes the private one")
		}
	}
	return nil, errors.New("no private key in PEM: make one with 'openssl ecparam -name prime256v1 -genkey -noout -out key.pem'")
}

// PublicKey reads an ECDSA key from PEM, as openssl writes it.
func PublicKey(text []byte) (*ecdsa.PublicKey, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PUBLIC KEY":
			key, err := x509.ParsePKIXPublicKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("PUBLIC KEY: %w", err)
			}
			if key, ok := key.(*ecdsa.PublicKey); ok {
				return key, nil
			}
			return nil, fmt.Errorf("a key of another kind (%T): want an ECDSA key", key)
		case "EC PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("this is the private key, which stays with who signs: take its public half with 'openssl ec -in key.pem -pubout -out public.pem'")
		}
	}
	return nil, errors.New("no public key in PEM: take it from the private one with 'openssl ec -in key.pem -pubout -out public.pem'")
}

// names are those of a bundle's fields.
var names = map[string]bool{
	"mediaType": true, "verificationMaterial": true, "publicKey": true, "hint": true, "rawBytes": true, "keyDetails": true, "tlogEntries": true,
	"timestampVerificationData": true, "rfc3161Timestamps": true, "dsseEnvelope": true, "payload": true, "payloadType": true, "signatures": true, "sig": true, "keyid": true,
}

// checkNames refuses fields of other names, which encoding/json takes for these in
// other letters, fields that stand twice, and anything after the document.
func checkNames(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := checkValue(d); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more after the document")
	}
	return checkBase64(text)
}

func checkValue(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		had := map[string]bool{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return err
			}
			s, _ := name.(string)
			if !names[s] || had[s] {
				return fmt.Errorf("field %q is none of a bundle's, or stands twice", s)
			}
			had[s] = true
			if err := checkValue(d); err != nil {
				return err
			}
		}
		_, err = d.Token()
	case json.Delim('['):
		for d.More() {
			if err := checkValue(d); err != nil {
				return err
			}
		}
		_, err = d.Token()
	}
	return err
}

// checkBase64 refuses payloads and signatures with bits beyond their last byte or
// line breaks, which encoding/json lets pass.
func checkBase64(text []byte) error {
	var b struct {
		Envelope struct {
			Payload    string `json:"payload"`
			Signatures []struct {
				Sig string `json:"sig"`
			} `json:"signatures"`
		} `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return err
	}
	encoded := []string{b.Envelope.Payload}
	for _, s := range b.Envelope.Signatures {
		encoded = append(encoded, s.Sig)
	}
	for _, s := range encoded {
		raw, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil || base64.StdEncoding.EncodeToString(raw) != s {
			return errors.New("payload or signature in base64 that is not strict")
		}
	}
	return nil
}
