package needs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// PostgreSQLOverTLS starts a server of the test's own, to be reached over TCP with
// TLS only, and returns the address of an empty database, without a user, and the file
// of the certificate, which the server signed itself for 127.0.0.1. The statements are
// run there first; who is made a member of the role locked logs in with a password.
func PostgreSQLOverTLS(t testing.TB, statements string) (address, certificate string) {
	t.Helper()
	programs := postgresPrograms(t)
	cert, key, err := SelfSigned("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	certificate = filepath.Join(t.TempDir(), "server.crt")
	if err := os.WriteFile(certificate, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	s, err := startPostgres(programs, port, "-c ssl=on -c ssl_cert_file=DIR/server.crt -c ssl_key_file=DIR/server.key -c listen_addresses=127.0.0.1", map[string][]byte{
		"server.crt": cert, "server.key": key,
		"hba.more": []byte("hostssl all +locked 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 reject\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.alive.Close() })
	socket, err := s.database()
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(socket)
	if err == nil {
		err = s.exec(u.Path[1:], statements)
	}
	if err != nil {
		t.Fatal(err)
	}
	return (&url.URL{Scheme: "postgres", Host: fmt.Sprintf("127.0.0.1:%d", port), Path: u.Path}).String(), certificate
}

// freePort returns a port that nobody listens at, or did not a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// SelfSigned makes a key and a certificate for an address or a name, in PEM.
func SelfSigned(host string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}
