package notification

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// host is what the certificate of httptest's servers is for.
const (
	host   = "example.com"
	secret = "marker-of-a-secret"
	uri    = "https://" + host + "/providers/notify/" + secret + "?api-version=1&token=" + secret + "%2F=="
)

var payload = NewPayload("/subscriptions/s/providers/p/locations/l/hcpOperationStatuses/o", "Succeeded",
	time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC), nil)

// pipes is a listener without sockets: what dials it is in the same bubble.
type pipes struct {
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
	dialed chan string // addresses, as they were asked for
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), done: make(chan struct{}), dialed: make(chan string, 100)}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return newWire(c), nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (p *pipes) dial(ctx context.Context, _, address string) (net.Conn, error) {
	p.dialed <- address
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return newWire(near), nil
	case <-p.done:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// rig is a sender, in a bubble, whose network ends at a TLS server in this process. Only the
// dialer and the trusted authorities differ from what New makes.
type rig struct {
	*Sender
	pipes    *pipes
	registry *prometheus.Registry
}

func newRig(t *testing.T, h http.HandlerFunc, change ...func(*Config)) *rig {
	t.Helper()
	return newRigOver(t, nil, h, change...)
}

// newRigOver is newRig with what the server has to say of TLS; nil: the usual.
func newRigOver(t *testing.T, c *tls.Config, h http.HandlerFunc, change ...func(*Config)) *rig {
	t.Helper()
	r := newRigAt(t, newPipes(), change...)
	server := httptest.NewUnstartedServer(h)
	server.Listener.Close()
	server.Listener = r.pipes
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that must fail
	server.TLS = c
	server.StartTLS()
	t.Cleanup(func() {
		server.Close()
		time.Sleep(time.Minute) // wires linger, and a bubble's clock stops with its test
	})
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	r.network(t).transport.TLSClientConfig.RootCAs = roots
	return r
}

// newRigAt is a rig whose dialer asks p.
func newRigAt(t *testing.T, p *pipes, change ...func(*Config)) *rig {
	t.Helper()
	r := newBareRig(t, change...)
	r.pipes = p
	r.network(t).transport.DialContext = p.dial
	return r
}

// newRigWith is a rig that has the dialer of New, and a name server.
func newRigWith(t *testing.T, n names) *rig {
	t.Helper()
	r := newBareRig(t)
	r.network(t).dialer.Resolver = &net.Resolver{PreferGo: true, Dial: n.dial}
	return r
}

func newBareRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Hosts = append(cfg.Hosts, host, "*."+host)
	for _, c := range change {
		c(&cfg)
	}
	registry := prometheus.NewRegistry()
	s, err := New(cfg, Deps{Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Sender: s, registry: registry}
}

func (r *rig) network(t *testing.T) *network {
	t.Helper()
	n, ok := r.carrier.(*network)
	if !ok {
		t.Fatalf("the sender's carrier is a %T", r.carrier)
	}
	return n
}

// counts are the notifications counted, by result, zeros left out.
func (r *rig) counts(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "opfeed_notifications_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if n := m.GetCounter().GetValue(); n > 0 {
				counts[m.GetLabel()[0].GetValue()] = n
			}
		}
	}
	return counts
}

func answering(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, secret)
	}
}
