package cs_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs"
)

const clientSecret = "correct-horse-battery-staple"

// token makes an unsigned access token.
func token(lifetime time.Duration, n int64) string {
	encode := base64.RawURLEncoding.EncodeToString
	claims, _ := json.Marshal(map[string]any{"typ": "Bearer", "exp": time.Now().Add(lifetime).Unix(), "n": n})
	return encode([]byte(`{"alg":"none"}`)) + "." + encode(claims) + ".c2ln"
}

// guarded is Cluster Service and the place where tokens are had.
type guarded struct {
	tokens   http.HandlerFunc // nil: the usual
	asked    atomic.Int64
	lifetime time.Duration
	mu       sync.Mutex
	current  string
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Host == "sso.test" {
		n := g.asked.Add(1)
		if g.tokens != nil {
			g.tokens(w, r)
			return
		}
		if id, secret, _ := r.BasicAuth(); id != "id" || secret != clientSecret {
			static(401, asJSON, `{"error":"unauthorized_client"}`)(w, r)
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.current = token(g.lifetime, n)
		static(200, asJSON, fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer"}`, g.current))(w, r)
		return
	}
	g.mu.Lock()
	ok := r.Header.Get("Authorization") == "Bearer "+g.current
	g.mu.Unlock()
	if !ok {
		static(401, asJSON, `{"kind":"Error","id":"401","reason":"who are you"}`)(w, r)
		return
	}
	static(200, asJSON, `{"state":"ready"}`)(w, r)
}

func asClient(c *cs.Config) {
	c.URL, c.Auth, c.ClientID, c.ClientSecret, c.TokenURL = "https://cs.test", "client", "id", clientSecret, "https://sso.test/token"
}

func TestClientCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &guarded{lifetime: 15 * time.Minute}
		r := newRig(t, g, asClient)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { status(t, r.Client, clusterRef) })
		}
		wg.Wait()
		if g.asked.Load() != 1 {
			t.Errorf("%d tokens for calls at the same time, want 1", g.asked.Load())
		}
		for range 60 {
			time.Sleep(time.Minute)
			status(t, r.Client, clusterRef)
		}
		if n := g.asked.Load(); n < 5 || n > 6 {
			t.Errorf("%d tokens of 15 minutes in an hour", n)
		}
	})
}

// TestTokenServerHangs: the SDK would ask under a mutex, and callers would queue
// for that past their deadlines.
func TestTokenServerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &guarded{tokens: hang}, asClient)
		start := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, err := r.Status(t.Context(), clusterRef)
				if sortOf(err) != unavailable {
					t.Errorf("%v", err)
				}
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("took %v, want 10s", took)
				}
			})
		}
		wg.Wait()
	})
}

func TestTokenRefused(t *testing.T) {
	for name, tokens := range map[string]http.HandlerFunc{
		"401":  static(401, asJSON, `{"error":"unauthorized_client","error_description":"bad"}`),
		"html": static(403, "text/html", "no"),
		"503":  static(503, asJSON, `{}`),
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, &guarded{tokens: tokens}, asClient)
			start := time.Now()
			_, err := r.Status(t.Context(), clusterRef)
			if sortOf(err) != unavailable || time.Since(start) > 10*time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
			if ok, since, _ := r.Healthy(); ok || since.IsZero() {
				t.Errorf("%s: counts as healthy", name)
			}
		})
	}
}

func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &guarded{current: token(time.Hour, 1)}
		r := newRig(t, g, func(c *cs.Config) {
			asClient(c)
			c.Auth, c.Token, c.ClientID, c.ClientSecret = "token", "", "", ""
			c.Token = secretOf(g.current)
		})
		status(t, r.Client, clusterRef)
		if g.asked.Load() != 0 {
			t.Error("an access token was not used as it is")
		}
		time.Sleep(2 * time.Hour)
		_, err := r.Status(t.Context(), clusterRef)
		if sortOf(err) != unavailable || strings.Contains(err.Error(), g.current) {
			t.Errorf("with an expired token: %v", err)
		}
	})
}

