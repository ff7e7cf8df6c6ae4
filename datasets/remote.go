package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	// maxRemoteBytes and remoteTime bound one image from the network.
	maxRemoteBytes = 256 << 20
	remoteTime     = 30 * time.Second
	maxRedirects   = 5
)

// isRemote reports whether a path is an address on the network.
func isRemote(path string) bool {
	scheme, _, ok := strings.Cut(path, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// remote fetches images over HTTP. The address of every connection is judged
// after the name was resolved, so that neither a redirect nor a name that
// resolves to another address the second time leads into the user's own network.
type remote struct{ client *http.Client }

func newRemote() *remote { return &remote{newRemoteClient(refuseInside, nil)} }

// newRemoteClient asks only addresses that are not refused; names resolves them,
// nil as the system does.
func newRemoteClient(refuse func(netip.Addr) error, names *net.Resolver) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Resolver: names, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return refuse(to.Addr())
	}}
	return &http.Client{
		Timeout: remoteTime,
		// No proxy: it would resolve names for us.
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 8},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			if !isRemote(r.URL.String()) {
				return fmt.Errorf("redirected to %q: want http or https", r.URL.Scheme)
			}
			return nil
		},
	}
}

// reserved are the addresses that are not on the open network, besides those
// that netip knows.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// errInside says that an address is not on the open network.
var errInside = errors.New("the address is not on the open network, and is not asked")

func refuseInside(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return fmt.Errorf("%v: %w", a, errInside)
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return fmt.Errorf("%v: %w", a, errInside)
		}
	}
	return nil
}

func (r *remote) bytes(address string) ([]byte, error) {
	if r == nil {
		return nil, fmt.Errorf("read %q: images are read from the network only with --allow-remote", address)
	}
	ctx, cancel := context.WithTimeout(context.Background(), remoteTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", address, err)
	}
	answer, err := r.client.Do(request)
	if err != nil {
		// The client's own words name the address again.
		var said *url.Error
		if errors.As(err, &said) {
			err = said.Err
		}
		return nil, fmt.Errorf("read %q: %w", address, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read %q: the server answers %s", address, answer.Status)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxRemoteBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %q: %w", address, err)
	case len(data) > maxRemoteBytes:
		return nil, fmt.Errorf("read %q: more than %d bytes", address, maxRemoteBytes)
	case len(data) == 0:
		return nil, fmt.Errorf("read %q: the answer is empty", address)
	}
	return data, nil
}
