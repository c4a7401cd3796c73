package cosmosemu_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
)

func jwt(key string, notBefore, expires time.Time) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"typ":"JWT","alg":"RS256","kid":"CosmosEmulatorPrimaryMaster"}`)) + "." +
		part(fmt.Appendf(nil, `{"nbf":%d,"exp":%d}`, notBefore.Unix(), expires.Unix())) + "." + part([]byte(key))
}

func aadToken(key string) string {
	return "type=aad&ver=1.0&sig=" + jwt(key, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
}

// tokenCredential gives out one token.
type tokenCredential string

func (c tokenCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestMasterKey(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	wrong := base64.StdEncoding.EncodeToString([]byte("another key"))
	container, err := r.newClient(wrong).NewContainer("db", "items")
	if err != nil {
		t.Fatal(err)
	}
	_, err = container.ReadItem(ctx, pk("p"), "a", nil)
	r.refused(err, http.StatusUnauthorized, "0")

	r.create("p", `{"id":"a","pk":"p"}`)
	last := r.transport.last.Request
	for name, authorization := range map[string]string{
		"none":       " ",
		"no fields":  "nonsense",
		"no version": "type=master&sig=abc",
		"bad escape": "type%3",
		"other type": "type=resource&ver=1.0&sig=abc",
		"no base64":  "type=master&ver=1.0&sig=###",
		"of another": last.Header.Get("Authorization"),
	} {
		got := r.raw(http.MethodGet, "/dbs/db/colls/items/docs/a", "", "Authorization", authorization,
			"x-ms-date", last.Header.Get("x-ms-date"), "x-ms-documentdb-partitionkey", `["p"]`)
		if got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: got %d", name, got.StatusCode)
		}
	}
}

func TestClockSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create("p", `{"id":"a","pk":"p"}`)
		req := r.transport.last.Request
		for _, wait := range []struct {
			time   time.Duration
			status int
		}{{14 * time.Minute, http.StatusConflict}, {2 * time.Minute, http.StatusForbidden}} {
			time.Sleep(wait.time)
			got := r.raw(http.MethodPost, req.URL.Path, `{"id":"a","pk":"p"}`, "Authorization", req.Header.Get("Authorization"),
				"x-ms-date", req.Header.Get("x-ms-date"), "x-ms-documentdb-partitionkey", `["p"]`)
			if got.StatusCode != wait.status {
				t.Errorf("a request sent again after %v: got %d, want %d", wait.time, got.StatusCode, wait.status)
			}
		}
	})
}

func TestEntraToken(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	now := time.Now()
	for _, test := range []struct {
		name, token string
		status      int
	}{
		{"good", jwt(cosmosemu.WellKnownKey, now.Add(-time.Minute), now.Add(time.Hour)), 0},
		{"expired", jwt(cosmosemu.WellKnownKey, now.Add(-time.Hour), now.Add(-time.Minute)), 401},
		{"early", jwt(cosmosemu.WellKnownKey, now.Add(time.Minute), now.Add(time.Hour)), 401},
		{"other key", jwt("key", now.Add(-time.Minute), now.Add(time.Hour)), 401},
		{"no JWT", "token", 401},
		{"no claims", "a.!.b", 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, err := azcosmos.NewClient(r.endpoint(), tokenCredential(test.token), r.options())
			if err != nil {
				t.Fatal(err)
			}
			container, err := client.NewContainer("db", "items")
			if err != nil {
				t.Fatal(err)
			}
			_, err = container.CreateItem(ctx, pk("p"), []byte(`{"id":"a","pk":"p"}`), nil)
			if test.status != 0 {
				(&rig{T: t}).refused(err, test.status, "0")
				return
			}
			if err != nil {
				t.Error(err)
			}
			if _, err := container.Read(ctx, nil); err != nil {
				t.Errorf("read the container: %v", err)
			}
			_, err = client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: "other"}, nil)
			(&rig{T: t}).refused(err, http.StatusForbidden, "5300")
		})
	}
}

// A token is for data, whatever else the request says of itself.
func TestEntraTokenIsForData(t *testing.T) {
	r := newRig(t)
	for _, query := range [][]string{
		nil, {"x-ms-documentdb-isquery", "true"}, {"x-ms-documentdb-query", "True"}, {"Content-Type", "application/query+json"},
	} {
		for _, ask := range [][2]string{
			{http.MethodDelete, "/dbs/db"}, {http.MethodDelete, "/dbs/db/colls/items"}, {http.MethodPut, "/dbs/db/colls/items"},
		} {
			got := r.raw(ask[0], ask[1], `{"id":"items","partitionKey":{"paths":["/pk"]}}`, query...)
			if got.StatusCode != http.StatusForbidden || got.Header.Get("x-ms-substatus") != "5300" {
				t.Errorf("%s %s as %v: got %d", ask[0], ask[1], query, got.StatusCode)
			}
		}
	}
}

func TestUnknownRequests(t *testing.T) {
	r := newRig(t)
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/nothing", 404},
		{"GET", "/dbs/db/users/u", 404},
		{"GET", "/dbs/db/colls/items/sprocs", 404},
		{"GET", "/dbs/db/colls/items/docs/a/attachments", 404},
		{"GET", "/dbs//colls/items", 400},
		{"PUT", "/dbs/db/colls/items/docs", 405},
		{"POST", "/", 405},
		{"TRACE", "/dbs", 405},
	} {
		got := r.raw(test.method, test.path, "{}")
		body, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got.StatusCode != test.status && got.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s: got %d, want %d", test.method, test.path, got.StatusCode, test.status)
		}
		if message := r.object(body)["message"]; message == nil || !strings.Contains(got.Header.Get("Content-Type"), "json") {
			t.Errorf("%s %s: no message in %s", test.method, test.path, body)
		}
		if got.Header.Get("x-ms-activity-id") == "" || got.Header.Get("x-ms-request-charge") == "" || got.Header.Get("Date") == "" {
			t.Errorf("%s %s: headers are missing: %v", test.method, test.path, got.Header)
		}
	}
}
