package system_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
)

// TestFaultsPage holds docs/faults.md to the servers: they take its examples, and
// it has every effect that they have.
func TestFaultsPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## Cosmos DB\n")
	ofCosmos, ofClusterService, found := strings.Cut(rest, "\n## Cluster Service\n")
	if !found {
		t.Fatal("the page has no part about Cluster Service")
	}
	for name, part := range map[string]struct {
		text   string
		admin  http.Handler
		effect reflect.Type
	}{
		"Cosmos DB":       {ofCosmos, cosmosemu.New(cosmosemu.Options{}).Admin(), reflect.TypeFor[cosmosemu.Effect]()},
		"Cluster Service": {ofClusterService, cssim.New(cssim.Options{}).Admin(), reflect.TypeFor[cssim.Effect]()},
	} {
		t.Run(name, func(t *testing.T) {
			examples := strings.Split(part.text, "```json\n")[1:]
			if len(examples) < 4 {
				t.Fatalf("there are %d examples", len(examples))
			}
			for _, example := range examples {
				example, _, _ = strings.Cut(example, "```")
				w := httptest.NewRecorder()
				part.admin.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/faults", strings.NewReader(example)))
				if w.Code != http.StatusNoContent {
					t.Errorf("%s is refused: %s", strings.TrimSpace(example), w.Body)
				}
			}
			for _, field := range reflect.VisibleFields(part.effect) {
				json, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				if json != "" && !strings.Contains(string(text), "`"+json+"`") {
					t.Errorf("the effect %s is not on the page", json)
				}
			}
		})
	}
}
