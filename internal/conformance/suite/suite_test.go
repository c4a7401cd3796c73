package main

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestScan(t *testing.T) {
	folder := t.TempDir()
	write := func(name, body string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("package p\n"+body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("b_test.go", `
func newEmulatorTests(t *T) {}
func TestFirst(t *T)  { e := newEmulatorTests(t); e.f() }
func TestAlone(t *T)  { other(t) }
func TestSecond(t *T) { t.Run("x", func(t *T) { newEmulatorTestsElsewhere(t) }) }
func helper(t *T)     { newEmulatorTests(t) }
`)
	write("a_test.go", `func TestEarlier(t *T) { newEmulatorTests(t) }`)
	write("c.go", `func TestNone(t *T) { newEmulatorTests(t) }`)
	got, err := scan(folder)
	if want := []string{"TestEarlier", "TestFirst", "TestSecond"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := scan(t.TempDir()); err == nil {
		t.Errorf("an empty folder: got %q", got)
	}
}

func TestParseSkips(t *testing.T) {
	page := "# Page\n\n| a | b |\n|---|---|\n| `TestNo` | no |\n\n| skipped test | reason |\n|---|---|\n| `TestA` | not yet |\n| `TestB` | never |\n\n| c | d |\n|---|---|\n| `TestNo` | no |\n"
	got, err := parseSkips(page)
	if want := map[string]string{"TestA": "not yet", "TestB": "never"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := parseSkips("| skipped test | reason |\n|---|---|\n"); err != nil || len(got) != 0 {
		t.Errorf("an empty table: got %q, %v", got, err)
	}
	for _, bad := range []string{"# Page\n", "| skipped test | reason |\n|---|---|\n| `TestA` | |\n"} {
		if got, err := parseSkips(bad); err == nil {
			t.Errorf("%q: got %q", bad, got)
		}
	}
}

func TestReport(t *testing.T) {
	events := `
{"Action":"start"}
{"Action":"run","Test":"TestGood"}
{"Action":"output","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"pass","Test":"TestGood","Elapsed":0.5}
{"Action":"run","Test":"TestBad"}
{"Action":"output","Test":"TestBad/part","Output":"    a_test.go:1: wrong\n"}
{"Action":"fail","Test":"TestBad/part","Elapsed":1}
{"Action":"pass","Test":"TestBad/other","Elapsed":1}
{"Action":"fail","Test":"TestBad","Elapsed":2}
{"Action":"output","Test":"TestLeft","Output":"    a_test.go:9: no -admin: cannot split\n"}
{"Action":"output","Test":"TestLeft","Output":"--- SKIP: TestLeft (0.00s)\n"}
{"Action":"skip","Test":"TestLeft","Elapsed":0}
{"Action":"fail","Elapsed":3}
`
	var out strings.Builder
	got, err := report(&out, strings.NewReader(events))
	if want := (score{passed: 1, failed: 1, skipped: 1}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	want := "pass   0.50 s  TestGood\nFAIL   2.00 s  TestBad\n    a_test.go:1: wrong\nskipped: TestLeft: no -admin: cannot split\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	broken := `{"Action":"build-output","Output":"syntax error\n"}` + "\n" + `{"Action":"fail"}`
	if _, err := report(&out, strings.NewReader(broken)); err == nil || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("tests that do not compile: %v", err)
	}
}

func TestCertificate(t *testing.T) {
	certificate, path, err := newCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("the file holds no certificate")
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		client, server := net.Pipe()
		go tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}}).Handshake()
		if err := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: name}).Handshake(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		client.Close()
	}
}

func TestTakenAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var a account
	err = a.serve(t.Context(), l.Addr().String(), nil, nil)
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "must be free") {
		t.Errorf("got %v", err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-nonsense"}, {"word"}} {
		var out, trouble strings.Builder
		if code := run(t.Context(), args, &out, &trouble); code != exitUsage || trouble.Len() == 0 {
			t.Errorf("%q: exit code %d, said %q", args, code, trouble.String())
		}
	}
}
