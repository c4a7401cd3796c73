package operator_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"opfeed/internal/operator"
)

// fitForTerminals fails on a character that a terminal might obey, or a line that
// is too long to be read.
func fitForTerminals(t *testing.T, what, text string, width int) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s: not UTF-8: %q", what, text)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if i := strings.IndexFunc(line, func(r rune) bool { return !strconv.IsPrint(r) }); i >= 0 {
			t.Errorf("%s: a character that is not printable in %q", what, line)
		}
		if n := utf8.RuneCountInString(line); width > 0 && n > width {
			t.Errorf("%s: a line of %d characters: %.100q", what, n, line)
		}
	}
}

// nasty is what a terminal obeys: escapes, a bell, CSI as one character, DEL, line
// breaks, marks of direction, what has no width.
const nasty = "x\x1b]0;owned\x07\x1b[2J\u009b31m\x7f\r\n\t\u2028\u202e\u200b\U000e0041y"

// TestHostileDocuments: whatever documents hold, nothing of it reaches a terminal as
// it is, lines are bounded, JSON is JSON, and no command fails for the others.
func TestHostileDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		long := strings.Repeat("\x1b[31m"+strings.Repeat("w", 100), 100)
		for name, change := range map[string]func(d, p doc){
			"status": with("status", nasty), "request": with("request", nasty), "internalId": with("internalId", nasty),
			"externalId": with("externalId", nasty), "operationId": with("operationId", "/a/"+nasty), "error": with("error", doc{"code": nasty, "message": nasty}),
			"notificationUri": with("notificationUri", nasty), "startTime": with("startTime", nasty), nasty: with(nasty, doc{nasty: []any{nasty}}),
			"long status": with("status", long), "long request": with("request", long), "long internalId": with("internalId", long),
			"long externalId": with("externalId", long), "long operationId": with("operationId", long), "long error": with("error", doc{"code": long, "message": long}),
			"number": with("status", 5), "object": with("request", doc{"a": 1}), "far future": with("startTime", "9999-12-31T23:59:59Z"),
			"far zone": func(_, p doc) {
				p["startTime"], p["lastTransitionTime"] = "2000-01-01T00:00:00+24:00", "2000-01-01T00:00:00-24:00"
			},
			"before time": with("startTime", "0000-01-01T00:00:00+23:00"), "after time": with("startTime", "9999-12-31T23:59:59-23:00"),
			"long ago": with("startTime", "0001-01-01T00:00:00Z"), "no properties": func(d, _ doc) { delete(d, "properties") },
			"piped": func(d, _ doc) { d["id"] = "|subscriptions|" + nasty + "|n" }, "partition": in("p" + nasty),
			"terminal": func(_, p doc) { p["status"], p["notificationUri"] = "Succeeded", "https://"+nasty },
		} {
			d := operation("op-"+name, "Create", "Accepted", time.Hour)
			change(d, d["properties"].(doc))
			if err := w.try(d); err != nil {
				t.Logf("Cosmos DB refuses %q", name)
			}
		}
		w.put(doc{"id": "r" + nasty, "partitionKey": sub, "resourceType": nasty,
			"properties": doc{"activeOperationId": "op-good", "provisioningState": nasty}})
		w.put(operation("op-good", "Create", "Accepted", time.Hour))
		files, err := filepath.Glob("../../processor/operations/testdata/hostile/*.json")
		if err != nil || len(files) < 20 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var d doc
			if json.Unmarshal(raw, &d) != nil {
				continue
			}
			if _, ok := d["partitionKey"].(string); !ok {
				continue
			}
			d["id"] = filepath.Base(file)
			if err := w.try(d); err != nil {
				t.Logf("Cosmos DB refuses %s", file)
			}
		}
		stop, _ := w.start()
		time.Sleep(time.Minute)
		stop()

		const width = 700
		fitForTerminals(t, "list", w.list(operator.ListOptions{All: true}), width)
		text := w.list(operator.ListOptions{All: true, JSON: true})
		fitForTerminals(t, "list --json", text, 0)
		var rows []struct{ Subscription, ID, State string }
		if err := json.Unmarshal([]byte(text), &rows); err != nil || len(rows) < 25 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		quarantined := 0
		for _, r := range rows {
			if r.State == "quarantined" {
				quarantined++
			}
			// As it is shown it can be named.
			opts := operator.ShowOptions{ID: r.ID}
			var out bytes.Buffer
			if err := w.o.Show(t.Context(), &out, opts); err != nil {
				if r.ID == shownID("op-"+nasty) || strings.Contains(r.ID, "�") {
					fitForTerminals(t, "refusal", operator.Words(err), width)
					continue // but by its name, or as JSON has it
				}
				t.Errorf("show %q: %v", r.ID, err)
			}
			fitForTerminals(t, "show "+r.ID, out.String(), 3*width)
			opts.JSON = true
			text := w.show(opts)
			fitForTerminals(t, "show --json "+r.ID, text, 0)
			if !json.Valid([]byte(text)) {
				t.Errorf("show --json %q is no JSON: %s", r.ID, text)
			}
		}
		if quarantined < 5 {
			t.Errorf("only %d are quarantined", quarantined)
		}
		// What is good is listed and shown as ever.
		if have := w.show(operator.ShowOptions{ID: "op-good"}); !strings.Contains(have, "\nstate            active\n") || !strings.Contains(have, "names operation op-good\n") {
			t.Errorf("have\n%s", have)
		}
		for _, err := range []error{errors.New(nasty), errors.New(long)} {
			fitForTerminals(t, "words", operator.Words(err), 1100)
		}
		_, refused := w.retry(nasty, nasty+"/"+long)
		fitForTerminals(t, "refusal", refused, width)
	})
}

