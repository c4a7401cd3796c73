package notification

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"opfeed/internal/inproc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got *http.Request
		var body []byte
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			got = req
			body, _ = io.ReadAll(req.Body)
			w.WriteHeader(http.StatusAccepted)
		})
		if err := r.Send(t.Context(), uri, payload); err != nil {
			t.Fatal(err)
		}
		if want := strings.TrimPrefix(uri, "https://"+host); got.Method != http.MethodPost || got.RequestURI != want || got.Host != host {
			t.Errorf("have %s %s of %s", got.Method, got.RequestURI, got.Host)
		}
		if got.Header.Get("Content-Type") != "application/json" || got.UserAgent() != "opfeed" || got.TLS == nil || got.ProtoMajor != 1 {
			t.Errorf("have %s with %v", got.Proto, got.Header)
		}
		for name := range got.Header {
			switch name {
			case "Content-Type", "Content-Length", "User-Agent", "Connection":
			default:
				t.Errorf("sent %s", name)
			}
		}
		want := `{
    "id": "/subscriptions/s/providers/p/locations/l/hcpOperationStatuses/o",
    "name": "o",
    "status": "Succeeded",
    "startTime": "2026-01-02T03:04:05.000006Z",
    "endTime": "2026-01-02T03:05:00Z"
}`
		if string(body) != want {
			t.Errorf("sent %s", body)
		}
		if address := <-r.pipes.dialed; address != host+":443" {
			t.Errorf("dialled %s", address)
		}
		if counts := r.counts(t); counts["delivered"] != 1 || len(counts) != 1 {
			t.Errorf("counted %v", counts)
		}
	})
}

func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inAnHour := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
		inAMinute := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
		for _, c := range []struct {
			status int
			retry  string
			want   string // taken, final, redirect or a retry after this long
		}{
			{200, "", "taken"}, {201, "", "taken"}, {202, "", "taken"}, {204, "", "taken"}, {299, "5", "taken"},
			{300, "", "redirect"}, {301, "", "redirect"}, {302, "", "redirect"}, {303, "", "redirect"}, {304, "", "redirect"},
			{307, "", "redirect"}, {308, "", "redirect"}, {399, "", "redirect"},
			{400, "", "final"}, {404, "", "0s"}, {405, "", "final"}, {410, "30", "final"}, {411, "", "final"}, {413, "", "final"},
			{414, "", "final"}, {415, "", "final"}, {422, "", "final"}, {431, "", "final"},
			{401, "", "0s"}, {402, "", "0s"}, {403, "", "0s"}, {407, "", "0s"}, {408, "", "0s"}, {409, "", "0s"}, {412, "", "0s"},
			{421, "", "0s"}, {423, "", "0s"}, {425, "", "0s"}, {429, "", "0s"}, {499, "", "0s"},
			{500, "", "0s"}, {501, "", "0s"}, {502, "", "0s"}, {503, "", "0s"}, {504, "", "0s"}, {511, "", "0s"}, {600, "", "0s"}, {999, "", "0s"},
			{429, "17", "17s"}, {503, "600", "10m0s"}, {503, "601", "10m0s"}, {503, "99999999999", "10m0s"},
			{503, "99999999999999999999", "0s"}, {429, "-1", "0s"}, {429, "soon", "0s"}, {500, "1.5", "0s"}, {403, "9", "9s"},
			{429, inAMinute, "1m0s"}, {429, inAnHour, "10m0s"}, {429, "Thu, 01 Jan 1970 00:00:00 GMT", "0s"},
		} {
			calls := 0
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
				calls++
				answering(c.status, "Location", "https://"+host+"/elsewhere?"+secret, "Retry-After", c.retry)(w, req)
			})
			err := r.Send(t.Context(), uri, payload)
			noSecret(t, err)
			have := "taken"
			if refused, ok := errors.AsType[*RefusedError](err); ok {
				have = "final"
				if r.counts(t)["redirect"] == 1 {
					have = "redirect"
				}
				if refused.Status != c.status {
					t.Errorf("%d: status %d", c.status, refused.Status)
				}
			} else if again, ok := errors.AsType[*UnavailableError](err); ok {
				have = again.RetryAfter.String()
				if again.Status != c.status {
					t.Errorf("%d: status %d", c.status, again.Status)
				}
			} else if err != nil {
				t.Errorf("%d: %v", c.status, err)
			}
			if have != c.want || calls != 1 || len(r.pipes.dialed) != 1 {
				t.Errorf("%d, %q: %s, want %s; %d calls, %d connections", c.status, c.retry, have, c.want, calls, len(r.pipes.dialed))
			}
		}
	})
}

