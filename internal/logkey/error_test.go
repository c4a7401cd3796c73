package logkey

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

func TestWordsLeaveOutWhatAServerEchoes(t *testing.T) {
	t.Parallel()
	const secret = "type=aad&ver=1.0&sig=ey.secret"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://account.test/dbs/d", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer := runtime.NewResponseError(&http.Response{
		Request: req, StatusCode: http.StatusForbidden, Status: "403 Forbidden",
		Header: http.Header{"X-Ms-Substatus": {"5300"}, "X-Ms-Activity-Id": {strings.Repeat("a", 1000)}},
		Body:   io.NopCloser(bytes.NewReader([]byte("<html>Authorization: " + secret + strings.Repeat("x", 10000)))),
	})
	got := Words(fmt.Errorf("list leases: %w, at once", answer))
	if strings.Contains(got, "secret") || strings.Contains(got, "<html>") || strings.Contains(got, "\n") || len(got) > 600 {
		t.Errorf("words: %q", got)
	}
	if want := "list leases: answered 403, substatus 5300, activity-id aaa"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, ", at once") {
		t.Errorf("words: %q, want them to begin with %q", got, want)
	}
	if got := Words(fmt.Errorf("a\nb")); got != "a" {
		t.Errorf("words of two lines: %q", got)
	}
}
