package cosmosemu

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"opfeed/internal/cosmosemu/sql"
)

// setIndexMetrics adds which indexes the query used, if the client asks: as
// base64 for azcosmos, with percent signs for the JavaScript SDK. The JSON of both
// is from memory and not verified.
//
// It pretends that every property that WHERE looks at has an index of its own, as
// it has under the service's default policy, and that there are no others.
func (x *exchange) setIndexMetrics(r *reply, statement *sql.Statement) {
	const header = "x-ms-cosmos-index-utilization"
	specs := []map[string]any{}
	for _, spec := range indexSpecs(statement) {
		specs = append(specs, map[string]any{"IndexSpec": spec})
	}
	none := []string{}
	switch {
	case x.flag("x-ms-cosmos-populateindexmetrics"):
		r.set(header, base64.StdEncoding.EncodeToString(encode(map[string]any{
			"UtilizedSingleIndexes": specs, "PotentialSingleIndexes": none,
			"UtilizedCompositeIndexes": none, "PotentialCompositeIndexes": none,
		})))
	case x.flag("x-ms-cosmos-populateindexmetrics-V2"):
		r.set(header, url.PathEscape(string(encode(map[string]any{
			"UtilizedIndexes":  map[string]any{"SingleIndexes": specs, "CompositeIndexes": none},
			"PotentialIndexes": map[string]any{"SingleIndexes": none, "CompositeIndexes": none},
		}))))
	}
}

// indexSpecs stops before the header becomes larger than clients take.
func indexSpecs(statement *sql.Statement) []string {
	const most = 4 << 10
	var specs []string
	size := 0
	for _, path := range statement.FilterPaths() {
		spec := "/" + strings.Join(path, "/") + "/?"
		if slices.Contains(specs, spec) {
			continue
		}
		if size += len(spec); size > most {
			break
		}
		specs = append(specs, spec)
	}
	return specs
}