// TestOnlyConfiguredHosts: what the SDK takes for a refresh token, although it
// says that it is none, it would send to the SDK's own default.
func TestOnlyConfiguredHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			t.Errorf("%s was asked", req.Host)
		}), func(c *cs.Config) {
			c.URL, c.Auth, c.Token = "https://cs.test", "token", tokenWith(`{"alg":"unheard-of"}`, `{"typ":"Bearer"}`)
		})
		if _, err := r.Status(t.Context(), clusterRef); sortOf(err) != unavailable {
			t.Errorf("%v", err)
		}
	})
}

// TestNoCredentialsElsewhere: the SDK adds the token to whatever it is
// redirected to.
func TestNoCredentialsElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &guarded{lifetime: time.Hour}
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			switch req.Host {
			case "sso.test":
				g.ServeHTTP(w, req)
			case "cs.test":
				http.Redirect(w, req, "https://evil.test/", http.StatusTemporaryRedirect)
			default:
				t.Errorf("%s was sent %q", req.Host, req.Header.Get("Authorization"))
			}
		}), asClient)
		if _, err := r.Status(t.Context(), clusterRef); sortOf(err) != unavailable {
			t.Errorf("%v", err)
		}
	})
}

// TestNoSecretsInErrorsOrLogs: servers repeat what they were sent.
func TestNoSecretsInErrorsOrLogs(t *testing.T) {
	repeat := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, secret, _ := r.BasicAuth()
			text := fmt.Sprintf("you sent %v %s", r.Header, secret)
			body, _ := json.Marshal(map[string]string{"id": fmt.Sprint(status), "reason": text})
			if status >= 500 {
				body = []byte(text)
			}
			contentType := map[bool]string{true: "text/plain", false: asJSON}[status >= 500]
			static(status, contentType, string(body))(w, r)
		}
	}
	asToken := func(access string) func(*cs.Config) {
		return func(c *cs.Config) {
			asClient(c)
			c.Auth, c.ClientID, c.ClientSecret, c.Token = "token", "", "", secretOf(access)
		}
	}
	for _, c := range []struct {
		name   string
		client bool // client credentials, else a token
		sso    http.HandlerFunc
		cs     http.HandlerFunc
		want   string
	}{
		{"single sign-on repeats the secret", true, repeat(503), hang, unavailable},
		{"proxy repeats a fetched token", true, nil, repeat(502), unavailable},
		{"CS repeats a fetched token", true, nil, repeat(400), answered},
		{"CS repeats it in a 404", true, nil, repeat(404), notFound},
		{"proxy repeats a configured token", false, nil, repeat(502), unavailable},
		{"CS repeats a configured token", false, nil, repeat(404), notFound},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := &guarded{lifetime: time.Hour, tokens: c.sso, current: token(time.Hour, 0)}
			change := asClient
			if !c.client {
				change = asToken(g.current)
			}
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Host == "sso.test" {
					g.ServeHTTP(w, req)
				} else {
					c.cs(w, req)
				}
			}), change)
			_, err := r.Status(t.Context(), clusterRef)
			if sortOf(err) != c.want || !strings.Contains(err.Error(), "you sent") || !strings.Contains(err.Error(), "[redacted]") {
				t.Errorf("%s: %v", c.name, err)
			}
			texts := []string{}
			for e := err; e != nil; e = errors.Unwrap(e) {
				texts = append(texts, fmt.Sprintf("%+v %#v", e, e))
			}
			_, _, last := r.Healthy()
			texts = append(texts, last)
			for _, e := range r.logs.All() {
				texts = append(texts, fmt.Sprint(e.Message, e.ContextMap()))
			}
			basic := base64.StdEncoding.EncodeToString([]byte("id:" + clientSecret))
			for _, text := range texts {
				for _, secret := range []string{clientSecret, basic, g.current} {
					if strings.Contains(text, secret) {
						t.Errorf("%s: secret in %q", c.name, text)
					}
				}
			}
		})
	}
}