// TestRedirectsLeadNowhere: one call, to where the URI said, and no other.
func TestRedirectsLeadNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, to := range []string{"https://169.254.169.254/metadata", "http://127.0.0.1/", "https://" + host + "/again", "//10.0.0.1/", "/x"} {
			r := newRig(t, answering(http.StatusTemporaryRedirect, "Location", to))
			err := r.Send(t.Context(), uri, payload)
			if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Reason != "answered 307: redirects are not followed" {
				t.Errorf("%s: %v", to, err)
			}
			if n := len(r.pipes.dialed); n != 1 {
				t.Errorf("%s: %d connections", to, n)
			}
		}
	})
}

func TestRefusedURIIsNotCalled(t *testing.T) {
	r := newRigAt(t, newPipes())
	for _, bad := range []string{"", "http://" + host + "/" + secret, "https://" + secret + ".test/", "https://" + secret + "@" + host, uri + "\n"} {
		err := r.Send(t.Context(), bad, payload)
		if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Status != 0 || !strings.HasPrefix(refused.Reason, "uri: ") {
			t.Errorf("%q: %v", bad, err)
		}
		noSecret(t, err)
	}
	if n := len(r.pipes.dialed); n != 0 {
		t.Errorf("%d connections", n)
	}
	if counts := r.counts(t); counts["uri_refused"] != 5 || len(counts) != 1 {
		t.Errorf("counted %v", counts)
	}
}

func TestPayloadThatIsNoJSON(t *testing.T) {
	r := newRigAt(t, newPipes())
	err := r.Send(t.Context(), uri, Payload{Status: "Succeeded", EndTime: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)})
	if _, ok := errors.AsType[*RefusedError](err); !ok || r.counts(t)["payload"] != 1 {
		t.Error(err)
	}
}

func TestPayload(t *testing.T) {
	p := NewPayload("o", "Failed", time.Time{}, time.Time{}, &Error{
		Code: "A", Message: "a <b> & \"c\"", Target: "t", Details: []Error{{Code: "B", Details: []Error{{Message: "m"}}}},
	})
	body, err := p.encode()
	want := `{"name":"o","id":"o","status":"Failed","error":{"code":"A","message":"a <b> & \"c\"","target":"t","details":[{"code":"B","details":[{"message":"m"}]}]}}`
	if err != nil || !sameJSON(t, string(body), want) {
		t.Errorf("have %s, %v, want %s", body, err, want)
	}
	if p := NewPayload("", "Succeeded", time.Time{}, time.Time{}, nil); p != (Payload{Status: "Succeeded"}) {
		t.Errorf("have %+v", p)
	}
	zone := time.FixedZone("", 3600)
	body, err = NewPayload("/a/b", "Canceled", time.Date(2026, 1, 2, 3, 4, 5, 123456789, zone), time.Time{}, &Error{}).encode()
	want = `{"id":"/a/b","name":"b","status":"Canceled","startTime":"2026-01-02T03:04:05.123456789+01:00","error":{}}`
	if err != nil || !sameJSON(t, string(body), want) {
		t.Errorf("have %s, %v, want %s", body, err, want)
	}
}

