package cosmosemu_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
)

func TestRoutingGateway(t *testing.T) {
	r := newRig(t)
	compute, router := inproc.New(r.server), inproc.New(r.server.RoutingGateway())
	read := func(id string) error {
		_, err := r.items.ReadItem(t.Context(), pk("p"), id, nil)
		return err
	}
	for id, status := range map[string]int{
		"plain":       0,
		"in between":  0,
		" at start":   0,
		"a?b=c&d+e":   0,
		"100%":        0,
		"5%zz":        0,
		"ä €":         0,
		"at end ":     http.StatusUnauthorized,
		"a/b":         http.StatusUnauthorized,
		`a\b`:         http.StatusUnauthorized,
		"a#b":         http.StatusUnauthorized,
		"escaped%20":  http.StatusUnauthorized,
		"%E9%B1%80":   http.StatusUnauthorized,
		"a\tb":        http.StatusBadRequest,
		"line\nbreak": http.StatusBadRequest,
		"line\rbreak": http.StatusBadRequest,
	} {
		text, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		r.transport.next = router
		r.create("p", fmt.Sprintf(`{"id":%s,"pk":"p"}`, text))
		if err := read(id); status != 0 {
			r.refused(err, status, "0")
		} else if err != nil {
			t.Errorf("%q behind the routing gateway: %v", id, err)
		}
		r.transport.next = compute
		if err := read(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestAccountProfile(t *testing.T) {
	for _, test := range []struct {
		options             cosmosemu.Options
		region, consistency string
	}{
		{cosmosemu.Options{}, "Emulated", "Session"},
		{cosmosemu.Options{Region: "South Central US", Consistency: "Strong"}, "South Central US", "Strong"},
	} {
		r := newRigWith(t, test.options, cosmosemu.Container{ID: "items", PartitionKey: "/pk"})
		text, err := io.ReadAll(r.raw(http.MethodGet, "/", "").Body)
		if err != nil {
			t.Fatal(err)
		}
		body := r.object(text)
		location := body["writableLocations"].([]any)[0].(map[string]any)
		level := body["userConsistencyPolicy"].(map[string]any)["defaultConsistencyLevel"]
		if location["name"] != test.region || level != test.consistency || location["databaseAccountEndpoint"] != r.endpoint()+"/" {
			t.Errorf("%+v: got %v, %v", test.options, location, level)
		}
	}
}