func shownID(id string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, id)
}

// TestNoSecretIsShown: neither the query of a URI, nor a key, nor a kubeconfig, in
// whatever field and form, nor what an error may repeat of them.
func TestNoSecretIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		kubeconfig := "apiVersion: v1\nkind: Config\ncurrent-context: admin\nusers:\n- user:\n    client-key-data: " + secret + "\n"
		uri := "https://user:" + secret + "@rp.management.azure.com/p?api-version=1&t=" + secret + "#" + secret
		for name, change := range map[string]func(d, p doc){
			"uri":       with("notificationUri", uri),
			"uri owed":  func(_, p doc) { p["status"], p["notificationUri"] = "Succeeded", uri },
			"uri cased": with("NotificationURI", "/opaque/"+secret),
			"uri list":  with("notificationUri", []any{secret}),
			"uri elsewhere": func(d, p doc) {
				p["externalId"], p["operationId"], p["more"], d["_self"] = uri, uri+"/x?y="+secret, []any{doc{"deep": "see " + uri}}, "x?sig="+secret
			},
			"uri odd":     with("externalId", "https://h.test/p?"+secret),
			"fragment":    with("externalId", "https://h.test/p#"+secret),
			"kubeconfig":  with("kubeConfig", secret),
			"config":      with("result", doc{"data": kubeconfig}),
			"config text": with("error", doc{"code": "x", "message": kubeconfig}),
			"key":         with("note", "-----BEGIN RSA PRIVATE KEY-----\n"+secret),
			"keys": func(_, p doc) {
				p["primaryKey"], p["clientSecret"], p["accessToken"] = secret, doc{"a": secret}, []any{secret}
			},
			"status":     with("status", "AccountKey="+secret),
			"internalId": with("internalId", "/clusters/h1?token="+secret),
			"token":      with("request", "Bearer "+secret),
		} {
			d := operation("op-"+name, "Create", "Accepted", time.Hour)
			change(d, d["properties"].(doc))
			w.put(d)
		}
		w.plant(clusterID, "installing")
		stop, _ := w.start()
		time.Sleep(time.Minute)
		stop()
		look := func(what, text string) {
			t.Helper()
			if strings.Contains(text, secret) || strings.Contains(text, key) {
				t.Errorf("%s shows a secret:\n%s", what, text)
			}
		}
		look("list", w.list(operator.ListOptions{All: true}))
		text := w.list(operator.ListOptions{All: true, JSON: true})
		look("list --json", text)
		var rows []struct{ ID string }
		if err := json.Unmarshal([]byte(text), &rows); err != nil || len(rows) != 15 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		for _, r := range rows {
			look("show", w.show(operator.ShowOptions{ID: r.ID}))
			text := w.show(operator.ShowOptions{ID: r.ID, JSON: true})
			look("show --json", text)
			if !strings.Contains(text, `"partitionKey": "`+sub+`"`) || !strings.Contains(text, `"lastTransitionTime"`) {
				t.Errorf("the document is not shown:\n%s", text)
			}
		}
		if have := w.show(operator.ShowOptions{ID: "op-uri owed", JSON: true}); !strings.Contains(have, `"notificationUri": "rp.management.azure.com"`) {
			t.Errorf("have\n%s", have)
		}
		for _, r := range rows {
			said, refused := w.retry("", r.ID)
			look("retry", said+refused)
		}
	})
}