// TestServersThatMisbehave: each ends in time, is worth another try, and says
// nothing of what the server sent.
func TestServersThatMisbehave(t *testing.T) {
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			io.WriteString(conn, text)
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		result  string
		atOnce  bool
	}{
		"silent":            {silent, "timeout", false},
		"header by drops":   {drip("HTTP/1.1 200 OK\r\nX: "), "timeout", false},
		"status by drops":   {drip(""), "timeout", false},
		"interim for ever":  {drip("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"), "timeout", false},
		"resets":            {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "connection", true},
		"closes":            {raw(""), "connection", true},
		"no HTTP":           {raw(secret + "\r\n\r\n"), "connection", true},
		"bad status":        {raw("HTTP/1.1 " + secret + "\r\n\r\n"), "connection", true},
		"bad header":        {raw("HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n"), "connection", true},
		"huge header":       {raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n"), "connection", true},
		"bad length":        {raw("HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n"), "connection", true},
		"cut header":        {raw("HTTP/1.1 200 OK\r\nX: y"), "connection", true},
		"switches protocol": {raw("HTTP/1.1 101 " + secret + "\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), "other_answer", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.handler)
				start := time.Now()
				err := r.Send(t.Context(), uri, payload)
				took := time.Since(start)
				unavailable(t, err)
				if want := map[bool]time.Duration{false: r.timeout, true: 0}[c.atOnce]; took != want {
					t.Errorf("took %v, want %v", took, want)
				}
				if counts := r.counts(t); counts[c.result] != 1 || len(counts) != 1 {
					t.Errorf("counted %v, want %s: %v", counts, c.result, err)
				}
				if errors.Is(err, context.DeadlineExceeded) != (c.result == "timeout") {
					t.Errorf("is a deadline: %v", err)
				}
			})
		})
	}
}

// silent never answers. That the client has gone a server sees only once it has
// read the whole request.
func silent(_ http.ResponseWriter, req *http.Request) {
	io.Copy(io.Discard, req.Body)
	<-req.Context().Done()
	panic(http.ErrAbortHandler)
}

// drip sends a text and then a byte a second for as long as it may.
func drip(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		for _, err = io.WriteString(conn, text); err == nil; _, err = io.WriteString(conn, "x") {
			time.Sleep(time.Second)
		}
	}
}

// TestBodiesAreNotRead: the status has come, so the notification is delivered,
// however long the body is, or if it never ends.
func TestBodiesAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, h := range map[string]http.HandlerFunc{
			"huge": func(w http.ResponseWriter, _ *http.Request) {
				for chunk := make([]byte, 1<<16); ; {
					if _, err := w.Write(chunk); err != nil {
						return
					}
				}
			},
			"never ends": func(w http.ResponseWriter, req *http.Request) {
				w.WriteHeader(http.StatusOK)
				http.NewResponseController(w).Flush()
				silent(w, req)
			},
			"zipped": answering(http.StatusOK, "Content-Encoding", "gzip"),
		} {
			r := newRig(t, h)
			start := time.Now()
			if err := r.Send(t.Context(), uri, payload); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("%s: took %v", name, took)
			}
		}
	})
}

func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, silent)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := r.Send(ctx, uri, payload)
		if !errors.Is(err, context.Canceled) || r.counts(t)["canceled"] != 1 {
			t.Errorf("%v, counted %v", err, r.counts(t))
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Send(ctx, uri, payload); !errors.Is(err, context.DeadlineExceeded) || r.counts(t)["timeout"] != 1 {
			t.Errorf("%v, counted %v", err, r.counts(t))
		}
	})
}

// TestHungDialEndsWithTheCall: where a connection is not had, nothing goes on
// trying when Send has returned. The bubble ends only when all in it has ended.
func TestHungDialEndsWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigAt(t, newPipes()) // nobody accepts
		unavailable(t, r.Send(t.Context(), uri, payload))
		start := time.Now()
		synctest.Wait()
		if took := time.Since(start); took != 0 || r.counts(t)["timeout"] != 1 {
			t.Errorf("%v later, counted %v", took, r.counts(t))
		}
	})
}

func TestNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nobody := newPipes()
		nobody.Close()
		r := newRigAt(t, nobody)
		unavailable(t, r.Send(t.Context(), uri, payload))
		if counts := r.counts(t); counts["connection"] != 1 {
			t.Errorf("counted %v", counts)
		}
		r = newRigWith(t, newNames()) // says that there is no address
		err := r.Send(t.Context(), uri, payload)
		if unavailable(t, err); !strings.HasSuffix(err.Error(), "host name not resolved") {
			t.Error(err)
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { <-release },
			func(c *Config) { c.Concurrency = 2 })
		first := make(chan error, 2)
		for range cap(first) {
			go func() { first <- r.Send(t.Context(), uri, payload) }()
		}
		synctest.Wait()
		hurried, cancel := context.WithTimeout(t.Context(), r.timeout/2)
		defer cancel()
		for range 3 {
			unavailable(t, r.Send(hurried, uri, payload))
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Send(gone, uri, payload); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if n := len(r.pipes.dialed); n != 2 {
			t.Errorf("%d connections", n)
		}
		unavailable(t, <-first)
		unavailable(t, <-first)
		if counts := r.counts(t); counts["timeout"] != 2 || counts["busy"] != 3 || counts["canceled"] != 1 {
			t.Errorf("counted %v", counts)
		}
		close(release)
		if err := r.Send(t.Context(), uri, payload); err != nil {
			t.Errorf("a place was not given back: %v", err)
		}
	})
}

func TestTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := answering(http.StatusOK)
		for name, c := range map[string]struct {
			uri    string
			change func(*network)
		}{
			"another name's certificate": {"https://management.azure.com/x", func(*network) {}},
			"an unknown authority":       {uri, func(n *network) { n.transport.TLSClientConfig.RootCAs = nil }},
		} {
			r := newRig(t, h)
			c.change(r.network(t))
			err := r.Send(t.Context(), c.uri, payload)
			unavailable(t, err)
			if !strings.HasSuffix(err.Error(), "certificate not trusted") || r.counts(t)["tls"] != 1 {
				t.Errorf("%s: %v, counted %v", name, err, r.counts(t))
			}
		}
		old := newRigOver(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, h)
		err := old.Send(t.Context(), uri, payload)
		unavailable(t, err)
		if !strings.HasSuffix(err.Error(), "no TLS connection") || old.counts(t)["tls"] != 1 {
			t.Errorf("TLS 1.1: %v, counted %v", err, old.counts(t))
		}
	})
}

func TestProxiesOfTheEnvironmentAreNotAsked(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://"+secret+":1")
	t.Setenv("ALL_PROXY", "socks5://"+secret+":1")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, answering(http.StatusOK))
		if err := r.Send(t.Context(), uri, payload); err != nil {
			t.Fatal(err)
		}
		if address := <-r.pipes.dialed; address != host+":443" {
			t.Errorf("dialled %s", address)
		}
	})
	if newNetwork().transport.Proxy != nil {
		t.Error("a proxy may be asked")
	}
}

// TestNothingOfAForeignErrorIsShown: the carrier's errors hold what was sent to
// it and what a server said.
func TestNothingOfAForeignErrorIsShown(t *testing.T) {
	s, err := New(DefaultConfig(), Deps{Transport: carrier(func(req *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("post %q: %s", req.URL, secret)
	})})
	if err != nil {
		t.Fatal(err)
	}
	unavailable(t, s.Send(t.Context(), "https://management.azure.com/"+secret, payload))
}

type carrier func(*http.Request) (*http.Response, error)

func (c carrier) RoundTrip(req *http.Request) (*http.Response, error) { return c(req) }

func TestInProcess(t *testing.T) {
	s, err := New(DefaultConfig(), Deps{Transport: inproc.New(answering(http.StatusTeapot))})
	if err != nil {
		t.Fatal(err)
	}
	unavailable(t, s.Send(t.Context(), "https://westus.management.azure.com/x", payload))
}

// unavailable checks that an error is an *UnavailableError and shows no secret.
func unavailable(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*UnavailableError](err); !ok {
		t.Fatalf("have %#v", err)
	}
	noSecret(t, err)
}

// noSecret checks that no form of an error, or of what it wraps, shows the secret.
func noSecret(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			if text := fmt.Sprintf(verb, e); strings.Contains(text, secret) {
				t.Errorf("an error shows the secret: %s", text)
			}
		}
	}
}
