package datasets

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestAddressesInsideAreRefused(t *testing.T) {
	t.Parallel()
	addresses := map[string]bool{
		"127.0.0.1": true, "169.254.169.254": true, "::1": true, "::ffff:127.0.0.1": true, "10.1.2.3": true, "192.168.0.1": true, "172.16.0.9": true,
		"100.64.0.1": true, "0.0.0.0": true, "0.1.2.3": true, "224.0.0.1": true, "255.255.255.255": true, "fe80::1": true, "fd00::1": true, "::": true,
		"64:ff9b::7f00:1": true, "2002:7f00:1::": true, "::ffff:10.0.0.1": true, "198.18.0.1": true,
		"8.8.8.8": false, "2606:4700::1111": false, "151.101.1.6": false,
	}
	for address, inside := range addresses {
		if err := refuseInside(netip.MustParseAddr(address)); (err != nil) != inside {
			t.Errorf("%s: %v", address, err)
		}
	}
	t.Logf("measured: %d addresses told apart, 3 of them on the open network", len(addresses))
}

// The name resolves, the connection is refused: it leads to this machine.
func TestRemoteNeverAsksThisMachine(t *testing.T) {
	t.Parallel()
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked = true; w.Write([]byte("secret")) }))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433", "127.1"} {
		if data, err := newRemote().bytes("http://" + host + ":" + port + "/x.png"); err == nil {
			t.Errorf("%s: %q", host, data)
		}
	}
	if _, err := newRemote().bytes(server.URL); !errors.Is(err, errInside) || asked {
		t.Errorf("%v, asked %v", err, asked)
	}
}

func TestRemoteIsBounded(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/image", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("pixels")) })
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/image", http.StatusFound) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	defer server.Close()
	// This test's own server stands for the open network.
	open := &remote{newRemoteClient(func(netip.Addr) error { return nil }, nil)}
	for path, want := range map[string]string{"/image": "pixels", "/there": "pixels"} {
		if data, err := open.bytes(server.URL + path); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
	for path, want := range map[string]string{"/round": "redirects", "/file": "", "/empty": "empty", "/nothing": "404"} {
		if _, err := open.bytes(server.URL + path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// A redirect is judged like any other connection.
func TestRedirectInsideIsRefused(t *testing.T) {
	t.Parallel()
	asked := false
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked = true; w.Write([]byte("secret")) }))
	defer inside.Close()
	outside := httptest.NewServer(http.RedirectHandler(inside.URL, http.StatusFound))
	defer outside.Close()
	connections := 0
	r := &remote{newRemoteClient(func(a netip.Addr) error {
		if connections++; connections == 1 {
			return nil // the first stands for the open network
		}
		return refuseInside(a)
	}, nil)}
	if data, err := r.bytes(outside.URL); !errors.Is(err, errInside) || asked {
		t.Errorf("%q, %v, asked %v", data, err, asked)
	}
}

// A name whose server answers with an address of the open network first, and
// with one inside the second time, is refused the second time.
func TestNameThatResolvesDifferentlyIsRefused(t *testing.T) {
	t.Parallel()
	again := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		http.Redirect(w, r, "/again.png", http.StatusFound)
	}))
	defer again.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(again.URL, "http://"), ":")
	for _, inside := range []string{"169.254.169.254", "127.0.0.1", "10.0.0.8"} {
		var judged []string
		r := &remote{newRemoteClient(func(a netip.Addr) error {
			if judged = append(judged, a.String()); len(judged) == 1 {
				return nil // the first stands for the open network
			}
			return refuseInside(a)
		}, nameServer(t, "127.0.0.1", inside))}
		if data, err := r.bytes("http://images.example.org:" + port + "/x.png"); !errors.Is(err, errInside) {
			t.Errorf("%s: %q, %v", inside, data, err)
		}
		if want := []string{"127.0.0.1", inside}; !slices.Equal(judged, want) {
			t.Errorf("asked %v, want %v", judged, want)
		}
	}
}

// nameServer returns a resolver whose server gives the name one address after the
// other, the last one for ever.
func nameServer(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan bool)
	go func() {
		defer close(served)
		packet := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(packet)
			if err != nil {
				return
			}
			end := 12 + bytes.IndexByte(packet[12:n], 0) + 5 // of the question, RFC 1035 §4.1
			answer := append([]byte{packet[0], packet[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, packet[12:end]...)
			if packet[end-3] == 1 { // an A record is asked for
				answer[7] = 1
				a := netip.MustParseAddr(addresses[0]).As4()
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, a[0], a[1], a[2], a[3])
				addresses = addresses[min(1, len(addresses)-1):]
			}
			server.WriteTo(answer, from)
		}
	}()
	t.Cleanup(func() { server.Close(); <-served })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func TestNetworkOnlyWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	const text = "path,effusion\na.png,1\nhttps://example.org/b.png,0\nftp://example.org/c.png,0\ngs://bucket/d.png,1\n"
	d, err := openCSV(t, text, Spec{})
	if err != nil || len(d.Samples) != 1 || len(d.Excluded) != 3 || !strings.Contains(d.Excluded[0].Reason, "--allow-remote") {
		t.Errorf("%v, excluded %v", err, d.Excluded)
	}
	d, err = openCSV(t, text, Spec{AllowRemote: true})
	if err != nil || len(d.Samples) != 2 || len(d.Excluded) != 2 {
		t.Errorf("%v, excluded %v", err, d.Excluded)
	}
}
