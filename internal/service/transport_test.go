package service

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/zap"

	"opfeed/internal/inproc"
)

func TestOwnAuthorities(t *testing.T) {
	server := httptest.NewUnstartedServer(newAccount())
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop()) // a refused handshake is expected
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for path, content := range map[string][]byte{good: block, bad: []byte("no PEM")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := testConfig(t)
	cfg.Cosmos.Endpoint = server.URL
	cfg.Cosmos.CAFile = bad
	if _, err := New(cfg, Deps{}); err == nil || err.Error() != "OPFEED_COSMOS_CA_FILE: holds no certificate in PEM" {
		t.Errorf("have %v", err)
	}
	for path, want := range map[string]bool{good: true, "": false} {
		cfg.Cosmos.CAFile = path
		s, err := New(cfg, Deps{CS: &clusterService{}})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := s.transport.Do(req)
		if (err == nil) != want {
			t.Errorf("file %q: %v", path, err)
		}
		if err == nil {
			if err := reply.Body.Close(); err != nil {
				t.Error(err)
			}
		}
		s.closeClients()
	}
}

// TestNoRedirect: a credential follows no redirect.
func TestNoRedirect(t *testing.T) {
	followed := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed = true
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer server.Close()
	c := newTransport(nil)
	defer c.CloseIdleConnections()
	reply, err := c.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := reply.Body.Close(); err != nil || followed || reply.StatusCode != http.StatusFound {
		t.Errorf("status %d, followed: %t, %v", reply.StatusCode, followed, err)
	}
}

type credential struct{ scopes []string }

func (c *credential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.scopes = append(c.scopes, o.Scopes...)
	return azcore.AccessToken{Token: "token-of-entra", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestWithoutKeyEntraID(t *testing.T) {
	a, cfg := newAccount(), testConfig(t)
	cfg.Cosmos.Key, cfg.Cosmos.Endpoint = "", "http://localhost:47111"
	var sent []string
	s, err := New(cfg, Deps{CS: &clusterService{}, Cosmos: inproc.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := url.QueryUnescape(r.Header.Get("Authorization"))
		if err != nil {
			t.Error(err)
		}
		sent = append(sent, text)
		a.ServeHTTP(w, r)
	}))})
	if err != nil {
		t.Fatal(err)
	}
	if s.credential == nil {
		t.Fatal("no credential of Entra ID")
	}
	c := &credential{}
	s.credential = c
	st, err := s.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st.client.Close()
	if len(c.scopes) == 0 || c.scopes[0] != "http://localhost/.default" {
		t.Errorf("scopes %v", c.scopes)
	}
	for _, text := range sent {
		if !strings.HasPrefix(text, "type=aad&ver=1.0&sig=token-of-entra") {
			t.Errorf("sent %s", text)
		}
	}
}
