package cosmosemu

import (
	"encoding/base64"
	"slices"
	"strings"

	"opfeed/internal/cosmosemu/sql"
)

// wantsIndexMetrics knows the header of azcosmos and that of the JavaScript SDK.
func (x *exchange) wantsIndexMetrics() bool {
	return x.flag("x-ms-cosmos-populateindexmetrics") || x.flag("x-ms-cosmos-populateindexmetrics-V2")
}

// indexMetrics pretends that every property that WHERE looks at has an index of
// its own, as it has under the service's default policy, and that there are no
// others.
func indexMetrics(statement *sql.Statement) string {
	type index struct {
		Filter string `json:"FilterExpression"`
		Spec   string `json:"IndexSpec"`
		Exact  bool   `json:"FilterPreciseSet"`
		Whole  bool   `json:"IndexPreciseSet"`
		Impact string `json:"IndexImpactScore"`
	}
	utilized := []index{}
	for _, path := range statement.FilterPaths() {
		spec := "/" + strings.Join(path, "/") + "/?"
		if !slices.ContainsFunc(utilized, func(other index) bool { return other.Spec == spec }) {
			utilized = append(utilized, index{Spec: spec, Exact: true, Whole: true, Impact: "High"})
		}
	}
	return base64.StdEncoding.EncodeToString(encode(map[string][]index{
		"UtilizedSingleIndexes": utilized, "PotentialSingleIndexes": {},
		"UtilizedCompositeIndexes": {}, "PotentialCompositeIndexes": {},
	}))
}
